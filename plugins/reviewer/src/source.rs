//! A file as the rules see it: its lines, and what its name and its top say.

use crate::language::{Kind, Language};

/// How many bytes decide whether a file is text.
const SNIFFED_BYTES: usize = 1024;

/// Text can be so long a line on average before no person wrote it.
const WRITTEN_LINE_BYTES: usize = 200;

/// What binary files start with that do not have a zero byte at once.
const MAGIC: [&[u8]; 7] = [b"%PDF-", b"GIF8", b"PK\x03\x04", b"\xff\xd8\xff", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"];

/// What the top of a file says when a program wrote it.
const GENERATED: [&str; 6] = [
    concat!("@gen", "erated"),
    concat!("code gen", "erated by"),
    concat!("do not", " edit"),
    concat!("auto", "-generated"),
    concat!("auto", "matically generated"),
    concat!("this file was gen", "erated"),
];

/// A text file.
pub struct Source<'a> {
    pub path: &'a str,
    /// With what is not UTF-8 replaced.
    pub lines: Vec<String>,
    pub language: Language,
    /// The raw bytes.
    pub bytes: &'a [u8],
}

impl<'a> Source<'a> {
    /// None where the file is binary, by its content.
    pub fn new(path: &'a str, bytes: &'a [u8]) -> Option<Self> {
        if is_binary(bytes) {
            return None;
        }
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut language = Language::of(path);
        if is_generated(&lines) || bytes.len() > WRITTEN_LINE_BYTES * lines.len().max(1) && language.kind == Kind::Code {
            language.kind = Kind::Machine;
        }
        Some(Self { path, lines, language, bytes })
    }

    /// Whether people write and read this as a program.
    pub fn is_code(&self) -> bool {
        self.language.kind == Kind::Code
    }

    /// Lines with their numbers, from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// What a line says in a comment, if it has one.
    ///
    /// A comment starts the line or comes after a space, and not within what
    /// looks like a string: an even number of quotes stands before it.
    pub fn comment<'l>(&self, line: &'l str) -> Option<&'l str> {
        let markers = self.language.line_comments.iter().chain(self.language.block_comments);
        let trimmed = line.trim_start();
        let continued = self.language.block_comments.contains(&"/*") && trimmed.starts_with("* ");
        if continued {
            return Some(&trimmed[2..]);
        }
        let starts = markers.filter_map(|marker| {
            let at = line.match_indices(marker).map(|(at, _)| at).find(|&at| opens_comment(&line[..at]))?;
            Some((at, at + marker.len()))
        });
        starts.min().map(|(_, end)| line[end..].trim_start_matches(['/', '!', '*', '#', '-', ';', '%']))
    }

    /// Whether a line holds nothing but a comment, or nothing.
    pub fn is_blank_or_comment(&self, line: &str) -> bool {
        let trimmed = line.trim_start();
        let mut markers = self.language.line_comments.iter().chain(self.language.block_comments);
        trimmed.is_empty()
            || markers.any(|marker| trimmed.starts_with(marker))
            || self.language.block_comments.contains(&"/*") && (trimmed.starts_with("* ") || trimmed == "*")
    }
}

fn opens_comment(before: &str) -> bool {
    let apart = before.is_empty() || before.ends_with(char::is_whitespace) || before.ends_with([';', '{', '}', ')', ',']);
    apart && before.matches('"').count() % 2 == 0 && before.matches('`').count() % 2 == 0
}

/// Text has no zero byte and few other control bytes near its start.
fn is_binary(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(SNIFFED_BYTES)];
    let odd = start.iter().filter(|byte| is_odd(**byte)).count();
    start.contains(&0) || odd * 20 > start.len() || MAGIC.iter().any(|magic| bytes.starts_with(magic))
}

/// A control byte that text has no use for.
pub fn is_odd(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127)
}

fn is_generated(lines: &[String]) -> bool {
    let top = lines.iter().take(6).map(|line| line.to_ascii_lowercase());
    top.into_iter().any(|line| GENERATED.iter().any(|mark| line.contains(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source<'a>(path: &'a str, text: &'a str) -> Source<'a> {
        Source::new(path, text.as_bytes()).unwrap()
    }

    #[test]
    fn a_binary_is_known_by_its_content_and_not_by_its_name() {
        assert!(Source::new("a.rs", b"\x7fELF\0\0\0").is_none());
        assert!(Source::new("a.txt", b"%PDF-1.7 text").is_none());
        assert!(Source::new("a.bin", b"only text").is_some());
        assert!(Source::new("latin", b"caf\xe9 au lait").is_some());
        assert!(Source::new("empty", b"").is_some());
    }

    #[test]
    fn comments_are_found_and_strings_are_not() {
        let rust = source("a.rs", "");
        assert_eq!(rust.comment("let a = 1; // why"), Some(" why"));
        assert_eq!(rust.comment("/// doc"), Some(" doc"));
        assert_eq!(rust.comment("let a = \"http://x // y\";"), None);
        assert_eq!(rust.comment(" * in a block"), Some("in a block"));
        assert_eq!(source("a.py", "").comment("x = 1  # why"), Some(" why"));
        assert_eq!(source("a.py", "").comment("x = '#fff'"), None);
        assert_eq!(source("a.md", "").comment("# a heading"), None);
    }

    #[test]
    fn what_a_program_wrote_is_not_code() {
        let text = format!("// {}\nfn a() {{}}\n", GENERATED[0]);
        assert!(!source("a.rs", &text).is_code());
        assert!(!source("a.js", &"x".repeat(5000)).is_code());
        assert!(source("a.js", "x();\n").is_code());
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_line() {
        assert_eq!(source("a.rs", "\u{feff}fn a() {}").lines[0], "fn a() {}");
    }
}
