//! The review itself: one reviewer a shard, one group, and a plan for what
//! failed. These are the calls to the host; what comes back is put together
//! here and told in `report`.

use pleach_sdk::{
    AppliedPlan, CallError, Error, Evaluate, Evaluation, Group, JoinResult, MemberOutcome, RunStatus, Spawn, progress,
};
use serde::Serialize;
use serde_json::Value;

use crate::finding::{Findings, Reviewed};
use crate::input::Input;
use crate::left_out::LeftOut;
use crate::plain;
use crate::shard::Shard;

/// The most plans that are asked for; the policy has a limit of its own.
const MAX_ROUNDS: usize = 10;

/// The longest error or path that the report repeats, in bytes.
const MAX_TOLD_BYTES: usize = 200;

/// What became of one shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardOutcome {
    pub shard: usize,
    /// The run that had the last word on it.
    pub run_id: String,
    pub status: RunStatus,
    pub files: usize,
    pub bytes: u64,
    pub findings: u64,
    /// How often it was run again.
    pub retries: u32,
    /// The first of its paths.
    pub first: String,
    /// Why it was not reviewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Why>,
}

/// An error as the report tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    pub code: String,
    pub message: String,
}

/// All that the reviewers brought back.
#[derive(Debug, Default)]
pub struct Review {
    pub shards: Vec<ShardOutcome>,
    pub findings: Findings,
    pub files_read: u64,
    pub bytes_read: u64,
    pub lines_read: u64,
    /// What reviewers did not read, by reason.
    pub skipped: LeftOut,
    /// What was said along the way that a reader of the report has to know.
    pub notes: Vec<String>,
}

impl Review {
    /// Spawns the reviewers, waits for them, and mends what can be mended.
    pub fn make(input: &Input, shards: &[Shard]) -> Result<Self, Error> {
        let doing = format!("spawning {} runs of `{}`", shards.len(), input.reviewer);
        let group = group(input, shards)?.start().map_err(|error| Error::from(error).while_doing(&doing))?;
        progress::report_part(&format!("{} reviewers are at work", shards.len()), 1, 4);

        let mut review = Self::default();
        review.notes.extend(group.warnings.iter().map(|warning| plain::line(warning, MAX_TOLD_BYTES)));
        let joined = group.join().map_err(|error| Error::from(error).while_doing("waiting for the reviewers"))?;
        review.shards = shards.iter().enumerate().map(|(number, shard)| ShardOutcome::waiting(number, shard)).collect();
        if joined.reason == "join_timed_out" {
            review.notes.push("The time for the review ran out before every shard was done.".to_owned());
        }
        let all: Vec<Option<usize>> = (0..shards.len()).map(Some).collect();
        review.take(joined, &all);
        progress::report_part("merged the findings", 2, 4);
        review.mend(input)?;
        Ok(review)
    }

    /// Asks what to do about shards that failed, and takes in what that brings.
    fn mend(&mut self, input: &Input) -> Result<(), Error> {
        for _ in 0..MAX_ROUNDS {
            if !self.shards.iter().any(|shard| matches!(shard.status, RunStatus::Failed | RunStatus::TimedOut)) {
                return Ok(());
            }
            let mut ask = Evaluate::own_children();
            if let Some(replanner) = &input.replanner {
                ask = ask.replanner(replanner).config(&input.replan)?;
            }
            let evaluation = match ask.ask() {
                Ok(evaluation) => evaluation,
                Err(error) if error.is_cancelled() => return Err(error.into()),
                Err(error) => {
                    // The report is worth having without the shards that failed.
                    self.notes.push(format!("Nothing was done about failed shards: {}.", told(&error)));
                    return Ok(());
                }
            };
            let Some(plan) = &evaluation.plan else { return Ok(()) };
            self.notes.push(format!(
                "A plan for failed shards was carried out: {}.",
                plain::line(&plan.rationale, MAX_TOLD_BYTES)
            ));
            let Some(group) = plan.group_id.as_deref().filter(|_| !plan.aborted) else {
                return Ok(());
            };
            progress::report(&format!("failed shards are run again: {}", plan.rationale));
            let places = self.places(&evaluation, plan);
            let joined = pleach_sdk::join(group)
                .map_err(|error| Error::from(error).while_doing("waiting for the shards that are run again"))?;
            self.take(joined, &places);
        }
        Ok(())
    }

    /// Which shard each member of the plan's group is for. The contract does not
    /// say which failure a retry answers, so they are taken in the order of the
    /// failures, as a replanner that goes through them one by one has them. What
    /// was found counts in any case; only the table of shards depends on it.
    fn places(&self, evaluation: &Evaluation, plan: &AppliedPlan) -> Vec<Option<usize>> {
        let accepted =
            |run: &str| plan.steps.iter().any(|step| step.action == "accept" && step.run_id.as_deref() == Some(run));
        let mut failed = evaluation
            .failed_children
            .iter()
            .filter(|child| !accepted(&child.run_id))
            .map(|child| self.shards.iter().position(|shard| shard.run_id == child.run_id));
        let mut places = Vec::new();
        for step in &plan.steps {
            match step.action.as_str() {
                "retry" => {
                    let place = failed.next().flatten();
                    if step.denied.is_none() {
                        places.push(place);
                    }
                }
                "spawn" if step.denied.is_none() => places.push(None),
                _ => {}
            }
        }
        places
    }

