//! Finding functions and how far they reach, in languages with braces and in
//! languages with indentation. It works on code without comments and strings,
//! and where it cannot tell it finds nothing: a missed function does less harm
//! than a wrong one.

use crate::language::Functions;
use crate::lexer::{Class, is_word};
use crate::source::Source;

/// A function that has a name.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: String,
    /// Of its name, from 1.
    pub line: usize,
    /// Where its body opens and where it ends.
    pub body: (usize, usize),
}

/// Names before parentheses and braces that are no functions.
const CONTROL: [&str; 26] = [
    "if", "for", "while", "switch", "catch", "synchronized", "using", "lock", "fixed", "return", "foreach", "else", "do",
    "try", "with", "when", "match", "unsafe", "function", "new", "throw", "await", "case", "constructor_", "select",
    "until",
];

/// Words with parentheses that stand before the name of a function.
const ATTRIBUTES: [&str; 6] = ["__attribute__", "alignas", "decltype", "__declspec", "noexcept", "throws"];

/// All functions, in the order in which they end.
pub fn of(source: &Source) -> Vec<Function> {
    match source.language.functions {
        Functions::None => Vec::new(),
        Functions::Indented(words) => indented(source, words),
        style => braced(source, style),
    }
}

fn braced(source: &Source, style: Functions) -> Vec<Function> {
    let mut code = source.code();
    if style == Functions::CLike {
        blank_directives(&mut code);
    }
    let mut found = Vec::new();
    // For each open brace, the function that it is the body of.
    let mut open: Vec<Option<(String, usize, usize)>> = Vec::new();
    let mut statement = 0;
    let mut parens = 0_u32;
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' => parens += 1,
            b')' => parens = parens.saturating_sub(1),
            b';' if parens == 0 || style == Functions::Shell => statement = at + 1,
            b'{' => {
                let name = name_of(&code[statement..at], style);
                open.push(name.map(|(name, offset)| (name, source.line_of(statement + offset), source.line_of(at))));
                statement = at + 1;
                parens = 0;
            }
            b'}' => {
                if let Some(Some((name, line, first))) = open.pop() {
                    found.push(Function { name, line, body: (first, source.line_of(at)) });
                }
                statement = at + 1;
                parens = 0;
            }
            _ => {}
        }
    }
    found
}

/// Directives are no code, and of two branches only the first counts: both may
/// open a brace that is closed once.
fn blank_directives(code: &mut [u8]) {
    let mut skipping = 0_u32;
    let mut continued = false;
    let mut start = 0;
    while start < code.len() {
        let end = code[start..].iter().position(|byte| *byte == b'\n').map_or(code.len(), |at| start + at);
        let line = code[start..end].trim_ascii();
        let directive = line.strip_prefix(b"#").map(<[u8]>::trim_ascii);
        let goes_on = (directive.is_some() || continued) && line.ends_with(b"\\");
        if let Some(directive) = directive {
            if skipping > 0 && directive.starts_with(b"if") {
                skipping += 1;
            } else if skipping > 0 && directive.starts_with(b"endif") {
                skipping -= 1;
            } else if skipping == 0 && (directive.starts_with(b"else") || directive.starts_with(b"elif")) {
                skipping = 1;
            }
        }
        if directive.is_some() || continued || skipping > 0 {
            code[start..end].fill(b' ');
        }
        continued = goes_on;
        start = end + 1;
    }
}

/// The name of the function whose body comes after this, and where it stands.
fn name_of(header: &[u8], style: Functions) -> Option<(String, usize)> {
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
    let at = words(header).filter(|(at, len)| &header[*at..at + len] == word.as_bytes()).last()?.0;
    let mut rest = at + word.len();
    let skip_space = |at: usize| at + header[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'*' | b'&')).count();
    rest = skip_space(rest);
    // A receiver, as Go has it.
    if header.get(rest) == Some(&b'(') {
        rest = skip_space(closing(header, rest)? + 1);
    }
    let (start, len) = words(&header[rest..]).next().filter(|(start, _)| *start == 0)?;
    let name = rest + start..rest + start + len;
    if by_line && ends_statement(&header[name.end..]) {
        return None;
    }
    Some((String::from_utf8_lossy(&header[name]).into_owned(), at))
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
            let expression = first.is_some_and(|word| matches!(word, b"return" | b"new" | b"throw" | b"else" | b"case"));
            return (known && !expression).then_some((name, start));
        }
        at = close + 1;
    }
}

