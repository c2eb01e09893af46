//! Space at the ends of lines, which makes changes out of nothing. One finding
//! for a file.

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "trailing-space";

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    if !source.language.is_code() || source.generated {
        return;
    }
    // Within a string it is part of what the program says.
    let ends_in_space = |number: &usize| {
        let line = source.line(*number);
        let (_, end) = source.span(*number);
        line.ends_with([' ', '\t']) && source.classes[end - 1] != Class::Text
    };
    let mut lines = (1..=source.line_count()).filter(ends_in_space);
    let Some(first) = lines.next() else { return };
    let message = match lines.count() {
        0 => "this line ends in space".to_owned(),
        more => format!("{} lines, of which this is the first, end in space", more + 1),
    };
    findings.at(first, ID, Severity::Info, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    #[test]
    fn a_file_has_one_finding() {
        assert_eq!(found(check, "a.rs", "a\nb \r\n"), ["2 Info this line ends in space"]);
        assert_eq!(found(check, "a.rs", "a \nb\nc\t\n"), ["1 Info 2 lines, of which this is the first, end in space"]);
    }

    #[test]
    fn space_that_means_something_is_left_alone() {
        assert_eq!(found(check, "a.md", "break  \nhere").len(), 0);
        assert_eq!(found(check, "a.py", "x = '''a  \n'''\n").len(), 0);
    }
}
