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
        let way = match (spelt.find(text), aligned(spelt, text)) {
            (Some(at), _) => Way::Verbatim(start + at),
            (None, Some(places)) => Way::Otherwise(places.into_iter().map(|at| start + at).collect()),
            (None, None) => Way::Unknown,
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
/// the same order, but for white space, the second of two `'`, and escapes.
fn aligned(spelt: &str, text: &str) -> Option<Vec<usize>> {
    let mut rest = spelt.char_indices().peekable();
    let mut places = Vec::with_capacity(text.len());
    let mut at = 0;
    for wanted in text.chars() {
        if !wanted.is_whitespace() {
            let mut is_escaped = false;
            at = loop {
                let (place, found) = rest.next()?;
                match found {
                    found if found == wanted && !(found == '\\' && is_double(&mut rest)) => break place,
                    '\\' => is_escaped = true,
                    // White space that is written as a letter.
                    'n' | 'r' | 't' | '0' if is_escaped => is_escaped = false,
                    found if found.is_whitespace() || matches!(found, '"' | '\'') => is_escaped = false,
                    _ => return None,
                }
            };
        }
        places.extend(std::iter::repeat_n(at, wanted.len_utf8()));
    }
    Some(places)
}

/// Whether a `\` follows, so that the two of them are one.
fn is_double(rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> bool {
    rest.peek().is_some_and(|(_, next)| *next == '\\')
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
            ("\"a\\tb \\\\d ${{ foo }}\"", "\\d", "\\d"),
            ("|\n  ${{ input.x\n    + foo }}", "foo", "foo"),
            ("|\n  ${{ input.x\n    + foo }}", "x\n  + foo", "x\n    + foo"),
            (">-\n  one\n  two ${{\n  foo }}", "two ${{ foo", "two ${{\n  foo"),
            ("one\n  two ${{ foo\n  }}", "foo }}", "foo\n  }}"),
            ("\"one\n  tw\\u006f ${{ foo }}\"", "foo", "\"one\n  tw\\u006f ${{ foo }}\""),
        ];
        for (text, part, expected) in table {
            assert_eq!(spelt(text, part), expected, "{text}: {part}");
        }
    }
}
