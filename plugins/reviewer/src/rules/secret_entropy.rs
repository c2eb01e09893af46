//! Secrets that have no form of their own: a value that looks random, given to a
//! name that says it is secret. Both are needed; digests, identifiers and test
//! data look random too.

use super::{credential, randomness};
use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::language::Kind;
use crate::lexer::{Class, is_word};
use crate::source::Source;

pub const ID: &str = "secret-entropy";

const LEAST_BYTES: usize = 16;
const MOST_BYTES: usize = 200;

/// For text of hexadecimal digits, which has 4 at most, and for other text.
const LEAST_HEX_ENTROPY: f64 = 3.0;
const LEAST_ENTROPY: f64 = 3.5;
const LEAST_HEX_BYTES: usize = 32;

/// Words take fewer turns.
const LEAST_TURNS: f64 = 0.25;

/// A line that is longer is data.
const LINE_BYTES: usize = 1_000;

/// What a name says that holds a secret, in lower case and without separators.
const SECRET: [&str; 15] = [
    "accesskey",
    "apikey",
    "apitoken",
    "authkey",
    "authtoken",
    "credential",
    "encryptionkey",
    "masterkey",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "signingkey",
    "token",
];

/// What a name says that only speaks of one.
const HARMLESS: [&str; 17] = [
    "checksum",
    "digest",
    "etag",
    "example",
    "fingerprint",
    "hash",
    "integrity",
    "md5",
    "nextpage",
    "pagetoken",
    "public",
    "sha1",
    "sha256",
    "tokeniz",
    "ciphertext",
    "continuation",
    "nexttoken",
];

/// How the name ends of what is known about a secret.
const ABOUT: [&str; 18] = [
    "algorithm",
    "endpoint",
    "env",
    "field",
    "file",
    "format",
    "header",
    "id",
    "label",
    "name",
    "path",
    "prefix",
    "regex",
    "type",
    "uri",
    "url",
    "variable",
    "version",
];

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    if source.language.kind == Kind::Lock {
        return;
    }
    for (number, line) in source.lines() {
        if line.len() < LEAST_BYTES || line.len() > LINE_BYTES || findings.has(credential::ID, number) {
            continue;
        }
        let (start, _) = source.span(number);
        let Some((name, value)) = quoted(source, start, line).or_else(|| bare(source, line)) else {
            continue;
        };
        let severity = severity(source, number);
        let message = format!(
            "`{name}` is given a value that looks like a real secret ({} characters, {:.1} bits each): \
             if it is one, revoke it and read it from outside",
            value.len(),
            randomness::entropy(value),
        );
        findings.at(number, ID, severity, message);
    }
}

/// What is only told, or only tested, is less often the real thing.
fn severity(source: &Source, number: usize) -> Severity {
    let (_, end) = source.span(number);
    let told = source.language.kind == Kind::Prose || source.classes[end - 1] == Class::Comment;
    match (source.is_test(number), told) {
        (true, _) => Severity::Info,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Error,
    }
}

/// `name = "value"` and its relatives.
fn quoted<'a>(source: &Source, start: usize, line: &'a str) -> Option<(&'a str, &'a str)> {
    let mut rest = 0;
    while let Some(open) = line[rest..].find(['"', '\'', '`']).map(|at| rest + at) {
        let quote = line[open..].chars().next()?;
        let close = open + 1 + line[open + 1..].find(quote)?;
        let value = &line[open + 1..close];
        let is_string = !source.language.is_code() || source.classes[start + open] != Class::Code;
        if is_string && looks_secret(value) {
            if let Some(name) = assigned_name(&line[..open]) {
                return Some((name, value));
            }
        }
        // A quote that closes nothing may open the next string.
        rest = if looks_like_value(value) { close + 1 } else { open + 1 };
    }
    None
}

fn looks_like_value(value: &str) -> bool {
    !value.contains([' ', ':', '=', ','])
}

/// `NAME=value` or `name: value`, the value going on to the end of the line.
fn bare<'a>(source: &Source, line: &'a str) -> Option<(&'a str, &'a str)> {
    if !source.language.has_bare_values() {
        return None;
    }
    let at = line.find(['=', ':'])?;
    let value = line[at + 1..].trim();
    let name = assigned_name(&line[..=at])?;
    looks_secret(value).then_some((name, value))
}

/// The name that what comes next is given to, where it says that it is secret.
fn assigned_name(before: &str) -> Option<&str> {
    let before = before.trim_end();
    let before = before.strip_suffix("=>").or_else(|| before.strip_suffix([':', '=']))?;
    let before = before.trim_end_matches([':', '=', '?', '|']).trim_end();
    // The last piece, without its type: `let token: &str`, `{"token"`, `a["token"]`.
    let piece = before.rsplit([';', '{', '(', ',', '?']).next().unwrap_or(before);
    let piece = piece.split(": ").next().unwrap_or(piece).trim_end();
    let piece = piece.trim_end_matches(['"', '\'', ']', ')', '`']);
    let start = piece
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .map_or(0, |at| at + piece[at..].chars().next().map_or(0, char::len_utf8));
    let name = &piece[start..];
    let letters: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
    let secret = SECRET.iter().any(|word| letters.contains(word));
    let harmless =
        HARMLESS.iter().any(|word| letters.contains(word)) || ABOUT.iter().any(|word| letters.ends_with(word));
    (secret && !harmless).then_some(name)
}

