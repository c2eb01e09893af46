//! Values between JSON and CEL. Whole numbers are signed in CEL, so that they can
//! be reckoned with; one that does not fit is a floating-point number.

use std::cell::OnceCell;
use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Number, Value as Json};

fn from_json(json: &Json) -> Box<dyn Val> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(*value)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or_default())),
        },
        Json::String(text) => Box::new(CelString::from(text.clone())),
        Json::Array(items) => Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>())),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (CelMapKey::from(key.clone()), from_json(value)));
            Box::new(CelMap::from(fields.collect::<HashMap<_, _>>()))
        }
    }
}

/// Something that expressions can look at: JSON, and as CEL has it, which is made when
/// the first of them looks.
#[derive(Debug, Default)]
pub struct Datum {
    json: Json,
    cel: OnceCell<Box<dyn Val>>,
}

impl Datum {
    pub fn json(&self) -> &Json {
        &self.json
    }

    pub(super) fn cel(&self) -> &(dyn Val + 'static) {
        self.cel.get_or_init(|| from_json(&self.json)).as_ref()
    }
}

impl From<Json> for Datum {
    fn from(json: Json) -> Self {
        Self { json, cel: OnceCell::new() }
    }
}

/// Bytes of what an evaluation gives, about.
const MOST_GIVEN: usize = 16 << 20;

/// As JSON, unless that takes too much: a loop may repeat one large value often.
pub(super) fn to_json(value: &dyn Val) -> Result<Json, String> {
    let mut left = MOST_GIVEN;
    convert(value, &mut left)
}

fn convert(value: &dyn Val, left: &mut usize) -> Result<Json, String> {
    let text = value.downcast_ref::<CelString>().map(CelString::inner);
    let takes = text.map_or(0, str::len) + 16;
    let too_much = || format!("it makes more than {MOST_GIVEN} bytes; have an agent compute it");
    *left = left.checked_sub(takes).ok_or_else(too_much)?;
    if let Some(text) = text {
        return Ok(text.into());
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().map(|item| convert(item.as_ref(), left)).collect();
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        // In their order, so that it is the same one of several that cannot be told.
        let mut fields: Vec<_> = map.inner().iter().collect();
        fields.sort_by_key(|(key, _)| *key);
        let fields = fields.into_iter().map(|(key, value)| Ok((name_of(key), convert(value.as_ref(), left)?)));
        return Ok(Json::Object(fields.collect::<Result<_, String>>()?));
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        let number = Number::from_f64(*number.inner()).ok_or("the result is no finite number")?;
        return Ok(Json::Number(number));
    }
    let plain = value.downcast_ref::<CelInt>().map(|number| Json::from(*number.inner()));
    let plain = plain.or_else(|| value.downcast_ref::<CelUInt>().map(|number| Json::from(*number.inner())));
    let plain = plain.or_else(|| value.downcast_ref::<CelBool>().map(|value| Json::from(*value.inner())));
    let plain = plain.or_else(|| value.downcast_ref::<CelNull>().map(|_| Json::Null));
    plain.ok_or_else(|| format!("the result is a {}, which JSON does not know", value.get_type().name()))
}

/// A key as JSON has it.
fn name_of(key: &CelMapKey<'_>) -> String {
    match convert(key.inner(), &mut usize::MAX.clone()) {
        Ok(Json::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
