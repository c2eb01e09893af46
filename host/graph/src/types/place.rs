//! Places: which part of an expression's text a part of it was read from. The
//! parser knows one token of each; the rest is found in the text.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, SourceInfo};

/// Where a part stands: from which byte, and how many.
pub(super) fn of(text: &str, info: &SourceInfo, expr: &IdedExpr) -> Option<(usize, usize)> {
    let mut extent = None;
    widen(text, info, expr, &mut extent);
    let (mut start, mut end) = extent?;
    for _ in 0..unbalanced(&text[start..end]).0 {
        start = text[..start].rfind(['(', '[', '{']).unwrap_or(start);
    }
    while end < text.len() && unbalanced(&text[start..end]).1 > 0 {
        end += next_len(text, end);
    }
    Some((start, end - start))
}

/// Where a name and so many of its fields stand.
pub(super) fn of_look(text: &str, info: &SourceInfo, root: &IdedExpr, parts: usize) -> (usize, usize) {
    let Some((start, mut end)) = token(text, info, root.id) else { return (0, text.len()) };
    for _ in 1..parts {
        let rest = &text[end..];
        let lead = rest.len() - rest.trim_start().len();
        let len = match rest.trim_start().as_bytes() {
            [b'.', ..] => {
                let name = rest[lead + 1..].trim_start();
                let before = rest.len() - name.len();
                before + name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len())
            }
            [b'[', ..] => rest.find(']').map_or(rest.len(), |at| at + 1),
            _ => break,
        };
        end += len;
    }
    (start, end - start)
}

fn next_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

/// The bytes of the token that the parser remembers.
fn token(text: &str, info: &SourceInfo, id: u64) -> Option<(usize, usize)> {
    let (start, stop) = info.offset_for(id)?;
    let (start, mut end) = (start as usize, (stop as usize).saturating_add(1).min(text.len()));
    while !text.is_char_boundary(end) {
        end += 1;
    }
    (start < end && text.is_char_boundary(start)).then_some((start, end))
}

/// Takes in what a part and all below it was read from.
fn widen(text: &str, info: &SourceInfo, expr: &IdedExpr, extent: &mut Option<(usize, usize)>) {
    let mut take = |start: usize, end: usize| {
        let (first, last) = extent.unwrap_or((start, end));
        *extent = Some((first.min(start), last.max(end)));
    };
    if let Some((start, end)) = token(text, info, expr.id) {
        // Of a call without a value before it, the token is the parenthesis.
        let named = matches!(&expr.expr, Expr::Call(CallExpr { target: None, .. })) && text[start..].starts_with('(');
        let before = text[..start].trim_end();
        let name = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        let field = match &expr.expr {
            Expr::Select(_) => text[end..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_'),
            _ => Some(0),
        };
        take(if named { name } else { start }, field.map_or(text.len(), |len| end + len));
    }
    match &expr.expr {
        Expr::Call(call) => {
            call.target.iter().map(|it| &**it).chain(&call.args).for_each(|part| widen(text, info, part, extent));
        }
        Expr::Select(select) => widen(text, info, &select.operand, extent),
        Expr::List(list) => list.elements.iter().for_each(|part| widen(text, info, part, extent)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                widen(text, info, &entry.key, extent);
                widen(text, info, &entry.value, extent);
            }
            EntryExpr::StructField(field) => widen(text, info, &field.value, extent),
        }),
        Expr::Comprehension(written_out) => {
            widen(text, info, &written_out.iter_range, extent);
            widen(text, info, &written_out.loop_step, extent);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// How many brackets are closed without being opened, and opened without being
/// closed.
fn unbalanced(text: &str) -> (usize, usize) {
    let (mut before, mut open, mut quote) = (0, 0, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(mark), c) if mark == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => open += 1,
            (None, ')' | ']' | '}') if open > 0 => open -= 1,
            (None, ')' | ']' | '}') => before += 1,
            (None, _) => {}
        }
    }
    (before, open)
}
