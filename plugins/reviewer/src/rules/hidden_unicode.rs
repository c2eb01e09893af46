//! Characters that make a text read as something else than what it says: those
//! that turn the direction of writing, those that show nothing, and letters of
//! another alphabet that look like Latin ones.

use super::Found;
use crate::finding::Severity;
use crate::source::Source;

pub const NAME: &str = "hidden-unicode";

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    for (number, line) in source.numbered().filter(|(_, line)| !line.is_ascii()) {
        if let Some(control) = line.chars().find(|c| is_direction(*c)).filter(|_| !line.chars().any(is_right_to_left)) {
            let message = format!("{} changes the direction of the text: what runs is not what is shown", name(control));
            found(number, Severity::Error, message);
        } else if let Some(hidden) = hidden(line).filter(|_| source.is_code()) {
            found(number, Severity::Warning, format!("{} between letters cannot be seen", name(hidden)));
        } else if let Some(word) = mixed_word(line).filter(|_| source.is_code()) {
            let message = format!("`{word}` mixes Latin letters with Cyrillic ones that look the same");
            found(number, Severity::Warning, message);
        }
    }
}

fn name(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// Embeddings, overrides and isolates. The plain marks are not among them: they
/// turn nothing around.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Hebrew and Arabic, where such characters have their use.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
}

/// A character without a width that stands between two ASCII ones: elsewhere it
/// joins emoji or the letters of scripts that need it.
fn hidden(line: &str) -> Option<char> {
    let chars: Vec<char> = line.chars().collect();
    let at = (0..chars.len()).find(|&at| {
        let neighbour = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_none_or(char::is_ascii);
        matches!(chars[at], '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
            && neighbour(at.checked_sub(1))
            && neighbour(Some(at + 1))
    });
    at.map(|at| chars[at])
}

/// A word with both Latin letters and Cyrillic ones that have a Latin twin.
fn mixed_word(line: &str) -> Option<&str> {
    let is_cyrillic = |c: char| ('\u{400}'..='\u{4ff}').contains(&c);
    let is_twin = |c: char| "асеорхуіјѕАВЕКМНОРСТХІЈЅ".contains(c);
    line.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        let cyrillic = word.chars().filter(|c| is_cyrillic(*c));
        latin && word.chars().any(is_cyrillic) && cyrillic.clone().all(is_twin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    #[test]
    fn a_turn_of_direction_is_an_error_unless_the_script_needs_it() {
        let found = apply("a.rs", "let a = 1; /* \u{202e} } \u{2066} */", check);
        assert_eq!(found[0].1, Severity::Error);
        assert!(found[0].2.starts_with("U+202E"), "{}", found[0].2);
        assert!(lines("a.md", "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{2067}abc\u{2069}", check).is_empty());
    }

    #[test]
    fn what_shows_nothing_is_reported_between_letters_of_code() {
        assert_eq!(lines("a.rs", "let pass\u{200b}word = 1;", check), [1]);
        assert!(lines("a.rs", "let family = \"\u{1f468}\u{200d}\u{1f469}\";", check).is_empty());
        assert!(lines("a.md", "soft\u{ad}hyphen", check).is_empty());
    }

    #[test]
    fn a_word_of_two_alphabets_is_reported_and_two_words_are_not() {
        assert_eq!(lines("a.rs", "let p\u{430}ssword = 1;", check), [1]);
        assert!(lines("a.rs", "// \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} world", check).is_empty());
        assert!(lines("a.rs", "\u{3b1}x + \u{3b2}y", check).is_empty());
    }
}
