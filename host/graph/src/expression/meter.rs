//! Meter: puts what counts into an expression, so that nothing it does is free.
//!
//! What is counted, and how much there may be, is in `budget.rs`.

use cel::common::ast::operators::{
    ADD, CONDITIONAL, DIVIDE, INDEX, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, MODULO, MULTIPLY, NOT_STRICTLY_FALSE,
    SUBSTRACT,
};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr};

use super::{Mistake, budget};

/// How deep `map`, `filter`, `all`, `exists` and `exists_one` may lie in each other.
const MAX_LOOPS: usize = 3;

/// What types are called.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Functions that take one look at what they are given, however long it is.
const TAKES_NO_TIME: [&str; 9] =
    [CONDITIONAL, LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT, NOT_STRICTLY_FALSE, SUBSTRACT, MULTIPLY, DIVIDE, MODULO];

/// Puts the meter into an expression: every turn of a loop, every sum and whatever a
/// function goes through is counted, and the keys of a map are taken in their order.
pub(super) fn put_in(expr: &mut IdedExpr, loops: usize, has_loop: &mut bool) -> Result<(), Mistake> {
    match &mut expr.expr {
        Expr::Select(select) => put_in(&mut select.operand, loops, has_loop)?,
        Expr::Call(call) => {
            let goes_through = !matches!(&*call.func_name, ADD | INDEX) && !TAKES_NO_TIME.contains(&&*call.func_name);
            for part in call.target.iter_mut().map(|target| &mut **target).chain(&mut call.args) {
                put_in(part, loops, has_loop)?;
                if goes_through && has_length(&part.expr) {
                    wrap(part, budget::WEIGHED);
                }
            }
            if call.func_name == "matches" {
                call.func_name = budget::MATCHES.to_owned();
            }
            if call.func_name == ADD {
                wrap(expr, budget::COUNTED);
            }
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(|element| put_in(element, loops, has_loop))?,
        Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                put_in(&mut entry.key, loops, has_loop)?;
                put_in(&mut entry.value, loops, has_loop)
            }
            EntryExpr::StructField(field) => put_in(&mut field.value, loops, has_loop),
        })?,
        Expr::Comprehension(loop_) => {
            *has_loop = true;
            if loops == MAX_LOOPS {
                let message = format!("loops lie {} deep in each other; they may {MAX_LOOPS} deep", loops + 1);
                return Err(Mistake::new(message).hint("have an agent compute it"));
            }
            put_in(&mut loop_.iter_range, loops, has_loop)?;
            wrap(&mut loop_.iter_range, budget::IN_ORDER);
            in_step(&mut loop_.loop_step, &loop_.accu_var, loops + 1, has_loop)?;
            put_in(&mut loop_.result, loops, has_loop)?;
            count_turns(loop_);
        }
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    Ok(())
}

/// The sum that a loop grows its result by is the interpreter's own, and as long as
/// its turns, which are counted; everything else in a step is the author's.
fn in_step(step: &mut IdedExpr, accu: &str, loops: usize, has_loop: &mut bool) -> Result<(), Mistake> {
    let is_accu = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if name == accu);
    match &mut step.expr {
        Expr::Call(call) if call.func_name == CONDITIONAL && call.args.last().is_some_and(is_accu) => {
            let [guard, grown, _] = call.args.as_mut_slice() else { return Ok(()) };
            put_in(guard, loops, has_loop)?;
            in_step(grown, accu, loops, has_loop)
        }
        Expr::Call(call) if call.func_name == ADD && call.args.first().is_some_and(is_accu) => {
            call.args.iter_mut().skip(1).try_for_each(|added| put_in(added, loops, has_loop))
        }
        _ => put_in(step, loops, has_loop),
    }
}

/// Whether the value of an expression may be long. A type has no length, and would not
/// come through the meter as what it is.
fn has_length(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(_) => false,
        Expr::Ident(name) => !TYPES.contains(&name.as_str()),
        Expr::Call(call) => call.func_name != "type",
        _ => true,
    }
}

/// A loop that only appends is known to the interpreter by its form, and copies its
/// list at each turn where it has another: so what is appended is counted there, or
/// asked whether it is.
fn count_turns(loop_: &mut ComprehensionExpr) {
    let is_accu = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if *name == loop_.accu_var);
    let place = match &mut loop_.loop_step.expr {
        Expr::Call(call) if call.func_name == CONDITIONAL && call.args.get(2).is_some_and(is_accu) => {
            call.args.first_mut().map(|guard| (guard, budget::TURN))
        }
        Expr::Call(call) if call.func_name == ADD => match call.args.get_mut(1).map(|added| &mut added.expr) {
            Some(Expr::List(list)) => list.elements.first_mut().map(|item| (item, budget::APPENDED)),
            _ => None,
        },
        _ => None,
    };
    match place {
        Some((expr, function)) => wrap(expr, function),
        None => wrap(&mut loop_.loop_cond, budget::TURN),
    }
}

fn wrap(expr: &mut IdedExpr, function: &str) {
    let inner = std::mem::take(expr);
    let id = inner.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![inner] };
    *expr = IdedExpr { id, expr: Expr::Call(call) };
}
