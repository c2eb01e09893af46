//! Identifiers and instants.
//!
//! A run's identifier holds its root's, so that any run leads to its tree's log
//! without an index. Identifiers are made by counting, never by chance: only the
//! root's 128 bits come from outside.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This instant and `ms` milliseconds; the end of time where that overflows.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; 0 where the clock went back.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A tree, named by its root run.
///
/// Packed, for a `u128` asks for 16 bytes' alignment: a [`RunId`] would take 32 bytes,
/// and takes 20. So there is no reference to the number; copy it: `{ root.0 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(4))]
pub struct RootId(pub u128);

/// A run: its tree and its place in the order of spawning; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    pub root: RootId,
    pub index: u32,
}

/// A group: its tree and its place in the order of spawning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    pub root: RootId,
    pub index: u32,
}

impl RootId {
    /// The root run itself.
    pub fn run(self) -> RunId {
        RunId { root: self, index: 0 }
    }

    /// The trace that the whole tree belongs to (W3C trace context).
    pub fn trace_id(self) -> String {
        format!("{:032x}", { self.0 })
    }
}

/// A number that depends on the tree and `salt` alone (splitmix64).
pub(crate) fn seed(root: RootId, salt: u64) -> u64 {
    let mut z = (root.0 as u64) ^ ((root.0 >> 64) as u64).rotate_left(32) ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The 36 characters of a UUID, which is how a root is written.
const ROOT_LEN: usize = 36;

/// An identifier as it is written, without an allocation: the log and every
/// answer to a guest are full of them.
struct Written {
    text: [u8; ROOT_LEN + ".g".len() + DIGITS],
    len: usize,
}

/// Of the largest index.
const DIGITS: usize = 10;

impl Written {
    fn new(root: RootId) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // Where each byte's two digits go, between the hyphens.
        const AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let mut text = [b'-'; ROOT_LEN + ".g".len() + DIGITS];
        for (byte, at) in root.0.to_be_bytes().into_iter().zip(AT) {
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
        }
        Self { text, len: ROOT_LEN }
    }

    fn then(mut self, mark: &str, index: u32) -> Self {
        let mut digits = [b'0'; DIGITS];
        let (mut rest, mut first) = (index, DIGITS);
        while rest > 0 || first == DIGITS {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for byte in mark.bytes().chain(digits[first..].iter().copied()) {
            self.text[self.len] = byte;
            self.len += 1;
        }
        self
    }

    fn as_str(&self) -> &str {
        // Digits, hyphens and the mark: it is ASCII.
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

impl RootId {
    fn written(self) -> Written {
        Written::new(self)
    }
}

impl RunId {
    fn written(self) -> Written {
        match self.index {
            0 => Written::new(self.root),
            index => Written::new(self.root).then(".", index),
        }
    }
}

impl GroupId {
    fn written(self) -> Written {
        Written::new(self.root).then(".g", self.index)
    }
}

/// Text that is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl FromStr for RootId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bad = || ParseIdError {
            text: text.chars().take(64).collect(),
            expected: "a root run id, such as 01938f2e-7c00-7000-8000-000000000000",
        };
        if text.len() != ROOT_LEN {
            return Err(bad());
        }
        let mut value = 0u128;
        for (at, byte) in text.bytes().enumerate() {
            let digit = match (at, byte) {
                (8 | 13 | 18 | 23, b'-') => continue,
                (8 | 13 | 18 | 23, _) => return Err(bad()),
                (_, b'0'..=b'9') => byte - b'0',
                (_, b'a'..=b'f') => byte - b'a' + 10,
                _ => return Err(bad()),
            };
            value = value << 4 | u128::from(digit);
        }
        Ok(Self(value))
    }
}

/// A number as it is written, so that one id has one spelling.
fn parse_index(text: &str) -> Option<u32> {
    let value: u32 = text.parse().ok()?;
    (value > 0 || text == "0").then_some(())?;
    (!text.starts_with('+') && (text == "0" || !text.starts_with('0'))).then_some(value)
}

impl FromStr for RunId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bad = || ParseIdError {
            text: text.chars().take(64).collect(),
            expected: "a run id, such as 01938f2e-7c00-7000-8000-000000000000.3",
        };
        match text.split_once('.') {
            None => text.parse().map(RootId::run).map_err(|_| bad()),
            Some((root, index)) => {
                let root = root.parse().map_err(|_| bad())?;
                let index = parse_index(index).filter(|index| *index > 0).ok_or_else(bad)?;
                Ok(Self { root, index })
            }
        }
    }
}

impl FromStr for GroupId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parsed = text
            .split_once(".g")
            .and_then(|(root, index)| Some(Self { root: root.parse().ok()?, index: parse_index(index)? }));
        parsed.ok_or_else(|| ParseIdError {
            text: text.chars().take(64).collect(),
            expected: "a group id, such as 01938f2e-7c00-7000-8000-000000000000.g0",
        })
    }
}

macro_rules! as_text {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.written().as_str())
            }
        }

        /// As it is written, and cheaper than by way of `Display`.
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.written().as_str().to_owned()
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.written().as_str())
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )*};
}

/// Reads an identifier where it stands, without a copy of its text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = ParseIdError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
as_text!(RootId, RunId, GroupId);

/// A tenant's name: 1 to 64 of `a`–`z`, `0`–`9`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of whoever names none.
    pub fn default_tenant() -> Self {
        Self("default".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            return Ok(Self(text.into()));
        }
        Err(ParseIdError {
            text: text.chars().take(64).collect(),
            expected: "a tenant: 1 to 64 of a-z, 0-9, `-` and `_`",
        })
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_spelling() {
        let root = RootId(0x01938f2e_7c00_7000_8000_0000000000ab);
        let text = "01938f2e-7c00-7000-8000-0000000000ab";
        assert_eq!(root.to_string(), text);
        assert_eq!(text.parse::<RunId>().unwrap(), root.run());
        let third = RunId { root, index: 3 };
        assert_eq!(third.to_string().parse::<RunId>().unwrap(), third);
        let last = RunId { root, index: u32::MAX };
        assert_eq!(last.to_string(), format!("{text}.4294967295"));
        assert_eq!(GroupId { root, index: u32::MAX }.to_string(), format!("{text}.g4294967295"));
        assert_eq!(serde_json::to_string(&third).unwrap(), format!("\"{text}.3\""));
        let group = GroupId { root, index: 0 };
        assert_eq!(group.to_string().parse::<GroupId>().unwrap(), group);
        for bad in [".0", ".03", ".+3", ".", ".x", ".99999999999", ".g1", "x", " "] {
            assert!(format!("{text}{bad}").parse::<RunId>().is_err(), "{bad}");
        }
        assert!(text.to_uppercase().parse::<RunId>().is_err());
        for bad in [".g", ".g01", ".g+1", ".1"] {
            assert!(format!("{text}{bad}").parse::<GroupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_identifier_takes_no_more_room_than_it_needs() {
        assert_eq!([size_of::<RunId>(), size_of::<GroupId>(), size_of::<Option<RunId>>()], [20, 20, 24]);
    }

    #[test]
    fn seeds_differ_between_runs_and_not_between_replays() {
        let root = RootId(7);
        assert_eq!(seed(root, 1), seed(root, 1));
        assert_ne!(seed(root, 1), seed(root, 2));
        assert_ne!(seed(RootId(8), 1), seed(root, 1));
    }

    #[test]
    fn a_tenant_is_a_plain_name() {
        assert!("acme-1_x".parse::<Tenant>().is_ok());
        for bad in ["", "Acme", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad}");
        }
    }
}
