//! Merge: what several tasks gave, as one document.
//!
//! Objects are merged key by key, lists are appended without what is there already,
//! and text is joined where it is prose: where it is all that a task gave, or stands
//! under a key `summary`. Anything else is a value, of which the first that was given
//! stays; another one is a conflict, and nothing of it is lost.
//!
//! Whoever is merged first stays first, so that equal outputs give equal documents in
//! whichever order the tasks have ended.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

/// The most conflicts that are told; further ones are counted.
const MAX_CONFLICTS: usize = 1_000;

/// The key whose text is prose.
const PROSE: &str = "summary";

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Null where nobody gave anything.
    pub summary: Json,
    pub conflicts: Vec<Conflict>,
    /// Conflicts that are not among these.
    pub conflicts_omitted: u32,
}

/// One place where two tasks gave different values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflict {
    /// A JSON pointer (RFC 6901) into the summary; empty for all of it.
    pub path: String,
    pub kept: Given,
    pub dropped: Given,
}

/// A value, and the task that gave it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Given {
    pub task: Arc<str>,
    pub value: Json,
}

/// Merges what tasks gave, in this order.
pub fn merge(given: impl IntoIterator<Item = Given>) -> Merged {
    let (mut whole, mut conflicts) = (None, Conflicts::default());
    for Given { task, value } in given {
        Part::add(&mut whole, &task, value, &Place { above: None, key: "" }, &mut conflicts);
    }
    Merged {
        summary: whole.map_or(Json::Null, |part: Part| part.json()),
        conflicts: conflicts.told,
        conflicts_omitted: conflicts.omitted,
    }
}

#[derive(Default)]
struct Conflicts {
    told: Vec<Conflict>,
    omitted: u32,
}

/// Where in the document a part stands.
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    key: &'a str,
}

impl Place<'_> {
    fn is_prose(&self) -> bool {
        self.above.is_none() || self.key == PROSE
    }

    fn pointer(&self) -> String {
        match self.above {
            None => String::new(),
            Some(above) => format!("{}/{}", above.pointer(), self.key.replace('~', "~0").replace('/', "~1")),
        }
    }
}

/// A part of the document that is being made, and the task that was first to give
/// something there.
struct Part {
    by: Arc<str>,
    form: Form,
}

enum Form {
    Value(Json),
    Prose(Vec<String>),
    /// `known` has the text of each item, since a list may grow long.
    List {
        items: Vec<Json>,
        known: HashSet<String>,
    },
    Object(BTreeMap<String, Option<Part>>),
}

impl Part {
    /// Null says nothing, so it is in nobody's way.
    fn add(part: &mut Option<Self>, task: &Arc<str>, value: Json, place: &Place, conflicts: &mut Conflicts) {
        if value.is_null() {
            return;
        }
        let there = part.get_or_insert_with(|| Self { by: task.clone(), form: Form::of(&value, place) });
        match (&mut there.form, value) {
            (Form::Object(entries), Json::Object(map)) => {
                for (key, value) in map {
                    let place = Place { above: Some(place), key: &key };
                    Self::add(entries.entry(key.clone()).or_default(), task, value, &place, conflicts);
                }
            }
            (Form::List { items, known }, Json::Array(list)) => {
                // A list may have an item twice by itself.
                let fresh: Vec<Json> = list.into_iter().filter(|item| !known.contains(&item.to_string())).collect();
                known.extend(fresh.iter().map(Json::to_string));
                items.extend(fresh);
            }
            (Form::Prose(parts), Json::String(text)) => {
                if !parts.contains(&text) {
                    parts.push(text);
                }
            }
            (Form::Value(kept), value) if *kept == value => {}
            (_, _) if conflicts.told.len() == MAX_CONFLICTS => conflicts.omitted += 1,
            (_, value) => conflicts.told.push(Conflict {
                path: place.pointer(),
                kept: Given { task: there.by.clone(), value: there.json() },
                dropped: Given { task: task.clone(), value },
            }),
        }
    }

