//! From an exported `replan` to a function over a [`Setback`].

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::bindings::replanner::{ReplanRequest, ReplannerError};

pub use crate::bindings::replanner::{Child, Plan, PlanAction, PlannedSpawn};

/// What a replanner is asked: what failed, and what there is left to try.
#[derive(Clone, Debug)]
pub struct Setback {
    /// Every child that failed or timed out and was not replaced since.
    pub failed: Vec<Child>,
    /// How many children have completed.
    pub completed_count: u32,
    /// How many plans were carried out before.
    pub replans_used: u32,
    /// How many may be.
    pub max_replans: u32,
    /// Settings; `{}` where nothing was given.
    pub config: Value,
    /// The same in every replay.
    pub seed: u64,
}

impl Setback {
    /// The settings as a type of yours. Others fail with `invalid_config`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.config)
            .map_err(|error| Error::new("invalid_config", format!("cannot read the settings: {error}")))
    }
}

/// Make a `fn(Setback) -> Result<Plan, Error>` the plugin's replanner.
#[macro_export]
macro_rules! replanner {
    ($replan:path) => {
        const _: () = {
            struct Plugin;
            impl $crate::bindings::replanner::Guest for Plugin {
                fn replan(
                    request: $crate::bindings::replanner::ReplanRequest,
                ) -> ::std::result::Result<
                    $crate::bindings::replanner::Plan,
                    $crate::bindings::replanner::ReplannerError,
                > {
                    $crate::replanner::answer(request, $replan)
                }
            }
            $crate::bindings::replanner::export_replanner!(
                Plugin with_types_in $crate::bindings::replanner
            );
        };
    };
}

/// What `replanner!` expands to.
#[doc(hidden)]
pub fn answer(request: ReplanRequest, replan: fn(Setback) -> Result<Plan, Error>) -> Result<Plan, ReplannerError> {
    crate::panic::report_to_log();
    crate::json::parse("the settings", &request.config)
        .and_then(|config| {
            replan(Setback {
                failed: request.failed,
                completed_count: request.completed_count,
                replans_used: request.replans_used,
                max_replans: request.max_replans,
                config,
                seed: request.seed,
            })
        })
        .map_err(|error| ReplannerError {
            details: error.details_text(),
            code: error.code,
            message: error.message,
            retryable: error.retryable,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replanned(config: &str) -> Result<Plan, ReplannerError> {
        let request = ReplanRequest {
            failed: Vec::new(),
            completed_count: 1,
            replans_used: 0,
            max_replans: 2,
            config: config.into(),
            seed: 7,
        };
        answer(request, |setback| {
            let reason: String = setback.config()?;
            Ok(Plan { actions: vec![PlanAction::Abort(reason)], rationale: String::new() })
        })
    }

    #[test]
    fn the_function_sees_values_and_the_contract_a_plan() {
        assert!(matches!(&replanned("\"why\"").unwrap().actions[..], [PlanAction::Abort(why)] if why == "why"));
    }

    #[test]
    fn settings_of_another_shape_are_an_error() {
        assert_eq!(replanned("3").unwrap_err().code, "invalid_config");
    }
}
