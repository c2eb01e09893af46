//! Credentials that can be told by their form: keys with a known beginning,
//! private keys, signed tokens, addresses with a password in them.
//!
//! A form alone is not enough where people write about it, so each has to have
//! the right length, to stand alone, to look random, and not to say that it is
//! an example. Secrets without a form are for `secret_entropy`.

use super::randomness;
use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::is_word;
use crate::source::Source;

pub const ID: &str = "leaked-credential";

/// Text with less entropy for each byte is no key.
const LEAST_ENTROPY: f64 = 3.0;

/// A key that is told by how it begins.
struct Form {
    what: &'static str,
    prefix: &'static str,
    /// What the rest is made of, and how long it may be.
    of: fn(u8) -> bool,
    least: usize,
    most: usize,
}

const fn form(what: &'static str, prefix: &'static str, of: fn(u8) -> bool, least: usize, most: usize) -> Form {
    Form { what, prefix, of, least, most }
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn url_safe(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn dotted(byte: u8) -> bool {
    url_safe(byte) || byte == b'.'
}

fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The forms are those that the issuers publish.
const FORMS: [Form; 35] = [
    form("an AWS access key", "AKIA", upper, 16, 16),
    form("a temporary AWS access key", "ASIA", upper, 16, 16),
    form("a GitHub token", "ghp_", alphanumeric, 36, 36),
    form("a GitHub token", "gho_", alphanumeric, 36, 36),
    form("a GitHub token", "ghu_", alphanumeric, 36, 36),
    form("a GitHub token", "ghs_", alphanumeric, 36, 36),
    form("a GitHub token", "ghr_", alphanumeric, 36, 76),
    form("a GitHub token", "github_pat_", is_word, 70, 90),
    form("a GitLab token", "glpat-", url_safe, 20, 64),
    form("a Slack token", "xoxb-", url_safe, 40, 90),
    form("a Slack token", "xoxp-", url_safe, 40, 90),
    form("a Slack token", "xoxa-", url_safe, 40, 90),
    form("a Slack token", "xoxe-", url_safe, 40, 200),
    form("a Slack token", "xapp-", url_safe, 40, 140),
    form(
        "a Slack webhook",
        "hooks.slack.com/services/T",
        |byte| upper(byte) || byte == b'/' || alphanumeric(byte),
        30,
        60,
    ),
    form("a Stripe key", "sk_live_", alphanumeric, 20, 120),
    form("a Stripe key", "rk_live_", alphanumeric, 20, 120),
    form("a Stripe webhook secret", "whsec_", alphanumeric, 32, 64),
    form("a Google API key", "AIza", url_safe, 35, 35),
    form("a Google client secret", "GOCSPX-", url_safe, 28, 28),
    form("an OpenAI key", "sk-proj-", url_safe, 40, 200),
    form("an OpenAI key", "sk-svcacct-", url_safe, 40, 200),
    form("an Anthropic key", "sk-ant-", url_safe, 80, 120),
    form("an npm token", "npm_", alphanumeric, 36, 36),
    form("a PyPI token", "pypi-AgE", url_safe, 50, 250),
    form("a crates.io token", "cio", alphanumeric, 32, 32),
    form("a RubyGems key", "rubygems_", hex, 48, 48),
    form("a Docker Hub token", "dckr_pat_", url_safe, 27, 27),
    form("a Hugging Face token", "hf_", alphanumeric, 34, 34),
    form("a DigitalOcean token", "dop_v1_", hex, 64, 64),
    form("a SendGrid key", "SG.", dotted, 66, 66),
    form("a Mailgun key", "key-", hex, 32, 32),
    form("a HashiCorp Vault token", "hvs.", url_safe, 24, 120),
    form("an age secret key", "AGE-SECRET-KEY-1", upper, 58, 58),
    form("an Azure storage key", "AccountKey=", base64, 86, 88),
];

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    for (number, line) in source.lines() {
        if line.len() < 16 {
            continue;
        }
        let found = by_form(line)
            .or_else(|| signed_token(line))
            .or_else(|| private_key(source, number, line))
            .or_else(|| address(source, line));
        let Some((what, secret)) = found else { continue };
        let severity = if source.is_test(number) { Severity::Warning } else { Severity::Critical };
        let message = format!("this looks like {what}, {}: revoke it, then keep it out of the files", shown(secret));
        findings.at(number, ID, severity, message);
    }
}

type Found<'a> = Option<(&'static str, &'a str)>;

fn by_form(line: &str) -> Found<'_> {
    let bytes = line.as_bytes();
    // Nearly no place begins a form, so first see whether its first two bytes do.
    for at in 0..bytes.len() - 1 {
        let pair = [bytes[at], bytes[at + 1]];
        if !begins_form(pair) {
            continue;
        }
        for form in FORMS.iter().filter(|form| bytes[at..].starts_with(form.prefix.as_bytes())) {
            if at > 0 && (is_word(bytes[at - 1]) || bytes[at - 1] == b'-') {
                continue;
            }
            let start = at + form.prefix.len();
            let length = bytes[start..].iter().take_while(|byte| (form.of)(**byte)).count();
            let alone = !bytes.get(start + length).is_some_and(|byte| is_word(*byte));
            let rest = &line[start..start + length];
            if (form.least..=form.most).contains(&length) && alone && looks_real(rest) {
                return Some((form.what, &line[at..start + length]));
            }
        }
    }
    None
}

