//! Routes by the value of one field of the subject, compared as it stands.
//!
//! | setting | meaning | default |
//! |---|---|---|
//! | `pointer` | where the field is: a JSON pointer (RFC 6901) | `/status` |
//! | `map` | which value goes which way: `{"timed_out": "retry"}` | a value goes the way that has its name |
//!
//! A value that is not in `map` goes the way that has its name; where there is
//! none, where the field is missing, or where it holds a list, an object or
//! null, the way is `default`. A number or a boolean is named as JSON writes it.

use std::collections::BTreeMap;

use pleach_sdk::Error;
use pleach_sdk::router::{Crossing, DEFAULT_ROUTE, RouteChoice};
use serde::Deserialize;
use serde_json::Value;

pleach_sdk::router!(route);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "Settings::default_pointer")]
    pointer: String,
    #[serde(default)]
    map: BTreeMap<String, String>,
}

impl Settings {
    fn default_pointer() -> String {
        "/status".to_owned()
    }

    /// A mistake shows at the first crossing, and not at the first one that
    /// happens to have the value with the mistake.
    fn check(&self, routes: &[String]) -> Result<(), Error> {
        if !self.pointer.is_empty() && !self.pointer.starts_with('/') {
            return Err(invalid(format!(
                "`pointer` is a JSON pointer such as `/status` or `/error/code`, and `{}` does not begin with `/`",
                self.pointer
            )));
        }
        match self.map.iter().find(|(_, to)| !exists(routes, to)) {
            None => Ok(()),
            Some((value, to)) => Err(invalid(format!(
                "`map` sends `{value}` to `{to}`, and the routes are {} and `{DEFAULT_ROUTE}`",
                listed(routes)
            ))),
        }
    }
}

fn route(crossing: Crossing) -> Result<RouteChoice, Error> {
    let settings: Settings = crossing.config()?;
    settings.check(&crossing.routes)?;
    let field = crossing.subject.pointer(&settings.pointer);
    let (route, rationale) = choose(&settings, &crossing.routes, field);
    Ok(RouteChoice { route: route.to_owned(), rationale })
}

fn choose<'a>(settings: &'a Settings, routes: &'a [String], field: Option<&Value>) -> (&'a str, String) {
    let pointer = &settings.pointer;
    let Some(field) = field else {
        return (DEFAULT_ROUTE, format!("the subject has no `{pointer}`"));
    };
    let Some(value) = name(field) else {
        return (DEFAULT_ROUTE, format!("`{pointer}` is {}, which names no route", kind(field)));
    };
    if let Some(to) = settings.map.get(&value) {
        return (to, format!("`{pointer}` is `{value}`, which `map` sends to `{to}`"));
    }
    match routes.iter().find(|route| **route == value) {
        Some(route) => (route, format!("`{pointer}` is `{value}`")),
        None => (DEFAULT_ROUTE, format!("`{pointer}` is `{value}`, and the routes are {}", listed(routes))),
    }
}

fn name(field: &Value) -> Option<String> {
    match field {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(field.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind(field: &Value) -> &'static str {
    match field {
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::String(_) | Value::Number(_) | Value::Bool(_) => "a plain value",
    }
}

fn exists(routes: &[String], route: &str) -> bool {
    route == DEFAULT_ROUTE || routes.iter().any(|known| known == route)
}

fn listed(routes: &[String]) -> String {
    routes.iter().map(|route| format!("`{route}`")).collect::<Vec<_>>().join(", ")
}

fn invalid(message: String) -> Error {
    Error::new("invalid_config", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(subject: Value, config: Value) -> Result<String, Error> {
        let routes = ["completed", "failed", "true", "retry"].map(str::to_owned).to_vec();
        route(Crossing { subject, routes, config, seed: 0 }).map(|choice| choice.route)
    }

    #[test]
    fn a_value_goes_the_way_that_has_its_name() {
        assert_eq!(ask(json!({"status": "failed"}), json!({})).unwrap(), "failed");
        assert_eq!(ask(json!({"a": [{"b": true}]}), json!({"pointer": "/a/0/b"})).unwrap(), "true");
        assert_eq!(ask(json!("retry"), json!({"pointer": ""})).unwrap(), "retry");
    }

    #[test]
    fn what_names_no_route_goes_the_default_way() {
        for subject in [json!({"status": "paused"}), json!({"status": "Failed"}), json!({"status": " failed"})] {
            assert_eq!(ask(subject, json!({})).unwrap(), "default");
        }
        for subject in [json!({}), json!(7), json!({"status": null}), json!({"status": ["failed"]})] {
            assert_eq!(ask(subject, json!({})).unwrap(), "default");
        }
    }

    #[test]
    fn the_map_goes_before_the_name() {
        let config = json!({"map": {"timed_out": "retry", "failed": "default", "404": "failed"}});
        assert_eq!(ask(json!({"status": "timed_out"}), config.clone()).unwrap(), "retry");
        assert_eq!(ask(json!({"status": "failed"}), config.clone()).unwrap(), "default");
        assert_eq!(ask(json!({"status": 404}), config.clone()).unwrap(), "failed");
        assert_eq!(ask(json!({"status": "completed"}), config).unwrap(), "completed");
    }

    #[test]
    fn wrong_settings_are_refused_whatever_the_subject_is() {
        let error = ask(json!({}), json!({"map": {"x": "nowhere"}})).unwrap_err();
        assert_eq!(error.code, "invalid_config");
        assert!(error.message.contains("`x` to `nowhere`") && error.message.contains("`completed`"), "{error}");
        assert_eq!(ask(json!({}), json!({"pointer": "status"})).unwrap_err().code, "invalid_config");
        assert_eq!(ask(json!({}), json!({"pionter": "/status"})).unwrap_err().code, "invalid_config");
    }
}
