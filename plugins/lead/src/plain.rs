//! Text that came out of a reviewed tree, made fit to be shown: short, on one
//! line, and without characters that change how the rest is shown.

/// `text` on one line, in at most `max_bytes` bytes and an ellipsis.
pub fn line(text: &str, max_bytes: usize) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        let c = if hides(c) {
            '\u{fffd}'
        } else if c.is_control() {
            ' '
        } else {
            c
        };
        if out.len() + c.len_utf8() > max_bytes {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// The end of `text`, in at most `width` characters; the end of a path says more
/// than its beginning.
pub fn tail(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - width.saturating_sub(1)).collect();
    format!("…{kept}")
}

/// The beginning of `text`, in at most `width` characters.
pub fn head(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A number of bytes as a person reads it.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Characters that are not seen and change the order or the look of others.
fn hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_breaks_and_nothing_hidden() {
        assert_eq!(line(" a\nb\tc\u{1b}[31m ", 80), "a b c [31m");
        let hidden = char::from_u32(0x202e).unwrap();
        assert_eq!(line(&format!("a{hidden}b"), 80), "a\u{fffd}b");
    }

    #[test]
    fn a_line_is_cut_between_letters() {
        assert_eq!(line("äää", 4), "ää…");
        assert_eq!(line("äää", 6), "äää");
    }

    #[test]
    fn a_path_keeps_its_end_and_a_message_its_beginning() {
        assert_eq!(tail("repo/src/lib.rs:10", 10), "…lib.rs:10");
        assert_eq!((tail("abc", 3), head("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".to_owned(), "0 files".to_owned()));
        assert_eq!((bytes(1_023), bytes(1_536), bytes(3 << 20)), ("1023 B".into(), "1.5 KiB".into(), "3.0 MiB".into()));
    }
}
