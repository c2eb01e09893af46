//! Retries failures that another try may mend, lets the others stand, and gives
//! up where too much has failed.
//!
//! | setting | meaning | default |
//! |---|---|---|
//! | `codes` | errors to retry besides those that are marked as retryable | none |
//! | `never` | errors not to retry even where they are | none |
//! | `max_rounds` | how many plans of one run may retry something; so a child is run again at most so often | 2 |
//! | `max_attempts` | a child that had so many tries of its own is not retried | no limit |
//! | `abort_above` | give up where a larger share of the children has failed, from 0 to 1 | 1: never |
//!
//! A cancelled child is not among the failures, so somebody's wish to stop it is
//! never overruled.

use pleach_sdk::replanner::{Child, Plan, PlanAction, Setback};
use pleach_sdk::{Error, RunStatus};
use serde::Deserialize;

pleach_sdk::replanner!(replan);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    codes: Vec<String>,
    never: Vec<String>,
    max_rounds: u32,
    max_attempts: Option<u32>,
    abort_above: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { codes: Vec::new(), never: Vec::new(), max_rounds: 2, max_attempts: None, abort_above: 1.0 }
    }
}

impl Settings {
    fn of(setback: &Setback) -> Result<Self, Error> {
        let settings: Self = setback.config()?;
        if !(0.0..=1.0).contains(&settings.abort_above) {
            let message = format!("`abort_above` is a share from 0 to 1, and not {}", settings.abort_above);
            return Err(Error::new("invalid_config", message));
        }
        if let Some(code) = settings.codes.iter().find(|code| settings.never.contains(code)) {
            let message = format!("`{code}` is in `codes`, to be retried, and in `never`: take it out of one");
            return Err(Error::new("invalid_config", message));
        }
        Ok(settings)
    }

    /// Whether another try of this child may mend it.
    fn retries(&self, child: &Child) -> bool {
        if self.max_attempts.is_some_and(|most| child.attempt >= most) {
            return false;
        }
        let (code, retryable) = match &child.error {
            Some(error) => (error.code.as_str(), error.retryable),
            None if child.status == RunStatus::TimedOut => ("timed_out", false),
            None => return false,
        };
        let among = |codes: &[String]| codes.iter().any(|known| known == code);
        !among(&self.never) && (retryable || among(&self.codes))
    }
}

/// The actions are in the order of the failures, one for each.
fn replan(setback: Setback) -> Result<Plan, Error> {
    let settings = Settings::of(&setback)?;
    let failed = setback.failed.len();
    let all = failed as f64 + f64::from(setback.completed_count);
    let share = if failed == 0 { 0.0 } else { failed as f64 / all };
    if share > settings.abort_above {
        let why = format!(
            "{failed} of {all} children failed ({:.0} %), and more than {:.0} % is too much",
            share * 100.0,
            settings.abort_above * 100.0
        );
        return Ok(Plan { actions: vec![PlanAction::Abort(why)], rationale: "giving up".to_owned() });
    }
    let last_round = setback.replans_used >= settings.max_rounds;
    let actions: Vec<PlanAction> = setback
        .failed
        .into_iter()
        .map(|child| match !last_round && settings.retries(&child) {
            true => PlanAction::Retry(child.run_id),
            false => PlanAction::Accept(child.run_id),
        })
        .collect();
    let retried = actions.iter().filter(|action| matches!(action, PlanAction::Retry(_))).count();
    let accepted = actions.len() - retried;
    let rationale = match last_round {
        true => format!("{accepted} failures stand: {} plans have retried before", setback.replans_used),
        false => format!("{retried} to retry; {accepted} that another try does not mend"),
    };
    Ok(Plan { actions, rationale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_sdk::RunError;
    use serde_json::{Value, json};

    fn child(run: &str, code: &str, retryable: bool) -> Child {
        let error = RunError { code: code.into(), message: "it broke".into(), retryable, details: None };
        Child {
            run_id: run.into(),
            target: "reviewer".into(),
            spawn_key: None,
            status: RunStatus::Failed,
            attempt: 1,
            input: "null".into(),
            error: Some(error),
        }
    }

    fn ask(failed: Vec<Child>, replans_used: u32, config: Value) -> Result<String, Error> {
        let setback = Setback { failed, completed_count: 2, replans_used, max_replans: 3, config, seed: 0 };
        let plan = replan(setback)?;
        let told = plan.actions.iter().map(|action| match action {
            PlanAction::Retry(run) => format!("retry {run}"),
            PlanAction::Accept(run) => format!("accept {run}"),
            PlanAction::Abort(_) => "abort".to_owned(),
            PlanAction::Spawn(_) | PlanAction::Cancel(_) => panic!("{action:?}"),
        });
        Ok(told.collect::<Vec<_>>().join(", "))
    }

    fn two() -> Vec<Child> {
        vec![child("a", "io", true), child("b", "trap", false)]
    }

    #[test]
    fn what_is_marked_retryable_is_retried_and_the_rest_accepted() {
        assert_eq!(ask(two(), 0, json!({})).unwrap(), "retry a, accept b");
    }

    #[test]
    fn codes_add_to_the_mark_and_never_outranks_it() {
        assert_eq!(ask(two(), 0, json!({"codes": ["trap"]})).unwrap(), "retry a, retry b");
        assert_eq!(ask(two(), 0, json!({"never": ["io"]})).unwrap(), "accept a, accept b");
        assert_eq!(ask(two(), 0, json!({"codes": ["x"], "never": ["x"]})).unwrap_err().code, "invalid_config");
    }

    #[test]
    fn a_child_that_timed_out_is_retried_only_where_that_is_asked_for() {
        let late = || Child { status: RunStatus::TimedOut, error: None, ..child("a", "", false) };
        assert_eq!(ask(vec![late()], 0, json!({})).unwrap(), "accept a");
        assert_eq!(ask(vec![late()], 0, json!({"codes": ["timed_out"]})).unwrap(), "retry a");
    }

    #[test]
    fn rounds_and_attempts_are_bounded() {
        assert_eq!(ask(two(), 2, json!({})).unwrap(), "accept a, accept b");
        assert_eq!(ask(two(), 2, json!({"max_rounds": 3})).unwrap(), "retry a, accept b");
        let tried = Child { attempt: 3, ..child("a", "io", true) };
        assert_eq!(ask(vec![tried.clone()], 0, json!({"max_attempts": 3})).unwrap(), "accept a");
        assert_eq!(ask(vec![tried], 0, json!({"max_attempts": 4})).unwrap(), "retry a");
    }

    #[test]
    fn too_large_a_share_of_failures_ends_it() {
        assert_eq!(ask(two(), 0, json!({"abort_above": 0.4})).unwrap(), "abort");
        assert_eq!(ask(two(), 0, json!({"abort_above": 0.5})).unwrap(), "retry a, accept b");
        assert_eq!(ask(Vec::new(), 0, json!({"abort_above": 0.0})).unwrap(), "");
    }

    #[test]
    fn wrong_settings_say_what_is_expected() {
        let error = ask(two(), 0, json!({"abort_above": 40})).unwrap_err();
        assert!(error.message.contains("from 0 to 1"), "{error}");
        assert_eq!(ask(two(), 0, json!({"max_round": 1})).unwrap_err().code, "invalid_config");
    }
}
