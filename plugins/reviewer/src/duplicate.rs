//! Blocks of code that stand in two places, over all files of a review.
//!
//! Lines are compared without indentation, comments, imports and rows of
//! brackets. A window slides over them; one that was seen before is followed as
//! far as both places agree, and that is one finding, at the later place. What
//! is renamed on the way is not found.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "duplicated-block";

/// Lines that are remembered over all files, which bounds the memory: about 60
/// bytes each.
const MOST_LINES: usize = 300_000;

/// A line with fewer letters says nothing.
const LEAST_LETTERS: usize = 3;

/// Bytes of a block for each line that it must have at least; less is a list.
const BYTES_PER_LINE: usize = 16;

/// The lines of code that were seen, and where.
#[derive(Debug, Default)]
pub struct Duplicates {
    files: Vec<File>,
    lines: Vec<Line>,
    /// Lines that came when there was no room left.
    not_compared: usize,
}

#[derive(Debug)]
struct File {
    path: String,
    /// Where its lines end in `Duplicates::lines`.
    end: usize,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    hash: u64,
    number: u32,
    bytes: u16,
    test: bool,
}

impl Duplicates {
    pub fn look_at(&mut self, source: &Source) {
        if !source.language.is_code() || source.generated {
            return;
        }
        for (number, text) in source.lines() {
            let text = text.trim();
            if !says_something(source, number) || is_import(text) {
                continue;
            }
            if self.lines.len() == MOST_LINES {
                self.not_compared += 1;
                continue;
            }
            self.lines.push(Line {
                hash: hash(text),
                number: u32::try_from(number).unwrap_or(u32::MAX),
                bytes: u16::try_from(text.len()).unwrap_or(u16::MAX),
                test: source.is_test(number),
            });
        }
        self.files.push(File { path: source.path.to_owned(), end: self.lines.len() });
    }

    /// How many lines of code came too late to be remembered.
    pub fn not_compared(&self) -> usize {
        self.not_compared
    }

    /// Point at every block that was there before.
    pub fn finish(self, settings: &Settings, findings: &mut Findings) {
        let window = settings.min_duplicate_lines;
        let mut seen: HashMap<u64, u32> = HashMap::new();
        let mut start = 0;
        for file in &self.files {
            findings.of_file(&file.path);
            let mut at = start;
            while at + window <= file.end {
                let key = self.key(at, window);
                let earlier = seen.get(&key).map(|earlier| *earlier as usize);
                let length = earlier.map_or(0, |earlier| self.common(earlier, at, file.end));
                match earlier {
                    Some(earlier) if length >= window && self.is_block(at, length) => {
                        self.report(earlier, at, length, findings);
                        at += length;
                    }
                    _ => {
                        seen.entry(key).or_insert(at as u32);
                        at += 1;
                    }
                }
            }
            start = file.end;
        }
    }

    fn key(&self, at: usize, window: usize) -> u64 {
        let mut key = DefaultHasher::new();
        for line in &self.lines[at..at + window] {
            line.hash.hash(&mut key);
        }
        key.finish()
    }

    /// How many lines from the two places on are the same, without leaving the
    /// files and without running from one place into the other.
    fn common(&self, earlier: usize, at: usize, end: usize) -> usize {
        let earlier_end = self.file_of(earlier).end.min(at);
        let pairs = self.lines[earlier..earlier_end].iter().zip(&self.lines[at..end]);
        pairs.take_while(|(a, b)| a.hash == b.hash).count()
    }

    /// Rows of a table and lists of short names are no blocks.
    fn is_block(&self, at: usize, length: usize) -> bool {
        let lines = &self.lines[at..at + length];
        let bytes: usize = lines.iter().map(|line| usize::from(line.bytes)).sum();
        let mut hashes: Vec<_> = lines.iter().map(|line| line.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        bytes >= length * BYTES_PER_LINE && hashes.len() * 3 >= length * 2
    }

    fn report(&self, earlier: usize, at: usize, length: usize, findings: &mut Findings) {
        let (first, last) = (self.lines[at], self.lines[at + length - 1]);
        let (from, to) = (self.lines[earlier].number, self.lines[earlier + length - 1].number);
        let severity = if first.test || self.lines[earlier].test { Severity::Info } else { Severity::Warning };
        let path = &self.file_of(earlier).path;
        let message =
            format!("{length} lines of code are the same as in `{path}`, lines {from} to {to}: keep one of them");
        findings.over((first.number as usize, last.number as usize), ID, severity, message);
    }

    fn file_of(&self, at: usize) -> &File {
        let file = self.files.partition_point(|file| file.end <= at);
        &self.files[file]
    }
}

/// Letters in strings and comments do not count: rows of data are no code.
fn says_something(source: &Source, number: usize) -> bool {
    let (start, end) = source.span(number);
    let bytes = source.text.as_bytes()[start..end].iter().zip(&source.classes[start..end]);
    let letters = bytes.filter(|(byte, class)| byte.is_ascii_alphabetic() && **class == Class::Code);
    letters.take(LEAST_LETTERS).count() == LEAST_LETTERS
}

fn is_import(line: &str) -> bool {
    const IMPORTS: [&str; 9] =
        ["use ", "pub use ", "import ", "from ", "#include", "using ", "package ", "require ", "export * "];
    IMPORTS.iter().any(|import| line.starts_with(import))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, lines: usize) -> String {
        (0..lines).map(|line| format!("    {name}_{line}.do_something(with({line}))?;\n")).collect()
    }

    fn check(files: &[(&str, &str)], expected: &[(&str, usize, Option<usize>, &str)]) {
        let mut duplicates = Duplicates::default();
        for (path, text) in files {
            duplicates.look_at(&Source::new(path, text));
        }
        let mut findings = Findings::at_most(10);
        duplicates.finish(&Settings::usual(), &mut findings);
        let (found, _) = findings.into_parts();
        let found: Vec<_> = found
            .iter()
            .map(|f| (f.file.as_str(), f.line, f.end_line, f.message.split('`').nth(1).unwrap_or_default()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_block_that_stands_twice_is_one_finding_at_the_later_place() {
        let text = format!("fn a() {{\n{}}}\n", block("x", 20));
        let other = format!("fn b() {{\n  // why\n{}}}\n", block("x", 20).replace("    ", "  "));
        check(&[("a.rs", &text), ("b.rs", &other)], &[("b.rs", 3, Some(22), "a.rs")]);
    }

    #[test]
    fn a_file_can_repeat_itself() {
        let text = format!("{}fn other();\n{}", block("x", 20), block("x", 20));
        check(&[("a.rs", &text)], &[("a.rs", 22, Some(41), "a.rs")]);
    }

    #[test]
    fn what_is_short_or_of_one_pattern_is_no_block() {
        let short = block("x", 14);
        check(&[("a.rs", &short), ("b.rs", &short)], &[]);
        let row = "    push(the_same_thing_again());\n".repeat(60);
        check(&[("a.rs", &row), ("b.rs", &row)], &[]);
        let table: String = (0..60).map(|n| format!("    '\\u{{{n}}}', \"and a row of data\",\n")).collect();
        check(&[("a.py", &table), ("b.py", &table)], &[]);
        let list: String = (0..60).map(|n| format!("a{n}00,\n")).collect();
        check(&[("a.rs", &list), ("b.rs", &list)], &[]);
        let data = block("x", 30);
        check(&[("a.json", &data), ("b.json", &data)], &[]);
    }
}
