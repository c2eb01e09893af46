//! Telling code from comments and strings, byte by byte. It never fails: text
//! that does not hold to its language is classified as well as may be, and a
//! string that is not closed ends with its line where the language says so.

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
        // `$#`, `a#b` and `https://` are no comments where a comment needs room.
        if *opening == "#" && !(before.is_ascii_whitespace() || matches!(before, b';' | b')' | b'}' | b']' | b',' | b'{')) {
            return false;
        }
        self.mark(self.line_end(self.at), Class::Comment);
        true
    }

    fn block_comment(&mut self) -> bool {
        let Some((open, close)) = self.language.block_comment else { return false };
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

    /// A letter that opens a raw string together with what follows it.
    fn raw_prefix(&mut self, byte: u8) -> bool {
        if self.at > 0 && is_word(self.bytes[self.at - 1]) {
            return false;
        }
        match (self.language.quirk, byte) {
            (Quirk::Rust, b'r' | b'b' | b'c') => {
                let letters = if byte == b'r' { 1 } else { 2 };
                if letters == 2 && self.byte(self.at + 1) != b'r' {
                    return false;
                }
                let mut quote = self.at + letters;
                while self.byte(quote) == b'#' {
                    quote += 1;
                }
                if self.byte(quote) != b'"' {
                    return false;
                }
                let close = format!("\"{}", "#".repeat(quote - self.at - letters));
                self.until(quote + 1, &close);
                true
            }
            (Quirk::Cpp, b'R') if self.byte(self.at + 1) == b'"' => {
                let open = self.find(self.at, b'(');
                if open - self.at > 18 {
                    return false;
                }
                let name = String::from_utf8_lossy(&self.bytes[self.at + 2..open]).into_owned();
                self.until(open + 1, &format!("){name}\""));
                true
            }
            _ => false,
        }
    }

    /// A string that ends where `close` stands, whatever is before it.
    fn until(&mut self, from: usize, close: &str) {
        let mut end = from;
        while end < self.bytes.len() && !self.starts(end, close) {
            end += 1;
        }
        self.mark(end + close.len(), Class::Text);
    }

    fn string(&mut self, byte: u8) -> bool {
        let language = self.language;
        if language.raw_quote == Some(byte) {
            self.mark(self.find(self.at + 1, byte) + 1, Class::Text);
            return true;
        }
        match (language.quirk, byte) {
            (Quirk::Script, b'`') => {
                self.template();
                return true;
            }
            (Quirk::Script, b'/') if self.regex_may_stand_here() => return self.regex(),
            (Quirk::Rust, b'\'') => return self.rust_character(),
            (Quirk::Cpp, b'\'') if self.at > 0 && self.bytes[self.at - 1].is_ascii_hexdigit() => return false,
            (Quirk::CSharp, b'@') if self.byte(self.at + 1) == b'"' => {
                let mut end = self.at + 2;
                while end < self.bytes.len() && !(self.byte(end) == b'"' && self.byte(end + 1) != b'"') {
                    end += if self.byte(end) == b'"' { 2 } else { 1 };
                }
                self.mark(end + 1, Class::Text);
                return true;
            }
            _ => {}
        }
        if !language.quotes.contains(&byte) {
            return false;
        }
        if language.triple_quotes && self.byte(self.at + 1) == byte && self.byte(self.at + 2) == byte {
            self.triple(byte);
        } else {
            self.mark(self.quoted_end(byte), Class::Text);
        }
        true
    }

    fn quoted_end(&self, quote: u8) -> usize {
        let mut end = self.at + 1;
        while end < self.bytes.len() {
            match self.bytes[end] {
                b'\\' => end += 1,
                b'\n' if !self.language.long_strings => return end,
                byte if byte == quote => return end + 1,
                _ => {}
            }
            end += 1;
        }
        end
    }

    fn triple(&mut self, quote: u8) {
        let close = String::from_utf8_lossy(&[quote; 3]).into_owned();
        let line = self.bytes[..self.at].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let alone = self.parens == 0 && self.bytes[line..self.at].iter().all(u8::is_ascii_whitespace);
        let start = self.at;
        let before = self.significant;
        let mut end = start + 3;
        while end < self.bytes.len() && !self.starts(end, &close) {
            end += if self.bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.mark(end + 3, Class::Text);
        if self.language.quirk == Quirk::Python && alone && !matches!(before, b'=' | b'\\' | b',' | b'+') {
            self.classes[start..self.at].fill(Class::Comment);
        }
    }

    fn rust_character(&mut self) -> bool {
        if self.byte(self.at + 1) == b'\\' {
            let end = self.find(self.at + 3, b'\'') + 1;
            if end - self.at > 12 {
                return false;
            }
            self.mark(end, Class::Text);
            return true;
        }
        // One character, however many bytes it has, or else a lifetime.
        let mut end = self.at + 2;
        while end < self.bytes.len() && self.bytes[end] & 0xc0 == 0x80 {
            end += 1;
        }
        if self.byte(end) != b'\'' {
            return false;
        }
        self.mark(end + 1, Class::Text);
        true
    }

    /// Whether a `/` here divides or opens a regular expression.
    fn regex_may_stand_here(&self) -> bool {
        if matches!(self.significant, 0 | b'(' | b',' | b'=' | b':' | b'[' | b'!' | b'&' | b'|' | b'?' | b'{' | b'}' | b';') {
            return true;
        }
        let code = self.bytes[..self.at].trim_ascii_end();
        ["return", "typeof", "case"].iter().any(|word| code.ends_with(word.as_bytes()))
    }

    fn regex(&mut self) -> bool {
        let mut end = self.at + 1;
        let mut in_class = false;
        loop {
            match self.byte(end) {
                0 | b'\n' => return false,
                b'\\' => end += 1,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'/' if !in_class => break,
                _ => {}
            }
            end += 1;
        }
        self.mark(end + 1, Class::Text);
        true
    }

    /// From the quote, or from the brace that ends an inserted expression, to
    /// the end of the template or the next such expression.
    fn template(&mut self) {
        let mut end = self.at + 1;
        while end < self.bytes.len() {
            match self.bytes[end] {
                b'\\' => end += 1,
                b'`' => return self.mark(end + 1, Class::Text),
                b'$' if self.byte(end + 1) == b'{' => {
                    self.templates.push(0);
                    return self.mark(end + 2, Class::Text);
                }
                _ => {}
            }
            end += 1;
        }
        self.mark(end, Class::Text);
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
        check("a.rs", "x/*a/*b*/c*/y", "xccccccccccy");
        check("a.rs", "<'a>'b'+'\\''", "<'a>ttt+tttt");
        check("a.rs", "r#\"a\"b\"#;r#type", "ttttttttt;r#type");
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
            for text in ["\"", "'", "`${", "r#\"", "R\"", "R\"(", "@\"", "/*", "'''", "/a", "'\\", "--[[", "<!--", "é'é", "}"] {
                assert_eq!(classify(text, crate::language::of(path)).len(), text.len());
            }
        }
    }
}
