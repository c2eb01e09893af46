//! Reading: from a tree to the types of the language.
//!
//! A value that does not fit is told and taken out, and the rest is read again,
//! until nothing more is wrong: so one reading tells every problem of a map.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::{StringDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::at::AT;
use crate::diagnostic::{Diagnostic, Diagnostics, most_alike};
use crate::source::Span;
use crate::text::CEL;
use crate::tree::{Entry, Tree, Value};

/// Reads a value, and tells all that is wrong with it; none where what is wrong
/// leaves nothing to go on with. `at` is where it is told what is missing.
pub(crate) fn read<T: DeserializeOwned>(tree: &Tree, at: Span, found: &mut Diagnostics) -> Option<T> {
    let mut tree = tree.clone();
    let mut taken_out = Vec::new();
    loop {
        let asides = RefCell::new(Vec::new());
        let result = T::deserialize(Reader { tree: &tree, asides: &asides });
        // Those of a part that is about to be taken out are told now; the others
        // again, and once in the end.
        let asides = asides.into_inner();
        let misspelt: Vec<String> = asides.iter().filter_map(|aside| aside.hint.clone()).collect();
        asides.into_iter().for_each(|aside| found.push(aside));
        let failure = match result {
            Ok(value) => return Some(value),
            Err(failure) => *failure.0,
        };
        let is_known = |field: &String| {
            taken_out.contains(field)
                || field == KIND && !taken_out.is_empty()
                || misspelt.contains(&did_you_mean(field))
        };
        // What was taken out, or was misspelt, is missing because of that.
        if !failure.missing.as_ref().is_some_and(is_known) {
            let mut problem = Diagnostic::error(failure.code, failure.span.unwrap_or(at), failure.message);
            problem.hint = failure.hint;
            found.push(problem);
        }
        taken_out.push(take_out(&mut tree, &failure.path)?);
    }
}

