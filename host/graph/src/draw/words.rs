//! Words: what others wrote, made fit to be shown, and quantities as people read
//! them.

use std::borrow::Cow;

/// `text` on one line, without control characters and without those with which a
/// line can be made to read as something else.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unfit) {
        return Cow::Borrowed(text);
    }
    let fit = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unfit(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.replace("\r\n", "\n").trim_end_matches('\n').chars().map(fit).collect())
}

/// Controls, the marks of bidirectional text, the two separators that break lines,
/// and the two code points that XML has no place for.
fn is_unfit(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// At most `width` characters of `text`; an ellipsis says that there was more.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().nth(width).is_none() {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

/// A span of time, with as many digits as matter.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A number of things, with the noun in its right form.
pub(super) fn count(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(one_line("a\r\nb\tc\u{1b}[2J\u{202e}\u{2028}\n"), "a b c\u{fffd}[2J\u{fffd}\u{fffd}");
        assert!(matches!(one_line("plain – ünïcode"), Cow::Borrowed(_)));
        assert_eq!((cut("abcdef", 4), cut("abcd", 4)), ("abc…".into(), "abcd".into()));
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!((duration(999), duration(1_250)), ("999 ms".into(), "1.2 s".into()));
        assert_eq!((duration(61_000), duration(3_720_000)), ("1 min 01 s".into(), "1 h 02 min".into()));
        assert_eq!((count(1, "loop"), count(2, "loop")), ("1 loop".into(), "2 loops".into()));
    }
}
