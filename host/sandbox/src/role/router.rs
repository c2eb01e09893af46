//! Routers: `{"subject": any, "routes": [text, …], "config"?: any}` in,
//! `{"route": text, "rationale": text}` out.

use pleach_kernel::{Payload, Role, RunError};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use wasmtime::Store;

use super::{Answer, empty_object, invalid_output, output_of, parse, plugin_error};
use crate::bindings::router::{RouteChoice, RouteRequest, RouterError, RouterPre};
use crate::guest::Guest;
use crate::stage;

/// The route that there always is.
const DEFAULT: &str = "default";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    subject: Payload,
    routes: Vec<String>,
    #[serde(default)]
    config: Option<Payload>,
}

const EXPECTED: &str = r#"{"subject": any JSON, "routes": [at least one name], "config": any JSON, {} where left out}"#;

#[derive(Serialize)]
struct Output {
    route: String,
    rationale: String,
}

pub(super) async fn call(
    pre: &RouterPre<Guest>,
    store: &mut Store<Guest>,
    input: &Payload,
) -> wasmtime::Result<Answer> {
    let Input { subject, routes, config } = match read(input) {
        Ok(input) => input,
        Err(error) => return Ok(Err(error)),
    };
    let router = pre.instantiate_async(&mut *store).instrument(stage::instantiate()).await?;
    let request = RouteRequest {
        subject: subject.as_str().to_owned(),
        routes,
        config: config.unwrap_or_else(empty_object).as_str().to_owned(),
        seed: store.data().calls.seed(),
    };
    Ok(match router.call_route(store, &request).instrument(stage::call()).await? {
        Ok(choice) => answer(choice, &request.routes),
        Err(RouterError { code, message, retryable, details }) => Err(plugin_error(code, message, retryable, details)),
    })
}

fn read(input: &Payload) -> Result<Input, RunError> {
    let input: Input = parse(Role::Router, EXPECTED, input)?;
    if input.routes.is_empty() {
        return Err(RunError::new("invalid_input", format!("a router takes {EXPECTED}: `routes` is empty")));
    }
    Ok(input)
}

fn answer(choice: RouteChoice, routes: &[String]) -> Answer {
    if choice.route != DEFAULT && !routes.contains(&choice.route) {
        let message = format!("the route `{}` is none of {}, nor `{DEFAULT}`", choice.route, routes.join(", "));
        return Err(invalid_output(message));
    }
    output_of(&Output { route: choice.route, rationale: choice.rationale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_chooses_among_the_routes_there_are() {
        let routes = ["a".to_owned(), "b".to_owned()];
        let choose = |route: &str| answer(RouteChoice { route: route.into(), rationale: "so".into() }, &routes);
        assert_eq!(choose("b").unwrap().as_str(), r#"{"route":"b","rationale":"so"}"#);
        assert!(choose("default").is_ok());
        assert_eq!(&*choose("c").unwrap_err().code, "invalid_output");
    }

    #[test]
    fn a_router_is_never_asked_without_routes() {
        let code = |text: &str| read(&Payload::parse(text.into()).unwrap()).err().map(|error| error.code.to_string());
        assert_eq!(code(r#"{"subject": 1, "routes": ["a"]}"#), None);
        assert_eq!(code(r#"{"subject": 1, "routes": []}"#).unwrap(), "invalid_input");
        assert_eq!(code(r#"{"subject": 1}"#).unwrap(), "invalid_input");
    }
}
