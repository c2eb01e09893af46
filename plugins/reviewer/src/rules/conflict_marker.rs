//! Conflict markers that a merge left behind.
//!
//! A row of equal signs alone underlines headings in prose, so a marker counts
//! only together with its counterpart.

use super::Found;
use crate::finding::Severity;
use crate::source::Source;

pub const NAME: &str = "conflict-marker";

const SIGNS: usize = 7;

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    let mut opened = None;
    let mut divided = false;
    for (number, line) in source.numbered() {
        if is_marker(line, '<') {
            opened = Some(number);
            divided = false;
        } else if is_marker(line, '=') && opened.is_some() {
            divided = true;
        } else if is_marker(line, '>') {
            if let (Some(start), true) = (opened, divided) {
                found(start, Severity::Error, format!("an unresolved merge conflict, up to line {number}"));
            }
            opened = None;
        }
    }
}

/// Seven of the sign at the start of the line, then its end or a space.
fn is_marker(line: &str, sign: char) -> bool {
    let rest = line.trim_start_matches(sign);
    line.len() - rest.len() == SIGNS && (rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::lines;

    fn marker(sign: &str) -> String {
        sign.repeat(SIGNS)
    }

    #[test]
    fn a_whole_conflict_is_one_finding() {
        let text = format!("a\n{} HEAD\nb\n{}\nc\n{} branch\n", marker("<"), marker("="), marker(">"));
        assert_eq!(lines("a.rs", text, check), [2]);
    }

    #[test]
    fn underlines_and_longer_rows_are_no_conflict() {
        let text = format!("Heading\n{}\n\n{}<\n{}\n", marker("="), marker("<"), marker("="));
        assert!(lines("a.rst", text, check).is_empty());
        let text = format!("{} HEAD\nand nothing after it\n{} x\n", marker("<"), marker(">"));
        assert!(lines("a.md", text, check).is_empty());
    }
}
