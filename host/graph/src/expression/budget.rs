//! Budget: what one evaluation may take. The functions here are put into an
//! expression when it is compiled; their names cannot be written in one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::objects::Key;
use cel::{Context, ExecutionError, Value};

/// Turns of all loops together.
const MAX_TURNS: usize = 1_000_000;

/// Bytes that sums make.
const MAX_MADE: usize = 16 << 20;

/// What an item of a list is counted as.
const ITEM_BYTES: usize = 64;

pub(super) const TURN: &str = "@turn";
pub(super) const COUNTED: &str = "@counted";
pub(super) const IN_ORDER: &str = "@in_order";

/// What was taken so far.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<Taken>);

#[derive(Default)]
struct Taken {
    turns: AtomicUsize,
    made: AtomicUsize,
}

impl Budget {
    /// Adds the functions that count, and those that the language has beyond CEL's.
    pub(super) fn meter(self, context: &mut Context<'_, '_>) -> Result<(), String> {
        let (turns, made, joined) = (self.0.clone(), self.0.clone(), self.0);
        let added = [
            context.add_function(TURN, move |goes_on: bool| turns.turn().map(|()| goes_on)),
            context.add_function(COUNTED, move |value: Value| made.make(&value).map(|()| value)),
            context.add_function(IN_ORDER, in_order),
            context.add_function("sum", sum),
            context.add_function("join", move |list: Arc<Vec<Value>>, between: Arc<String>| {
                join(&joined, &list, &between)
            }),
        ];
        added.into_iter().collect::<Result<Vec<()>, _>>().map(drop).map_err(|error| error.to_string())
    }
}

impl Taken {
    fn turn(&self) -> Result<(), ExecutionError> {
        match self.turns.fetch_add(1, Ordering::Relaxed) < MAX_TURNS {
            true => Ok(()),
            false => {
                Err(refused(TURN, format!("its loops take more than {MAX_TURNS} turns; have an agent compute it")))
            }
        }
    }

    fn make(&self, value: &Value) -> Result<(), ExecutionError> {
        self.make_bytes(match value {
            Value::String(text) => text.len(),
            Value::List(items) => items.len() * ITEM_BYTES,
            _ => 0,
        })
    }

    fn make_bytes(&self, bytes: usize) -> Result<(), ExecutionError> {
        match self.made.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= MAX_MADE {
            true => Ok(()),
            false => Err(refused(COUNTED, format!("it makes more than {MAX_MADE} bytes; have an agent compute it"))),
        }
    }
}

fn refused(function: &str, message: impl Into<String>) -> ExecutionError {
    ExecutionError::function_error(function, message.into())
}

/// The keys of a map in their order, which CEL leaves open; anything else as it is.
fn in_order(range: Value) -> Value {
    let Value::Map(map) = range else { return range };
    let mut keys: Vec<&Key> = map.map.keys().collect();
    keys.sort();
    Value::List(Arc::new(keys.into_iter().map(value_of).collect()))
}

fn value_of(key: &Key) -> Value {
    match key {
        Key::Int(number) => Value::Int(*number),
        Key::Uint(number) => Value::UInt(*number),
        Key::Bool(value) => Value::Bool(*value),
        Key::String(text) => Value::String(text.clone()),
    }
}

/// The sum of a list of numbers; 0 for an empty one.
fn sum(list: Arc<Vec<Value>>) -> Result<Value, ExecutionError> {
    let mut whole = Some(0i64);
    let mut float = 0.0;
    for item in list.iter() {
        match item {
            Value::Int(number) => {
                whole = whole.and_then(|whole| whole.checked_add(*number));
                float += *number as f64;
            }
            Value::Float(number) => {
                whole = None;
                float += *number;
            }
            other => {
                return Err(refused("sum", format!("`sum` takes a list of numbers, and one is a {}", other.type_of())));
            }
        }
    }
    Ok(whole.map_or(Value::Float(float), Value::Int))
}

/// A list of text as one, with something between each two.
fn join(taken: &Taken, list: &[Value], between: &str) -> Result<Value, ExecutionError> {
    let mut all = String::new();
    for (place, item) in list.iter().enumerate() {
        let Value::String(text) = item else {
            return Err(refused("join", format!("`join` takes a list of text, and one is a {}", item.type_of())));
        };
        let between = if place == 0 { "" } else { between };
        taken.make_bytes(between.len() + text.len())?;
        all.push_str(between);
        all.push_str(text);
    }
    Ok(Value::String(Arc::new(all)))
}
