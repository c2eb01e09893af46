//! Finding functions and how far they reach, in languages with braces and in
//! languages with indentation. It works on code without comments and strings,
//! and where it cannot tell it finds nothing: a missed function does less harm
//! than a wrong one.

mod header;

use crate::language::Functions;
use crate::lexer::Class;
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
                let name = header::name_of(&code[statement..at], style);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[(&str, usize, usize)]) {
        let source = Source::new(path, text);
        let mut found = of(&source);
        found.sort_by(|a, b| (a.line, &a.name).cmp(&(b.line, &b.name)));
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.body.1)).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn rust() {
        check(
            "a.rs",
            "impl A {\n  pub const fn a(&self, f: fn(u8)) -> u8\n  where Self: B {\n  if x { y }\n}\n}",
            &[("a", 2, 5)],
        );
        check("a.rs", "fn a() { fn b() {\n } }\nstruct C { f: fn(u8) }", &[("a", 1, 2), ("b", 1, 2)]);
        check("a.rs", "fn a() {\n let x = \"}\"; // }\n }", &[("a", 1, 3)]);
    }

    #[test]
    fn languages_without_semicolons() {
        check(
            "a.go",
            "func (r *T) A(x func(int) int) (int, error) {\n}\nx := func(a int) error {\n}\n",
            &[("A", 1, 2)],
        );
        check("a.kt", "fun a() = 1\nval b = object : C {\n}\nfun <T> T.c() {\n}\n", &[("T", 4, 5)]);
        check("a.swift", "func a(\n b: C\n) -> D {\n}\n", &[("a", 1, 4)]);
    }

    #[test]
    fn c_and_its_relatives() {
        check("a.c", "static int a(int b)\n{\n for (;;) { }\n}\n", &[("a", 1, 4)]);
        check(
            "a.c",
            "int a(void) {\n#ifdef X\n if (b) {\n#else\n if (c) {\n#endif\n }\n}\nint d() {\n}\n",
            &[("a", 1, 8), ("d", 9, 10)],
        );
        check("a.java", "class A { @X(\"y\") public void b() throws C {\n }\n int[] d = {1};\n}", &[("b", 1, 2)]);
        check("a.cpp", "A::A(int a) : b(a) {\n}\nauto c = [](int x) {\n};\n", &[("A", 1, 2)]);
    }

    #[test]
    fn scripts() {
        check(
            "a.js",
            "function a() {\n}\nconst b = async (x) => {\n}\ndescribe(\"c\", () => {\n})\n",
            &[("a", 1, 2), ("b", 3, 4)],
        );
        check(
            "a.ts",
            "class A {\n  private async b(c: D): Promise<E> {\n    if (x) {\n    }\n  }\n}\n",
            &[("b", 2, 5)],
        );
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
