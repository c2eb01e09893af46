//! Lines that nobody reads to their end. One finding for each file.

use super::Found;
use crate::finding::Severity;
use crate::source::Source;

pub const NAME: &str = "long-line";

pub fn check(source: &Source<'_>, max_chars: usize, found: &mut Found<'_>) {
    if !source.is_code() {
        return;
    }
    let long = |line: &str| line.len() > max_chars && line.chars().count() > max_chars && !has_long_word(line, max_chars);
    let lines: Vec<(usize, usize)> =
        source.numbered().filter(|(_, line)| long(line)).map(|(number, line)| (number, line.chars().count())).collect();
    if let Some((first, chars)) = lines.first() {
        let others = match lines.len() {
            1 => String::new(),
            all => format!(", and {} more in this file", all - 1),
        };
        found(*first, Severity::Info, format!("a line of {chars} characters, over {max_chars}{others}"));
    }
}

/// An address or embedded data cannot be broken up.
fn has_long_word(line: &str, max_chars: usize) -> bool {
    line.split_whitespace().any(|word| word.len() * 2 > max_chars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    #[test]
    fn long_lines_are_one_finding_for_the_file() {
        let text = format!("short\n{}\n{}\n", "word ".repeat(30), "word ".repeat(40));
        let found = apply("a.rs", format!("{text}{}", "fn f() {}\n".repeat(50)), |s, f| check(s, 100, f));
        assert_eq!(found, [(2, Severity::Info, "a line of 150 characters, over 100, and 1 more in this file".into())]);
    }

    #[test]
    fn data_and_prose_may_have_long_lines() {
        let long = "word ".repeat(30);
        assert!(lines("a.md", &long, |s, f| check(s, 100, f)).is_empty());
        assert!(lines("a.rs", "x".repeat(150), |s, f| check(s, 100, f)).is_empty());
    }
}
