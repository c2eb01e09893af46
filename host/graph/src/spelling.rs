//! Spelling: how a file spells a text, and so where a part of the text stands: as it
//! is, or with escapes, folded lines and indentation.

use std::ops::Range;

use crate::source::{Source, Span};

/// A text and how the file spells it.
pub(crate) struct Spelling<'a> {
    pub text: &'a str,
    /// Where all of it stands.
    pub span: Span,
    way: Way,
}

enum Way {
    /// As it is, from this byte of the file on.
    Verbatim(usize),
    /// For each byte of the text, the byte of the file that its character begins at.
    /// That of white space may be anywhere.
    Otherwise(Vec<usize>),
    Unknown,
}

impl<'a> Spelling<'a> {
    pub fn new(source: &Source, span: Span, text: &'a str) -> Self {
        let (spelt, start) = (source.slice(span), span.start as usize);
        let otherwise = || aligned(spelt, text).map(|places| places.into_iter().map(|at| start + at).collect());
        let way = match spelt.find(text) {
            Some(at) => Way::Verbatim(start + at),
            None => otherwise().map_or(Way::Unknown, Way::Otherwise),
        };
        Self { text, span, way }
    }

    /// Where a part of the text stands; the whole text where that is not known.
    pub fn place(&self, part: Range<usize>) -> Span {
        let places = match &self.way {
            Way::Verbatim(start) => return Span::new(start + part.start, part.len()),
            Way::Otherwise(places) => places,
            Way::Unknown => return self.span,
        };
        let inner = &self.text[part.clone()];
        let Some(last) = inner.trim_end().char_indices().next_back() else { return self.span };
        let first = inner.len() - inner.trim_start().len();
        let (start, end) = (places[part.start + first], places[part.start + last.0] + last.1.len_utf8());
        Span::new(start, end.saturating_sub(start))
    }
}

/// Where each character of a text is in how it is spelt: both have the same characters in
/// the same order, but for white space, quotes around it, and the second of two `'`.
fn aligned(spelt: &str, text: &str) -> Option<Vec<usize>> {
    let mut rest = Characters { spelt, at: 0, has_escapes: spelt.starts_with('"') };
    let mut places = Vec::with_capacity(text.len());
    let mut at = 0;
    for wanted in text.chars() {
        if !wanted.is_whitespace() {
            at = loop {
                match rest.next()? {
                    (place, found) if found == wanted => break place,
                    (_, found) if found.is_whitespace() || matches!(found, '"' | '\'') => {}
                    _ => return None,
                }
            };
        }
        places.extend(std::iter::repeat_n(at, wanted.len_utf8()));
    }
    Some(places)
}

/// The characters that a file means, with their places.
struct Characters<'a> {
    spelt: &'a str,
    at: usize,
    /// In `"…"`, a `\` begins another character.
    has_escapes: bool,
}

impl Iterator for Characters<'_> {
    type Item = (usize, char);

    fn next(&mut self) -> Option<(usize, char)> {
        let (at, rest) = (self.at, &self.spelt[self.at..]);
        let first = rest.chars().next()?;
        let escape = rest[first.len_utf8()..].chars().next().filter(|_| self.has_escapes && first == '\\');
        let (meant, len) = match escape {
            None => (first, first.len_utf8()),
            Some('u') => by_number(rest, 4)?,
            Some('x') => by_number(rest, 2)?,
            Some('U') => by_number(rest, 8)?,
            Some('0') => ('\0', 2),
            Some('a') => ('\u{7}', 2),
            Some('b') => ('\u{8}', 2),
            Some('e') => ('\u{1b}', 2),
            Some('n' | 'r' | 't' | 'v' | 'f' | 'N' | '_' | 'L' | 'P') => (' ', 2),
            Some(itself) => (itself, 1 + itself.len_utf8()),
        };
        self.at += len;
        Some((at, meant))
    }
}

/// A character by its number, of so many digits; in JSON it may take two of them.
fn by_number(rest: &str, digits: usize) -> Option<(char, usize)> {
    let number = |from: usize| u32::from_str_radix(rest.get(from + 2..from + 2 + digits)?, 16).ok();
    let (first, len) = (number(0)?, 2 + digits);
    if let Some(one) = char::from_u32(first) {
        return Some((one, len));
    }
    let pair = [first as u16, number(len)? as u16];
    let both = char::decode_utf16(pair).next()?.ok()?;
    Some((both, 2 * len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::tree::{Value, parse};

    /// How the file spells a part of its one value.
    fn spelt(text: &str, part: &str) -> String {
        let source = Source::new("g", format!("a: {text}\n"));
        let tree = parse(&source, &mut Diagnostics::default()).expect("it parses");
        let Value::Map(entries) = &tree.value else { panic!("a map") };
        let Value::Text(value) = &entries[0].value.value else { panic!("text") };
        let at = value.find(part).unwrap_or_else(|| panic!("{value:?} has no {part:?}"));
        let span = Spelling::new(&source, entries[0].value.span, value).place(at..at + part.len());
        source.slice(span).to_owned()
    }

    #[test]
    fn a_part_is_found_however_the_file_spells_it() {
        let table = [
            ("input.x + foo", "foo", "foo"),
            ("'it''s ${{ foo }}'", "foo", "foo"),
            ("\"x \\\" 1 + ${{ 'a' + foo }}\"", "'a' + foo", "'a' + foo"),
            ("\"a\\tb \\\\d ${{ foo }} \\n bar\"", "bar", "bar"),
            ("\"a\\tb \\\\d ${{ foo }}\"", "\\d", "\\\\d"),
            ("|\n  ${{ input.x\n    + foo }}", "foo", "foo"),
            ("|\n  ${{ input.x\n    + foo }}", "x\n  + foo", "x\n    + foo"),
            (">-\n  one\n  two ${{\n  foo }}", "two ${{ foo", "two ${{\n  foo"),
            ("one\n  two ${{ foo\n  }}", "foo }}", "foo\n  }}"),
            ("\"one\n  tw\\u006f \\ud83d\\ude00 \\xe9 \\e \\_ ${{ foo }}\"", "foo", "foo"),
            ("\"tw\\u006f foo\"", "two f", "tw\\u006f f"),
            ("\"a\\nnodes: ${{ nodes.foo }}\"", "nodes.foo", "nodes.foo"),
            ("\"a \\/ \\nnodes\"", "nodes", "nodes"),
            ("\"\\u00e9 foo: ${{ foo }}\"", "foo }}", "foo }}"),
        ];
        for (text, part, expected) in table {
            assert_eq!(spelt(text, part), expected, "{text}: {part}");
        }
    }
}
