//! Budget: what one evaluation may take. The functions here are put into an
//! expression when it is compiled; their names cannot be written in one.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cel::common::types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use regex::{Regex, RegexBuilder};

/// Steps of one evaluation: turns of loops, and what functions go through, by its
/// length. A step takes about a microsecond, and some take ten.
pub const MAX_STEPS: usize = 1_000_000;

/// So much of what a function goes through is one step: items, or [`CHARACTERS`].
const ITEMS_A_STEP: usize = 32;

/// So many bytes of text take as long as one item.
const CHARACTERS: usize = 16;

/// What it takes to make a pattern ready, how large one may become, and how many bytes
/// of text it is looked for in within a step.
const PATTERN_STEPS: usize = 2_000;
const PATTERN_BYTES: usize = 256 << 10;
const SEARCHED_A_STEP: usize = 2;

/// Patterns that are kept ready within one evaluation.
const KEPT_PATTERNS: usize = 16;

/// Bytes that one evaluation makes: all of them, whenever they are dropped again.
const MAX_MADE: usize = 64 << 20;

/// What any value is counted as besides its text.
const VALUE_BYTES: usize = 64;

pub(super) const TURN: &str = "@turn";
pub(super) const APPENDED: &str = "@appended";
pub(super) const COUNTED: &str = "@counted";
pub(super) const WEIGHED: &str = "@weighed";
pub(super) const MATCHES: &str = "@matches";
pub(super) const IN_ORDER: &str = "@in_order";

/// What a function answers, or why it does not.
type Answer<'c, 'v> = Result<CowVal<'c, 'v>, ExecutionError>;

/// As CEL calls functions.
type Function = Box<dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> + Send + Sync>;

/// What was taken so far, by one expression or by those of one template. It costs
/// nothing before something is to be interpreted.
#[derive(Default)]
pub(crate) struct Budget(OnceCell<Arc<Taken>>);

#[derive(Default)]
struct Taken {
    steps: AtomicUsize,
    made: AtomicUsize,
    patterns: Mutex<HashMap<String, Regex>>,
}

impl Budget {
    /// Steps that were taken.
    pub(crate) fn steps(&self) -> usize {
        self.0.get().map_or(0, |taken| taken.steps.load(Ordering::Relaxed))
    }

    fn taken(&self) -> Arc<Taken> {
        self.0.get_or_init(Arc::default).clone()
    }

    /// Adds the functions that count, and those that the language has beyond CEL's.
    pub(super) fn meter(&self, context: &mut Context<'_, '_>) -> Result<(), String> {
        let functions: [(&str, Function); 8] = [
            (TURN, self.passing(|taken, _| taken.step(1))),
            (APPENDED, self.passing(|taken, value| taken.step(1).and_then(|()| taken.make(value)))),
            (COUNTED, self.passing(Taken::make)),
            (WEIGHED, self.passing(|taken, value| taken.step(length(value) / ITEMS_A_STEP))),
            (IN_ORDER, self.function(in_order)),
            (MATCHES, self.function(matches)),
            ("sum", self.function(sum)),
            ("join", self.function(join)),
        ];
        let mut added = functions.into_iter().map(|(name, function)| context.add_function(name, function));
        added.try_for_each(|added| added.map(drop)).map_err(|error| error.to_string())
    }

    fn function(&self, body: for<'c, 'v> fn(&Taken, &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v>) -> Function {
        let taken = self.taken();
        Box::new(move |call| body(&taken, call))
    }

    /// A function that looks at a value and hands it on as it is: not copied, and of the
    /// type that it was.
    fn passing(&self, look: fn(&Taken, &dyn Val) -> Result<(), ExecutionError>) -> Function {
        let taken = self.taken();
        Box::new(move |call| {
            let value = next(call)?;
            look(&taken, &*value).map(|()| value)
        })
    }
}

/// What a function is called on, and then its arguments, one after the other.
fn next<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    match call.this.take() {
        Some(this) => Ok(this),
        None if call.args.is_empty() => Err(refused(call.name, "an argument is missing")),
        None => Ok(call.args.remove(0)),
    }
}

impl Taken {
    fn step(&self, steps: usize) -> Result<(), ExecutionError> {
        match self.steps.fetch_add(steps, Ordering::Relaxed).saturating_add(steps) <= MAX_STEPS {
            true => Ok(()),
            false => Err(refused(TURN, format!("it takes more than {MAX_STEPS} steps; have an agent compute it"))),
        }
    }

    fn make(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        self.make_bytes(bytes_of(value))
    }

    fn make_bytes(&self, bytes: usize) -> Result<(), ExecutionError> {
        if self.made.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= MAX_MADE {
            return Ok(());
        }
        // `||` and `exists` go on where one side has failed: not any more.
        self.steps.store(MAX_STEPS + 1, Ordering::Relaxed);
        Err(refused(COUNTED, format!("it makes more than {MAX_MADE} bytes; have an agent compute it")))
    }
}

/// How much there is to go through, in items.
fn length(value: &dyn Val) -> usize {
    measure(value, 1, |text| text / CHARACTERS)
}

/// How much memory a value takes, about.
fn bytes_of(value: &dyn Val) -> usize {
    measure(value, VALUE_BYTES, |text| text)
}

