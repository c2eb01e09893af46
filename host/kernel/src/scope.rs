//! Scopes: what a run may do, and what it may hand on.
//!
//! A scope is `capability:resource`. This file knows when one scope covers
//! another; which scope a call needs is said where the call is admitted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 1024;

/// The most scopes in one list of a grant.
pub const MAX_SCOPES: usize = 1024;

/// A permission such as `fs.read:corpus/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    text: Arc<str>,
    /// Where the colon is; what is before it is the capability.
    colon: usize,
}

/// Text that is no scope, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a scope: {why}")]
pub struct ParseScopeError {
    pub text: String,
    pub why: &'static str,
}

impl Scope {
    /// The scope that allows exactly `capability` on `resource`; an error where
    /// no scope could name that resource.
    pub fn exact(capability: &str, resource: &str) -> Result<Self, ParseScopeError> {
        let text = format!("{capability}:{resource}");
        if resource.ends_with('*') {
            return Err(ParseScopeError { text, why: "a request names one thing, without `*`" });
        }
        text.parse()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn capability(&self) -> &str {
        &self.text[..self.colon]
    }

    pub fn resource(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// Whether every request that `other` allows is allowed by this scope too.
    pub fn covers(&self, other: &Self) -> bool {
        self.capability() == other.capability()
            && match self.resource().strip_suffix('*') {
                None => self.resource() == other.resource(),
                Some(prefix) => {
                    let theirs = other.resource();
                    theirs.strip_suffix('*').unwrap_or(theirs).starts_with(prefix)
                }
            }
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        let refuse = |why| ParseScopeError { text: text.chars().take(128).collect(), why };
        if text.len() > MAX_SCOPE_BYTES {
            return Err(refuse("it is longer than 1,024 bytes"));
        }
        let colon = text.find(':').ok_or_else(|| refuse("it has no `:`, as in `fs.read:docs/*`"))?;
        let (capability, resource) = (&text[..colon], &text[colon + 1..]);
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_';
        if !capability.starts_with(|c: char| c.is_ascii_lowercase()) || !capability.bytes().all(legal) {
            return Err(refuse("the part before `:` is lower-case letters, digits, `.` and `_`"));
        }
        check_resource(resource).map_err(refuse)?;
        Ok(Self { text: text.into(), colon })
    }
}

/// Two spellings never name one thing, so whatever could be spelt in two ways
/// is refused.
fn check_resource(resource: &str) -> Result<(), &'static str> {
    let fixed = resource.strip_suffix('*');
    let body = fixed.unwrap_or(resource);
    if body.contains('*') {
        return Err("`*` stands only at the end, once");
    }
    if body.contains(['\\', '%']) || body.chars().any(char::is_control) {
        return Err("the resource has a backslash, a percent sign or a control character");
    }
    if fixed.is_some() && body.is_empty() {
        return Ok(());
    }
    let mut segments = body.split('/').peekable();
    while let Some(segment) = segments.next() {
        // What stands before the star is the beginning of a segment, and any
        // beginning will do: `docs/*`, `docs/.*` and `docs/a*` are all fine.
        let open = fixed.is_some() && segments.peek().is_none();
        if !open && matches!(segment, "" | "." | "..") {
            return Err("the resource has an empty, `.` or `..` segment");
        }
    }
    Ok(())
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a run may use and what it may delegate, held apart. Cheap to clone.
///
/// The lists are sorted and without repeats, so that equal grants are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "GrantLists")]
pub struct Grant {
    #[serde(rename = "use")]
    can_use: Arc<[Scope]>,
    #[serde(rename = "delegate")]
    can_delegate: Arc<[Scope]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLists {
    #[serde(rename = "use", default)]
    can_use: Vec<Scope>,
    #[serde(rename = "delegate", default)]
    can_delegate: Vec<Scope>,
}

impl From<GrantLists> for Grant {
    fn from(lists: GrantLists) -> Self {
        Self::new(lists.can_use, lists.can_delegate)
    }
}

impl Grant {
    pub fn new(can_use: impl IntoIterator<Item = Scope>, can_delegate: impl IntoIterator<Item = Scope>) -> Self {
        Self { can_use: sorted(can_use), can_delegate: sorted(can_delegate) }
    }

    pub fn can_use(&self) -> &[Scope] {
        &self.can_use
    }

    pub fn can_delegate(&self) -> &[Scope] {
        &self.can_delegate
    }

    /// Whether this run may itself do what `wanted` says.
    pub fn allows(&self, wanted: &Scope) -> bool {
        covered(&self.can_use, wanted)
    }

    /// Whether this run may hand on what `wanted` says.
    pub fn hands_on(&self, wanted: &Scope) -> bool {
        covered(&self.can_delegate, wanted)
    }

    /// Every scope of both lists.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.can_use.iter().chain(self.can_delegate.iter())
    }
}

fn sorted(scopes: impl IntoIterator<Item = Scope>) -> Arc<[Scope]> {
    let mut list: Vec<Scope> = scopes.into_iter().collect();
    list.sort_unstable();
    list.dedup();
    list.into()
}

/// Whether one scope of `held` covers `wanted`.
pub fn covered(held: &[Scope], wanted: &Scope) -> bool {
    held.iter().any(|scope| scope.covers(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_scope_is_a_capability_and_a_resource() {
        for good in [
            "spawn:reviewer",
            "fs.read:corpus/*",
            "fs.write:out/*",
            "http.get:api.example.com/v1/*",
            "llm:small-*",
            "secret:github",
            "memory.read:*",
            "run.cancel:*",
            "fs.read:a/.hidden",
            "fs.read:a/..b",
            "fs.read:a/.*",
            "mcp_tool:a:b",
        ] {
            assert_eq!(scope(good).as_str(), good);
        }
        for bad in [
            "",
            "spawn",
            "spawn:",
            ":x",
            "Spawn:x",
            "spawn:a*b",
            "spawn:**",
            "fs.read:a//b",
            "fs.read:/a",
            "fs.read:a/",
            "fs.read:.",
            "fs.read:..",
            "fs.read:a/../b",
            "fs.read:a/./*",
            "fs.read:a\\b",
            "fs.read:a%2fb",
            "fs.read:a\nb",
            "1x:a",
            "*:*",
            "fs.read:../*",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert!(format!("spawn:{}", "x".repeat(MAX_SCOPE_BYTES)).parse::<Scope>().is_err());
    }

    #[test]
    fn covering_is_byte_for_byte_with_one_star_at_the_end() {
        let table = [
            ("fs.read:a/*", "fs.read:a/b", true),
            ("fs.read:a/*", "fs.read:a/b/c", true),
            ("fs.read:a/*", "fs.read:a/b*", true),
            ("fs.read:a/*", "fs.read:a/*", true),
            ("fs.read:*", "fs.read:a/*", true),
            ("fs.read:a/*", "fs.read:a", false),
            ("fs.read:a/*", "fs.read:ab", false),
            ("fs.read:a/*", "fs.read:a*", false),
            ("fs.read:a/*", "fs.write:a/b", false),
            ("fs.read:a", "fs.read:a*", false),
            ("fs.read:a", "fs.read:A", false),
            ("fs.read:a/b", "fs.read:a/*", false),
            ("spawn:rev*", "spawn:reviewer", true),
        ];
        for (a, b, expected) in table {
            assert_eq!(scope(a).covers(&scope(b)), expected, "{a} covers {b}");
        }
    }

    #[test]
    fn a_missing_list_is_the_empty_list() {
        let grant: Grant = serde_json::from_str("{}").unwrap();
        assert_eq!(grant, Grant::default());
        assert!(!grant.allows(&scope("spawn:x")) && !grant.hands_on(&scope("spawn:x")));
        assert!(serde_json::from_str::<Grant>(r#"{"uses":[]}"#).is_err());
    }

    #[test]
    fn use_and_delegation_are_held_apart() {
        let grant = Grant::new([scope("spawn:a")], [scope("fs.read:x")]);
        assert!(grant.allows(&scope("spawn:a")) && !grant.hands_on(&scope("spawn:a")));
        assert!(grant.hands_on(&scope("fs.read:x")) && !grant.allows(&scope("fs.read:x")));
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        ("(fs|net)", "[ab]{1,2}(/[ab]{1,2}){0,2}", "(|\\*|/\\*)")
            .prop_map(|(cap, res, star)| scope(&format!("{cap}:{res}{star}")))
    }

    proptest! {
        /// The definition itself: `a` covers `b` iff every request that `b`
        /// allows is allowed by `a`, tried on requests over a small alphabet.
        #[test]
        fn covering_means_allowing_every_request(a in any_scope(), b in any_scope(), tail in "[ab]{1,3}") {
            let stem = b.resource().trim_end_matches('*').trim_end_matches('/');
            let requests = [
                stem.to_owned(), format!("{stem}{tail}"), format!("{stem}/{tail}"), format!("{stem}/{tail}/a"),
            ];
            for resource in requests {
                let request = Scope::exact(b.capability(), &resource).unwrap();
                if a.covers(&b) && b.covers(&request) {
                    prop_assert!(a.covers(&request), "{a} covers {b} but not {request}");
                }
            }
            if !a.covers(&b) {
                // A request that tells them apart has to exist.
                let fresh = format!("{}{}", stem, "b/zz/z");
                let witness = [stem.to_owned(), fresh, format!("{stem}/zz"), format!("{stem}zz")];
                let apart = witness.iter().filter_map(|r| Scope::exact(b.capability(), r).ok())
                    .any(|r| b.covers(&r) && !a.covers(&r));
                prop_assert!(apart, "{a} does not cover {b}, and nothing tells them apart");
            }
        }

        #[test]
        fn covering_is_a_partial_order(a in any_scope(), b in any_scope(), c in any_scope()) {
            prop_assert!(a.covers(&a));
            if a.covers(&b) && b.covers(&c) { prop_assert!(a.covers(&c)); }
            if a.covers(&b) && b.covers(&a) { prop_assert_eq!(a.as_str(), b.as_str()); }
        }
    }
}
