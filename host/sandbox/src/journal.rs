//! The journal of a run: the answers that a replay could not compute again, in
//! the form in which they are stored.
//!
//! Pure: who writes entries, and when, is in `hostcalls.rs` and in the engine. A
//! guest that is run again is held to its journal in `replay.rs`.
//!
//! A body is the version, the kind of answer, the call's number and the hash of
//! its arguments (both little-endian), the length of its name and the name, and
//! then the answer.

use std::io;
use std::sync::Arc;

use pleach_kernel::{GroupId, JoinPolicy, SpawnRequest};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::call::{CallError, FailureCode};
use crate::load::digest_of;

/// The first byte of every body.
const VERSION: u8 = 1;

/// The longest answer that stands in the body; a longer one travels by digest.
const INLINE_BYTES: usize = 4 << 10;

/// Bytes of a body before the call's name.
const HEADER_BYTES: usize = 15;

const GIVEN: u8 = 0;
const APART: u8 = 1;
const FAILED: u8 = 2;
const INTENDED: u8 = 3;

/// The hash of a call that has no arguments.
pub(crate) const NO_ARGUMENTS: u64 = 0;

/// The names of the calls that this crate makes numbers for.
pub mod what {
    pub const SPAWN_RUN: &str = "spawn_run";
    pub const SPAWN_GROUP: &str = "spawn_group";
    pub const AGENT_CALL: &str = "agent_call";
    pub const JOIN: &str = "join";
    pub const CANCEL: &str = "cancel_subtree";
    pub const EVALUATE: &str = "evaluate_and_replan";
    pub const QUERY: &str = "query_tree";
    pub const REMAINING_BUDGET: &str = "context.remaining_budget";
    pub const SLEEP: &str = "clock.sleep";
    pub const NOW: &str = "clock.now";
    pub const REPORT: &str = "progress.report";
    pub const EXTEND_GROUP: &str = "extend_group";
    pub const GIVE_UP_GROUP: &str = "give_up_group";
    pub const TAKE_PLAN: &str = "take_plan";
    pub const VERDICT: &str = "verdict";
    pub const NEXT: &str = "next";
}

/// One recorded answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The place among all numbered calls of the try, from 0.
    pub call: u32,
    pub what: Arc<str>,
    /// The hash of the arguments.
    pub asked: u64,
    pub answer: Answer,
}

/// What there is of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// JSON for what the kernel answers, and the bytes themselves for the rest.
    Given(Arc<[u8]>),
    /// The same, kept apart for its length.
    Apart {
        digest: Arc<str>,
        bytes: u64,
    },
    Failed(CallError),
    /// Something outside was about to be done, under this idempotency key.
    Intended {
        key: Arc<str>,
    },
}

/// An entry as it is stored: its body, and the long answer that it speaks of
/// with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub body: Vec<u8>,
    pub blob: Option<(String, Vec<u8>)>,
}

impl Encoded {
    /// What it takes up, the long answer included.
    pub(crate) fn bytes(&self) -> u64 {
        let apart = self.blob.as_ref().map_or(0, |(_, blob)| blob.len());
        (self.body.len() + apart) as u64
    }
}

/// Which call an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub call: u32,
    pub what: &'static str,
    /// See [`hash`].
    pub hash: u64,
}

impl Asked {
    pub fn spawn_run(call: u32, request: &SpawnRequest) -> Self {
        Self { call, what: what::SPAWN_RUN, hash: hash(request) }
    }

    pub fn spawn_group(call: u32, members: &[Arc<SpawnRequest>], key_prefix: Option<&str>, join: &JoinPolicy) -> Self {
        Self { call, what: what::SPAWN_GROUP, hash: hash(&(members, key_prefix, join)) }
    }

    pub fn agent_call(call: u32, request: &SpawnRequest) -> Self {
        Self { call, what: what::AGENT_CALL, hash: hash(request) }
    }

    pub fn join(call: u32, group: GroupId) -> Self {
        Self { call, what: what::JOIN, hash: hash(&group) }
    }

    /// The entry for an answer of the kernel's.
    pub fn entry<T: Serialize>(self, answer: &Result<T, CallError>) -> Encoded {
        match answer.as_ref().map(serde_json::to_vec) {
            Ok(Ok(json)) => self.given(json),
            Ok(Err(error)) => {
                let message = format!("the answer could not be recorded: {error}");
                self.failed(&CallError::failed(FailureCode::HostFailure, message))
            }
            Err(error) => self.failed(error),
        }
    }

