//! Expressions: the Common Expression Language over what a graph knows.
//!
//! An expression is compiled once, and bounded in length, in nesting, in the
//! steps that it takes and in the text that it makes: whoever wrote it is not
//! trusted. It is the same in every replay: what CEL leaves open (the order of a
//! map's keys) is settled here.

mod budget;
mod meter;
mod names;
mod value;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::common::ast::operators::INDEX;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::parser::{ParseErrors, Parser};
use cel::{Context, Env};
use pleach_kernel::Payload;
use serde_json::Value as Json;

use crate::types::{self, Known, Look, Reading, Type};
use names::Names;
use value::to_json;

pub(crate) use budget::Budget;
pub use budget::MAX_STEPS;
pub(crate) use budget::pattern;
pub use value::Datum;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 1 << 10;

/// How deep an expression may be nested.
const MAX_NESTING: u16 = 32;

/// What an expression can look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// The graph's input.
    Input,
    /// What is known of the graph's run.
    Run,
    /// A node, and the field of it that is looked at, where one is.
    Node { id: String, field: Option<String> },
    /// A name of the place where the expression stands: `item`, `index`, `failed`, …
    Local(String),
}

/// Where values come from.
pub trait Scope {
    /// The value of a path as it came, where that is at hand: it is handed on
    /// without being read.
    fn whole(&self, path: &[String]) -> Option<Payload>;
    /// What is known of the graph's input, of its run, or of a local name.
    fn named(&self, name: &str) -> Option<&Datum>;
    /// What is known of a node: `{"status", "output"?, "error"?, …}`.
    fn node(&self, id: &str) -> Option<&Datum>;
    /// An evaluation has taken so many steps; see [`MAX_STEPS`].
    fn took(&self, _steps: usize) {}
}

/// An expression, compiled.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    form: Form,
    references: Vec<Reference>,
    reading: Arc<Reading>,
}

#[derive(Clone, Debug)]
enum Form {
    /// A name and its fields, which is most of them and needs no interpreter.
    Path(Vec<String>),
    Cel {
        expression: Arc<IdedExpr>,
        may_take_long: bool,
    },
}

/// Why an expression cannot be compiled, and which of its characters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub hint: Option<String>,
    pub at: Option<(usize, usize)>,
}

impl Mistake {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, at: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Expression {
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Mistake::new("the expression is empty"));
        }
        if text.len() > MAX_LENGTH {
            let message = format!("the expression has {} bytes; it has at most {MAX_LENGTH}", text.len());
            return Err(Mistake::new(message).hint("have an agent compute it"));
        }
        if let Some(path) = as_path(text) {
            let references = reference_of_path(&path)?.into_iter().collect();
            let reading = Arc::new(types::read_path(&path, text, &types::nothing));
            return Ok(Self { text: text.into(), form: Form::Path(path), references, reading });
        }
        let (mut expression, info) = Parser::new()
            .max_recursion_depth(MAX_NESTING)
            .parse_with_source_info(text)
            .map_err(|errors| parse_mistake(text, &errors))?;
        let mut references = BTreeSet::new();
        collect(&expression, &mut Vec::new(), &mut references)?;
        // Before the meter is put in, which is nobody's expression.
        let reading = Arc::new(types::read(&expression, &info, text, &types::nothing));
        let mut found = meter::Found::default();
        meter::put_in(&mut expression, 0, &mut found)?;
        let may_take_long = found.may_take_long;
        let references = references.into_iter().collect();
        Ok(Self {
            text: text.into(),
            form: Form::Cel { expression: Arc::new(expression), may_take_long },
            references,
            reading,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it looks at, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// What its value is, as far as that is known before it runs.
    pub fn kind(&self) -> Type {
        self.reading.kind
    }

    /// Each place in it that looks at something from outside.
    pub fn looks(&self) -> &[Look] {
        &self.reading.looks
    }

    /// It, read again where more is known of data.
    pub(crate) fn read_with(&self, known: &Known<'_>) -> Reading {
        if let Form::Path(path) = &self.form {
            return types::read_path(path, &self.text, known);
        }
        // It was parsed before.
        match Parser::new().max_recursion_depth(MAX_NESTING).parse_with_source_info(&self.text) {
            Ok((expression, info)) => types::read(&expression, &info, &self.text, known),
            Err(_) => (*self.reading).clone(),
        }
    }

    /// What of it can never work.
    pub fn doubts(&self) -> &[Mistake] {
        &self.reading.doubts
    }

    /// How many items it has, where it is a list that is written out.
    pub fn literal_len(&self) -> Option<usize> {
        match &self.form {
            Form::Cel { expression, .. } => match &expression.expr {
                Expr::List(list) => Some(list.elements.len()),
                _ => None,
            },
            Form::Path(_) => None,
        }
    }

    /// Whether it may take long: more than a look at each thing that it names.
    pub fn may_take_long(&self) -> bool {
        matches!(self.form, Form::Cel { may_take_long: true, .. })
    }

    /// Its fields in order, where it is nothing but a name and fields.
    pub(crate) fn path(&self) -> Option<&[String]> {
        match &self.form {
            Form::Path(path) => Some(path),
            Form::Cel { .. } => None,
        }
    }

    /// Its value; the error is for people.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Json, String> {
        let budget = Budget::default();
        let value = self.evaluate_within(&budget, scope);
        scope.took(budget.steps());
        value
    }

    /// As [`Expression::evaluate`], where several share a budget.
    pub(crate) fn evaluate_within(&self, budget: &Budget, scope: &dyn Scope) -> Result<Json, String> {
        let value = match &self.form {
            Form::Path(path) => walk(path, scope).cloned(),
            Form::Cel { expression, .. } => self.interpret(budget, expression, scope),
        };
        value.map_err(|why| format!("`{}`: {why}", self.text))
    }

    fn interpret(&self, budget: &Budget, expression: &IdedExpr, scope: &dyn Scope) -> Result<Json, String> {
        let names = Names::of(&self.references, scope);
        let mut context = Context::with_env(STANDARD.clone());
        context.set_variable_resolver(&names);
        budget.meter(&mut context)?;
        let value = cel::Value::resolve_val(expression, &context).map_err(|error| told(&error))?;
        to_json(&*value)
    }
}

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// CEL's own words without the forms of its implementation, cut to what a person reads.
fn told(error: &cel::ExecutionError) -> String {
    let mut told = in_words(error);
    if let Some((end, _)) = told.char_indices().nth(LONGEST_TOLD) {
        told.truncate(end);
        told.push('…');
    }
    told
}

