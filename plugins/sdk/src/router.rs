//! From an exported `route` to a function over a [`Crossing`].

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::bindings::router::{RouteRequest, RouterError};

pub use crate::bindings::router::RouteChoice;

/// The route that is always there.
pub const DEFAULT_ROUTE: &str = "default";

/// What a router is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// What is routed.
    pub subject: Value,
    /// The ways there are; never empty.
    pub routes: Vec<String>,
    /// Settings; `{}` where nothing was given.
    pub config: Value,
    /// The same in every replay.
    pub seed: u64,
}

impl Crossing {
    /// The settings as a type of yours. Others fail with `invalid_config`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.config)
            .map_err(|error| Error::new("invalid_config", format!("cannot read the settings: {error}")))
    }
}

/// Make a `fn(Crossing) -> Result<RouteChoice, Error>` the plugin's router.
#[macro_export]
macro_rules! router {
    ($route:path) => {
        const _: () = {
            struct Plugin;
            impl $crate::bindings::router::Guest for Plugin {
                fn route(
                    request: $crate::bindings::router::RouteRequest,
                ) -> ::std::result::Result<$crate::bindings::router::RouteChoice, $crate::bindings::router::RouterError>
                {
                    $crate::router::answer(request, $route)
                }
            }
            $crate::bindings::router::export_router!(
                Plugin with_types_in $crate::bindings::router
            );
        };
    };
}

/// What `router!` expands to.
#[doc(hidden)]
pub fn answer(
    request: RouteRequest,
    route: fn(Crossing) -> Result<RouteChoice, Error>,
) -> Result<RouteChoice, RouterError> {
    crate::panic::report_to_log();
    let crossing = || {
        Ok(Crossing {
            subject: crate::json::parse("the subject", &request.subject)?,
            routes: request.routes.clone(),
            config: crate::json::parse("the settings", &request.config)?,
            seed: request.seed,
        })
    };
    crossing().and_then(route).map_err(|error| RouterError {
        details: error.details_text(),
        code: error.code,
        message: error.message,
        retryable: error.retryable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(config: &str) -> Result<RouteChoice, RouterError> {
        let routes = vec!["a".to_owned(), "b".to_owned()];
        let request = RouteRequest { subject: "null".into(), routes, config: config.into(), seed: 7 };
        answer(request, |crossing| {
            let place: usize = crossing.config()?;
            let route = crossing.routes.get(place).map_or(DEFAULT_ROUTE, String::as_str).to_owned();
            Ok(RouteChoice { route, rationale: String::new() })
        })
    }

    #[test]
    fn the_function_sees_values_and_the_contract_a_choice() {
        assert_eq!(routed("1").unwrap().route, "b");
        assert_eq!(routed("9").unwrap().route, DEFAULT_ROUTE);
    }

    #[test]
    fn settings_of_another_shape_are_an_error() {
        assert_eq!(routed("{}").unwrap_err().code, "invalid_config");
    }
}
