//! Tree: what a file says, with the place of every value, before anything is
//! made of it. YAML and JSON are read alike: JSON is YAML.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{MAX_BYTES, Source, Span};

/// The deepest that lists and maps may lie in each other.
const MAX_DEPTH: usize = 64;

/// What the parser may use of a stack at that depth, and much more.
const STACK_BYTES: usize = 16 << 20;

/// Values of one file, those that aliases repeat included.
const MAX_NODES: usize = 2_000_000;

/// Values that aliases may repeat.
const MAX_REPEATED: usize = 100_000;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub span: Span,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Tree,
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(number) if number.is_f64() => "a number",
            Self::Number(_) => "an integer",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Tree {
    /// The same without places.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|one| (one.key.clone(), one.value.json())).collect())
            }
        }
    }
}

impl Tree {
    /// Every text in it but keys, with its place.
    pub fn texts(&self) -> Vec<(&str, Span)> {
        match &self.value {
            Value::Text(text) => vec![(text.as_str(), self.span)],
            Value::List(items) => items.iter().flat_map(Self::texts).collect(),
            Value::Map(entries) => entries.iter().flat_map(|entry| entry.value.texts()).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
        }
    }

    /// What a JSON Pointer leads to.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |tree, name| match &tree.value {
            Value::Map(entries) => {
                let key = name.replace("~1", "/").replace("~0", "~");
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
            }
            Value::List(items) => items.get(name.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        })
    }
}

/// Reads a file into a tree; none where it cannot be read.
pub(crate) fn parse(source: &Source, found: &mut Diagnostics) -> Option<Tree> {
    match read(source) {
        Ok(read) => Some(Placing { text: source.text(), found }.tree(read, 0)),
        Err(problem) => {
            found.push(problem);
            None
        }
    }
}

fn read(source: &Source) -> Result<Spanned<Raw>, Diagnostic> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a graph has at most {MAX_BYTES}", text.len());
        return Err(Diagnostic::error("too_large", Span::default(), message)
            .hint("split it into graphs that run one another, or have a `map` make the runs"));
    }
    // JSON may be indented with tabs, which YAML does not know.
    let spaced = text.trim_start().starts_with('{').then(|| without_tabs(text));
    match with_deep_stack(|| serde_saphyr::from_str_with_options(spaced.as_deref().unwrap_or(text), options())) {
        Ok(read) => Ok(read),
        Err(error) => {
            let span = error.location().map(|at| span_of(text, &at)).unwrap_or_default();
            let message = error.without_snippet().to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).trim_end_matches('.');
            Err(in_words(message, span, line_around(text, span)))
        }
    }
}

/// What keeps a file from being read, in the words of who wrote it, where the parser
/// speaks of itself.
fn in_words(message: &str, span: Span, line: &str) -> Diagnostic {
    let most = |what: &str, most: usize| format!("it has more than {most} {what}");
    let too_large = [
        ("Documents", "it has several documents, and a graph is one".to_owned(), "take out the lines `---`"),
        ("Depth", most("levels", MAX_DEPTH), "say less within each other"),
        ("Nodes", most("values", MAX_NODES), "split it into graphs that run one another"),
        ("Events", most("values", MAX_NODES), "split it into graphs that run one another"),
        ("replayed", most("values by way of its aliases", MAX_REPEATED), "write out what they stand for"),
    ];
    if message.contains("breached") || message.contains("replayed") {
        let told = too_large.into_iter().find(|(sign, ..)| message.contains(sign));
        let (_, message, hint) = told.unwrap_or(("", message.to_owned(), "split it into graphs that run one another"));
        return Diagnostic::error("syntax", span, message).hint(hint);
    }
    let levels = format!("it has more than {MAX_DEPTH} levels");
    let signs = [
        ("recursion limit", &*levels, "say less within each other"),
        ("null into string", "a key is text, and this is null", "put it in quotes"),
        ("weak recursion", "an alias stands for what it is within", "write out what it stands for"),
        ("non-finite", "a number that JSON cannot hold", "put it in quotes, if it is text"),
        ("tabs", message, "indent with spaces"),
    ];
    match signs.into_iter().find(|(sign, ..)| message.contains(sign)) {
        Some((_, message, hint)) => Diagnostic::error("syntax", span, message).hint(hint),
        // Expressions have characters that mean something else in YAML.
        None if line.contains("${{") || message.contains("trailing content") || line.contains(": !") => {
            Diagnostic::error("syntax", span, message).hint("put the whole text in quotes")
        }
        None => Diagnostic::error("syntax", span, message),
    }
}

/// The line that a place is in.
fn line_around(text: &str, span: Span) -> &str {
    let at = text.floor_char_boundary(span.start as usize);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].split('\n').next().unwrap_or_default()
}