/// Characters of a message.
const LONGEST_TOLD: usize = 500;

fn in_words(error: &cel::ExecutionError) -> String {
    match error {
        cel::ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        cel::ExecutionError::FunctionError { message, .. } => message.clone(),
        cel::ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            let (left, right) = (left.type_of().to_string(), right.type_of().to_string());
            let are_numbers = [&left, &right].iter().all(|kind| matches!(kind.as_str(), "int" | "uint" | "float"));
            let help =
                if are_numbers { "; make one of them the other's type, with `double(…)` or `int(…)`" } else { "" };
            format!("`{}` does not take {} and {}{help}", sign(operator), named(&left), named(&right))
        }
        cel::ExecutionError::DivisionByZero(_) => "a division by zero".to_owned(),
        other => other.to_string(),
    }
}

/// An operator as it is written.
fn sign(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    }
}

/// A type as the checks call it.
fn named(kind: &str) -> &str {
    match kind {
        "int" => Type::Int.name(),
        "uint" => Type::Uint.name(),
        "float" => Type::Double.name(),
        "string" => Type::Text.name(),
        "bytes" => Type::Bytes.name(),
        "bool" => Type::Bool.name(),
        "list" => Type::List.name(),
        "map" => Type::Map.name(),
        other => other,
    }
}

/// `a.b.c`, where the text is nothing else.
fn as_path(text: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let is_word = |name: &str| matches!(name, "true" | "false" | "null" | "in");
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    (parts.iter().all(|part| is_name(part)) && !is_word(&parts[0])).then_some(parts)
}

fn walk<'a>(path: &[String], scope: &'a dyn Scope) -> Result<&'a Json, String> {
    let (mut known, rest) = match path {
        [root, id, rest @ ..] if root == "nodes" => {
            (scope.node(id).ok_or_else(|| format!("node `{id}` has not run"))?.json(), rest)
        }
        [root, rest @ ..] => (scope.named(root).ok_or_else(|| format!("there is no `{root}`"))?.json(), rest),
        [] => return Err("it names nothing".to_owned()),
    };
    for field in rest {
        known = match known {
            Json::Object(fields) => fields.get(field).ok_or_else(|| missing(path, field, known))?,
            other => return Err(format!("{} has no field `{field}`", kind(other))),
        };
    }
    Ok(known)
}