    /// Takes in what a group brought back. `places` says which shard each member
    /// was for.
    fn take(&mut self, joined: JoinResult, places: &[Option<usize>]) {
        for member in joined.outputs {
            let place = places.get(member.ordinal as usize).copied().flatten();
            // Read one at a time and dropped: together they may be large.
            let read = member.output::<Reviewed>().map_err(|error| why(&member, error));
            self.settle(place, &member, read);
        }
    }

    fn settle(&mut self, place: Option<usize>, member: &MemberOutcome, read: Result<Reviewed, Why>) {
        let (status, error, found) = match read {
            Ok(reviewed) => (member.status, None, self.add(reviewed)),
            // It ended well and answered nonsense, which is no review.
            Err(why) if member.status == RunStatus::Completed => (RunStatus::Failed, Some(why), 0),
            Err(why) => (member.status, Some(why), 0),
        };
        let Some(shard) = place.and_then(|place| self.shards.get_mut(place)) else {
            return;
        };
        shard.retries += u32::from(!shard.run_id.is_empty());
        shard.run_id = member.run_id.clone();
        (shard.status, shard.error, shard.findings) = (status, error, found);
    }

    /// Adds what one reviewer found to the whole, and returns how much it was.
    fn add(&mut self, reviewed: Reviewed) -> u64 {
        self.files_read += reviewed.files_read;
        self.bytes_read += reviewed.bytes_read;
        self.lines_read += reviewed.lines_read;
        let named = reviewed.skipped.len() as u64;
        for skipped in reviewed.skipped {
            self.skipped.note(&skipped.reason, &skipped.path);
        }
        self.skipped.count("not named by the reviewer", reviewed.skipped_count.saturating_sub(named));
        self.findings.merge(reviewed.findings, &reviewed.counts_by_severity, &reviewed.counts_by_rule)
    }
}

impl ShardOutcome {
    fn waiting(number: usize, shard: &Shard) -> Self {
        Self {
            shard: number,
            run_id: String::new(),
            status: RunStatus::Queued,
            files: shard.files,
            bytes: shard.bytes,
            findings: 0,
            retries: 0,
            first: plain::line(shard.paths.first().map_or("", String::as_str), MAX_TOLD_BYTES),
            error: None,
        }
    }
}

/// One reviewer a shard, and each may read just its shard.
fn group(input: &Input, shards: &[Shard]) -> Result<Group, Error> {
    let mut group = Group::best_effort().key("review");
    if let Some(timeout_ms) = input.timeout_ms {
        group = group.timeout_ms(timeout_ms);
    }
    for shard in shards {
        let mut review = input.review.clone();
        review.insert("paths".to_owned(), Value::from(shard.paths.clone()));
        // What to leave out was decided when the tree was listed.
        review.entry("exclude").or_insert_with(|| Value::from(Vec::<Value>::new()));
        group = group.member(Spawn::of(&input.reviewer).input(&review)?.can_use(shard.scopes()));
    }
    Ok(group)
}

/// The run's own error, or what is wrong with its answer.
fn why(member: &MemberOutcome, error: Error) -> Why {
    let (code, message) = match &member.error {
        Some(error) => (error.code.clone(), &error.message),
        None => (error.code, &error.message),
    };
    Why { code, message: plain::line(message, MAX_TOLD_BYTES) }
}