/// A value and all within it, at so much each, and their text at so much for its length.
fn measure(value: &dyn Val, each: usize, text: fn(usize) -> usize) -> usize {
    let inner = |value: &dyn Val| measure(value, each, text);
    if let Some(list) = value.downcast_ref::<CelList>() {
        return each + list.inner().iter().map(|item| inner(item.as_ref())).sum::<usize>();
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        return each + map.inner().iter().map(|(key, value)| inner(key.inner()) + inner(value.as_ref())).sum::<usize>();
    }
    let long = value.downcast_ref::<CelString>().map(|text| text.inner().len());
    let long = long.or_else(|| value.downcast_ref::<CelBytes>().map(|bytes| bytes.inner().len()));
    each + long.map_or(0, text)
}

fn refused(function: &str, message: impl Into<String>) -> ExecutionError {
    ExecutionError::function_error(function, message.into())
}

/// The keys of a map in their order, which CEL leaves open; anything else as it is. A
/// loop copies each item that it comes by.
fn in_order<'c, 'v>(taken: &Taken, call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let range = next(call)?;
    let Some(map) = range.downcast_ref::<CelMap>() else {
        taken.step(length(&*range) / ITEMS_A_STEP)?;
        return Ok(range);
    };
    let mut keys: Vec<_> = map.inner().keys().collect();
    let text: usize = keys.iter().map(|key| length(key.inner())).sum();
    taken.step(keys.len() + text)?;
    keys.sort();
    let keys: Vec<Box<dyn Val + 'v>> = keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// A pattern, made ready.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|why| {
        let why = why.to_string();
        // Before that, it shows the pattern.
        let why = why.rsplit_once("error: ").map_or(why.as_str(), |(_, why)| why);
        format!("`{text}` is no pattern: {why}")
    })
}

/// As CEL's own, with each pattern made ready once: that takes longer than to look for
/// it.
fn matches<'c, 'v>(taken: &Taken, call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let (text, pattern) = (next(call)?, next(call)?);
    let of_text = |value: &dyn Val| match value.downcast_ref::<CelString>() {
        Some(text) => Ok(text.inner().to_owned()),
        None => Err(refused("matches", format!("`matches` takes text, and not a {}", value.get_type().name()))),
    };
    let (text, pattern) = (of_text(&*text)?, of_text(&*pattern)?);
    taken.step(text.len() / SEARCHED_A_STEP)?;
    let mut patterns = taken.patterns.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ready) = patterns.get(&pattern) {
        return Ok(CowVal::owned(CelBool::from(ready.is_match(&text))));
    }
    taken.step(PATTERN_STEPS)?;
    let ready = self::pattern(&pattern).map_err(|why| refused("matches", why))?;
    let is_match = ready.is_match(&text);
    if patterns.len() < KEPT_PATTERNS {
        patterns.insert(pattern, ready);
    }
    Ok(CowVal::owned(CelBool::from(is_match)))
}

/// The sum of a list of numbers; 0 for an empty one.
fn sum<'c, 'v>(taken: &Taken, call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let list = next(call)?;
    let wrong = |value: &dyn Val| format!("`sum` takes a list of numbers, and not a {}", value.get_type().name());
    let items = list.downcast_ref::<CelList>().ok_or_else(|| refused("sum", wrong(&*list)))?.inner();
    taken.step(items.len() / ITEMS_A_STEP)?;
    let mut whole = Some(0i64);
    let mut float = 0.0;
    for item in items {
        if let Some(number) = item.downcast_ref::<CelInt>().map(|number| *number.inner()) {
            whole = whole.and_then(|whole| whole.checked_add(number));
            float += number as f64;
        } else if let Some(number) = item.downcast_ref::<CelDouble>() {
            whole = None;
            float += *number.inner();
        } else {
            let of = item.get_type().name();
            return Err(refused("sum", format!("`sum` takes a list of numbers, and one is a {of}")));
        }
    }
    Ok(match whole {
        Some(whole) => CowVal::owned(CelInt::from(whole)),
        None => CowVal::owned(CelDouble::from(float)),
    })
}

/// A list of text as one, with something between each two.
fn join<'c, 'v>(taken: &Taken, call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let (list, between) = (next(call)?, next(call)?);
    let wrong = |what: &str, value: &dyn Val| {
        refused(
            "join",
            format!("`join` takes a list of text, and text to put between, and {what} a {}", value.get_type().name()),
        )
    };
    let items = list.downcast_ref::<CelList>().ok_or_else(|| wrong("not", &*list))?.inner();
    let between = between.downcast_ref::<CelString>().ok_or_else(|| wrong("not", &*between))?.inner();
    taken.step(items.len() / ITEMS_A_STEP)?;
    let mut all = String::new();
    for (place, item) in items.iter().enumerate() {
        let text = item.downcast_ref::<CelString>().ok_or_else(|| wrong("one is", item.as_ref()))?.inner();
        let between = if place == 0 { "" } else { between };
        taken.make_bytes(between.len() + text.len())?;
        all.push_str(between);
        all.push_str(text);
    }
    Ok(CowVal::owned(CelString::from(all)))
}
