//! Work that somebody meant to come back to.

use super::Found;
use crate::finding::{Severity, quote};
use crate::source::Source;

pub const NAME: &str = "todo";

/// Each mark, and how much it matters. They are put together so that this file
/// does not find itself.
const MARKS: [(&str, Severity); 4] = [
    (concat!("TO", "DO"), Severity::Info),
    (concat!("HA", "CK"), Severity::Info),
    (concat!("X", "XX"), Severity::Info),
    (concat!("FIX", "ME"), Severity::Warning),
];

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    if !source.is_code() {
        return;
    }
    for (number, line) in source.numbered() {
        if let Some(comment) = source.comment(line) {
            if let Some((mark, severity)) = mark(comment) {
                found(number, severity, format!("{mark}: {}", quote(after(comment, mark))));
            }
        }
    }
}

/// A mark that starts the comment, or that a colon or a bracket follows: prose
/// about such marks is not one.
fn mark(comment: &str) -> Option<(&'static str, Severity)> {
    let comment = comment.trim_start();
    MARKS.into_iter().find(|(mark, _)| {
        comment.match_indices(mark).any(|(at, _)| {
            let next = comment[at + mark.len()..].chars().next();
            let whole = !comment[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '`' | '"' | '/'));
            let ends = !next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '`' | '"' | '/'));
            whole && ends && (at == 0 || matches!(next, Some(':' | '(')))
        })
    })
}

fn after<'c>(comment: &'c str, mark: &str) -> &'c str {
    comment.split_once(mark).map_or(comment, |(_, rest)| rest.trim_start_matches([':', ' ', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    const LATER: &str = MARKS[0].0;
    const BROKEN: &str = MARKS[3].0;

    #[test]
    fn marks_in_comments_are_found_with_what_they_say() {
        let text = format!("let a = 1; // {LATER}: tidy up\n# {LATER}\n// well, {BROKEN}(me): now\n");
        let found = apply("a.rs", text, check);
        assert_eq!(found.iter().map(|(line, _, _)| *line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(found[0].2, format!("{LATER}: tidy up"));
        assert_eq!(found[1].1, Severity::Warning);
    }

    #[test]
    fn marks_elsewhere_and_talk_about_them_are_not() {
        for text in [
            format!("let {LATER} = 1;"),
            format!("let a = \"// {LATER}: x\";"),
            format!("// reports every {LATER} and {BROKEN} there is"),
            format!("// `{LATER}`: a mark"),
            format!("// {LATER}S are listed"),
        ] {
            assert!(lines("a.rs", &text, check).is_empty(), "{text}");
        }
        assert!(lines("a.md", format!("# {LATER}: x"), check).is_empty());
    }
}
