//! The rules: one file each. A rule that looks at one file at a time is a plain
//! function over that file; `duplicated-block` and `licence-header` look at all
//! of them together and say so in their files.

mod binary_junk;
mod conflict_marker;
mod credential;
mod encoding;
mod licence_header;
mod long_function;
mod long_line;
mod randomness;
mod secret_entropy;
mod suspicious_unicode;
mod trailing_space;
mod unfinished;

pub use binary_junk::report as report_junk;
pub use encoding::report as report_encoding;
pub use licence_header::Licences;

use crate::duplicate;
use crate::finding::Findings;
use crate::input::Settings;
use crate::source::Source;

/// A rule that looks at one file.
pub struct Rule {
    pub id: &'static str,
    pub check: fn(&Source, &Settings, &mut Findings),
}

/// The rules that look at one file, in the order in which they run. Patterns
/// come before entropy, which leaves alone what a pattern has found.
pub const RULES: [Rule; 8] = [
    Rule { id: credential::ID, check: credential::check },
    Rule { id: secret_entropy::ID, check: secret_entropy::check },
    Rule { id: conflict_marker::ID, check: conflict_marker::check },
    Rule { id: suspicious_unicode::ID, check: suspicious_unicode::check },
    Rule { id: long_function::ID, check: long_function::check },
    Rule { id: unfinished::ID, check: unfinished::check },
    Rule { id: long_line::ID, check: long_line::check },
    Rule { id: trailing_space::ID, check: trailing_space::check },
];

/// The identifiers of all rules.
pub fn ids() -> impl Iterator<Item = &'static str> {
    let others = [binary_junk::ID, encoding::ID, licence_header::ID, duplicate::ID];
    RULES.iter().map(|rule| rule.id).chain(others)
}

/// What a rule finds in a file, as `line severity message`.
#[cfg(test)]
pub fn found(check: fn(&Source, &Settings, &mut Findings), path: &str, text: &str) -> Vec<String> {
    let mut findings = Findings::at_most(100);
    findings.of_file(path);
    check(&Source::new(path, text), &Settings::usual(), &mut findings);
    let (found, _) = findings.into_parts();
    found.iter().map(|f| format!("{} {:?} {}", f.line, f.severity, f.message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_is_there_once() {
        let mut all: Vec<_> = ids().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12);
    }
}