fn told(error: &CallError) -> String {
    format!("{} ({})", plain::line(error.message(), MAX_TOLD_BYTES), error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_sdk::{ChildCounts, FailedChild, JoinMode, JoinStatus, PlanStep, RunError, SuggestedAction};

    fn review(shards: usize) -> Review {
        let shard = |_| Shard { paths: vec!["r/a".into()], files: 1, bytes: 1 };
        let shards: Vec<Shard> = (0..shards).map(shard).collect();
        Review {
            shards: shards.iter().enumerate().map(|(number, shard)| ShardOutcome::waiting(number, shard)).collect(),
            ..Review::default()
        }
    }

    fn joined(members: &[(&str, Result<&str, &str>)]) -> JoinResult {
        let outputs = members.iter().enumerate().map(|(ordinal, (run, result))| MemberOutcome {
            ordinal: ordinal as u32,
            run_id: (*run).to_owned(),
            status: if result.is_ok() { RunStatus::Completed } else { RunStatus::Failed },
            output: result.ok().map(str::to_owned),
            error: result.err().map(|code| RunError {
                code: code.to_owned(),
                message: "it broke".to_owned(),
                retryable: true,
                details: None,
            }),
        });
        JoinResult {
            group_id: "g".into(),
            mode: JoinMode::BestEffort,
            status: JoinStatus::CompletedWithErrors,
            complete: true,
            outputs: outputs.collect(),
            success_count: 0,
            failure_count: 0,
            cancelled_count: 0,
            running_count: 0,
            reason: "all_ended".into(),
            decided_at_seq: 1,
        }
    }

    fn all(count: usize) -> Vec<Option<usize>> {
        (0..count).map(Some).collect()
    }

    fn told(review: &Review) -> Vec<String> {
        let tell = |shard: &ShardOutcome| {
            let status = serde_json::to_value(shard.status).unwrap();
            let status = status.as_str().unwrap();
            format!("{} {status} found {} retries {}", shard.run_id, shard.findings, shard.retries)
        };
        review.shards.iter().map(tell).collect()
    }

    const FOUND: &str = r#"{"findings":[{"file":"r/a","line":1,"rule":"x","severity":"error","message":"m"}],
        "files_read":2,"bytes_read":30,"skipped":[{"path":"r/b","reason":"binary"}],"skipped_count":3,"new_field":1}"#;

    #[test]
    fn a_failed_shard_is_told_and_the_others_are_merged() {
        let mut review = review(3);
        review.take(joined(&[("1", Ok(FOUND)), ("2", Err("trap")), ("3", Ok("[7]"))]), &all(3));
        assert_eq!(
            told(&review),
            ["1 completed found 1 retries 0", "2 failed found 0 retries 0", "3 failed found 0 retries 0"]
        );
        assert_eq!(review.shards[1].error.as_ref().unwrap().code, "trap");
        assert_eq!(review.shards[2].error.as_ref().unwrap().code, "invalid_json");
        assert_eq!((review.files_read, review.bytes_read), (2, 30));
        assert_eq!(
            (review.skipped.by_reason()["binary"].count, review.skipped.by_reason()["not named by the reviewer"].count),
            (1, 2)
        );
    }

    fn evaluation(failed: &[&str], steps: &[(&str, Option<&str>, bool)]) -> (Evaluation, AppliedPlan) {
        let denial = || pleach_sdk::Denial {
            code: "max_fanout".into(),
            action: "evaluate_and_replan".into(),
            message: String::new(),
            limit: None,
            requested: None,
            current: None,
            caller_run_id: None,
            target: None,
            policy_version: 1,
            retryable: false,
        };
        let step = |(action, run, denied): &(&str, Option<&str>, bool)| PlanStep {
            action: (*action).to_owned(),
            run_id: run.map(str::to_owned),
            replaces: None,
            denied: denied.then(denial),
        };
        let plan = AppliedPlan {
            rationale: "so".into(),
            steps: steps.iter().map(step).collect(),
            group_id: Some("h".into()),
            aborted: false,
        };
        let child = |run: &&str| FailedChild {
            run_id: (*run).to_owned(),
            target: "reviewer".into(),
            spawn_key: None,
            status: RunStatus::Failed,
            error: None,
        };
        let evaluation = Evaluation {
            needs_replan: true,
            suggested_action: SuggestedAction::Replan,
            failed_children: failed.iter().map(child).collect(),
            counts: ChildCounts { total: 4, completed: 1, failed: 3, cancelled: 0, running: 0 },
            replans_used: 1,
            max_replans: 3,
            plan: Some(plan.clone()),
        };
        (evaluation, plan)
    }

    #[test]
    fn a_run_again_takes_the_place_of_the_one_that_failed() {
        let mut review = review(4);
        review.take(joined(&[("1", Err("io")), ("2", Ok(FOUND)), ("3", Err("trap")), ("4", Err("io"))]), &all(4));
        let steps = [("retry", Some("5"), false), ("accept", Some("3"), false), ("retry", Some("6"), false)];
        let (evaluation, plan) = evaluation(&["1", "3", "4"], &steps);
        let places = review.places(&evaluation, &plan);
        assert_eq!(places, [Some(0), Some(3)]);
        review.take(joined(&[("5", Ok(FOUND)), ("6", Err("io"))]), &places);
        assert_eq!(
            told(&review),
            [
                "5 completed found 1 retries 1",
                "2 completed found 1 retries 0",
                "3 failed found 0 retries 0",
                "6 failed found 0 retries 1"
            ]
        );
    }

    #[test]
    fn a_retry_that_was_denied_has_no_member_in_the_group() {
        let mut review = review(2);
        review.take(joined(&[("1", Err("io")), ("2", Err("io"))]), &all(2));
        let steps = [("retry", None, true), ("spawn", Some("9"), false), ("retry", Some("3"), false)];
        let (evaluation, plan) = evaluation(&["1", "2"], &steps);
        assert_eq!(review.places(&evaluation, &plan), [None, Some(1)]);
    }
}
