//! Calls: the functions there are, what they take, and what they give.

use super::Type;
use super::operators::Refusal;
use crate::diagnostic::most_alike;

/// What a function takes in one place.
#[derive(Clone, Copy)]
enum Takes {
    Anything,
    Text,
    List,
    /// What has a size.
    Sized,
    /// What can be made a number, or text.
    Number,
    Truth,
    Letters,
}

struct Function {
    name: &'static str,
    /// Whether it can be written `value.name(…)`, where the value is the first that
    /// it takes.
    of_value: bool,
    /// Whether it can be written `name(value, …)`.
    alone: bool,
    takes: &'static [Takes],
    gives: Type,
}

const fn alone(name: &'static str, takes: &'static [Takes], gives: Type) -> Function {
    Function { name, of_value: false, alone: true, takes, gives }
}

const fn of_value(name: &'static str, takes: &'static [Takes], gives: Type) -> Function {
    Function { name, of_value: true, alone: false, takes, gives }
}

const fn both(name: &'static str, takes: &'static [Takes], gives: Type) -> Function {
    Function { name, of_value: true, alone: true, takes, gives }
}

const FUNCTIONS: &[Function] = &[
    alone("bool", &[Takes::Truth], Type::Bool),
    alone("bytes", &[Takes::Letters], Type::Bytes),
    of_value("contains", &[Takes::Text, Takes::Text], Type::Bool),
    alone("double", &[Takes::Number], Type::Double),
    alone("dyn", &[Takes::Anything], Type::Any),
    of_value("endsWith", &[Takes::Text, Takes::Text], Type::Bool),
    alone("int", &[Takes::Number], Type::Int),
    alone("join", &[Takes::List, Takes::Text], Type::Text),
    both("matches", &[Takes::Text, Takes::Text], Type::Bool),
    both("size", &[Takes::Sized], Type::Int),
    of_value("startsWith", &[Takes::Text, Takes::Text], Type::Bool),
    alone("string", &[Takes::Anything], Type::Text),
    alone("sum", &[Takes::List], Type::Any),
    alone("type", &[Takes::Anything], Type::Type),
    alone("uint", &[Takes::Number], Type::Uint),
];

/// Loops, which the parser writes out; one that is left as a call has the wrong
/// number of parts.
const LOOPS: [(&str, &str); 5] = [
    ("all", "`list.all(x, x > 0)`"),
    ("exists", "`list.exists(x, x > 0)`"),
    ("exists_one", "`list.exists_one(x, x > 0)`"),
    ("filter", "`list.filter(x, x > 0)`"),
    ("map", "`list.map(x, x + 1)`"),
];

/// What a call gives. The value that it is of comes first.
pub(super) fn call(name: &str, is_of_value: bool, given: &[Type]) -> Result<Type, Refusal> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        return Err(unknown(name));
    };
    match (is_of_value, function) {
        (true, Function { of_value: false, .. }) => {
            return Err((format!("`{name}` is written `{name}(…)`, and not after a `.`"), None));
        }
        (false, Function { alone: false, .. }) => {
            return Err((format!("`{name}` is written after a value, as in `text.{name}(…)`"), None));
        }
        (true | false, _) => {}
    }
    if given.len() != function.takes.len() {
        let takes = function.takes.len() - usize::from(is_of_value);
        let given = given.len() - usize::from(is_of_value);
        let values = if takes == 1 { "value" } else { "values" };
        return Err((format!("`{name}` takes {takes} {values}, not {given}"), None));
    }
    match given.iter().zip(function.takes).find(|(given, takes)| !takes.fits(**given)) {
        Some((wrong, takes)) => Err((format!("`{name}` takes {}, not {}", takes.name(), wrong.name()), None)),
        None => Ok(function.gives),
    }
}

fn unknown(name: &str) -> Refusal {
    if let Some((_, example)) = LOOPS.iter().find(|(known, _)| *known == name) {
        return (format!("`{name}` takes a name and an expression, as in {example}"), None);
    }
    if name == "has" {
        return ("`has` takes a field, as in `has(input.name)`".to_owned(), None);
    }
    let names = FUNCTIONS.iter().map(|function| function.name).chain(LOOPS.map(|(name, _)| name)).chain(["has"]);
    let message = match most_alike(name, names) {
        Some(other) => format!("there is no function `{name}`; did you mean `{other}`?"),
        None => format!("there is no function `{name}`"),
    };
    (message, Some("the functions are those of CEL's standard library but for times, `sum` and `join`"))
}

impl Takes {
    fn fits(self, given: Type) -> bool {
        match self {
            Self::Anything => true,
            Self::Text => given.can_be(Type::Text),
            Self::List => given.can_be(Type::List),
            Self::Sized => {
                matches!(given, Type::Any | Type::Text | Type::Bytes | Type::List | Type::Map)
            }
            Self::Number => given.can_be_number() || given == Type::Text,
            Self::Truth => matches!(given, Type::Any | Type::Bool | Type::Text),
            Self::Letters => matches!(given, Type::Any | Type::Text | Type::Bytes),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Anything => "a value",
            Self::Text => "text",
            Self::List => "a list",
            Self::Sized => "text, bytes, a list or a map",
            Self::Number => "a number or text",
            Self::Truth => "a boolean or text",
            Self::Letters => "text or bytes",
        }
    }
}
