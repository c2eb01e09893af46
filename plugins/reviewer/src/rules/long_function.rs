//! Functions that are too long to be understood at once.
//!
//! Blocks are told apart by indentation, in languages with braces too: the end
//! is the closing brace that stands below the start of the function. That needs
//! no parser for each language, holds for all formatted code, and a brace within
//! a string cannot mislead it.

use super::Found;
use crate::finding::{Severity, quote};
use crate::language::Blocks;
use crate::source::Source;

pub const NAME: &str = "long-function";

/// What starts a line that has brackets and a brace and is no function.
const NOT_FUNCTIONS: [&str; 26] = [
    "if", "for", "while", "switch", "match", "catch", "else", "do", "return", "try", "with", "using", "lock", "foreach",
    "when", "unless", "loop", "class", "interface", "enum", "struct", "impl", "trait", "mod", "namespace", "macro_rules",
];

pub fn check(source: &Source<'_>, max_lines: usize, found: &mut Found<'_>) {
    if !source.is_code() {
        return;
    }
    let starts = source.numbered().filter(|(_, line)| is_start(source, line));
    for (number, line) in starts {
        let Some(end) = end(source, number) else { continue };
        let body = &source.lines[number - 1..end];
        let lines = body.iter().filter(|line| !source.is_blank_or_comment(line)).count();
        if lines > max_lines {
            let severity = if lines > 3 * max_lines { Severity::Warning } else { Severity::Info };
            let head = quote(line.trim().trim_end_matches(['{', ':', ' ']));
            found(number, severity, format!("a function of {lines} lines of code, over {max_lines}: `{head}`"));
        }
    }
}

fn is_start(source: &Source<'_>, line: &str) -> bool {
    match source.language.blocks {
        Blocks::Indent => has_keyword(line.trim_start(), "def"),
        Blocks::Braces => is_brace_start(line),
        Blocks::Unknown => false,
    }
}

/// `fn`, `func`, `function`, `fun`, an arrow function with a name, or a name, a
/// list of parameters and nothing that says it is something else.
fn is_brace_start(line: &str) -> bool {
    let line = line.trim();
    let head = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    if NOT_FUNCTIONS.contains(&head) || line.starts_with(['}', ')', '"', '\'', '/', '*', '#', '@', '.', '|']) {
        return false;
    }
    if ["fn", "func", "function", "fun"].iter().any(|keyword| has_keyword(line, keyword)) {
        return line.contains('(') && !line.ends_with([';', '}']);
    }
    if let Some((left, right)) = line.split_once('=') {
        let named = ["const", "let", "var", "export"].contains(&head) && !left.contains('(');
        return named && right.ends_with("=> {");
    }
    // A method of Java, C# or C++, or a function of C: `type name(parameters) {`.
    let Some((before, after)) = line.split_once('(') else { return false };
    let words = before.split_whitespace().count();
    let plain = before.chars().all(|c| c.is_alphanumeric() || " \t_*&<>:,[]~?".contains(c));
    let ends_head = after.ends_with('{') && after.contains(')') && !after.contains(['"', '=']);
    ends_head && plain && words >= 2 && !before.split_whitespace().any(|word| NOT_FUNCTIONS.contains(&word))
}

/// Whether a word with a space after it is among the first few of a line.
fn has_keyword(line: &str, keyword: &str) -> bool {
    let mut words = line.split_whitespace().take_while(|word| !word.contains('(')).take(6);
    let method = |word: &str| word == keyword;
    words.any(method) || keyword == "func" && line.starts_with("func (")
}

/// The number of the last line of a function that starts in this one.
fn end(source: &Source<'_>, number: usize) -> Option<usize> {
    let start = indentation(&source.lines[number - 1]);
    let below = source.numbered().skip(number);
    let is_over = |line: &str| !line.trim().is_empty() && indentation(line) <= start;
    match source.language.blocks {
        Blocks::Braces => below
            .filter(|(_, line)| is_over(line))
            .find(|(_, line)| !line.trim_start().starts_with([')', '{', '#']) && !is_clause(line))
            .filter(|(_, line)| line.trim_start().starts_with('}'))
            .map(|(number, _)| number),
        Blocks::Indent => {
            let next = below.filter(|(_, line)| is_over(line)).find(|(_, line)| !line.trim_start().starts_with([')', '#', ']']));
            Some(next.map_or(source.lines.len(), |(number, _)| number - 1))
        }
        Blocks::Unknown => None,
    }
}

/// `where` and what it says, which may stand as far left as the function.
fn is_clause(line: &str) -> bool {
    line.trim_start().starts_with("where")
}

fn indentation(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check as apply, lines};

    fn body(lines: usize, indent: &str) -> String {
        format!("{indent}step();\n").repeat(lines)
    }

    #[test]
    fn a_long_function_is_found_in_many_languages() {
        let many = body(20, "        ");
        for (path, head, foot) in [
            ("a.rs", "    pub(crate) async fn go<T>(\n        a: T,\n    ) -> u8\n    where\n        T: X,\n    {", "    }"),
            ("a.go", "func (s *Server) Go(a int) error {", "}"),
            ("a.js", "export async function go(a) {", "}"),
            ("a.ts", "const go = async (a: string) => {", "};"),
            ("A.java", "    public static void go(String a) throws X {", "    }"),
            ("a.c", "static int go(int a, char *b) {", "}"),
            ("a.kt", "    override fun go(a: Int): Int {", "    }"),
            ("a.py", "    async def go(self):", "    x = 1"),
        ] {
            let text = format!("// top\n{head}\n{many}{foot}\nnext();\n");
            assert_eq!(lines(path, &text, |s, f| check(s, 15, f)), [2], "{path}");
            assert!(lines(path, &text, |s, f| check(s, 40, f)).is_empty(), "{path}");
        }
    }

    #[test]
    fn comments_and_empty_lines_do_not_count() {
        let text = format!("fn go() {{\n{}{}}}\n", body(5, "    "), "    // why\n\n".repeat(20));
        assert!(lines("a.rs", text, |s, f| check(s, 10, f)).is_empty());
    }

    #[test]
    fn a_block_that_is_no_function_is_not_reported() {
        let many = body(20, "        ");
        for head in ["    if (a) {", "impl Go for (A, B) {", "class Go(Base) {", "describe('go', () => {", "    } else if (a) {"] {
            let text = format!("{head}\n{many}    }}\n}}\n");
            assert!(lines("a.ts", &text, |s, f| check(s, 10, f)).is_empty(), "{head}");
        }
    }

    #[test]
    fn each_function_is_measured_by_itself() {
        let text = format!("fn a() {{\n{}}}\n\nfn b() {{\n{}}}\n", body(8, "    "), body(8, "    "));
        assert!(lines("a.rs", text, |s, f| check(s, 10, f)).is_empty());
    }

    #[test]
    fn the_message_names_the_function() {
        let found = apply("a.rs", format!("fn go() {{\n{}}}\n", body(40, "    ")), |s, f| check(s, 10, f));
        assert_eq!(found, [(1, Severity::Warning, "a function of 42 lines of code, over 10: `fn go()`".into())]);
    }
}
