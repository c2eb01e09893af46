//! Telling text from other content by looking at it, and finding where text
//! turns into something else. Which language the text is in is not asked here.

/// Text has none of these apart from its line ends, tabs and form feeds; the
/// escape character is spared because terminal output is kept as text.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31 | 127)
}

/// This much of a file has to be text before what follows it is called junk.
const LEAST_TEXT_BYTES: usize = 64;

/// This many control characters may be in a text.
const FEW_CONTROLS: usize = 3;

/// What a file holds.
#[derive(Debug, PartialEq)]
pub enum Content {
    Text {
        /// Bytes that are not UTF-8 are replaced.
        text: String,
        /// Where the first byte that is not UTF-8 stands.
        invalid_at: Option<usize>,
    },
    /// Text up to `text.len()`, and then `junk_bytes` that are none.
    TextThenJunk {
        text: String,
        junk_bytes: usize,
    },
    Binary,
}

/// Look at the whole of a file. `source` says that its name promises text.
pub fn of(bytes: Vec<u8>, source: bool) -> Content {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Content::Binary; // UTF-16: text, but none that the rules can read
    }
    let nul = bytes.iter().position(|byte| *byte == 0);
    let controls = bytes.iter().filter(|byte| is_control(**byte)).count();
    let first = bytes.iter().position(|byte| is_control(*byte)).unwrap_or(bytes.len());
    let odd = nul.is_some() || controls > FEW_CONTROLS.max(bytes.len() / 100);
    if !odd {
        return decode(bytes, source);
    }
    let text = bytes[..first].to_vec();
    let junk_bytes = bytes.len() - first;
    let mostly_text = first >= LEAST_TEXT_BYTES && (source || first / 9 >= junk_bytes) && text.contains(&b'\n');
    match String::from_utf8(text) {
        Ok(text) if mostly_text => Content::TextThenJunk { text, junk_bytes },
        _ => Content::Binary,
    }
}

fn decode(bytes: Vec<u8>, source: bool) -> Content {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Content::Text { text, invalid_at: None },
        Err(error) => error,
    };
    let bytes = error.as_bytes();
    // An old encoding of some letters is text; a file full of such bytes is not.
    let high = bytes.iter().filter(|byte| **byte >= 0x80).count();
    if !source && high > bytes.len() / 5 {
        return Content::Binary;
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    Content::Text { text, invalid_at: Some(error.utf8_error().valid_up_to()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], source: bool, expected: &str) {
        let found = match of(bytes.to_vec(), source) {
            Content::Text { text, invalid_at } => format!("text {} {invalid_at:?}", text.len()),
            Content::TextThenJunk { text, junk_bytes } => format!("{} then {junk_bytes}", text.len()),
            Content::Binary => "binary".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn text_is_text_with_or_without_a_line_end() {
        check(b"", true, "text 0 None");
        check("ein Fuß\r\n\tgeht".as_bytes(), false, "text 15 None");
        check(b"\x1b[1mbold\x1b[0m\n", false, "text 13 None");
    }

    #[test]
    fn other_encodings_are_text_only_where_few_bytes_are_odd() {
        check(b"int caf\xe9;\n", true, "text 12 Some(7)");
        check(&[0xe9; 100], false, "binary");
        check(&[0xff, 0xfe, b'a', 0], true, "binary");
    }

    #[test]
    fn what_has_nul_bytes_from_the_start_is_binary() {
        check(b"\0asm\x01\0\0\0", true, "binary");
        check(b"GIF89a\0\x01", false, "binary");
    }

    #[test]
    fn junk_after_text_is_told_from_a_binary_file() {
        let mut bytes = b"fn main() {}\n".repeat(10);
        bytes.extend([0, 1, 2, 0]);
        check(&bytes, true, "130 then 4");
        check(&bytes, false, "130 then 4");
        bytes.extend([0; 500]);
        check(&bytes, true, "130 then 504");
        check(&bytes, false, "binary");
    }
}
