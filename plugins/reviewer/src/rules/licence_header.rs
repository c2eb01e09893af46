//! Source files that do not say under which licence they are.
//!
//! It looks at all files of a review together: unless the caller says what it
//! wants, a header is missed only where nearly every other file has one. Whether
//! the licence is the right one is not judged.

use crate::finding::{Findings, Severity};
use crate::input::{LicenceHeader, Settings};
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "licence-header";

/// What a header says, in lower case.
const MARKS: [&str; 6] =
    ["spdx-license-identifier", "copyright", "licensed under", "license:", "licence:", "public domain"];

/// How many lines from the start a header may begin in.
const HEAD_LINES: usize = 30;

/// A file with fewer lines has nothing to protect.
const LEAST_LINES: usize = 5;

/// With fewer files there is no custom to be seen.
const LEAST_FILES: usize = 5;

/// This many of a hundred files make a custom.
const CUSTOM_PERCENT: usize = 80;

/// What was seen of the headers so far.
#[derive(Debug, Default)]
pub struct Licences {
    with: usize,
    without: Vec<String>,
}

impl Licences {
    pub fn look_at(&mut self, source: &Source, settings: &Settings) {
        if !source.language.is_code() || source.generated || source.line_count() < LEAST_LINES {
            return;
        }
        let required = match &settings.licence_header {
            Some(LicenceHeader::Required(false)) => return,
            Some(LicenceHeader::Saying(text)) => Some(text.as_str()),
            Some(LicenceHeader::Required(true)) | None => None,
        };
        if has_header(source, required) {
            self.with += 1;
        } else {
            self.without.push(source.path.to_owned());
        }
    }

    /// Point at the files without a header, where they should have one.
    pub fn finish(self, settings: &Settings, findings: &mut Findings) {
        let all = self.with + self.without.len();
        let (severity, why) = match &settings.licence_header {
            Some(LicenceHeader::Saying(text)) => {
                (Severity::Warning, format!("the file does not open with `{text}`, which is required here"))
            }
            Some(LicenceHeader::Required(_)) => {
                (Severity::Warning, "the file does not open with a licence, which is required here".to_owned())
            }
            None if all >= LEAST_FILES && self.with * 100 >= all * CUSTOM_PERCENT => (
                Severity::Info,
                format!("the file does not open with a licence, as {} of {all} files here do", self.with),
            ),
            None => return,
        };
        for path in &self.without {
            findings.of_file(path);
            findings.at(1, ID, severity, why.clone());
        }
    }
}

fn has_header(source: &Source, required: Option<&str>) -> bool {
    let head = (1..=source.line_count().min(HEAD_LINES)).filter(|line| {
        let (start, end) = source.span(*line);
        source.classes[start..end].contains(&Class::Comment)
    });
    let head: Vec<_> = head.map(|line| source.line(line)).collect();
    match required {
        Some(text) => head.join("\n").contains(text),
        None => {
            let head = head.join("\n").to_lowercase();
            MARKS.iter().any(|mark| head.contains(mark))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: &str = "// SPDX-License-Identifier: Apache-2.0\na\nb\nc\nd\n";
    const WITHOUT: &str = "// nothing\na\nb\nc\nd\n";

    fn check(licence_header: Option<LicenceHeader>, with: usize, without: usize, expected: usize) {
        let settings = Settings { licence_header, ..Settings::usual() };
        let mut licences = Licences::default();
        for (text, count) in [(WITH, with), (WITHOUT, without)] {
            for number in 0..count {
                licences.look_at(&Source::new(&format!("repo/{number}.rs"), text), &settings);
            }
        }
        let mut findings = Findings::at_most(1);
        licences.finish(&settings, &mut findings);
        assert_eq!(findings.into_parts().0.len(), expected);
    }

    #[test]
    fn a_header_is_missed_only_where_the_others_have_one() {
        check(None, 9, 1, 1);
        check(None, 6, 4, 0);
        check(None, 0, 9, 0);
        check(None, 3, 0, 0);
    }

    #[test]
    fn what_the_caller_says_outranks_the_custom() {
        check(Some(LicenceHeader::Required(true)), 0, 3, 3);
        check(Some(LicenceHeader::Required(false)), 9, 1, 0);
        check(Some(LicenceHeader::Saying("Apache-2.0".into())), 2, 1, 1);
        check(Some(LicenceHeader::Saying("MIT".into())), 2, 1, 3);
    }

    #[test]
    fn short_and_foreign_files_need_none() {
        let settings = Settings { licence_header: Some(LicenceHeader::Required(true)), ..Settings::usual() };
        let mut licences = Licences::default();
        licences.look_at(&Source::new("a.rs", "mod b;\n"), &settings);
        licences.look_at(&Source::new("a.json", WITHOUT), &settings);
        let mut findings = Findings::at_most(1);
        licences.finish(&settings, &mut findings);
        assert!(findings.into_parts().0.is_empty());
    }
}