    fn json(&self) -> Json {
        match &self.form {
            Form::Value(value) => value.clone(),
            Form::Prose(parts) => {
                let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
                parts.join("\n\n").into()
            }
            Form::List { items, .. } => items.clone().into(),
            Form::Object(entries) => {
                let json = |part: &Option<Part>| part.as_ref().map_or(Json::Null, Part::json);
                Json::Object(entries.iter().map(|(key, part)| (key.clone(), json(part))).collect())
            }
        }
    }
}

impl Form {
    /// The form of whatever begins with `value`, without its content.
    fn of(value: &Json, place: &Place) -> Self {
        match value {
            Json::Object(_) => Self::Object(BTreeMap::new()),
            Json::Array(_) => Self::List { items: Vec::new(), known: HashSet::new() },
            Json::String(_) if place.is_prose() => Self::Prose(Vec::new()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Self::Value(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(given: &[(&str, Json)], summary: Json, conflicts: &[&str]) {
        let given = given.iter().map(|(task, value)| Given { task: (*task).into(), value: value.clone() });
        let merged = merge(given);
        let told = |conflict: &Conflict| {
            let Conflict { path, kept, dropped } = conflict;
            format!("{path}: {} {} not {} {}", kept.task, kept.value, dropped.task, dropped.value)
        };
        let told: Vec<String> = merged.conflicts.iter().map(told).collect();
        assert_eq!(
            (merged.summary, told.iter().map(String::as_str).collect::<Vec<_>>()),
            (summary, conflicts.to_vec())
        );
    }

    #[test]
    fn objects_are_merged_key_by_key_however_deep() {
        let (a, b) = (json!({"x": 1, "in": {"p": true}}), json!({"y": 2, "in": {"q": false, "p": true}}));
        check(&[("a", a), ("b", b)], json!({"x": 1, "y": 2, "in": {"p": true, "q": false}}), &[]);
    }

    #[test]
    fn lists_are_appended_without_what_is_there_already() {
        let one = |n: u32| json!({"id": n});
        check(
            &[("a", json!([one(1), one(2)])), ("b", json!([one(2), one(3), one(3)]))],
            json!([one(1), one(2), one(3), one(3)]),
            &[],
        );
    }

    #[test]
    fn text_is_joined_where_it_is_prose() {
        check(&[("a", json!("one\n")), ("b", json!("two")), ("c", json!("two"))], json!("one\n\ntwo"), &[]);
        let summary = |text: &str| json!({"summary": text});
        check(&[("a", summary("one")), ("b", summary("two"))], json!({"summary": "one\n\ntwo"}), &[]);
    }

    #[test]
    fn of_different_values_the_first_stays_and_the_others_are_told() {
        let (a, b, c) = (json!({"m/n": {"v": "yes"}, "k": 1}), json!({"m/n": {"v": "no"}, "k": 1}), json!({"k": 1.5}));
        check(
            &[("a", a), ("b", b), ("c", c)],
            json!({"m/n": {"v": "yes"}, "k": 1}),
            &[r#"/m~1n/v: a "yes" not b "no""#, "/k: a 1 not c 1.5"],
        );
    }

    #[test]
    fn values_of_different_kinds_are_a_conflict_and_null_is_none() {
        check(
            &[("a", json!(null)), ("b", json!([1])), ("c", json!({"x": null}))],
            json!([1]),
            &[r#": b [1] not c {"x":null}"#],
        );
        check(&[("a", json!({"x": null})), ("b", json!({"x": 3}))], json!({"x": 3}), &[]);
        check(&[], json!(null), &[]);
    }

    #[test]
    fn conflicts_are_told_up_to_a_bound_and_counted_beyond_it() {
        let given = (0..1_012).map(|n| Given { task: format!("t{n}").into(), value: json!({"n": n}) });
        let merged = merge(given);
        assert_eq!((merged.conflicts.len(), merged.conflicts_omitted), (MAX_CONFLICTS, 11));
        assert_eq!(merged.summary, json!({"n": 0}));
    }
}
