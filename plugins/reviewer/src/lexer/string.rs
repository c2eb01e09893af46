//! Strings: where they open, and where they end. What a language has of its own
//! is here; comments and the order of things are one level up.

use super::{Class, Lexer, is_word};
use crate::language::Quirk;

impl Lexer<'_> {
    /// A letter that opens a raw string together with what follows it.
    pub(super) fn raw_prefix(&mut self, byte: u8) -> bool {
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

    pub(super) fn string(&mut self, byte: u8) -> bool {
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
        if matches!(
            self.significant,
            0 | b'(' | b',' | b'=' | b':' | b'[' | b'!' | b'&' | b'|' | b'?' | b'{' | b'}' | b';'
        ) {
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
    pub(super) fn template(&mut self) {
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