fn looks_secret(value: &str) -> bool {
    let plain = |byte: u8| {
        is_word(byte)
            || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'.' | b'~' | b'!' | b'@' | b'#' | b'$' | b'^' | b'&' | b'*')
    };
    if !(LEAST_BYTES..=MOST_BYTES).contains(&value.len()) || !value.bytes().all(plain) {
        return false;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    if digits < 2 || letters < 2 || randomness::is_placeholder(value) || is_uuid(value) || is_digest(value) {
        return false;
    }
    let hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let entropy = randomness::entropy(value);
    let random =
        if hex { value.len() >= LEAST_HEX_BYTES && entropy >= LEAST_HEX_ENTROPY } else { entropy >= LEAST_ENTROPY };
    random && randomness::turns(value) >= LEAST_TURNS && !is_reference(value)
}

/// An identifier, and a public one as often as not.
fn is_uuid(value: &str) -> bool {
    let parts: Vec<_> = value.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12]
}

fn is_digest(value: &str) -> bool {
    ["sha1-", "sha256-", "sha384-", "sha512-"].iter().any(|prefix| value.starts_with(prefix))
}

/// A place that the value is read from: `${X}`, `config.tokens.api_v1`, `a/b/c`.
fn is_reference(value: &str) -> bool {
    let parts = value.split(['.', '/', '-', '_']).filter(|part| !part.is_empty());
    let (mut all, mut words) = (0, 0);
    for part in parts {
        all += 1;
        let word =
            part.bytes().all(|byte| byte.is_ascii_lowercase()) || part.bytes().all(|byte| byte.is_ascii_uppercase());
        words += usize::from(word || part.len() <= 2);
    }
    value.contains("$") && value.contains(['_', '-']) || all >= 3 && words * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    /// Put together here so that this file holds no secret.
    fn random() -> String {
        ["q8Zr2LxT", "9vKp4WmN", "7cYd"].concat()
    }

    fn check_line(path: &str, line: &str, expected: Option<&str>) {
        let line = line.replace('§', &random());
        let found = found(check, path, &line);
        let names: Vec<_> = found.iter().filter_map(|f| f.split('`').nth(1)).collect();
        assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{path}: {line}");
    }

    #[test]
    fn a_random_value_with_a_secret_name_is_found() {
        check_line("a.rs", "const API_TOKEN: &str = \"§\";", Some("API_TOKEN"));
        check_line("a.py", "db.password = '§'", Some("db.password"));
        check_line("a.json", "  {\"id\": \"x\", \"clientSecret\": \"§\"}", Some("clientSecret"));
        check_line("a.rb", "config['secret_key'] = \"§\"", Some("secret_key"));
        check_line("a.js", "x({ authToken: '§' })", Some("authToken"));
        check_line("a.php", "'passwd' => '§',", Some("passwd"));
        check_line(".env", "DB_PASSWORD=§", Some("DB_PASSWORD"));
        check_line("a.yaml", "apiKey: §", Some("apiKey"));
    }

    #[test]
    fn a_name_or_a_value_alone_is_not_enough() {
        check_line("a.rs", "const CHUNK: &str = \"§\";", None);
        check_line("a.rs", "let token_hash = \"§\";", None);
        check_line("a.rs", "let token_url = \"§\";", None);
        check_line("a.rs", "let token = read(\"config.v1.tokens.api2.name\");", None);
        check_line("a.rs", "let token = \"my-secret-token-for-tests-1\";", None);
        check_line("a.rs", "let password = \"correct horse battery 12\";", None);
        check_line("a.yaml", "token: ${{ secrets.DEPLOY_TOKEN_V12 }}", None);
        check_line("a.yaml", "password: $DB_PASSWORD_1_FOR_2B", None);
        check_line("a.rs", "let api_key = \"123e4567-e89b-42d3-a456-426614174000\";", None);
        check_line("a.lock", "token = \"§\"", None);
    }

    #[test]
    fn in_a_test_it_is_only_worth_knowing() {
        let line = format!("let password = \"{}\";", random());
        assert!(found(check, "repo/tests/a.rs", &line)[0].starts_with("1 Info"));
        assert!(found(check, "repo/src/a.rs", &line)[0].starts_with("1 Error"));
        assert!(!found(check, "repo/src/a.rs", &line)[0].contains(&random()));
    }
}