fn begins_form(pair: [u8; 2]) -> bool {
    matches!(
        &pair,
        b"AK"
            | b"AS"
            | b"gh"
            | b"gi"
            | b"gl"
            | b"xo"
            | b"xa"
            | b"ho"
            | b"sk"
            | b"rk"
            | b"wh"
            | b"AI"
            | b"GO"
            | b"np"
            | b"py"
            | b"ci"
            | b"ru"
            | b"dc"
            | b"hf"
            | b"do"
            | b"SG"
            | b"ke"
            | b"hv"
            | b"AG"
            | b"Ac"
    )
}

fn looks_real(rest: &str) -> bool {
    let mixed = rest.bytes().any(|byte| byte.is_ascii_digit()) && rest.bytes().any(|byte| byte.is_ascii_alphabetic());
    mixed && randomness::entropy(rest) >= LEAST_ENTROPY && !randomness::is_placeholder(rest)
}

/// `header.payload.signature`, both of the first being JSON in base64.
fn signed_token(line: &str) -> Found<'_> {
    for (at, _) in line.match_indices("eyJ") {
        if at > 0 && url_safe(line.as_bytes()[at - 1]) {
            continue;
        }
        let length = line.as_bytes()[at..].iter().take_while(|byte| dotted(**byte)).count();
        let token = &line[at..at + length];
        let parts: Vec<_> = token.trim_end_matches('.').split('.').collect();
        let [header, payload, signature] = parts[..] else {
            continue;
        };
        // The subject 1234567890 is the example that every tutorial copies.
        let copied = payload.contains("eyJzdWIiOiIxMjM0NTY3ODkw");
        if header.len() >= 16 && payload.starts_with("eyJ") && signature.len() >= 20 && !copied {
            return Some(("a signed token (JWT)", token));
        }
    }
    None
}

/// The opening line of a key, with a key after it: programs that read keys have
/// the line alone.
fn private_key<'a>(source: &Source<'a>, number: usize, line: &'a str) -> Found<'a> {
    let at = line.find("-----BEGIN ")?;
    let label = &line[at + "-----BEGIN ".len()..];
    let end = label.find("-----")?;
    let (label, rest) = (&label[..end], &label[end + "-----".len()..]);
    if !(label.ends_with("PRIVATE KEY") || label == "PGP PRIVATE KEY BLOCK") {
        return None;
    }
    let follows = |text: &str| {
        let text = text.trim_start_matches("\\n").trim_matches(|c: char| !c.is_ascii() || !base64(c as u8));
        text.len() >= 40 && text.bytes().all(|byte| base64(byte) || byte == b'\\') && looks_real(text)
    };
    let next = (number + 1..=source.line_count().min(number + 6)).any(|line| follows(source.line(line)));
    (next || follows(rest)).then_some(("a private key", &line[at..at + "-----BEGIN ".len() + end + "-----".len()]))
}

