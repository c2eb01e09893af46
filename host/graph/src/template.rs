//! Templates: JSON with expressions in its text, compiled.

use std::collections::HashSet;
use std::ops::Range;

use pleach_kernel::Payload;
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expression::{Budget, Expression, Mistake, Scope};
use crate::source::{Source, Span};
use crate::spelling::Spelling;
use crate::tree::{Tree, Value};

/// A template, compiled.
#[derive(Clone, Debug)]
pub struct Template {
    form: Form,
    expressions: Vec<(Expression, Span)>,
}

#[derive(Clone, Debug)]
enum Form {
    /// Without an expression.
    Plain(Json),
    /// Nothing but an expression, by its place among all.
    One(usize),
    Text(Vec<Piece>),
    List(Vec<Form>),
    Map(Vec<(String, Form)>),
}

#[derive(Clone, Debug)]
enum Piece {
    Plain(String),
    One(usize),
}

impl Template {
    /// Compiles every expression; what is wrong with one is told, and `null` is in
    /// its place.
    pub(crate) fn compile(tree: &Tree, source: &Source, found: &mut Diagnostics) -> Self {
        let mut compiler = Compiler { source, found, expressions: Vec::new() };
        let form = compiler.form(tree);
        Self { form, expressions: compiler.expressions }
    }

    /// Nothing but JSON.
    pub(crate) fn plain(value: Json) -> Self {
        Self { form: Form::Plain(value), expressions: Vec::new() }
    }

    /// Its expressions and where they stand.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, Span)> {
        self.expressions.iter().map(|(expression, span)| (expression, *span))
    }

    /// The value, where it has no expression.
    pub fn as_plain(&self) -> Option<&Json> {
        match &self.form {
            Form::Plain(value) => Some(value),
            Form::One(_) | Form::Text(_) | Form::List(_) | Form::Map(_) => None,
        }
    }

    /// Fills it in; the error is for people.
    pub fn render(&self, scope: &dyn Scope) -> Result<Payload, String> {
        if let Form::Plain(value) = &self.form {
            return Payload::of(value).map_err(|error| error.to_string());
        }
        if let Form::One(one) = self.form
            && let Some(path) = self.expressions[one].0.path()
            && let Some(whole) = scope.whole(path)
        {
            return Ok(whole);
        }
        let mut filling = Filling { scope, budget: Budget::default(), left: MOST_FILLED };
        let filled = self.fill(&self.form, &mut filling);
        scope.took(filling.budget.steps());
        Payload::of(&filled?).map_err(|error| error.to_string())
    }

    fn value(&self, one: usize, filling: &mut Filling) -> Result<Json, String> {
        let value = self.expressions[one].0.evaluate_within(&filling.budget, filling.scope)?;
        let too_much = || format!("its expressions give more than {MOST_FILLED} bytes; have an agent compute it");
        filling.left = filling.left.checked_sub(weight(&value)).ok_or_else(too_much)?;
        Ok(value)
    }

    fn fill(&self, form: &Form, filling: &mut Filling) -> Result<Json, String> {
        Ok(match form {
            Form::Plain(value) => value.clone(),
            Form::One(one) => self.value(*one, filling)?,
            Form::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Plain(plain) => text.push_str(plain),
                        Piece::One(one) => match self.value(*one, filling)? {
                            Json::String(inner) => text.push_str(&inner),
                            Json::Null => {}
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                text.into()
            }
            Form::List(items) => items.iter().map(|item| self.fill(item, filling)).collect::<Result<_, _>>()?,
            Form::Map(fields) => {
                let fields = fields.iter().map(|(key, form)| Ok((key.clone(), self.fill(form, filling)?)));
                Json::Object(fields.collect::<Result<_, String>>()?)
            }
        })
    }
}

/// A template on its way to be filled in.
struct Filling<'a> {
    scope: &'a dyn Scope,
    budget: Budget,
    /// Bytes that its expressions may still give.
    left: usize,
}

/// Bytes that the expressions of one template give together, about. More would be too
/// long for a payload anyway.
const MOST_FILLED: usize = 16 << 20;

