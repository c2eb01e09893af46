//! Telling: an event in a few words, so that a log can be read in a test.

use pleach_kernel::*;

use crate::scene::START;

fn numbers(ids: &[RunId]) -> String {
    let words: Vec<String> = ids.iter().map(|id| id.index.to_string()).collect();
    words.join(" ")
}

/// An event in a few words.
pub fn tell(event: &Event) -> String {
    match &event.fact {
        Fact::SpawnDecision(decision) => {
            let group = decision.group_id.map(|group| format!(" as g{}", group.index)).unwrap_or_default();
            let verb = if decision.idempotent { "finds" } else { "spawns" };
            format!("{} {verb} [{}]{group}", event.run_id.index, numbers(&decision.spawned_run_ids))
        }
        Fact::ChildLifecycle(life) => {
            let mut line = format!("{} {}", life.child_run_id.index, in_words(life.status));
            if life.attempt > 1 {
                line += &format!(" in try {}", life.attempt);
            }
            if let Some(plugin) = &life.plugin {
                line += &format!(" of {plugin}");
            }
            if let Some(fate) = life.fate {
                line += &format!(" as {}", fate.as_str());
            }
            if let Some(reason) = &life.reason {
                line += &format!(" ({reason})");
            }
            if let Some(error) = &life.error {
                line += &format!(" ({})", error.code);
            }
            if let Some(due) = life.not_before {
                line += &format!(" at +{}", due.0 - START);
            }
            if let Some(place) = life.falls_back_to {
                line += &format!(", falls back to {place}");
            }
            if let Some(late) = life.late {
                line += &format!(", late: {}", late.as_str());
            }
            line
        }
        Fact::JoinDecision(join) => {
            let JoinCounts { success, failure, cancelled, .. } = join.counts;
            let trigger = join.trigger_run_id.map(|run| format!(" by {}", run.index)).unwrap_or_default();
            let status = format!("{:?}", join.status);
            format!(
                "join g{}: {status} ({}){trigger}, {success}/{failure}/{cancelled}",
                join.group_id.index, join.reason
            )
        }
        Fact::PolicyDeny(denial) => format!("{} denied {}: {}", event.run_id.index, denial.action, denial.code),
        Fact::CancellationPropagation(cancel) => {
            format!("{} cancels [{}] ({})", event.run_id.index, numbers(&cancel.cancelled_run_ids), cancel.reason)
        }
        Fact::RouteDecision(verdict) => format!("{} routes: {}", verdict.run_id.index, answer(verdict)),
        Fact::JudgeVerdict(verdict) => format!("{} judges: {}", verdict.run_id.index, answer(verdict)),
        Fact::ReplanDecision(replan) => {
            let reason = replan.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let plan = if replan.plan.is_some() { ", with a plan" } else { "" };
            let failed = numbers(&replan.failed_run_ids);
            let used = format!("{}/{}", replan.replans_used, replan.max_replans);
            format!("{} replans [{failed}]: {:?}{reason} {used}{plan}", replan.run_id.index, replan.suggested_action)
        }
        Fact::NodeFailure(failure) => {
            let node = event.node_id.as_deref().unwrap_or_default();
            format!("{}'s node {node} fails: {}", event.run_id.index, failure.error.code)
        }
        Fact::NodeCompletion(_) => {
            format!("{}'s node {} is done", event.run_id.index, event.node_id.as_deref().unwrap_or_default())
        }
        Fact::Progress(progress) => format!("{} reports: {}", event.run_id.index, progress.message),
        Fact::Budget(moved) => {
            let mut line = format!("{} budget", event.run_id.index);
            if !moved.reserved.is_empty() {
                line += &format!(" reserved {}", serde_json::to_string(&moved.reserved).unwrap_or_default());
            }
            if !moved.spent.is_zero() {
                line += &format!(" spent {}", serde_json::to_string(&moved.spent).unwrap_or_default());
            }
            if moved.exhausted {
                line += " exhausted";
            }
            if moved.settled {
                line += &format!(" settled, {} back", serde_json::to_string(&moved.refunded).unwrap_or_default());
            }
            line
        }
    }
}

fn in_words(step: Step) -> String {
    serde_json::to_value(step).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn answer(verdict: &PluginVerdict) -> String {
    match (&verdict.answer, &verdict.error) {
        (Some(answer), _) => answer.as_str().into(),
        (None, Some(error)) => error.code.to_string(),
        (None, None) => "nothing".into(),
    }
}
