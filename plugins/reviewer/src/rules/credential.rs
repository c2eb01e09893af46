//! Leaked credentials, known by their form: each issuer's own prefix, alphabet
//! and length. What has no form is for `entropy`.

use super::Found;
use crate::finding::{Severity, redact};
use crate::language::is_test;
use crate::source::Source;

pub const NAME: &str = "credential";

/// Which characters follow a prefix.
#[derive(Clone, Copy)]
enum Alphabet {
    Upper,
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Url,
    /// As `Url`, and `.`, which joins the parts of one token.
    Dotted,
}

/// What a token of one issuer looks like.
struct Form {
    prefix: &'static str,
    alphabet: Alphabet,
    /// Characters after the prefix, at least and at most.
    length: (usize, usize),
    what: &'static str,
    severity: Severity,
}

const MANY: usize = 500;

const FORMS: &[Form] = &[
    form("AKIA", Alphabet::Upper, (16, 16), "an AWS access key", Severity::Critical),
    form("ASIA", Alphabet::Upper, (16, 16), "a temporary AWS access key", Severity::Error),
    form("ghp_", Alphabet::Alphanumeric, (36, 40), "a GitHub token", Severity::Critical),
    form("gho_", Alphabet::Alphanumeric, (36, 40), "a GitHub OAuth token", Severity::Critical),
    form("ghu_", Alphabet::Alphanumeric, (36, 40), "a GitHub user token", Severity::Critical),
    form("ghs_", Alphabet::Alphanumeric, (36, 40), "a GitHub server token", Severity::Critical),
    form("ghr_", Alphabet::Alphanumeric, (36, 80), "a GitHub refresh token", Severity::Critical),
    form("github_pat_", Alphabet::Url, (60, 100), "a GitHub token", Severity::Critical),
    form("glpat-", Alphabet::Url, (20, 60), "a GitLab token", Severity::Critical),
    form("xoxb-", Alphabet::Url, (24, 120), "a Slack bot token", Severity::Critical),
    form("xoxp-", Alphabet::Url, (24, 120), "a Slack user token", Severity::Critical),
    form("xoxa-", Alphabet::Url, (24, 120), "a Slack token", Severity::Critical),
    form("xoxs-", Alphabet::Url, (24, 120), "a Slack token", Severity::Critical),
    form("xapp-", Alphabet::Url, (24, 140), "a Slack app token", Severity::Critical),
    form("AIza", Alphabet::Url, (35, 35), "a Google API key", Severity::Error),
    form("ya29.", Alphabet::Url, (40, MANY), "a Google OAuth token", Severity::Error),
    form("sk_live_", Alphabet::Alphanumeric, (16, 120), "a live Stripe key", Severity::Critical),
    form("rk_live_", Alphabet::Alphanumeric, (16, 120), "a live Stripe key", Severity::Critical),
    form("sk-ant-", Alphabet::Url, (40, 160), "a model provider's key", Severity::Critical),
    form("sk-proj-", Alphabet::Url, (40, 220), "a model provider's key", Severity::Critical),
    form("npm_", Alphabet::Alphanumeric, (36, 36), "an npm token", Severity::Critical),
    form("pypi-", Alphabet::Url, (80, MANY), "a PyPI token", Severity::Critical),
    form("dckr_pat_", Alphabet::Url, (24, 40), "a Docker token", Severity::Critical),
    form("hf_", Alphabet::Alphanumeric, (34, 40), "a Hugging Face token", Severity::Critical),
    form("SG.", Alphabet::Dotted, (60, 80), "a SendGrid key", Severity::Critical),
    form("eyJ", Alphabet::Dotted, (60, 4_000), "a signed token (JWT)", Severity::Error),
];

const fn form(
    prefix: &'static str,
    alphabet: Alphabet,
    length: (usize, usize),
    what: &'static str,
    severity: Severity,
) -> Form {
    Form { prefix, alphabet, length, what, severity }
}

/// What a documentation or a test says instead of a secret.
const PLACEHOLDERS: [&str; 8] = ["example", "xxxx", "your", "dummy", "fake", "placeholder", "redacted", "12345678"];

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    let mut report = |line: usize, severity: Severity, what: &str, secret: &str| {
        let severity = if is_test(source.path) { severity.lowered() } else { severity };
        found(line, severity, format!("{what} is in the file: {}; revoke it and take it out", redact(secret)));
    };
    for (number, line) in source.numbered() {
        for form in FORMS {
            if let Some(token) = form.find(line) {
                report(number, form.severity, form.what, token);
            }
        }
        if let Some(password) = password_in_url(line) {
            report(number, Severity::Error, "a password within an address", password);
        }
        let next = source.lines.get(number).map_or("", String::as_str);
        if let Some(key) = private_key(line, next) {
            report(number, Severity::Critical, "a private key", key);
        }
    }
}

impl Form {
    /// The first token of this form in a line.
    fn find<'l>(&self, line: &'l str) -> Option<&'l str> {
        line.match_indices(self.prefix).find_map(|(at, _)| {
            let apart = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '/');
            let rest = &line[at + self.prefix.len()..];
            let length = rest.bytes().take_while(|byte| self.alphabet.has(*byte)).count();
            let token = &line[at..at + self.prefix.len() + length];
            let fits = (self.length.0..=self.length.1).contains(&length);
            let whole = match self.prefix {
                // Header, claims and signature; the claims are JSON as well.
                "eyJ" => token.matches('.').count() == 2 && token.contains(".eyJ"),
                "SG." => token.matches('.').count() == 2,
                _ => true,
            };
            (apart && fits && whole && is_real(token)).then_some(token)
        })
    }
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-',
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
        }
    }
}