/// About how much memory a value takes.
fn weight(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 16,
        Json::String(text) => text.len() + 16,
        Json::Array(items) => items.iter().map(weight).sum::<usize>() + 16,
        Json::Object(fields) => fields.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>() + 16,
    }
}

struct Compiler<'a> {
    source: &'a Source,
    found: &'a mut Diagnostics,
    expressions: Vec<(Expression, Span)>,
}

impl Compiler<'_> {
    fn form(&mut self, tree: &Tree) -> Form {
        match &tree.value {
            Value::Text(text) if text.contains("${{") => self.text(text, tree.span),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Form::Plain(tree.json()),
            Value::List(items) => {
                let items: Vec<Form> = items.iter().map(|item| self.form(item)).collect();
                if items.iter().all(|item| matches!(item, Form::Plain(_))) {
                    return Form::Plain(tree.json());
                }
                Form::List(items)
            }
            Value::Map(entries) => {
                let mut fields: Vec<(String, Form)> = Vec::with_capacity(entries.len());
                let mut keys = HashSet::with_capacity(entries.len());
                for entry in entries {
                    if !keys.insert(entry.key.as_str()) {
                        let message = format!("`{}` is here twice", entry.key);
                        self.found.push(
                            Diagnostic::error("duplicate_field", entry.key_span, message).hint("keep one of them"),
                        );
                        continue;
                    }
                    let hint = "make the map in an expression, such as `${{ {input.key: input.value} }}`";
                    as_it_stands("a key", hint, &entry.key, entry.key_span, self.found);
                    fields.push((entry.key.clone(), self.form(&entry.value)));
                }
                if fields.iter().all(|(_, field)| matches!(field, Form::Plain(_))) {
                    return Form::Plain(tree.json());
                }
                Form::Map(fields)
            }
        }
    }

    fn text(&mut self, text: &str, span: Span) -> Form {
        let spelling = Spelling::new(self.source, span, text);
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = 0;
        while let Some(at) = text[rest..].find(OPEN).map(|at| rest + at) {
            if text[rest..at].ends_with('$') {
                plain.push_str(&text[rest..at - 1]);
                plain.push_str(OPEN);
                rest = at + OPEN.len();
                continue;
            }
            plain.push_str(&text[rest..at]);
            let inner = at + OPEN.len();
            let Some(len) = end_of_expression(&text[inner..]) else {
                let place = spelling.place(at..text.len());
                let problem = Diagnostic::error("expression", place, "`${{` is not closed");
                self.found.push(problem.hint("close it with `}}`, or write `$${{` for the characters themselves"));
                return Form::Plain(Json::Null);
            };
            let one = compile_at(inner..inner + len, &spelling, self.found);
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            if let Some(one) = one {
                pieces.push(Piece::One(self.expressions.len()));
                self.expressions.push(one);
            }
            rest = inner + len + 2;
        }
        plain.push_str(&text[rest..]);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        match pieces.as_slice() {
            [Piece::One(one)] => Form::One(*one),
            [Piece::Plain(text)] => Form::Plain(text.as_str().into()),
            _ => Form::Text(pieces),
        }
    }
}

/// What an expression begins with in a text.
const OPEN: &str = "${{";

/// Whether text looks as if it were to be computed.
fn looks_computed(text: &str) -> bool {
    let mut opened = text.match_indices(OPEN);
    opened.any(|(at, _)| !text[..at].ends_with('$') && end_of_expression(&text[at + OPEN.len()..]).is_some())
}

/// Tells of text that is taken as it stands, and looks as if it were not to be.
pub(crate) fn as_it_stands(what: &str, hint: &str, text: &str, span: Span, found: &mut Diagnostics) {
    if looks_computed(text) {
        let message = format!("{what} is taken as it stands: `${{{{ … }}}}` in it is not computed");
        found.push(Diagnostic::warning("not_computed", span, message).hint(hint));
    }
}

/// Compiles a field that is an expression as a whole.
pub(crate) fn compile_expression(
    text: &str,
    span: Span,
    source: &Source,
    found: &mut Diagnostics,
) -> Option<(Expression, Span)> {
    // People know the braces from templates and write them here too.
    let inner = text.trim().strip_prefix(OPEN).and_then(|rest| rest.strip_suffix("}}"));
    let bare = inner.unwrap_or(text);
    let from = text.find(bare).unwrap_or(0);
    compile_at(from..from + bare.len(), &Spelling::new(source, span, text), found)
}

