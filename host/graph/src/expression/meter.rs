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

/// How many of them there may be, and how deep an expression may be with all its
/// operators: the interpreter goes down as deep, on a stack of the host's.
const MOST_LOOPS: usize = 16;
const MAX_DEPTH: usize = 100;

/// What the meter has come by.
#[derive(Default)]
pub(super) struct Found {
    loops: usize,
    depth: usize,
    /// Whether it may take long: more than a look at each thing that it names.
    pub may_take_long: bool,
}

/// Functions that take one look at what they are given, however long it is.
const TAKES_NO_TIME: [&str; 9] =
    [CONDITIONAL, LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT, NOT_STRICTLY_FALSE, SUBSTRACT, MULTIPLY, DIVIDE, MODULO];

/// Functions of which the result may be as long as what they are given, or longer.
const MAKES_MUCH: [&str; 3] = [ADD, "string", "bytes"];

/// Puts the meter into an expression: every turn of a loop, every sum and whatever a
/// function goes through is counted, and the keys of a map are taken in their order.
pub(super) fn put_in(expr: &mut IdedExpr, loops: usize, found: &mut Found) -> Result<(), Mistake> {
    found.depth += 1;
    if found.depth > MAX_DEPTH {
        let message = format!("its operators lie more than {MAX_DEPTH} deep in each other");
        return Err(Mistake::new(message).hint("have an agent compute it"));
    }
    let done = put_within(expr, loops, found);
    found.depth -= 1;
    done
}

fn put_within(expr: &mut IdedExpr, loops: usize, found: &mut Found) -> Result<(), Mistake> {
    match &mut expr.expr {
        Expr::Select(select) => put_in(&mut select.operand, loops, found)?,
        Expr::Call(call) => {
            let goes_through = !matches!(&*call.func_name, ADD | INDEX) && !TAKES_NO_TIME.contains(&&*call.func_name);
            for part in call.target.iter_mut().map(|target| &mut **target).chain(&mut call.args) {
                put_in(part, loops, found)?;
                if goes_through && !matches!(part.expr, Expr::Literal(_)) {
                    wrap(part, budget::WEIGHED);
                }
            }
            if call.func_name == "matches" {
                found.may_take_long = true;
                call.func_name = budget::MATCHES.to_owned();
            }
            if MAKES_MUCH.contains(&&*call.func_name) {
                wrap(expr, budget::COUNTED);
            }
        }
        Expr::List(list) => {
            let is_constant = list.elements.iter().all(is_constant);
            list.elements.iter_mut().try_for_each(|element| put_in(element, loops, found))?;
            if !is_constant {
                wrap(expr, budget::COUNTED);
            }
        }
        Expr::Map(map) => {
            let mut is_all_constant = true;
            for entry in &mut map.entries {
                let EntryExpr::MapEntry(entry) = &mut entry.expr else { continue };
                is_all_constant &= is_constant(&entry.key) && is_constant(&entry.value);
                put_in(&mut entry.key, loops, found)?;
                put_in(&mut entry.value, loops, found)?;
            }
            if !is_all_constant {
                wrap(expr, budget::COUNTED);
            }
        }
        Expr::Comprehension(loop_) => {
            found.may_take_long = true;
            found.loops += 1;
            if found.loops > MOST_LOOPS {
                let message = format!("it has more than {MOST_LOOPS} loops");
                return Err(Mistake::new(message).hint("have an agent compute it"));
            }
            if loops == MAX_LOOPS {
                let message = format!("loops lie {} deep in each other; they may {MAX_LOOPS} deep", loops + 1);
                return Err(Mistake::new(message).hint("have an agent compute it"));
            }
            put_in(&mut loop_.iter_range, loops, found)?;
            wrap(&mut loop_.iter_range, budget::IN_ORDER);
            in_step(&mut loop_.loop_step, &loop_.accu_var, loops + 1, found)?;
            put_in(&mut loop_.result, loops, found)?;
            count_turns(loop_);
        }
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    Ok(())
}

/// The sum that a loop grows its result by is the interpreter's own, and as long as
/// its turns, which are counted; everything else in a step is the author's.
fn in_step(step: &mut IdedExpr, accu: &str, loops: usize, found: &mut Found) -> Result<(), Mistake> {
    let is_accu = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if name == accu);
    match &mut step.expr {
        Expr::Call(call) if call.func_name == CONDITIONAL && call.args.last().is_some_and(is_accu) => {
            let [guard, grown, _] = call.args.as_mut_slice() else { return Ok(()) };
            put_in(guard, loops, found)?;
            in_step(grown, accu, loops, found)
        }
        Expr::Call(call) if call.func_name == ADD && call.args.first().is_some_and(is_accu) => {
            match call.args.get_mut(1).map(|added| &mut added.expr) {
                // What is in it is counted when it is appended.
                Some(Expr::List(list)) => list.elements.iter_mut().try_for_each(|one| put_in(one, loops, found)),
                _ => Ok(()),
            }
        }
        _ => put_in(step, loops, found),
    }
}

/// A loop that only appends is known to the interpreter by its form, and copies its
/// list at each turn where it has another: so what is appended is counted there, or
/// asked whether it is.
fn count_turns(loop_: &mut ComprehensionExpr) {
    let is_accu = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if *name == loop_.accu_var);
    let appended = match &mut loop_.loop_step.expr {
        Expr::Call(call) if call.func_name == CONDITIONAL && call.args.get(2).is_some_and(is_accu) => {
            let [guard, grown, _] = call.args.as_mut_slice() else { return };
            wrap(guard, budget::TURN);
            item_of(grown).map(|item| (item, budget::COUNTED))
        }
        _ => item_of(&mut loop_.loop_step).map(|item| (item, budget::APPENDED)),
    };
    match appended {
        Some((item, function)) => wrap(item, function),
        None => wrap(&mut loop_.loop_cond, budget::TURN),
    }
}

/// The one item of the list that a step appends.
fn item_of(step: &mut IdedExpr) -> Option<&mut IdedExpr> {
    match &mut step.expr {
        Expr::Call(call) if call.func_name == ADD => match &mut call.args.get_mut(1)?.expr {
            Expr::List(list) => list.elements.first_mut(),
            _ => None,
        },
        _ => None,
    }
}

fn is_constant(expr: &IdedExpr) -> bool {
    matches!(expr.expr, Expr::Literal(_))
}

fn wrap(expr: &mut IdedExpr, function: &str) {
    let inner = std::mem::take(expr);
    let id = inner.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![inner] };
    *expr = IdedExpr { id, expr: Expr::Call(call) };
}
