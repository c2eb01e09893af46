//! Source files without a licence header.
//!
//! Which header a project wants, if any, is its own affair: it is asked for by
//! name, or expected where most of the files have one.

use crate::finding::{Finding, Severity};
use crate::source::Source;

pub const NAME: &str = "licence-header";

/// Where a header is looked for.
const TOP_LINES: usize = 25;

/// A shorter file has nothing to protect.
const MIN_LINES: usize = 5;

/// So many files make a habit.
const MIN_FILES: usize = 5;

/// What headers say.
const MARKS: [&str; 5] = ["spdx-license-identifier", "copyright", "licensed under", "all rights reserved", "\u{a9}"];

/// What is known of the files so far.
#[derive(Default)]
pub struct Notes {
    with: usize,
    without: Vec<String>,
    asked_for: bool,
}

impl Notes {
    /// Look at one file.
    pub fn note(&mut self, source: &Source<'_>, wanted: Option<&str>) {
        self.asked_for = wanted.is_some();
        if !source.is_code() || source.lines.len() < MIN_LINES {
            return;
        }
        let top: Vec<String> = source.lines.iter().take(TOP_LINES).map(|line| line.to_lowercase()).collect();
        let wanted = wanted.map(str::to_lowercase);
        let has = |line: &String| match &wanted {
            Some(wanted) => line.contains(wanted.as_str()),
            None => MARKS.iter().any(|mark| line.contains(mark)) && source.is_blank_or_comment(line),
        };
        if top.iter().any(has) {
            self.with += 1;
        } else {
            self.without.push(source.path.to_owned());
        }
    }

    /// The files that lack a header, where one is expected.
    pub fn findings(&mut self) -> Vec<Finding> {
        let files = self.with + self.without.len();
        let habit = files >= MIN_FILES && self.with * 10 >= files * 6;
        if !self.asked_for && !habit {
            return Vec::new();
        }
        let why = match self.asked_for {
            true => "no licence header as asked for".to_owned(),
            false => format!("no licence header, and {} of {files} files here have one", self.with),
        };
        let finding = |file| Finding { file, line: 1, rule: NAME, severity: Severity::Warning, message: why.clone() };
        self.without.drain(..).map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(files: &[(&str, bool)], wanted: Option<&str>) -> Vec<String> {
        let mut notes = Notes::default();
        for (path, header) in files {
            let top = if *header { concat!("// SPDX-", "License-Identifier: MIT\n") } else { "// nothing\n" };
            let text = format!("{top}{}", "line();\n".repeat(10));
            notes.note(&Source::new(path, text.as_bytes()).unwrap(), wanted);
        }
        notes.findings().into_iter().map(|finding| finding.file).collect()
    }

    const FIVE: [(&str, bool); 5] = [("a.rs", true), ("b.rs", true), ("c.rs", true), ("d.rs", true), ("e.rs", false)];

    #[test]
    fn a_header_is_missed_where_most_files_have_one() {
        assert_eq!(missing(&FIVE, None), ["e.rs"]);
    }

    #[test]
    fn a_project_without_headers_is_left_alone() {
        assert!(missing(&FIVE.map(|(path, _)| (path, false)), None).is_empty());
        assert!(missing(&FIVE[2..], None).is_empty());
    }

    #[test]
    fn a_header_that_was_asked_for_has_to_be_that_one() {
        assert_eq!(missing(&FIVE[3..], Some("license-identifier: MIT")), ["e.rs"]);
        assert_eq!(missing(&FIVE[3..], Some("Apache-2.0")), ["d.rs", "e.rs"]);
    }

    #[test]
    fn prose_and_data_need_no_header() {
        assert!(missing(&[("a.md", false), ("b.json", false), ("c.toml", false)], Some("x")).is_empty());
    }
}
