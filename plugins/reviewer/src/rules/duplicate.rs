//! Blocks of code that are in the files more than once.
//!
//! Lines are compared without their indentation; empty lines, comments, imports
//! and lines with nothing but brackets are passed over, since everything repeats
//! those. Two blocks are the same where so many lines in a row agree.

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};
use crate::source::Source;

pub const NAME: &str = "duplicate-block";

/// Lines in a row that have to agree.
const MIN_LINES: usize = 12;

/// Characters that they have together: a dozen short lines are a list.
const MIN_CHARS: usize = 300;

/// Different lines among them, for the same reason.
const MIN_DISTINCT: usize = 8;

/// So many lines are worth more than a remark.
const MANY_LINES: usize = 40;

/// Lines of all files together that are kept; more are not compared.
const MAX_LINES: usize = 400_000;

/// What starts a line that brings in something of another file.
const IMPORTS: [&str; 9] = ["use ", "import ", "from ", "#include", "pub use ", "mod ", "pub mod ", "package ", "export {"];

/// The significant lines of the files so far.
#[derive(Default)]
pub struct Notes {
    files: Vec<File>,
    lines: usize,
}

struct File {
    path: String,
    lines: Vec<Line>,
}

/// A significant line: where it is and what it says.
#[derive(Clone, Copy)]
struct Line {
    number: usize,
    hash: u64,
    chars: usize,
}

/// A place: a file, and a significant line in it.
type Place = (usize, usize);

impl Notes {
    /// Take down the lines of a file.
    pub fn note(&mut self, source: &Source<'_>) {
        if !source.is_code() || self.lines + source.lines.len() > MAX_LINES {
            return;
        }
        let significant = source.numbered().filter(|(_, line)| is_significant(source, line)).map(|(number, line)| {
            let line = line.trim();
            Line { number, hash: hash(line.bytes()), chars: line.len() }
        });
        let lines: Vec<Line> = significant.collect();
        self.lines += lines.len();
        self.files.push(File { path: source.path.to_owned(), lines });
    }

    /// Each block that was there before, once, with where it was first.
    pub fn findings(&mut self) -> Vec<Finding> {
        let mut first: BTreeMap<u64, Place> = BTreeMap::new();
        let mut findings = Vec::new();
        for file in 0..self.files.len() {
            let windows = (self.files[file].lines.len() + 1).saturating_sub(MIN_LINES);
            let mut at = 0;
            while at < windows {
                let here = (file, at);
                let window = &self.files[file].lines[at..at + MIN_LINES];
                let key = hash(window.iter().flat_map(|line| line.hash.to_le_bytes()));
                match first.get(&key).copied().filter(|&there| self.is_repeat(there, here)) {
                    Some(there) => {
                        let length = self.agreement(there, here);
                        findings.push(self.finding(there, here, length));
                        at += length;
                    }
                    None => {
                        first.entry(key).or_insert(here);
                        at += 1;
                    }
                }
            }
        }
        self.files.clear();
        findings
    }

    /// Whether the window here repeats the one there, does not overlap it, and
    /// says enough for that to matter.
    fn is_repeat(&self, there: Place, here: Place) -> bool {
        let window = &self.files[here.0].lines[here.1..here.1 + MIN_LINES];
        let chars: usize = window.iter().map(|line| line.chars).sum();
        let mut hashes: Vec<u64> = window.iter().map(|line| line.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let apart = there.0 != here.0 || here.1 >= there.1 + MIN_LINES;
        apart && chars >= MIN_CHARS && hashes.len() >= MIN_DISTINCT && self.agreement(there, here) >= MIN_LINES
    }

    /// How many lines agree from two places on, without running into each other.
    fn agreement(&self, there: Place, here: Place) -> usize {
        let most = if there.0 == here.0 { here.1 - there.1 } else { usize::MAX };
        let there = self.files[there.0].lines[there.1..].iter();
        let here = self.files[here.0].lines[here.1..].iter();
        there.zip(here).take(most).take_while(|(there, here)| there.hash == here.hash).count()
    }

    fn finding(&self, there: Place, here: Place, length: usize) -> Finding {
        let (first, copy) = (&self.files[there.0], &self.files[here.0]);
        Finding {
            file: copy.path.clone(),
            line: copy.lines[here.1].number,
            rule: NAME,
            severity: if length >= MANY_LINES { Severity::Warning } else { Severity::Info },
            message: format!("{length} lines are the same as those from {}:{}", first.path, first.lines[there.1].number),
        }
    }
}

fn is_significant(source: &Source<'_>, line: &str) -> bool {
    let line = line.trim();
    let says_something = line.chars().any(char::is_alphanumeric);
    says_something && !source.is_blank_or_comment(line) && !IMPORTS.iter().any(|import| line.starts_with(import))
}

/// FNV-1a, 64 bits: the same in every run, unlike the standard library's.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicates(files: &[(&str, &str)]) -> Vec<(String, usize, String)> {
        let mut notes = Notes::default();
        for (path, text) in files {
            notes.note(&Source::new(path, text.as_bytes()).unwrap());
        }
        let findings = notes.findings().into_iter();
        findings.map(|finding| (finding.file, finding.line, finding.message)).collect()
    }

    fn block(lines: usize) -> String {
        (0..lines).map(|line| format!("    let value_{line} = compute_something_with({line}, context);\n")).collect()
    }

    #[test]
    fn a_copy_is_reported_once_however_long_and_however_indented() {
        let copy = block(20).replace("    ", "\t\t");
        let text = format!("fn b() {{\n\n{copy}}}\n");
        let found = duplicates(&[("a.rs", &format!("fn a() {{\n{}}}\n", block(20))), ("b.rs", &text)]);
        assert_eq!(found, [("b.rs".into(), 3, "20 lines are the same as those from a.rs:2".into())]);
    }

    #[test]
    fn a_copy_within_one_file_counts() {
        let text = format!("{}fn between() {{}}\n{}", block(14), block(14));
        assert_eq!(duplicates(&[("a.rs", &text)])[0].1, 16);
    }

    #[test]
    fn short_blocks_lists_and_imports_are_no_copies() {
        assert!(duplicates(&[("a.rs", &block(11)), ("b.rs", &block(11))]).is_empty());
        let list = "    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n".repeat(60);
        assert!(duplicates(&[("a.rs", &list), ("b.rs", &list)]).is_empty());
        let imports: String = (0..30).map(|n| format!("use crate::some::module_{n}::Something;\n")).collect();
        assert!(duplicates(&[("a.rs", &imports), ("b.rs", &imports)]).is_empty());
    }

    #[test]
    fn data_and_prose_may_repeat_themselves() {
        assert!(duplicates(&[("a.json", &block(30)), ("b.json", &block(30))]).is_empty());
    }
}
