//! Operators: what they take and give.

use cel::common::ast::operators as op;

use super::Type;

/// Why an operator cannot work, and what to write in its place.
pub(super) type Refusal = (String, Option<&'static str>);

/// What an operator of two sides gives.
pub(super) fn binary(name: &str, left: Type, right: Type) -> Result<Type, Refusal> {
    let sign = sign(name);
    match name {
        op::EQUALS | op::NOT_EQUALS => Ok(Type::Bool),
        op::LOGICAL_AND | op::LOGICAL_OR => match [left, right].into_iter().find(|side| !side.can_be(Type::Bool)) {
            Some(wrong) => Err((format!("`{sign}` takes booleans, not {}", wrong.name()), None)),
            None => Ok(Type::Bool),
        },
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => match is_ordered(left, right) {
            true => Ok(Type::Bool),
            false => Err(refused(sign, left, right)),
        },
        op::IN => match right {
            Type::Any | Type::List | Type::Map => Ok(Type::Bool),
            Type::Text => {
                Err(("`in` looks in a list or a map, not in text".into(), Some("write `text.contains(part)`")))
            }
            other => Err((format!("`in` looks in a list or a map, not in {}", other.name()), None)),
        },
        // The interpreter takes the keys of the map.
        op::ADD if (left, right) == (Type::List, Type::Map) => Ok(Type::List),
        op::ADD => arithmetic(sign, left, right, |side| {
            side.can_be_number() || matches!(side, Type::Text | Type::Bytes | Type::List)
        }),
        op::MODULO => arithmetic(sign, left, right, |side| matches!(side, Type::Any | Type::Int | Type::Uint)),
        op::SUBSTRACT | op::MULTIPLY | op::DIVIDE => arithmetic(sign, left, right, Type::can_be_number),
        op::INDEX => index(left, right),
        _ => Ok(Type::Any),
    }
}

/// What an operator of one side gives.
pub(super) fn unary(name: &str, side: Type) -> Result<Type, Refusal> {
    match name {
        op::LOGICAL_NOT if side.can_be(Type::Bool) => Ok(Type::Bool),
        op::LOGICAL_NOT => Err((format!("`!` takes a boolean, not {}", side.name()), None)),
        op::NEGATE if matches!(side, Type::Any | Type::Int | Type::Double) => Ok(side),
        op::NEGATE => Err((format!("`-` takes a number, not {}", side.name()), None)),
        _ => Ok(Type::Any),
    }
}

/// Both sides are of one type: there are no silent conversions.
fn arithmetic(sign: &str, left: Type, right: Type, takes: impl Fn(Type) -> bool) -> Result<Type, Refusal> {
    if !takes(left) || !takes(right) {
        return Err(refused(sign, left, right));
    }
    match (left, right) {
        (Type::Any, other) | (other, Type::Any) => Ok(other),
        (left, right) if left == right => Ok(left),
        (left, right) => Err(refused(sign, left, right)),
    }
}

fn is_ordered(left: Type, right: Type) -> bool {
    let alone = |side: Type| side.can_be_number() || matches!(side, Type::Bool | Type::Text | Type::Bytes);
    alone(left)
        && alone(right)
        && (left.can_be(right) || right == Type::Any || left.can_be_number() && right.can_be_number())
}

fn index(of: Type, at: Type) -> Result<Type, Refusal> {
    match of {
        Type::Any => Ok(Type::Any),
        Type::Map if matches!(at, Type::Null | Type::List | Type::Map | Type::Bytes | Type::Type) => {
            Err((format!("a map has no key that is {}", at.name()), None))
        }
        Type::Map => Ok(Type::Any),
        Type::List if at.can_be_number() => Ok(Type::Any),
        Type::List => Err((format!("the place in a list is an integer, not {}", at.name()), None)),
        other => Err((format!("{} has no parts that `[…]` could take", other.name()), None)),
    }
}

fn refused(sign: &str, left: Type, right: Type) -> Refusal {
    let numbers = left.can_be_number() && right.can_be_number();
    let hint = match (left, right) {
        _ if numbers => Some("numbers of two kinds do not mix: write `double(…)` or `int(…)` around one"),
        (Type::Text, _) | (_, Type::Text) if sign == "+" => Some("write `string(…)` around what is no text"),
        _ => None,
    };
    (format!("`{sign}` does not take {} and {}", left.name(), right.name()), hint)
}

fn sign(name: &str) -> &str {
    match name {
        op::IN => "in",
        other => other.trim_matches('_'),
    }
}
