//! Text that others wrote, made fit for a terminal, and quantities as people
//! read them.
//!
//! Names, messages and reports come out of plugins. Written as they are they
//! could move the cursor, recolour the screen or turn the reading direction
//! round, so whatever is shown as text passes through here. JSON output does
//! not: its escapes are safe as they stand.

use std::borrow::Cow;

use pleach_engine::kernel::Timestamp;

/// `text` on one line, without control characters.
pub fn line(text: &str) -> Cow<'_, str> {
    clean(text, |_| false)
}

/// `text` with its line breaks and tabs, and without other control characters.
pub fn block(text: &str) -> Cow<'_, str> {
    clean(text, |c| matches!(c, '\n' | '\t'))
}

fn clean(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let unsafe_here = |c: char| (c.is_control() || turns_direction(c)) && !keep(c);
    if !text.contains(unsafe_here) {
        return Cow::Borrowed(text);
    }
    let safe = |c: char| match c {
        c if !unsafe_here(c) => c,
        '\n' | '\t' => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    };
    // A line that ends in CR LF loses only what would have been invisible.
    Cow::Owned(text.replace("\r\n", "\n").chars().map(safe).collect())
}

/// The controls of bidirectional text, with which a line can be made to read
/// as something else.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `width` characters of `text`; an ellipsis says that there was more.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

/// An instant in RFC 3339, in UTC and to the millisecond; as the bare number
/// where it is beyond the years that can be written so.
pub fn rfc3339(at: Timestamp) -> String {
    at_format(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// An instant as a column in a table: UTC, to the second.
pub fn date_and_time(at: Timestamp) -> String {
    at_format(at, "%Y-%m-%d %H:%M:%S")
}

/// An instant as a column in a log: UTC, to the millisecond.
pub fn time(at: Timestamp) -> String {
    at_format(at, "%H:%M:%S%.3f")
}

fn at_format(at: Timestamp, format: &str) -> String {
    let instant = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match instant {
        Some(instant) => instant.strftime(format).to_string(),
        None => at.0.to_string(),
    }
}

/// A span of time, with as many digits as matter.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A number of things, with the noun in its right form.
pub fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// An amount of data.
pub fn bytes(n: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (n, 0, "bytes");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1_024 {
            break;
        }
        (tenths, whole, unit) = (whole % 1_024 * 10 / 1_024, whole / 1_024, next);
    }
    match unit {
        "bytes" => count(n, "byte"),
        unit => format!("{whole}.{tenths} {unit}"),
    }
}

/// A number with its digits in groups of three.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_drive_the_terminal() {
        assert_eq!(line("\u{1b}[2Jgone\r\nx\ty"), "\u{fffd}[2Jgone x y");
        assert_eq!(block("a\tb\r\nc\u{7}"), "a\tb\nc\u{fffd}");
        let reversed = format!("user{}nimda", '\u{202e}');
        assert_eq!(line(&reversed), "user\u{fffd}nimda");
        assert!(matches!(line("plain — ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(duration(7), "7 ms");
        assert_eq!(duration(1_250), "1.2 s");
        assert_eq!(duration(61_000), "1 min 01 s");
        assert_eq!(duration(3_720_000), "1 h 02 min");
        assert_eq!(count(1, "run"), "1 run");
        assert_eq!(count(1_234_567, "run"), "1,234,567 runs");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1_023), "1,023 bytes");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    #[test]
    fn instants_are_utc_and_never_panic() {
        assert_eq!(rfc3339(Timestamp(1_700_000_000_001)), "2023-11-14T22:13:20.001Z");
        assert_eq!(time(Timestamp(1_700_000_000_001)), "22:13:20.001");
        assert_eq!(date_and_time(Timestamp(0)), "1970-01-01 00:00:00");
        assert_eq!(rfc3339(Timestamp(u64::MAX)), u64::MAX.to_string());
    }
}