/// Whether something that has the form of a secret could be one: enough different
/// characters, and not what people write in its place.
pub fn is_real(token: &str) -> bool {
    let mut seen = [false; 256];
    token.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let lower = token.to_ascii_lowercase();
    seen.iter().filter(|seen| **seen).count() >= 8 && !PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

/// `scheme://user:PASSWORD@host`, where the password is written out.
fn password_in_url(line: &str) -> Option<&str> {
    line.match_indices("://").find_map(|(at, _)| {
        let rest = &line[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '<' | '>' | '?' | '#'));
        let authority = &rest[..end.unwrap_or(rest.len())];
        let (login, host) = authority.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let local = ["localhost", "127.0.0.1", "example"].iter().any(|name| host.contains(name));
        let filled_in = password.contains(['$', '{', '}', '%', '*', '(', '[', '.']) || user.contains(['{', '$']);
        let varied = password.chars().any(|c| c.is_ascii_digit()) && password.chars().any(char::is_alphabetic);
        (password.len() >= 8 && varied && !filled_in && !local && is_real(password)).then_some(password)
    })
}

/// The first line of a private key that a line begins: the marker alone is also
/// in programs that read keys, so the key itself has to follow.
fn private_key<'l>(line: &'l str, next: &'l str) -> Option<&'l str> {
    let (_, rest) = line.split_once("-----BEGIN ")?;
    let (kind, rest) = rest.split_once("-----")?;
    let kinds = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY"];
    let encrypted = "ENCRYPTED PRIVATE KEY";
    if !kinds.contains(&kind) && kind != encrypted {
        return None;
    }
    let inline = rest.trim_start_matches(['\\', 'n', 'r', ' ']);
    let key = if inline.len() > 16 { inline } else { next.trim_start_matches([' ', '\t', '"', '\'', '+', '#', '*']) };
    let length = key.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')).count();
    (length >= 32 && is_real(&key[..length])).then_some(&key[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    /// A text that looks random and is put together here, so that this file has
    /// no secret in it.
    fn random(length: usize) -> String {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[(state >> 27) as usize])
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn every_form_is_found_and_one_character_less_is_not() {
        for form in FORMS.iter().filter(|form| form.prefix != "eyJ" && form.prefix != "SG.") {
            let token = format!("{}{}", form.prefix, random(form.length.0));
            let line = format!("key = \"{token}\"\n");
            assert_eq!(lines("a.rs", &line, check), [1], "{token}");
            let short = format!("key = \"{}\"\n", &token[..token.len() - 1]);
            assert!(lines("a.rs", &short, check).is_empty(), "{short}");
        }
    }

    #[test]
    fn a_signed_token_has_three_parts() {
        let token = format!("eyJ{}.eyJ{}.{}", random(20), random(20), random(30));
        assert_eq!(lines("a.rs", format!("t: {token}"), check), [1]);
        assert!(lines("a.rs", format!("eyJ{}", random(80)), check).is_empty());
    }

    #[test]
    fn the_secret_itself_is_not_repeated() {
        let token = format!("{}{}", "ghp_", random(36));
        let (_, severity, message) = apply("a.rs", &token, check).remove(0);
        assert_eq!(severity, Severity::Critical);
        assert!(!message.contains(&token[8..]), "{message}");
    }

    #[test]
    fn a_test_may_need_something_of_that_form() {
        let token = format!("{}{}", "AKIA", random(16));
        assert_eq!(apply("repo/tests/a.rs", token, check)[0].1, Severity::Error);
    }

    #[test]
    fn placeholders_and_parts_of_longer_words_are_not_secrets() {
        for text in [
            format!("{}IOSFODNN7{}", "AKIA", "EXAMPLE"),
            format!("{}{}", "ghp_", "x".repeat(36)),
            format!("https://host/path/{}{}", "AKIA", random(16)),
            format!("{}{}", "sk-ant-", "your-key-goes-here-and-is-long-enough-for-it"),
        ] {
            assert!(lines("a.md", &text, check).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_has_to_be_one() {
        let password = random(12);
        assert_eq!(lines("a.env", format!("postgres://admin:{password}@db.internal/x"), check), [1]);
        for text in [
            "postgres://user:password@host/db".to_owned(),
            "https://user:${TOKEN_12345}@host/".to_owned(),
            "redis://user:{pass_word1}@host".to_owned(),
            format!("postgres://admin:{password}@localhost/x"),
            "https://host:8080/a@b".to_owned(),
        ] {
            assert!(lines("a.env", &text, check).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_marker_of_a_private_key_needs_a_key_after_it() {
        let marker = format!("{}{}{}", "-----BEGIN RSA ", "PRIVATE KEY", "-----");
        let key = random(64);
        assert_eq!(lines("id", format!("{marker}\n{key}\n"), check), [1]);
        assert_eq!(lines("a.py", format!("key = \"{marker}\\n{key}\""), check), [1]);
        assert!(lines("a.rs", format!("if line.contains(\"{marker}\") {{\n    return;\n"), check).is_empty());
    }
}