/// The hint to a name that is written otherwise.
fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Removes what is at the end of a path, and gives the key it had.
fn take_out(tree: &mut Tree, path: &[usize]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    match &mut tree.value {
        Value::Map(entries) => {
            let entry = entries.get_mut(*first)?;
            if rest.is_empty() {
                return Some(entries.remove(*first).key);
            }
            take_out(&mut entry.value, rest)
        }
        Value::List(items) => {
            let item = items.get_mut(*first)?;
            if rest.is_empty() {
                items.remove(*first);
                return Some(String::new());
            }
            take_out(item, rest)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
    }
}

const EXPRESSION: &str = "an expression";

/// Stands for the name of a variant where it is missing.
const KIND: &str = "";

/// Why a value could not be read. It is handed up through many calls.
#[derive(Debug)]
struct Failure(Box<Why>);

#[derive(Debug)]
struct Why {
    code: &'static str,
    message: String,
    hint: Option<String>,
    /// None: of the whole.
    span: Option<Span>,
    /// The way to it, from its end on while it is handed up.
    path: Vec<usize>,
    missing: Option<String>,
}

impl Failure {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Why { code, message, hint: None, span: None, path: Vec::new(), missing: None }))
    }

    fn at(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    fn below(mut self, place: usize) -> Self {
        self.0.path.insert(0, place);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new("invalid_value", message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new("wrong_type", format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new("invalid_value", format!("expected {expected}, found {found}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new("unknown_name", format!("there is no `{variant}` here")).hint(one_of(variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        let mut failure = Self::new("missing_field", format!("`{field}` is missing"));
        failure.0.missing = Some(field.to_owned());
        failure
    }
}

fn one_of(wrong: &str, names: &[&str]) -> String {
    match most_alike(wrong, names.iter().copied()) {
        Some(name) => did_you_mean(name),
        None => format!("it is one of {}", quoted(names)),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A value that is being read.
#[derive(Clone, Copy)]
struct Reader<'a> {
    tree: &'a Tree,
    /// Problems that do not keep the value from being read.
    asides: &'a RefCell<Vec<Diagnostic>>,
}

impl<'a> Reader<'a> {
    fn on(self, tree: &'a Tree) -> Self {
        Self { tree, asides: self.asides }
    }

    fn expected(self, what: &str) -> Failure {
        let failure = Failure::new("wrong_type", format!("expected {what}, found {}", self.tree.value.kind()));
        match (&self.tree.value, what) {
            (Value::Number(_) | Value::Bool(_), "text" | EXPRESSION) => failure.hint("write it in quotes"),
            (Value::List(_) | Value::Map(_), EXPRESSION) => {
                failure.hint("an expression is text: write it in quotes, such as \"[1, 2, 3]\"")
            }
            _ => failure,
        }
        .at(self.tree.span)
    }
}

macro_rules! whole_numbers {
    ($($method:ident $bits:ty, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            let Value::Number(number) = &self.tree.value else { return Err(self.expected($what)) };
            if number.is_f64() {
                return Err(self.expected($what));
            }
            let fits = number.as_u64().is_some_and(|n| <$bits>::try_from(n).is_ok())
                || number.as_i64().is_some_and(|n| <$bits>::try_from(n).is_ok());
            if !fits {
                let message = format!("expected {} from {} to {}, found {number}", $what, <$bits>::MIN, <$bits>::MAX);
                return Err(Failure::new("invalid_value", message).at(self.tree.span));
            }
            self.deserialize_any(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.tree.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { reader: self, items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { reader: self, entries, next: 0, fields: None }),
        }
        .map_err(|failure: Failure| failure.at(self.tree.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.tree.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &str, visitor: V) -> Result<V::Value, Failure> {
        if name == AT {
            return visitor.visit_seq(Placed { reader: self, next: 0 });
        }
        if name == CEL {
            return match self.tree.value {
                Value::Text(_) => self.deserialize_any(visitor),
                _ => Err(self.expected(EXPRESSION)),
            };
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.tree.value {
            Value::Bool(_) => self.deserialize_any(visitor),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    whole_numbers! {
        deserialize_u8 u8, "an integer";
        deserialize_u16 u16, "an integer";
        deserialize_u32 u32, "an integer";
        deserialize_u64 u64, "an integer";
        deserialize_i8 i8, "an integer";
        deserialize_i16 i16, "an integer";
        deserialize_i32 i32, "an integer";
        deserialize_i64 i64, "an integer";
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.tree.value {
            Value::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            _ => Err(self.expected("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.tree.value {
            Value::Text(_) => self.deserialize_any(visitor),
            _ => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.tree.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.tree.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.expected("a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.tree.value {
            Value::Map(entries) => {
                visitor.visit_map(Entries { reader: self, entries, next: 0, fields: Some((fields, Vec::new())) })
            }
            // `judge:` with nothing below is a map without fields.
            Value::Null => {
                visitor.visit_map(Entries { reader: self, entries: &[], next: 0, fields: Some((fields, Vec::new())) })
            }
            _ => Err(self.expected(&format!("a map with {}", quoted(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let known = |name: &str, span: Span| match variants.contains(&name) {
            true => Ok(()),
            false => Err(<Failure as de::Error>::unknown_variant(name, variants).at(span)),
        };
        match &self.tree.value {
            Value::Text(name) => {
                known(name, self.tree.span)?;
                visitor.visit_enum(name.as_str().into_deserializer()).map_err(|_: Failure| {
                    let failure = Failure::new("wrong_type", format!("what belongs to `{name}` is missing"));
                    failure.hint(format!("write `{name}:` and its fields below")).at(self.tree.span)
                })
            }
            Value::Map(entries) => match entries.as_slice() {
                [entry] => {
                    known(&entry.key, entry.key_span)?;
                    visitor.visit_enum(Tagged { reader: self, entry }).map_err(|failure| failure.at(entry.key_span))
                }
                [] => {
                    let mut failure = Failure::new("missing_field", format!("expected one of {}", quoted(variants)));
                    failure.0.missing = Some(KIND.to_owned());
                    Err(failure)
                }
                [first, second, ..] => {
                    let message = format!("`{}` and `{}` cannot both be here", first.key, second.key);
                    let hint =
                        format!("it takes exactly one of {}; what belongs to it is indented below", quoted(variants));
                    Err(Failure::new("two_kinds", message).hint(hint).at(second.key_span).below(1))
                }
            },
            _ => Err(self.expected(&format!("one of {}", quoted(variants)))),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A place and its value, as [`crate::At`] takes them.
struct Placed<'a> {
    reader: Reader<'a>,
    next: u32,
}

impl<'de> SeqAccess<'de> for Placed<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let span = self.reader.tree.span;
        self.next += 1;
        let number = |number| -> U32Deserializer<Failure> { IntoDeserializer::into_deserializer(number) };
        match self.next {
            1 => seed.deserialize(number(span.start)),
            2 => seed.deserialize(number(span.len)),
            _ => seed.deserialize(self.reader),
        }
        .map(Some)
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Tree],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let place = self.next;
        self.next += 1;
        let read = seed.deserialize(self.reader.on(item)).map_err(|failure| failure.at(item.span).below(place));
        read.map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: &'a [Entry],
    next: usize,
    /// Of a struct: what it knows, and what there was so far.
    fields: Option<(&'static [&'static str], Vec<&'a str>)>,
}

impl Entries<'_> {
    /// Whether the next entry is one to read; if not, why is told.
    fn takes(&mut self, place: usize) -> bool {
        let entry = &self.entries[place];
        let Some((known, seen)) = &mut self.fields else { return true };
        let problem = if !known.contains(&entry.key.as_str()) {
            let message = format!("there is no field `{}` here", entry.key);
            Diagnostic::error("unknown_field", entry.key_span, message).hint(one_of(&entry.key, known))
        } else if seen.contains(&entry.key.as_str()) {
            Diagnostic::error("duplicate_field", entry.key_span, format!("`{}` is here twice", entry.key))
                .hint("keep one of them")
        } else {
            seen.push(&entry.key);
            return true;
        };
        self.reader.asides.borrow_mut().push(problem);
        false
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        while self.next < self.entries.len() && !self.takes(self.next) {
            self.next += 1;
        }
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        // A key is read like any text, so that it can know its place.
        let key = Tree { span: entry.key_span, value: Value::Text(entry.key.clone()) };
        match self.fields {
            Some(_) => {
                let name: StringDeserializer<Failure> = entry.key.clone().into_deserializer();
                seed.deserialize(name).map(Some)
            }
            None => seed.deserialize(self.reader.on(&key)).map(Some),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failure> {
        let place = self.next;
        self.next += 1;
        let entry = &self.entries[place];
        seed.deserialize(self.reader.on(&entry.value)).map_err(|failure| failure.at(entry.key_span).below(place))
    }
}

/// A variant by its tag, and what is below it.
struct Tagged<'a> {
    reader: Reader<'a>,
    entry: &'a Entry,
}

impl<'de, 'a> EnumAccess<'de> for Tagged<'a> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Failure> {
        let name: StringDeserializer<Failure> = self.entry.key.clone().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.entry.value.value {
            Value::Null => Ok(()),
            _ => Err(self.reader.on(&self.entry.value).expected("nothing")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.reader.on(&self.entry.value)).map_err(|failure| failure.below(0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.reader.on(&self.entry.value).deserialize_seq(visitor).map_err(|failure| failure.below(0))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.reader.on(&self.entry.value).deserialize_struct("", fields, visitor).map_err(|failure| failure.below(0))
    }
}