/// Why a field is not there; of a node that gave nothing, how it stands.
fn missing(path: &[String], field: &str, known: &Json) -> String {
    match (path, known["status"].as_str()) {
        ([root, id, output, ..], Some(status)) if root == "nodes" && output == field && field == "output" => {
            format!("node `{id}` is {status} and has no output")
        }
        _ => format!("there is no `{field}`"),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}

fn reference_of_path(path: &[String]) -> Result<Option<Reference>, Mistake> {
    Ok(Some(match path {
        [root, ..] if root == "input" => Reference::Input,
        [root, ..] if root == "run" => Reference::Run,
        [root] if root == "nodes" => return Err(whole_nodes()),
        [root, id, rest @ ..] if root == "nodes" => Reference::Node { id: id.clone(), field: rest.first().cloned() },
        [root, ..] => Reference::Local(root.clone()),
        [] => return Ok(None),
    }))
}

fn whole_nodes() -> Mistake {
    Mistake::new("`nodes` can only be used with the name of a node")
        .hint("write `nodes.ID.output`, or `nodes[\"ID\"].output` where the id has a `-`")
}

/// Finds what an expression looks at; names that it binds itself are its own.
fn collect(expr: &IdedExpr, bound: &mut Vec<String>, found: &mut BTreeSet<Reference>) -> Result<(), Mistake> {
    if let Some((id, field)) = node_of(&expr.expr, bound) {
        found.insert(Reference::Node { id: id.to_owned(), field: field.map(str::to_owned) });
        return Ok(());
    }
    match &expr.expr {
        Expr::Ident(name) if bound.contains(name) => {}
        Expr::Ident(name) => {
            found.insert(match name.as_str() {
                "input" => Reference::Input,
                "run" => Reference::Run,
                "nodes" => return Err(whole_nodes()),
                local => Reference::Local(local.to_owned()),
            });
        }
        Expr::Select(select) => collect(&select.operand, bound, found)?,
        Expr::Call(CallExpr { target, args, .. }) => {
            for part in target.iter().map(|target| &**target).chain(args) {
                collect(part, bound, found)?;
            }
        }
        Expr::List(list) => list.elements.iter().try_for_each(|element| collect(element, bound, found))?,
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                collect(&entry.key, bound, found)?;
                collect(&entry.value, bound, found)
            }
            EntryExpr::StructField(field) => collect(&field.value, bound, found),
        })?,
        Expr::Comprehension(loop_) => {
            collect(&loop_.iter_range, bound, found)?;
            collect(&loop_.accu_init, bound, found)?;
            let before = bound.len();
            bound.extend([loop_.iter_var.clone(), loop_.accu_var.clone()]);
            bound.extend(loop_.iter_var2.clone());
            for part in [&loop_.loop_cond, &loop_.loop_step, &loop_.result] {
                collect(part, bound, found)?;
            }
            bound.truncate(before);
        }
        Expr::Struct(made) => {
            return Err(
                Mistake::new(format!("there is no type `{}`", made.type_name)).hint("write a map: `{\"key\": value}`")
            );
        }
        Expr::Literal(_) | Expr::Unspecified => {}
    }
    Ok(())
}

/// `nodes.id`, `nodes["id"]`, or a field of one: the id and the first field.
fn node_of<'a>(expr: &'a Expr, bound: &[String]) -> Option<(&'a str, Option<&'a str>)> {
    let is_nodes =
        |expr: &Expr| matches!(expr, Expr::Ident(name) if name == "nodes" && !bound.iter().any(|other| other == name));
    let (operand, name) = step(expr)?;
    if is_nodes(operand) {
        return Some((name, None));
    }
    let (root, id) = step(operand)?;
    is_nodes(root).then_some((id, Some(name)))
}

/// What a field is selected of, and its name.
fn step(expr: &Expr) -> Option<(&Expr, &str)> {
    match expr {
        Expr::Select(SelectExpr { operand, field, .. }) => Some((&operand.expr, field)),
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == INDEX => match args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => {
                Some((&operand.expr, name.inner()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn parse_mistake(text: &str, errors: &ParseErrors) -> Mistake {
    let Some(first) = errors.errors.first() else { return Mistake::new("it is no expression") };
    let mut mistake = Mistake::new(format!("it is no expression: {}", plainly(&first.msg)));
    let line = usize::try_from(first.pos.0).unwrap_or_default().saturating_sub(1);
    let column = usize::try_from(first.pos.1).unwrap_or_default().saturating_sub(1);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let in_line = text.get(before..).unwrap_or_default().chars().take(column).map(char::len_utf8).sum::<usize>();
    let at = (before + in_line).min(text.len().saturating_sub(1));
    if text.is_char_boundary(at) {
        mistake.at = Some((at, text[at..].chars().next().map_or(0, char::len_utf8)));
    }
    if text.contains(" and ") || text.contains(" or ") || text.contains(" not ") {
        mistake = mistake.hint("CEL writes `&&`, `||` and `!`");
    } else if text.contains("===") || text.contains('=') && !text.contains("==") {
        mistake = mistake.hint("CEL compares with `==`");
    }
    mistake
}

/// What a parser says of its input, without the names of its tokens.
fn plainly(message: &str) -> String {
    let message = message.trim().trim_start_matches("Syntax error: ");
    let what = message.split(" expecting ").next().unwrap_or(message);
    let unexpected =
        ["mismatched input ", "extraneous input ", "no viable alternative at input ", "token recognition error at: "];
    if message.contains("Recursion limit") {
        return format!("it is nested more than {MAX_NESTING} levels deep");
    }
    if message.contains("Incomplete") {
        return "it ends too early".to_owned();
    }
    match unexpected.iter().find_map(|before| what.strip_prefix(before)) {
        Some(token) if token.contains("<EOF>") => "it ends too early".to_owned(),
        Some(token) => format!("`{}` is not expected here", token.trim_matches('\'')),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests;