/// Compiles a part of a text of the file.
fn compile_at(part: Range<usize>, spelling: &Spelling<'_>, found: &mut Diagnostics) -> Option<(Expression, Span)> {
    let expression = &spelling.text[part.clone()];
    let start = part.start + expression.len() - expression.trim_start().len();
    let whole = spelling.place(start..start + expression.trim().len());
    let place = |at: Option<(usize, usize)>| {
        at.map_or(whole, |(at, len)| match spelling.place(start + at..start + at + len) {
            place if place == spelling.span => whole,
            place => place,
        })
    };
    match Expression::compile(expression) {
        Ok(compiled) => {
            for Mistake { message, hint, at } in compiled.doubts() {
                let mut problem = Diagnostic::error("type_error", place(*at), message);
                problem.hint.clone_from(hint);
                found.push(problem);
            }
            Some((compiled, whole))
        }
        Err(Mistake { message, hint, at }) => {
            let mut problem = Diagnostic::error("expression", place(at), message);
            problem.hint = hint;
            found.push(problem);
            None
        }
    }
}

/// Where the expression that begins a text ends: at the first `}}` that belongs to
/// no map and no string of its own.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut quote) = (0, 0u32, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression::Datum;

    struct Known(Datum);

    fn known() -> Known {
        Known(json!({"n": 3, "s": "x", "l": [1], "null": null}).into())
    }

    impl Scope for Known {
        fn whole(&self, path: &[String]) -> Option<Payload> {
            (path == ["input", "whole"]).then(|| Payload::parse("[1,  2]".into()).unwrap())
        }

        fn named(&self, name: &str) -> Option<&Datum> {
            (name == "input").then_some(&self.0)
        }

        fn node(&self, _id: &str) -> Option<&Datum> {
            None
        }
    }

    fn compile(text: &str) -> (Template, Vec<Diagnostic>, Source) {
        let source = Source::new("g.yaml", text);
        let tree = crate::tree::parse(&source, &mut Diagnostics::default()).expect("it parses");
        let mut found = Diagnostics::default();
        let template = Template::compile(&tree, &source, &mut found);
        (template, found.sorted(), source)
    }

    fn rendered(text: &str) -> String {
        let (template, found, _) = compile(text);
        assert_eq!(found, [], "{text}");
        template.render(&known()).unwrap().as_str().to_owned()
    }

    #[test]
    fn an_expression_alone_keeps_its_type_and_one_in_text_becomes_text() {
        for (text, expected) in [
            ("${{ input.n }}", "3"),
            ("n is ${{ input.n }}, s is ${{input.s}}", r#""n is 3, s is x""#),
            (
                "a: ${{ input.l }}\nb: [\"l ${{ input.l }}\", '${{ input.null }}.', 7]",
                r#"{"a":[1],"b":["l [1]",".",7]}"#,
            ),
            ("a: {b: plain}", r#"{"a":{"b":"plain"}}"#),
            ("'costs $${{ 3 }}'", r#""costs ${{ 3 }}""#),
            ("\"${{ {'a': {'b': '}}'}} }}\"", r#"{"a":{"b":"}}"}}"#),
            ("${{ input.whole }}", "[1,  2]"),
        ] {
            assert_eq!(rendered(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        for (text, shown) in [
            ("a: 'x ${{ 1 + }} y'", "+"),
            ("a: \"x ${{ input. }}\"", "."),
            ("a: 'open ${{ input'", "${{ input"),
            ("a: ${{ }}", ""),
            ("a: \"x \\\" 1 + ${{ 1 + }}\"", "+"),
            ("a: |\n  1 + !3\n  x ${{ 1 + !3 }}\n  y\n", "!3"),
        ] {
            let (_, found, source) = compile(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            let slice = source.slice(found[0].span);
            assert!(slice.contains(shown) && slice.len() <= 12, "{text}: {slice}: {found:?}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_which_expression() {
        let (template, ..) = compile("a: ${{ input.gone }}");
        assert_eq!(template.render(&known()).unwrap_err(), "`input.gone`: there is no `gone`");
    }
}