/// `scheme://user:password@host`.
fn address<'a>(source: &Source, line: &'a str) -> Found<'a> {
    for (at, _) in line.match_indices("://") {
        let rest = &line[at + 3..];
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '<' | '>' | ')'))
            .unwrap_or(rest.len());
        let Some((user, host)) = rest[..end].rsplit_once('@') else {
            continue;
        };
        let Some((user, password)) = user.split_once(':') else {
            continue;
        };
        let real = password.len() >= 8
            && !user.is_empty()
            && password.is_ascii()
            && !password.contains([',', '$', '{', '}', '<', '%', '*', '(', '['])
            && password.bytes().any(|byte| byte.is_ascii_digit())
            && password.bytes().any(|byte| byte.is_ascii_alphabetic())
            && randomness::entropy(password) >= 2.5
            && !password.to_ascii_lowercase().contains("pass")
            && !randomness::is_placeholder(password);
        let here =
            ["localhost", "127.", "0.0.0.0", "[::1]", "host", "example."].iter().any(|name| host.starts_with(name));
        if real && !here && !host.contains("example.") && !host.is_empty() && !source.language.is_markdown() {
            return Some(("an address with a password", password));
        }
    }
    None
}

/// Enough to find it by, and not enough to use it.
fn shown(secret: &str) -> String {
    if secret.starts_with("-----") {
        return format!("`{secret}`");
    }
    let few: String = secret.chars().take(4).collect();
    format!("`{few}…` with {} characters", secret.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    /// Random enough, and put together here so that this file holds no secret.
    fn random(length: usize) -> String {
        "q8Zr2LxT9vKp4WmN7cYd".chars().cycle().take(length).collect()
    }

    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let found = found(check, path, text);
        let found: Vec<_> = found
            .iter()
            .map(|f| f.split_once(", `").map_or(f.as_str(), |(head, _)| head).replace("this looks like ", ""))
            .collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn every_form_is_found_where_it_is_whole_and_alone() {
        for form in &FORMS {
            let rest = match form.prefix {
                "AKIA" | "ASIA" | "AGE-SECRET-KEY-1" => random(form.least).to_uppercase(),
                _ if (form.of)(b'q') => random(form.least),
                _ => "3f9a1c7e5b20d846".chars().cycle().take(form.least).collect(),
            };
            let key = format!("{}{rest}", form.prefix);
            check_text("a.rs", &format!("let k = \"{key}\";"), &[&format!("1 Critical {}", form.what)]);
            check_text("a.rs", &format!("let k = \"x{key}\";"), &[]);
            assert!(begins_form([form.prefix.as_bytes()[0], form.prefix.as_bytes()[1]]), "{}", form.prefix);
        }
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        for rest in
            [random(15).to_uppercase(), random(17).to_uppercase(), "A".repeat(16), "IOSFODNN7EXAMPLE".to_owned()]
        {
            check_text("a.rs", &format!("\"AKIA{rest}\"          "), &[]);
        }
    }

    #[test]
    fn a_key_in_a_test_is_less_grave_and_is_never_shown() {
        let key = format!("ghp_{}", random(36));
        check_text("repo/tests/a.rs", &key, &["1 Warning a GitHub token"]);
        assert!(!found(check, "a.rs", &key)[0].contains(&key[..12]));
    }

    #[test]
    fn a_private_key_needs_a_key_after_its_first_line() {
        let first = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
        check_text("a.pem", &format!("{first}\n{}\n", random(64)), &["1 Critical a private key"]);
        check_text("a.py", &format!("k = '{first}\\n{}'", random(64)), &["1 Critical a private key"]);
        check_text("a.rs", &format!("if line == \"{first}\" {{\n    read_the_key_and_go_on(line)?;\n}}\n"), &[]);
        check_text("a.pem", &format!("-----BEGIN CERTIFICATE-----\n{}\n", random(64)), &[]);
    }

    #[test]
    fn a_signed_token_has_three_parts() {
        let part = |length| format!("eyJ{}", random(length));
        check_text(
            "a.js",
            &format!("'{}.{}.{}'", part(20), part(30), random(43)),
            &["1 Critical a signed token (JWT)"],
        );
        check_text("a.js", &format!("'{}.{}'", part(20), part(30)), &[]);
    }

    #[test]
    fn an_address_with_a_password_is_found_unless_it_is_made_up() {
        let address = |password: &str, host: &str| format!("url = \"postgres{}app:{password}@{host}/db\"", "://");
        check_text("a.toml", &address(&random(12), "db.corp.net"), &["1 Critical an address with a password"]);
        for (password, host) in [
            (random(12).as_str(), "localhost"),
            ("password1", "db.corp.net"),
            ("${PASSWORD1}", "db.corp.net"),
            (random(12).as_str(), "db.example.com"),
        ] {
            check_text("a.toml", &address(password, host), &[]);
        }
    }
}
