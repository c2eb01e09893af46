//! Lines that nobody reads to the end. One finding for a file, however many
//! there are: where there is one there are often more.

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "long-line";

/// A word of this length cannot be broken: an address, a digest.
const UNBREAKABLE_BYTES: usize = 60;

pub fn check(source: &Source, settings: &Settings, findings: &mut Findings) {
    if !source.language.is_code() || source.generated {
        return;
    }
    let limit = settings.max_line_length;
    let long: Vec<_> = source
        .lines()
        .filter(|(_, line)| line.len() > limit)
        .map(|(number, line)| (number, line, line.chars().count()))
        .filter(|(number, line, length)| *length > limit && can_be_broken(source, *number, line))
        .collect();
    let Some((first, _, length)) = long.first() else { return };
    let message = match long.len() {
        1 => format!("this line has {length} characters; {limit} is the limit"),
        count => {
            let longest = long.iter().map(|(_, _, length)| *length).max().unwrap_or(*length);
            format!(
                "{count} lines, of which this is the first, have more than {limit} characters, the longest {longest}"
            )
        }
    };
    findings.at(*first, ID, Severity::Info, message);
}

/// Strings and long words are what they are.
fn can_be_broken(source: &Source, number: usize, line: &str) -> bool {
    let (start, end) = source.span(number);
    let text = source.classes[start..end].iter().filter(|class| **class == Class::Text).count();
    text * 2 < line.len() && !line.split_whitespace().any(|word| word.len() > UNBREAKABLE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn a_file_has_one_finding_however_many_lines_are_long() {
        let line = format!("a({});\n", "b, ".repeat(100));
        assert_eq!(found(check, "a.rs", &line), ["1 Info this line has 304 characters; 200 is the limit"]);
        let many = format!("x\n{line}{line}");
        assert_eq!(
            found(check, "a.rs", &many),
            ["2 Info 2 lines, of which this is the first, have more than 200 characters, the longest 304"]
        );
    }

    #[test]
    fn what_cannot_be_broken_and_what_is_not_code_may_be_long() {
        let text = format!("a = \"{}\";\n", "b ".repeat(200));
        assert_eq!(found(check, "a.rs", &text).len(), 0);
        assert_eq!(found(check, "a.rs", &format!("// {} {}\n", "u".repeat(100), "v ".repeat(100))).len(), 0);
        assert_eq!(found(check, "a.md", &"b ".repeat(200)).len(), 0);
        assert_eq!(found(check, "a.rs", &format!("// {}", "é ".repeat(98))).len(), 0);
    }
}
