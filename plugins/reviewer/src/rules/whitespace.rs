//! White space that nobody sees: at the ends of lines. One finding for each file.

use super::Found;
use crate::finding::Severity;
use crate::source::Source;

pub const NAME: &str = "trailing-whitespace";

/// So many lines are an accident; fewer are not worth anybody's time.
const MIN_LINES: usize = 3;

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    if !source.is_code() {
        return;
    }
    let trailing = |line: &str| line.ends_with([' ', '\t']);
    let lines: Vec<usize> =
        source.numbered().filter(|(_, line)| trailing(line)).map(|(number, _)| number).collect();
    if let Some(first) = lines.first().filter(|_| lines.len() >= MIN_LINES) {
        found(*first, Severity::Info, format!("{} lines end in white space", lines.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::lines;

    #[test]
    fn several_lines_are_one_finding_at_the_first() {
        assert_eq!(lines("a.rs", "a\nb \nc\t\nd \n", check), [2]);
    }

    #[test]
    fn a_slip_and_a_line_break_in_prose_are_none() {
        assert!(lines("a.rs", "a \nb\n", check).is_empty());
        assert!(lines("a.md", "a  \nb  \nc  \n", check).is_empty());
        assert!(lines("a.rs", "a\r\nb\r\nc\r\n", check).is_empty());
    }
}