/// Runs the parser, which recurses: the deepest file that is allowed takes more
/// stack than a thread of a runtime has where nothing is optimised.
fn with_deep_stack(
    parse: impl FnOnce() -> Result<Spanned<Raw>, serde_saphyr::Error> + Send,
) -> Result<Spanned<Raw>, serde_saphyr::Error> {
    std::thread::scope(|scope| match std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, parse) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => Err(serde::de::Error::custom(format_args!("no thread could be started to read it: {error}"))),
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_total_scalar_bytes: 2 * MAX_BYTES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
        },
        // The reader names them all, with their places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `y`, `no` and `on` are text.
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The text with a space for each tab, so that places stay what they are. A tab
/// within a JSON string is illegal there, and may be lost.
fn without_tabs(text: &str) -> String {
    text.replace('\t', " ")
}

fn span_of(text: &str, at: &Location) -> Span {
    let span = at.span();
    let (start, len) = match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(len)) => (start as usize, len as usize),
        _ => {
            let start = text.char_indices().nth(span.offset() as usize).map_or(text.len(), |(at, _)| at);
            (start, span.len() as usize)
        }
    };
    // Of an error, the parser may point into the middle of a character.
    let start = text.floor_char_boundary(start);
    let end = text.ceil_char_boundary((start + len).min(text.len()));
    Span::new(start, end - start)
}

/// A value whose children know their places.
enum Raw {
    Plain(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

/// Gives values their places, and tells of what the parser has made something else of.
struct Placing<'a> {
    text: &'a str,
    found: &'a mut Diagnostics,
}

impl Placing<'_> {
    /// `after` is where what stands before the value ends: its key.
    fn tree(&mut self, read: Spanned<Raw>, after: usize) -> Tree {
        let span = span_of(self.text, &read.referenced);
        let before = self.text.get(after..span.start as usize).unwrap_or_default();
        let is_tagged = self.tag(before, span.start as usize - before.len());
        let value = match read.value {
            // Something was said, and is told of once.
            Raw::Plain(Value::Null) if is_tagged => Value::Text(before.trim_start_matches(':').trim().to_owned()),
            Raw::Plain(Value::Number(number)) if number.is_f64() && !before.contains("!!float") => {
                Value::Number(self.number(number, span_of(self.text, &read.defined)))
            }
            Raw::Plain(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.item(item)).collect()),
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                    let key_span = span_of(self.text, &key.referenced);
                    Entry {
                        value: self.tree(value, (key_span.start + key_span.len) as usize),
                        key: key.value,
                        key_span,
                    }
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Tree { span, value }
    }

    /// An item of a list stands after a `-`, a `[` or a `,`, or after its tag.
    fn item(&mut self, item: Spanned<Raw>) -> Tree {
        let start = span_of(self.text, &item.referenced).start as usize;
        let before = self.text[..start].trim_end_matches([' ', '\t']);
        let after = before.rfind([' ', '\t', '\n', '[', '{', ',']).map_or(0, |at| at + 1);
        self.tree(item, after)
    }

    /// A `!` begins a tag, which says of what type the value after it is, and means
    /// nothing here but for YAML's own, such as `!!str`. Whether there is one before a
    /// value; `at` is where that begins.
    fn tag(&mut self, before: &str, at: usize) -> bool {
        let mut start = at;
        for line in before.split_inclusive('\n') {
            // Up to a comment.
            let said = line.find(" #").map_or(line, |comment| &line[..comment]);
            for word in said.split_inclusive(char::is_whitespace) {
                let tag = word.trim_end().trim_start_matches(':');
                let is_tag = tag.starts_with('!') && tag.len() > 1 && !tag.starts_with("!!") && !tag.starts_with("!<");
                if is_tag {
                    let lead = word.find('!').unwrap_or_default();
                    let place = Span::new(start + lead, tag.len());
                    let problem = Diagnostic::error("syntax", place, format!("`{tag}` is a tag of YAML, and no text"));
                    self.found.push(problem.hint("put the whole text in quotes"));
                    return true;
                }
                start += word.len();
            }
            start += line.len() - said.len();
        }
        false
    }

    /// What has no fraction is an integer, however many zeros it begins with.
    fn number(&mut self, number: Number, span: Span) -> Number {
        let spelt = self.text[span.start as usize..(span.start + span.len) as usize].replace('_', "");
        let digits = spelt.trim_start_matches(['+', '-']);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return number;
        }
        let whole = spelt.parse::<u64>().map(Number::from).or_else(|_| spelt.parse::<i64>().map(Number::from));
        whole.unwrap_or_else(|_| {
            let message = format!("an integer has at most 64 bits, and this is read as {number}");
            let problem = Diagnostic::warning("invalid_value", span, message);
            self.found.push(problem.hint("put it in quotes, if it is text"));
            number
        })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that JSON cannot hold"))?;
        Ok(Raw::Plain(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Text(text)))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests;
