//! Leaked credentials, known by their randomness: a long random string that is
//! given to a name such as `secret` or `api_key`.
//!
//! Randomness alone says little, since digests and identifiers are random too.

use super::{Found, credential};
use crate::finding::{Severity, redact};
use crate::language::{Kind, is_test};
use crate::source::Source;

pub const NAME: &str = "high-entropy-secret";

/// Parts of names that hold secrets.
const SECRET_NAMES: [&str; 12] = [
    "secret", "password", "passwd", "api_key", "apikey", "access_key", "accesskey", "private_key", "auth_token",
    "access_token", "client_token", "credential",
];

/// Parts of names that hold something about a secret, or something public.
const OTHER_NAMES: [&str; 16] = [
    "public", "hash", "digest", "checksum", "integrity", "path", "file", "url", "uri", "name", "header", "type", "field",
    "test", "example", "_id",
];

const MIN_CHARS: usize = 20;
const MAX_CHARS: usize = 200;

/// Bits for each character that a random string has and words do not.
const HEX_BITS: f64 = 3.0;
const TEXT_BITS: f64 = 4.0;

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    if source.language.kind == Kind::Machine {
        return;
    }
    let severity = if is_test(source.path) { Severity::Warning } else { Severity::Error };
    for (number, line) in source.numbered() {
        if let Some((name, value)) = assignment(line) {
            if is_secret_name(name) && is_random(value) {
                let value = redact(value);
                found(number, severity, format!("`{name}` is given what looks like a secret: {value}"));
            }
        }
    }
}

/// `name = "value"`, `"name": "value"`, `NAME=value` and their like.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let at = line.find(['=', ':'])?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let left = line[..at].trim_end().trim_end_matches(['"', '\'', ':', ']', '?']);
    // `let key: &str = "…"` names its type between the name and the value.
    let left = left.rsplit_once(|c: char| !is_name(c)).map_or(left, |(_, name)| name);
    let right = line[at + 1..].trim_start_matches(['=', '>', ':']);
    let right = match right.split_once(['"', '\'', '`']) {
        Some((before, quoted)) if before.len() <= 40 && !before.contains('(') => {
            &quoted[..quoted.find(['"', '\'', '`'])?]
        }
        Some(_) => return None,
        None => right.trim().trim_end_matches([';', ',']),
    };
    Some((left, right))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SECRET_NAMES.iter().any(|part| name.contains(part)) && !OTHER_NAMES.iter().any(|part| name.contains(part))
}

/// One word of random characters, not a path, a sentence or a placeholder.
fn is_random(value: &str) -> bool {
    let chars = value.chars().count();
    let one_word = value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-' | '.'));
    if !(MIN_CHARS..=MAX_CHARS).contains(&chars) || !one_word || !credential::is_real(value) {
        return false;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return chars >= 32 && digits < chars && bits(value) >= HEX_BITS;
    }
    let mixed = value.bytes().any(|byte| byte.is_ascii_lowercase()) && value.bytes().any(|byte| byte.is_ascii_uppercase());
    digits >= 2 && (mixed || digits * 5 >= chars) && !is_words(value) && bits(value) >= TEXT_BITS
}

/// `some-long-name.with_parts`: most parts are letters of one case and readable.
fn is_words(value: &str) -> bool {
    let parts: Vec<&str> = value.split(['-', '_', '.', '/']).filter(|part| !part.is_empty()).collect();
    let words = parts.iter().filter(|part| part.bytes().all(|byte| byte.is_ascii_alphabetic()) && part.len() <= 14);
    parts.len() >= 3 && words.count() * 2 > parts.len()
}

/// Shannon's entropy, in bits for each character.
fn bits(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    value.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = value.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::lines;

    fn random() -> String {
        // Put together here, so that this file has nothing of the kind in it.
        ["q8Zt", "V3nX", "p0Lw", "R7sK", "d2Yb", "H5mJ", "c9Fg", "T1uA"].concat()
    }

    #[test]
    fn a_random_string_under_a_telling_name_is_reported() {
        for line in [
            format!("let api_key = \"{}\";", random()),
            format!("  \"client_secret\": \"{}\",", random()),
            format!("AWS_SECRET_ACCESS_KEY={}", random()),
            format!("password: '{}'", random()),
            format!("const SECRET: &str = \"{}\";", random()),
        ] {
            assert_eq!(lines("a.rs", &line, check), [1], "{line}");
        }
    }

    #[test]
    fn names_and_values_of_another_kind_are_not() {
        for line in [
            format!("let checksum = \"{}\";", random()),
            format!("secret_hash = \"{}\"", random()),
            "let secret = std::env::var(\"THE_SECRET_TOKEN_NAME_1\")?;".to_owned(),
            "password = \"correct horse battery staple 42\"".to_owned(),
            "secret: my-service.production.password-store-v2".to_owned(),
            "api_key = \"your-api-key-goes-here-please-1\"".to_owned(),
            "client_secret = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"".to_owned(),
            "auth_token = self.tokens.get(name1)".to_owned(),
        ] {
            assert!(lines("a.rs", &line, check).is_empty(), "{line}");
        }
    }

    #[test]
    fn lock_files_are_full_of_digests_and_are_left_alone() {
        assert!(lines("a.lock", format!("secret = \"{}\"", random()), check).is_empty());
    }
}
