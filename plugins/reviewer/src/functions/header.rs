//! The names of functions, from what stands before the brace that opens them.
//! It sees code with comments and strings left blank.

use std::ops::Range;

use crate::language::Functions;
use crate::lexer::is_word;

/// Names before parentheses and braces that are no functions.
const CONTROL: [&str; 25] = [
    "if",
    "for",
    "while",
    "switch",
    "catch",
    "synchronized",
    "using",
    "lock",
    "fixed",
    "return",
    "foreach",
    "else",
    "do",
    "try",
    "with",
    "when",
    "match",
    "unsafe",
    "function",
    "new",
    "throw",
    "await",
    "case",
    "select",
    "until",
];

/// Words with parentheses that stand before the name of a function.
const ATTRIBUTES: [&str; 6] = ["__attribute__", "alignas", "decltype", "__declspec", "noexcept", "throws"];

/// The name of the function whose body comes after this, and where it stands.
pub(super) fn name_of(header: &[u8], style: Functions) -> Option<(String, usize)> {
    match style {
        Functions::Keyword { word, by_line } => after_keyword(header, word, by_line),
        Functions::CLike => before_parens(header),
        Functions::Script => {
            after_keyword(header, "function", true).or_else(|| arrow(header)).or_else(|| method(header))
        }
        Functions::Shell => {
            let line = header.trim_ascii_end().iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let (name, offset) = before_parens(&header[line..])?;
            Some((name, line + offset))
        }
        Functions::Indented(_) | Functions::None => None,
    }
}

fn after_keyword(header: &[u8], word: &str, by_line: bool) -> Option<(String, usize)> {
    // The first that has a name and goes on to the brace: the word stands in the
    // types of parameters, too, and before functions without braces.
    words(header).filter(|(at, len)| &header[*at..at + len] == word.as_bytes()).find_map(|(at, len)| {
        let name = name_at(header, at + len)?;
        let goes_on = !(by_line && ends_statement(&header[name.end..]));
        goes_on.then(|| (String::from_utf8_lossy(&header[name]).into_owned(), at))
    })
}

/// The name that stands after the keyword, with something after it that can
/// follow such a name.
fn name_at(header: &[u8], at: usize) -> Option<Range<usize>> {
    let skip_space =
        |at: usize| at + header[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'*' | b'&')).count();
    let mut at = skip_space(at);
    // A receiver, as Go has it, or what Kotlin is generic over.
    let receiver = match header.get(at)? {
        b'(' => Some(closing(header, at)?),
        b'<' => Some(at + header[at..].iter().position(|byte| *byte == b'>')?),
        _ => None,
    };
    if let Some(close) = receiver {
        at = skip_space(close + 1);
    }
    let length = header[at..].iter().take_while(|byte| is_word(**byte)).count();
    let next = header[at + length..].trim_ascii_start().first();
    let can_follow = match next {
        Some(b'(' | b'[' | b'<' | b'.') => true,
        Some(b':' | b'=') | None => receiver.is_none(),
        Some(_) => false,
    };
    (length > 0 && can_follow).then_some(at..at + length)
}

/// Whether a line ends outside of parentheses before more code follows.
fn ends_statement(rest: &[u8]) -> bool {
    let mut depth = 0_u32;
    for byte in rest.trim_ascii_end() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'\n' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// The first name that stands before parentheses, where nothing says that this
/// is an expression.
fn before_parens(header: &[u8]) -> Option<(String, usize)> {
    let mut at = 0;
    loop {
        let open = at + header[at..].iter().position(|byte| matches!(byte, b'(' | b'='))?;
        if header[open] == b'=' {
            return None;
        }
        let close = closing(header, open)?;
        let (name, start) = word_before(header, open)?;
        let annotated = start > 0 && header[start - 1] == b'@';
        if !annotated && !ATTRIBUTES.contains(&name.as_str()) {
            let known = !CONTROL.contains(&name.as_str()) && !name.as_bytes()[0].is_ascii_digit();
            let first = words(header).next().map(|(at, len)| &header[at..at + len]);
            let expression =
                first.is_some_and(|word| matches!(word, b"return" | b"new" | b"throw" | b"else" | b"case"));
            return (known && !expression).then_some((name, start));
        }
        at = close + 1;
    }
}

/// `name = (…) =>` or `name = … =>`, with or without a type.
fn arrow(header: &[u8]) -> Option<(String, usize)> {
    let before = header.trim_ascii_end().strip_suffix(b"=>")?;
    let declared =
        words(before).filter(|(at, len)| matches!(&before[*at..at + len], b"const" | b"let" | b"var")).last()?;
    let after = declared.0 + declared.1;
    let (start, len) = words(&before[after..]).next()?;
    let name = after + start..after + start + len;
    let rest = &before[name.end..];
    let equals = rest.iter().position(|byte| *byte == b'=')?;
    let value = rest[equals + 1..].trim_ascii();
    let value = value.strip_prefix(b"async").map_or(value, <[u8]>::trim_ascii);
    // The arrow has to be the value itself and not an argument within it.
    let whole = match value.first()? {
        b'(' => closing(value, 0).is_some_and(|close| {
            let rest = value[close + 1..].trim_ascii();
            rest.is_empty() || rest.starts_with(b":")
        }),
        _ => value.iter().all(|byte| is_word(*byte)),
    };
    whole.then(|| (String::from_utf8_lossy(&before[name]).into_owned(), declared.0))
}

/// `name(…)` or `name(…): type` alone on its line, with or without modifiers.
fn method(header: &[u8]) -> Option<(String, usize)> {
    const MODIFIERS: [&[u8]; 11] = [
        b"async",
        b"static",
        b"get",
        b"set",
        b"public",
        b"private",
        b"protected",
        b"readonly",
        b"override",
        b"abstract",
        b"export",
    ];
    let mut depth = 0_u32;
    let end = header.trim_ascii_end().len();
    let close = header[..end].iter().rposition(|byte| *byte == b')')?;
    let after = header[close + 1..end].trim_ascii();
    if !(after.is_empty() || (after.starts_with(b":") && !after.contains(&b'='))) {
        return None;
    }
    let open = (0..=close).rev().find(|at| {
        match header[*at] {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let (name, start) = word_before(header, open)?;
    let line = header[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let before = header[line..start].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let modified = before.map(|word| word.trim_ascii()).all(|word| MODIFIERS.contains(&word) || word == b"*");
    (modified && !CONTROL.contains(&name.as_str())).then_some((name, start))
}

/// Where the words of a text start, and how long they are.
fn words(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].iter().position(|byte| is_word(*byte))?;
        let start = at;
        at += text[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(text.len() - at);
        Some((start, at - start))
    })
}

fn word_before(text: &[u8], at: usize) -> Option<(String, usize)> {
    let end = text[..at].trim_ascii_end().len();
    let start = text[..end].iter().rposition(|byte| !is_word(*byte)).map_or(0, |at| at + 1);
    (start < end).then(|| (String::from_utf8_lossy(&text[start..end]).into_owned(), start))
}

/// Where the parenthesis at `open` is closed.
fn closing(text: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in text.iter().enumerate().skip(open) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}
