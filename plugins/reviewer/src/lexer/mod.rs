//! Telling code from comments and strings, byte by byte. It never fails: text
//! that does not hold to its language is classified as well as may be, and a
//! string that is not closed ends with its line where the language says so.

mod string;

use crate::language::{Language, Quirk};

/// What a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    Code,
    Comment,
    /// The inside of a string, and its quotes.
    Text,
}

/// The class of each byte of a text.
pub fn classify(text: &str, language: &Language) -> Vec<Class> {
    let mut lexer = Lexer {
        bytes: text.as_bytes(),
        language,
        classes: vec![Class::Code; text.len()],
        at: 0,
        templates: Vec::new(),
        significant: 0,
        parens: 0,
    };
    while lexer.at < lexer.bytes.len() {
        lexer.step();
    }
    lexer.classes
}

struct Lexer<'a> {
    bytes: &'a [u8],
    language: &'a Language,
    classes: Vec<Class>,
    at: usize,
    /// For each template that a `${` interrupted, the braces open since.
    templates: Vec<u32>,
    /// The last byte of code that was not space; 0 before the first.
    significant: u8,
    /// Parentheses and brackets that are open.
    parens: u32,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let byte = self.bytes[self.at];
        if byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'\n' {
            if !self.raw_prefix(byte) {
                self.code(byte);
            }
        } else if self.line_comment() || self.block_comment() || self.string(byte) {
            // Consumed.
        } else {
            self.code(byte);
        }
    }

    fn code(&mut self, byte: u8) {
        match byte {
            b'(' | b'[' => self.parens += 1,
            b')' | b']' => self.parens = self.parens.saturating_sub(1),
            b'{' => {
                if let Some(depth) = self.templates.last_mut() {
                    *depth += 1;
                }
            }
            b'}' => match self.templates.last_mut() {
                Some(0) => {
                    self.templates.pop();
                    self.template();
                    return;
                }
                Some(depth) => *depth -= 1,
                None => {}
            },
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.significant = byte;
        }
        self.at += 1;
    }

    fn starts(&self, at: usize, what: &str) -> bool {
        self.bytes[at.min(self.bytes.len())..].starts_with(what.as_bytes())
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn mark(&mut self, end: usize, class: Class) {
        let end = end.min(self.bytes.len());
        self.classes[self.at..end].fill(class);
        self.at = end;
        if class == Class::Text {
            self.significant = b'"';
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.find(from, b'\n')
    }

    fn find(&self, from: usize, byte: u8) -> usize {
        let from = from.min(self.bytes.len());
        self.bytes[from..].iter().position(|b| *b == byte).map_or(self.bytes.len(), |at| from + at)
    }

    fn line_comment(&mut self) -> bool {
        let Some(opening) = self.language.line_comments.iter().find(|opening| self.starts(self.at, opening)) else {
            return false;
        };
        let before = if self.at == 0 { b'\n' } else { self.bytes[self.at - 1] };
        // `$#`, `${a#b}` and `a#b` are no comments where a comment needs room.
        let needs_room = *opening == "#" && self.language.quirk != Quirk::Python;
        if needs_room && !(before.is_ascii_whitespace() || matches!(before, b';' | b',' | b'(')) {
            return false;
        }
        self.mark(self.line_end(self.at), Class::Comment);
        true
    }

    fn block_comment(&mut self) -> bool {
        let Some((open, close)) = self.language.block_comment else {
            return false;
        };
        if !self.starts(self.at, open) {
            return false;
        }
        let mut depth = 1;
        let mut end = self.at + open.len();
        while depth > 0 && end < self.bytes.len() {
            if self.starts(end, close) {
                depth -= 1;
                end += close.len();
            } else if self.language.nested_comments && self.starts(end, open) {
                depth += 1;
                end += open.len();
            } else {
                end += 1;
            }
        }
        self.mark(end, Class::Comment);
        true
    }
}

/// Whether a byte can be part of a name.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Comments become `c`, strings `t`, and code stays as it is.
    fn check(path: &str, text: &str, expected: &str) {
        let classes = classify(text, crate::language::of(path));
        let shown: String = text
            .bytes()
            .zip(classes)
            .map(|(byte, class)| match class {
                Class::Code => byte as char,
                Class::Comment => 'c',
                Class::Text => 't',
            })
            .collect();
        assert_eq!(shown, expected, "{path}");
    }

    #[test]
    fn rust_has_lifetimes_raw_strings_and_nested_comments() {
        check("a.rs", "x/*a/*b*/c*/y", "xcccccccccccy");
        check("a.rs", "<'a>'b'+'\\''", "<'a>ttt+tttt");
        check("a.rs", "r#\"a\"b\"#;r#type", "tttttttt;r#type");
        check("a.rs", "'a'\"a\\\"b\n\"z// c", "ttttttttttzcccc");
    }

    #[test]
    fn a_string_ends_with_its_line_unless_the_language_says_otherwise() {
        check("a.c", "\"a\nb", "tt\nb");
        check("a.rb", "\"a\nb\"c", "tttttc");
        check("a.go", "`a\n\\`b", "tttttb");
    }

    #[test]
    fn python_has_triple_quotes_and_docstrings() {
        check("a.py", "def f():\n  '''a'b'''\n  x=\"\"\"y\n\"\"\"", "def f():\n  ccccccccc\n  x=tttttttt");
        check("a.py", "a # b '", "a ccccc");
    }

    #[test]
    fn scripts_have_templates_and_regular_expressions() {
        check("a.js", "`a${b+`c`}d`+e", "ttttb+tttttt+e");
        check("a.ts", "a=/'[/]/;b/c/d", "a=tttttt;b/c/d");
        check("a.ts", "`${ {a:1} }`", "ttt {a:1} tt");
    }

    #[test]
    fn a_hash_is_a_comment_only_with_room_before_it() {
        check("a.sh", "a=$#;b=${#c} # d", "a=$#;b=${#c} ccc");
        check("a.yaml", "a: b#c #d", "a: b#c cc");
    }

    #[test]
    fn other_raw_strings() {
        check("a.cpp", "R\"x(a)\")x\"+1'000", "tttttttttt+1'000");
        check("a.cs", "@\"a\"\"b\\\"+c", "tttttttt+c");
    }

    #[test]
    fn no_text_makes_it_fail() {
        for path in ["a.rs", "a.py", "a.js", "a.cpp", "a.cs", "a.sh", "a.lua", "a.html", "a.go"] {
            for text in
                ["\"", "'", "`${", "r#\"", "R\"", "R\"(", "@\"", "/*", "'''", "/a", "'\\", "--[[", "<!--", "é'é", "}"]
            {
                assert_eq!(classify(text, crate::language::of(path)).len(), text.len());
            }
        }
    }
}