/// `name = (…) =>` or `name = … =>`, with or without a type.
fn arrow(header: &[u8]) -> Option<(String, usize)> {
    let before = header.trim_ascii_end().strip_suffix(b"=>")?;
    let declared = words(before)
        .filter(|(at, len)| matches!(&before[*at..at + len], b"const" | b"let" | b"var"))
        .last()?;
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
        b"async", b"static", b"get", b"set", b"public", b"private", b"protected", b"readonly", b"override", b"abstract",
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

fn indented(source: &Source, keywords: &[&str]) -> Vec<Function> {
    let code = source.code();
    let mut found = Vec::new();
    let mut open: Vec<(usize, Function)> = Vec::new();
    let mut parens = 0_u32;
    for line in 1..=source.line_count() {
        let (start, end) = source.span(line);
        let inside = parens > 0 || (start > 0 && source.classes[start - 1] == Class::Text);
        for byte in &code[start..end] {
            match byte {
                b'(' | b'[' | b'{' => parens += 1,
                b')' | b']' | b'}' => parens = parens.saturating_sub(1),
                _ => {}
            }
        }
        if inside || !source.has_code(line) {
            continue;
        }
        let text = source.line(line);
        let indent = text.len() - text.trim_start().len();
        while open.last().is_some_and(|(depth, _)| indent <= *depth) {
            let Some((_, function)) = open.pop() else { break };
            found.push(function);
        }
        for (_, function) in &mut open {
            function.body.1 = line;
        }
        let text = text.trim_start();
        let name = keywords.iter().find_map(|word| text.strip_prefix(word)?.strip_prefix(' '));
        if let Some(name) = name {
            let name = name.split(|c: char| c == '(' || c.is_whitespace()).next().unwrap_or_default().to_owned();
            open.push((indent, Function { name, line, body: (line, line) }));
        }
    }
    found.extend(open.into_iter().rev().map(|(_, function)| function));
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[(&str, usize, usize)]) {
        let source = Source::new(path, text);
        let mut found = of(&source);
        found.sort_by_key(|function| function.line);
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.body.1)).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn rust() {
        check("a.rs", "impl A {\n  pub const fn a(&self, f: fn(u8)) -> u8\n  where Self: B {\n  if x { y }\n}\n}", &[("a", 2, 5)]);
        check("a.rs", "fn a() { fn b() {\n } }\nstruct C { f: fn(u8) }", &[("a", 1, 2), ("b", 1, 2)]);
        check("a.rs", "fn a() {\n let x = \"}\"; // }\n }", &[("a", 1, 3)]);
    }

    #[test]
    fn languages_without_semicolons() {
        check("a.go", "func (r *T) A(x int) (int, error) {\n}\nx := func() {\n}\n", &[("A", 1, 2)]);
        check("a.kt", "fun a() = 1\nval b = object : C {\n}\n", &[]);
        check("a.swift", "func a(\n b: C\n) -> D {\n}\n", &[("a", 1, 4)]);
    }

    #[test]
    fn c_and_its_relatives() {
        check("a.c", "static int a(int b)\n{\n for (;;) { }\n}\n", &[("a", 1, 4)]);
        check("a.c", "int a(void) {\n#ifdef X\n if (b) {\n#else\n if (c) {\n#endif\n }\n}\nint d() {\n}\n", &[("a", 1, 8), ("d", 9, 10)]);
        check("a.java", "class A { @X(\"y\") public void b() throws C {\n }\n int[] d = {1};\n}", &[("b", 1, 2)]);
        check("a.cpp", "A::A(int a) : b(a) {\n}\nauto c = [](int x) {\n};\n", &[("A", 1, 2)]);
    }

    #[test]
    fn scripts() {
        check("a.js", "function a() {\n}\nconst b = async (x) => {\n}\ndescribe(\"c\", () => {\n})\n", &[("a", 1, 2), ("b", 3, 4)]);
        check("a.ts", "class A {\n  private async b(c: D): Promise<E> {\n    if (x) {\n    }\n  }\n}\n", &[("b", 2, 5)]);
        check("a.js", "foo()\nnew Bar(function() {\n}) \nx = y.map((z) => {\n})\n", &[]);
    }

    #[test]
    fn languages_with_indentation() {
        check("a.py", "class A:\n  def b(self,\n  c):\n    x = '''\ny\n'''\n\n    z\n  # no\nd = 1\n", &[("b", 2, 8)]);
        check("a.py", "async def a():\n  def b():\n    c\n  d\n", &[("a", 1, 4), ("b", 2, 3)]);
        check("a.rb", "def a\n  b\nend\n", &[("a", 1, 2)]);
    }

    #[test]
    fn shell() {
        check("a.sh", "x=1\na() {\n case b in c) d;; esac\n}\n", &[("a", 2, 4)]);
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        check("a.rs", "fn a() {", &[]);
        check("a.rs", "}}} fn a() {}", &[("a", 1, 1)]);
        check("a.c", "(((", &[]);
    }
}
