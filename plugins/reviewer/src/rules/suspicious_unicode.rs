//! Characters that make a text look like what it is not: controls that reorder
//! it, characters without width, invisible tags, and letters of another script
//! within a name. See "Trojan Source", Boucher and Anderson, 2021.
//!
//! Languages that are written from right to left need such characters, so prose
//! and data in these languages are left alone where the character can be meant.

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "suspicious-unicode";

/// The most characters that one finding lists.
const LISTED: usize = 4;

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    if source.text.is_ascii() {
        return;
    }
    for (number, line) in source.lines() {
        if !line.is_ascii() {
            check_line(source, number, line, findings);
        }
    }
}

fn check_line(source: &Source, number: usize, line: &str, findings: &mut Findings) {
    let (start, _) = source.span(number);
    let right_to_left = line.chars().any(is_right_to_left);
    let mut worst = Severity::Info;
    let mut seen: Vec<(char, &str)> = Vec::new();
    let mut before = None;
    let mut rest = line.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|(_, c)| *c);
        let place = Place {
            first: number == 1 && at == 0,
            before,
            next,
            right_to_left: right_to_left && !source.language.is_code(),
            code: source.classes[start + at] == Class::Code && source.language.is_code(),
        };
        if let Some((severity, what)) = judge(c, &place) {
            worst = worst.max(severity);
            if !seen.iter().any(|(known, _)| *known == c) {
                seen.push((c, what));
            }
        }
        // Tags and joiners go with what they follow.
        before = Some(if is_tag(c) { before.unwrap_or(c) } else { c });
    }
    if seen.is_empty() {
        return;
    }
    if source.is_test(number) {
        // How else would a program be tested that looks for them?
        worst = worst.min(Severity::Warning);
    }
    let mut listed: Vec<_> =
        seen.iter().take(LISTED).map(|(c, what)| format!("U+{:04X} ({what})", u32::from(*c))).collect();
    if seen.len() > LISTED {
        listed.push(format!("{} more", seen.len() - LISTED));
    }
    findings.at(number, ID, worst, format!("this line may not be what it looks like: {}", listed.join(", ")));
}

struct Place {
    first: bool,
    before: Option<char>,
    next: Option<char>,
    right_to_left: bool,
    code: bool,
}

fn judge(c: char, place: &Place) -> Option<(Severity, &'static str)> {
    let within = |test: fn(char) -> bool| place.before.is_some_and(test) && place.next.is_some_and(test);
    let letter = |c: char| c.is_ascii_alphanumeric();
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' if place.right_to_left => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some((Severity::Error, "reorders the text")),
        '\u{200e}' | '\u{200f}' | '\u{61c}' if place.right_to_left => None,
        '\u{200e}' | '\u{200f}' | '\u{61c}' => Some((Severity::Warning, "directs the text and cannot be seen")),
        '\u{feff}' if place.first => None,
        '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}' if place.code => {
            Some((Severity::Error, "has no width, in code"))
        }
        '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}' if within(letter) => {
            Some((Severity::Warning, "has no width, within a word"))
        }
        '\u{200c}' | '\u{200d}' if within(letter) => Some((Severity::Warning, "joins what needs no joining")),
        '\u{ad}' if place.code => Some((Severity::Warning, "a hyphen that cannot be seen, in code")),
        // Flags of regions are a black flag and tags.
        _ if is_tag(c) && place.before != Some('\u{1f3f4}') => Some((Severity::Error, "a tag that cannot be seen")),
        '\u{e0100}'..='\u{e01ef}' if place.before.is_none_or(|c| !is_ideograph(c)) => {
            Some((Severity::Error, "a variation of nothing, which can hide data"))
        }
        '\u{400}'..='\u{4ff}' if place.code && (place.before.is_some_and(letter) || place.next.is_some_and(letter)) => {
            Some((Severity::Error, "a Cyrillic letter within a Latin name"))
        }
        _ => None,
    }
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0000}'..='\u{e007f}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let found = found(check, path, text);
        let found: Vec<_> = found
            .iter()
            .map(|f| {
                let (head, tail) = f.split_once(" this line may not be what it looks like: ").unwrap();
                format!(
                    "{head} {}",
                    tail.split(' ').filter(|word| word.starts_with("U+")).collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(found, expected, "{path}: {text:?}");
    }

    #[test]
    fn controls_that_reorder_are_wrong_everywhere_but_in_such_scripts() {
        check_text("a.rs", "// \u{202e}x\u{2066}", &["1 Error U+202E U+2066"]);
        check_text("a.md", "\u{202e}x", &["1 Error U+202E"]);
        check_text("repo/tests/a.md", "\u{202e}x", &["1 Warning U+202E"]);
        check_text("a.po", "\u{5d0}\u{202a}x\u{200f}", &[]);
        check_text("a.rs", "// \u{5d0}\u{202e}x", &["1 Error U+202E"]);
    }

    #[test]
    fn characters_without_width_are_wrong_in_code_and_within_words() {
        check_text("a.rs", "let a\u{200b}b;", &["1 Error U+200B"]);
        check_text("a.md", "a\u{200b}b", &["1 Warning U+200B"]);
        check_text("a.md", "a \u{200b} b \u{1f468}\u{200d}\u{1f469}", &[]);
        check_text("a.rs", "\u{feff}fn a() {}", &[]);
        check_text("a.rs", "\nfn\u{feff} a() {}", &["2 Error U+FEFF"]);
    }

    #[test]
    fn hidden_tags_are_told_from_flags() {
        check_text("a.md", "hi\u{e0068}\u{e0069}", &["1 Error U+E0068 U+E0069"]);
        check_text("a.md", "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}", &[]);
        check_text("a.md", "x\u{e0101}", &["1 Error U+E0101"]);
        check_text("a.md", "\u{845b}\u{e0100}", &[]);
    }

    #[test]
    fn letters_of_two_scripts_in_one_name_are_wrong_in_code_only() {
        check_text("a.rs", "let p\u{430}ss = 1;", &["1 Error U+0430"]);
        check_text("a.rs", "let \u{43f}\u{440} = \"p\u{430}ss\"; // p\u{430}ss", &[]);
        check_text("a.rs", "// Füße für 5 µs — “quoted” ✓ 漢字", &[]);
    }
}
