//! Replanners: the kernel's `ReplanRequest` as JSON in, its `Plan` out. An
//! action is `{"retry": run}`, `{"spawn": {"target", "input", "spawn_key"?,
//! "scopes"?: {"use", "delegate"}, "timeout_ms"?}}`, `{"cancel": run}`,
//! `{"accept": run}` or `{"abort": text}`.

use pleach_kernel::{Grant, Payload, Role, RunError, RunStatus, Scope};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use wasmtime::Store;

use super::{Answer, empty_object, invalid_output, output_of, parse, plugin_error};
use crate::bindings::replanner::{Child, Plan, PlanAction, PlannedSpawn, ReplanRequest, ReplannerError, ReplannerPre};
use crate::capability::{run_error, run_status};
use crate::guest::Guest;
use crate::stage;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    failed: Vec<FailedChild>,
    #[serde(default)]
    completed_count: u32,
    #[serde(default)]
    replans_used: u32,
    max_replans: u32,
    #[serde(default)]
    config: Option<Payload>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedChild {
    run_id: String,
    target: String,
    #[serde(default)]
    spawn_key: Option<String>,
    status: RunStatus,
    attempt: u32,
    input: Payload,
    #[serde(default)]
    error: Option<RunError>,
}

const EXPECTED: &str = r#"{"failed": [{"run_id", "target", "spawn_key"?, "status", "attempt", "input", "error"?}], "completed_count", "replans_used", "max_replans", "config": any JSON, {} where left out}"#;

#[derive(Serialize)]
struct Output {
    actions: Vec<Action>,
    rationale: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Retry(String),
    Spawn(Spawn),
    Cancel(String),
    Accept(String),
    Abort(String),
}

#[derive(Serialize)]
struct Spawn {
    target: String,
    input: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    spawn_key: Option<String>,
    scopes: Grant,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

pub(super) async fn call(
    pre: &ReplannerPre<Guest>,
    store: &mut Store<Guest>,
    input: &Payload,
) -> wasmtime::Result<Answer> {
    let request = match parse(Role::Replanner, EXPECTED, input) {
        Ok(input) => request(input, store.data().calls.seed()),
        Err(error) => return Ok(Err(error)),
    };
    let replanner = pre.instantiate_async(&mut *store).instrument(stage::instantiate()).await?;
    Ok(match replanner.call_replan(store, &request).instrument(stage::call()).await? {
        Ok(plan) => answer(plan),
        Err(ReplannerError { code, message, retryable, details }) => {
            Err(plugin_error(code, message, retryable, details))
        }
    })
}

fn request(input: Input, seed: u64) -> ReplanRequest {
    let child = |child: FailedChild| Child {
        run_id: child.run_id,
        target: child.target,
        spawn_key: child.spawn_key,
        status: run_status(child.status),
        attempt: child.attempt,
        input: child.input.as_str().to_owned(),
        error: child.error.as_ref().map(run_error),
    };
    ReplanRequest {
        failed: input.failed.into_iter().map(child).collect(),
        completed_count: input.completed_count,
        replans_used: input.replans_used,
        max_replans: input.max_replans,
        config: input.config.unwrap_or_else(empty_object).as_str().to_owned(),
        seed,
    }
}

fn answer(plan: Plan) -> Answer {
    let actions: Result<Vec<Action>, RunError> = plan.actions.into_iter().map(action).collect();
    output_of(&Output { actions: actions?, rationale: plan.rationale })
}

fn action(action: PlanAction) -> Result<Action, RunError> {
    Ok(match action {
        PlanAction::Retry(run) => Action::Retry(run),
        PlanAction::Spawn(spawn) => Action::Spawn(planned(spawn)?),
        PlanAction::Cancel(run) => Action::Cancel(run),
        PlanAction::Accept(run) => Action::Accept(run),
        PlanAction::Abort(why) => Action::Abort(why),
    })
}

fn planned(spawn: PlannedSpawn) -> Result<Spawn, RunError> {
    let scopes = |texts: Vec<String>| {
        let scopes: Result<Vec<Scope>, _> = texts.iter().map(|text| text.parse()).collect();
        scopes.map_err(|error| invalid_output(format!("a planned spawn of `{}`: {error}", spawn.target)))
    };
    let scopes = Grant::new(scopes(spawn.scopes.can_use)?, scopes(spawn.scopes.can_delegate)?);
    let input = Payload::parse(spawn.input)
        .map_err(|error| invalid_output(format!("the input of a planned spawn of `{}`: {error}", spawn.target)))?;
    Ok(Spawn { target: spawn.target, input, spawn_key: spawn.spawn_key, scopes, timeout_ms: spawn.timeout_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types;

    fn spawn(input: &str, scope: &str) -> Plan {
        let scopes = types::Grant { can_use: vec![scope.into()], can_delegate: Vec::new() };
        let spawn =
            PlannedSpawn { target: "t".into(), input: input.into(), spawn_key: None, scopes, timeout_ms: Some(5) };
        Plan { actions: vec![PlanAction::Retry("r".into()), PlanAction::Spawn(spawn)], rationale: "so".into() }
    }

    #[test]
    fn a_plan_is_what_the_kernel_reads() {
        let text = answer(spawn("[1]", "fs.read:a/*")).unwrap();
        let plan: pleach_kernel::Plan = serde_json::from_str(text.as_str()).unwrap();
        let pleach_kernel::Action::Spawn(spawn) = &plan.actions[1] else { panic!("{plan:?}") };
        assert_eq!(plan.actions[0], pleach_kernel::Action::Retry("r".into()));
        assert_eq!((spawn.input.as_str(), spawn.timeout_ms), ("[1]", Some(5)));
        assert_eq!(spawn.scopes.can_use()[0].as_str(), "fs.read:a/*");
    }

    #[test]
    fn a_plan_that_no_kernel_could_read_is_the_plugins_fault() {
        for plan in [spawn("nope", "fs.read:a"), spawn("1", "nope")] {
            assert_eq!(&*answer(plan).unwrap_err().code, "invalid_output");
        }
    }

    #[test]
    fn what_the_kernel_asks_is_read() {
        let asked = pleach_kernel::ReplanRequest {
            failed: vec![pleach_kernel::ReplanChild {
                run_id: pleach_kernel::RootId(1).run(),
                target: "t".into(),
                spawn_key: None,
                status: RunStatus::TimedOut,
                attempt: 2,
                input: Payload::null(),
                error: Some(RunError::new("c", "m")),
            }],
            completed_count: 3,
            replans_used: 0,
            max_replans: 1,
            config: None,
        };
        let input: Input = parse(Role::Replanner, EXPECTED, &Payload::of(&asked).unwrap()).unwrap();
        let request = request(input, 9);
        assert_eq!((request.completed_count, request.seed, request.config.as_str()), (3, 9, "{}"));
        assert_eq!(request.failed[0].status, types::RunStatus::TimedOut);
        assert_eq!(request.failed[0].error.as_ref().unwrap().code, "c");
    }
}
