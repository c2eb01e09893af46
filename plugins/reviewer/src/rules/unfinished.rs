//! Work that was put off: notes that say so, and code that only says so.
//!
//! The words are looked for where such notes stand, which is at the start of a
//! comment or before a colon: a comment that speaks of them is not one.

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::language::Kind;
use crate::lexer::{Class, is_word};
use crate::source::Source;

pub const ID: &str = "unfinished";

const NOTES: [(&str, Severity); 4] = [
    (concat!("TO", "DO"), Severity::Info),
    (concat!("FIX", "ME"), Severity::Warning),
    (concat!("XX", "X"), Severity::Info),
    (concat!("HA", "CK"), Severity::Info),
];

/// Calls that stop the program because nobody has written it yet.
const STOPS: [&str; 2] = ["todo!(", "unimplemented!("];

/// The most of a note that is shown, in characters.
const SHOWN_CHARS: usize = 80;

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    if source.generated || matches!(source.language.kind, Kind::Lock) {
        return;
    }
    for (number, line) in source.lines() {
        let (start, _) = source.span(number);
        if let Some((at, severity)) = note(source, start, line) {
            findings.at(number, ID, severity, format!("put off: {}", shown(&line[at..])));
        } else if let Some(stop) = stop(source, start, line) {
            let message = format!("`{stop}…)` stops the program here: write what is missing");
            findings.at(number, ID, Severity::Warning, message);
        }
    }
}

fn note(source: &Source, start: usize, line: &str) -> Option<(usize, Severity)> {
    for (word, severity) in NOTES {
        for (at, _) in line.match_indices(word) {
            let comment = source.classes[start + at] == Class::Comment;
            let before = &line[..at];
            let after = line[at + word.len()..].chars().next();
            let whole = !before.bytes().next_back().is_some_and(|byte| is_word(byte) || byte == b'-' || byte == b'`');
            let called = matches!(after, Some(':' | '('));
            let opens = opens_comment(source, start, before) && after.is_none_or(|c| c.is_whitespace());
            let prose = source.language.kind == Kind::Prose && opens_line(before) && after == Some(':');
            if whole && ((comment && (called || opens)) || prose) {
                return Some((at, severity));
            }
        }
    }
    None
}

/// Whether a comment says nothing before this.
fn opens_comment(source: &Source, start: usize, before: &str) -> bool {
    let comment_from = before
        .char_indices()
        .rev()
        .take_while(|(at, _)| source.classes[start + at] == Class::Comment)
        .last()
        .map_or(before.len(), |(at, _)| at);
    before[comment_from..]
        .chars()
        .all(|c| c.is_whitespace() || matches!(c, '/' | '*' | '#' | '-' | '!' | ';' | '@' | '<'))
}

fn opens_line(before: &str) -> bool {
    before.chars().all(|c| c.is_whitespace() || matches!(c, '*' | '-' | '>' | '_' | '[' | ']'))
}

fn stop<'a>(source: &Source, start: usize, line: &str) -> Option<&'a str> {
    STOPS.into_iter().find(|stop| {
        line.match_indices(stop).any(|(at, _)| {
            let whole = at == 0 || !is_word(line.as_bytes()[at - 1]);
            whole && source.classes[start + at] == Class::Code && source.path.ends_with(".rs")
        })
    })
}

fn shown(note: &str) -> String {
    let note = note.trim_end().trim_end_matches("*/").trim_end_matches("-->").trim_end();
    match note.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &note[..end]),
        None => note.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    /// `T` and `F` stand for the two words that are looked for most.
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let text = text.replace("TT", NOTES[0].0).replace("FF", NOTES[1].0);
        let expected: Vec<_> = expected.iter().map(|e| e.replace("TT", NOTES[0].0).replace("FF", NOTES[1].0)).collect();
        assert_eq!(found(check, path, &text), expected, "{path}");
    }

    #[test]
    fn a_note_is_found_where_notes_stand() {
        check_text(
            "a.rs",
            "x; // TT: mend\n/* FF(me) */\n/// TT\n",
            &["1 Info put off: TT: mend", "2 Warning put off: FF(me)", "3 Info put off: TT"],
        );
        check_text("a.py", "# see below; TT: mend\n", &["1 Info put off: TT: mend"]);
        check_text("a.md", "* TT: write\n<!-- FF -->\n", &["1 Info put off: TT: write", "2 Warning put off: FF"]);
    }

    #[test]
    fn speaking_of_notes_is_no_note() {
        check_text(
            "a.rs",
            "// lists every TT and FF\nlet x = \"TT: y\";\nconst TT: u8 = 1;\n// `TT: x`\n// TT-LIST\n",
            &[],
        );
        check_text("a.md", "The TT list\n", &[]);
    }

    #[test]
    fn code_that_stops_is_found_outside_of_strings() {
        let text = format!("{}()\nmy_{}()\n\"{}()\"\n", "todo!", "todo!", "todo!");
        assert_eq!(found(check, "a.rs", &text).len(), 1);
    }
}