    /// The entry for bytes.
    pub(crate) fn given(self, answer: Vec<u8>) -> Encoded {
        if answer.len() <= INLINE_BYTES {
            return Encoded { body: self.body(GIVEN, &[&answer]), blob: None };
        }
        let digest = digest_of(&answer);
        let length = (answer.len() as u64).to_le_bytes();
        Encoded { body: self.body(APART, &[&length, digest.as_bytes()]), blob: Some((digest.to_string(), answer)) }
    }

    pub(crate) fn failed(self, error: &CallError) -> Encoded {
        // Names, numbers and text always become JSON.
        let json = serde_json::to_vec(error).unwrap_or_default();
        Encoded { body: self.body(FAILED, &[&json]), blob: None }
    }

    pub(crate) fn intended(self, key: &str) -> Encoded {
        Encoded { body: self.body(INTENDED, &[key.as_bytes()]), blob: None }
    }

    fn body(self, kind: u8, answer: &[&[u8]]) -> Vec<u8> {
        body(kind, self.call, self.hash, self.what, answer)
    }
}

fn body(kind: u8, call: u32, asked: u64, what: &str, answer: &[&[u8]]) -> Vec<u8> {
    let name = &what.as_bytes()[..what.floor_char_boundary(usize::from(u8::MAX))];
    let mut body = Vec::with_capacity(HEADER_BYTES + name.len() + answer.iter().map(|part| part.len()).sum::<usize>());
    body.extend([VERSION, kind]);
    body.extend(call.to_le_bytes());
    body.extend(asked.to_le_bytes());
    body.push(name.len() as u8);
    body.extend(name);
    answer.iter().for_each(|part| body.extend_from_slice(part));
    body
}

impl Entry {
    /// What it takes up where it is stored, the long answer included.
    pub(crate) fn bytes(&self) -> u64 {
        let answer = match &self.answer {
            Answer::Given(answer) => answer.len() as u64,
            Answer::Apart { digest, bytes } => (8 + digest.len()) as u64 + bytes,
            Answer::Failed(error) => json_bytes(error),
            Answer::Intended { key } => key.len() as u64,
        };
        (HEADER_BYTES + self.what.len()) as u64 + answer
    }
}

/// What the entry for an answer takes up that somebody else records.
pub(crate) fn bytes_of<T: Serialize>(what: &str, answer: &Result<T, CallError>) -> u64 {
    let answer = match answer {
        Ok(answer) => json_bytes(answer),
        Err(error) => json_bytes(error),
    };
    (HEADER_BYTES + what.len()) as u64 + answer
}

