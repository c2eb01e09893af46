//! Budget: what one evaluation may take. The functions here are put into an
//! expression when it is compiled; their names cannot be written in one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cel::extractors::This;
use cel::objects::Key;
use cel::{Context, ExecutionError, Value};
use regex::{Regex, RegexBuilder};

/// Steps of one evaluation: turns of loops, and what functions go through, by its
/// length. It takes about a microsecond each, at most.
pub const MAX_STEPS: usize = 1_000_000;

/// So much of what a function goes through is one step: items, or [`CHARACTERS`].
const ITEMS_A_STEP: usize = 32;

/// So many bytes of text take as long as one item.
const CHARACTERS: usize = 16;

/// What it takes to make a pattern ready, and how large one may become.
const PATTERN_STEPS: usize = 2_000;
const PATTERN_BYTES: usize = 256 << 10;

/// Patterns that are kept ready within one evaluation.
const KEPT_PATTERNS: usize = 16;

/// Bytes that sums make.
const MAX_MADE: usize = 16 << 20;

/// What an item of a list is counted as.
const ITEM_BYTES: usize = 64;

pub(super) const TURN: &str = "@turn";
pub(super) const APPENDED: &str = "@appended";
pub(super) const COUNTED: &str = "@counted";
pub(super) const WEIGHED: &str = "@weighed";
pub(super) const MATCHES: &str = "@matches";
pub(super) const IN_ORDER: &str = "@in_order";

/// What was taken so far, by one expression or by those of one template.
#[derive(Clone, Default)]
pub(crate) struct Budget(Arc<Taken>);

#[derive(Default)]
struct Taken {
    steps: AtomicUsize,
    made: AtomicUsize,
    patterns: Mutex<HashMap<Arc<String>, Regex>>,
}

impl Budget {
    /// Steps that were taken.
    pub(crate) fn steps(&self) -> usize {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Adds the functions that count, and those that the language has beyond CEL's.
    pub(super) fn meter(&self, context: &mut Context<'_, '_>) -> Result<(), String> {
        let taken = || self.0.clone();
        let (turns, appended, made, weighed) = (taken(), taken(), taken(), taken());
        let (matched, joined) = (taken(), taken());
        let added = [
            context.add_function(TURN, move |goes_on: bool| turns.step(1).map(|()| goes_on)),
            context.add_function(APPENDED, move |value: Value| appended.step(1).map(|()| value)),
            context.add_function(COUNTED, move |value: Value| made.make(&value).map(|()| value)),
            context
                .add_function(WEIGHED, move |value: Value| weighed.step(length(&value) / ITEMS_A_STEP).map(|()| value)),
            context.add_function(MATCHES, move |This(text): This<Arc<String>>, pattern: Arc<String>| {
                matched.matches(&text, pattern)
            }),
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
    fn step(&self, steps: usize) -> Result<(), ExecutionError> {
        match self.steps.fetch_add(steps, Ordering::Relaxed).saturating_add(steps) <= MAX_STEPS {
            true => Ok(()),
            false => Err(refused(TURN, format!("it takes more than {MAX_STEPS} steps; have an agent compute it"))),
        }
    }

    /// As CEL's own, with each pattern made ready once: that takes longer than to look
    /// for it.
    fn matches(&self, text: &str, pattern: Arc<String>) -> Result<bool, ExecutionError> {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = patterns.get(&pattern) {
            return Ok(ready.is_match(text));
        }
        self.step(PATTERN_STEPS)?;
        let ready = RegexBuilder::new(&pattern).size_limit(PATTERN_BYTES).build();
        let ready = ready.map_err(|why| refused("matches", format!("`{pattern}` is no pattern: {why}")))?;
        let is_match = ready.is_match(text);
        if patterns.len() < KEPT_PATTERNS {
            patterns.insert(pattern, ready);
        }
        Ok(is_match)
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

/// How much there is to go through, in items.
fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / CHARACTERS,
        Value::Bytes(bytes) => bytes.len() / CHARACTERS,
        Value::List(items) => items.len() + items.iter().map(length).sum::<usize>(),
        Value::Map(map) => map.map.len() + map.map.values().map(length).sum::<usize>(),
        _ => 0,
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
