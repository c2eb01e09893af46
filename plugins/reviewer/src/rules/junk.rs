//! Binary junk in a text: the end of a broken download, a block of zeros that a
//! crash left, an executable with a script for a head.

use super::Found;
use crate::finding::Severity;
use crate::source::{Source, is_odd};

pub const NAME: &str = "binary-junk";

/// A stray control byte may be meant; so many close together are not.
const MIN_BYTES: usize = 8;
const WINDOW_BYTES: usize = 64;

pub fn check(source: &Source<'_>, found: &mut Found<'_>) {
    let Some(at) = start(source.bytes) else {
        return;
    };
    let line = 1 + source.bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let rest = source.bytes.len() - at;
    let message = format!("binary data in a text file, from byte {at} on ({rest} bytes to the end)");
    found(line, Severity::Error, message);
}

/// Where the junk starts: at a zero byte, which no text has, or at a control byte
/// with many others close behind it.
fn start(bytes: &[u8]) -> Option<usize> {
    let zero = bytes.iter().position(|byte| *byte == 0);
    let odd: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| is_odd(**byte)).map(|(at, _)| at).collect();
    let crowd = odd.windows(MIN_BYTES).find(|crowd| crowd[MIN_BYTES - 1] - crowd[0] < WINDOW_BYTES);
    [zero, crowd.map(|crowd| crowd[0])].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    fn text(junk: &[u8]) -> Vec<u8> {
        [&b"a line of text\n".repeat(100)[..], junk].concat()
    }

    #[test]
    fn junk_after_text_is_reported_where_it_starts() {
        let found = apply("a.txt", text(b"\0\0\0\0"), check);
        assert_eq!(found[0].0, 101);
        assert!(found[0].2.contains("from byte 1500 on (4 bytes"), "{}", found[0].2);
        assert_eq!(lines("a.txt", text(&[1, 2, 3, 4, 5, 6, 7, 8, 14, 15]), check), [101]);
    }

    #[test]
    fn text_of_any_encoding_and_a_stray_control_byte_are_not() {
        assert!(lines("a.txt", text("caf\u{e9} \u{4f60}\u{597d}".as_bytes()), check).is_empty());
        assert!(lines("a.txt", text(b"caf\xe9"), check).is_empty());
        assert!(lines("a.txt", text(b"\x0c page\x1b[0m colour"), check).is_empty());
    }
}