fn json_bytes(value: &impl Serialize) -> u64 {
    struct Count(u64);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting never fails; what cannot be written is recorded as a failure.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// What is stored as an entry and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the journal cannot be read: {0}")]
pub struct Unreadable(pub(crate) String);

/// Reads a body.
pub fn decode(body: &[u8]) -> Result<Entry, Unreadable> {
    let short = || Unreadable(format!("it ends after {} bytes", body.len()));
    let (&version, rest) = body.split_first().ok_or_else(short)?;
    if version != VERSION {
        return Err(Unreadable(format!("it has the version {version}, and this host reads {VERSION}")));
    }
    let (&kind, rest) = rest.split_first().ok_or_else(short)?;
    let (call, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (asked, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (&length, rest) = rest.split_first().ok_or_else(short)?;
    let (name, rest) = rest.split_at_checked(length.into()).ok_or_else(short)?;
    let answer = match kind {
        GIVEN => Answer::Given(rest.into()),
        APART => {
            let (bytes, digest) = rest.split_first_chunk().ok_or_else(short)?;
            Answer::Apart { digest: text(digest)?, bytes: u64::from_le_bytes(*bytes) }
        }
        FAILED => Answer::Failed(serde_json::from_slice(rest).map_err(|error| Unreadable(error.to_string()))?),
        INTENDED => Answer::Intended { key: text(rest)? },
        other => return Err(Unreadable(format!("there is no answer of the kind {other}"))),
    };
    Ok(Entry { call: u32::from_le_bytes(*call), what: text(name)?, asked: u64::from_le_bytes(*asked), answer })
}

fn text(bytes: &[u8]) -> Result<Arc<str>, Unreadable> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|error| Unreadable(error.to_string()))
}

/// The first eight bytes of the SHA-256 over the arguments as JSON, their fields
/// in the order in which the types declare them.
pub fn hash<T: Serialize + ?Sized>(arguments: &T) -> u64 {
    struct Hashing(Sha256);
    impl io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = Hashing(Sha256::new());
    // Hashing never fails; what is no JSON has the hash of its beginning.
    let _ = serde_json::to_writer(&mut hashing, arguments);
    hashing.0.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use pleach_kernel::{Code, Denial, Payload, Timestamp};

    use super::*;

    fn asked() -> Asked {
        Asked { call: 0x0102, what: "x.y", hash: 0x1122_3344_5566_7788 }
    }

    fn shown(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    const HEAD: &str = r#"\x02\x01\x00\x00\x88wfUD3\"\x11\x03x.y"#;

    #[test]
    fn every_kind_of_entry_has_the_bytes_that_old_journals_have() {
        let failed = CallError::Failed { code: FailureCode::NotFound, message: "m".into(), retryable: true };
        let denied = CallError::Denied(Denial::new(Code::MaxDepth, "a", "m").into());
        let table: [(Encoded, &str, &str); 5] = [
            (asked().entry(&Ok(Timestamp(7))), r"\x01\x00", "7"),
            (asked().given(vec![0, 255]), r"\x01\x00", r"\x00\xff"),
            (
                asked().entry::<()>(&Err(failed)),
                r"\x01\x02",
                r#"{\"failed\":{\"code\":\"not_found\",\"message\":\"m\",\"retryable\":true}}"#,
            ),
            (
                asked().entry::<()>(&Err(denied)),
                r"\x01\x02",
                r#"{\"denied\":{\"code\":\"max_depth\",\"action\":\"a\",\"message\":\"m\",\"policy_version\":0,\"retryable\":false}}"#,
            ),
            (asked().intended("run/1/2"), r"\x01\x03", "run/1/2"),
        ];
        for (encoded, kind, answer) in table {
            assert_eq!(shown(&encoded.body), format!("{kind}{HEAD}{answer}"));
            assert_eq!(encoded.blob, None);
            let entry = decode(&encoded.body).unwrap();
            assert_eq!((entry.call, &*entry.what, entry.asked), (0x0102, "x.y", asked().hash));
            assert_eq!(entry.bytes(), encoded.bytes(), "{entry:?}");
        }
    }

    #[test]
    fn a_long_answer_travels_by_its_digest() {
        let inline = asked().given(vec![b'x'; INLINE_BYTES]);
        assert_eq!(inline.blob, None);
        let encoded = asked().given(vec![b'x'; INLINE_BYTES + 1]);
        let (digest, blob) = encoded.blob.clone().unwrap();
        assert_eq!(blob.len(), INLINE_BYTES + 1);
        assert_eq!(shown(&encoded.body), format!(r"\x01\x01{HEAD}\x01\x10\x00\x00\x00\x00\x00\x00{digest}"));
        let entry = decode(&encoded.body).unwrap();
        assert_eq!(entry.answer, Answer::Apart { digest: digest.as_str().into(), bytes: 4097 });
        assert_eq!(entry.bytes(), encoded.bytes());
        assert_eq!(digest, &*digest_of(&blob));
    }

    #[test]
    fn what_is_no_entry_is_refused_and_never_guessed_at() {
        let good = asked().entry(&Ok(1)).body;
        for end in 0..good.len() - 1 {
            assert!(decode(&good[..end]).is_err(), "{end}");
        }
        let change = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            decode(&bad).unwrap_err().to_string()
        };
        assert!(change(0, 2).contains("the version 2"));
        assert!(change(1, 9).contains("the kind 9"));
        assert!(change(1, APART).contains("ends"));
        assert!(change(1, FAILED).contains("cannot be read"));
        assert!(change(15, 0xff).contains("utf-8"));
    }

    #[test]
    fn the_hash_is_of_the_arguments_and_stays_the_same_from_host_to_host() {
        let request = SpawnRequest::new("a", Payload::null());
        assert_eq!(hash(&()), 0x7423_4e98_afe7_498f, "the SHA-256 of `null` begins so");
        assert_ne!(hash(&request), hash(&SpawnRequest::new("b", Payload::null())));
        assert_eq!(Asked::spawn_run(1, &request).hash, Asked::agent_call(2, &request).hash);
        assert_eq!(bytes_of("x.y", &Ok(Timestamp(77))), asked().entry(&Ok(Timestamp(77))).bytes());
    }
}
