//! Groups: spawning runs together, waiting for them under one policy, and
//! reading what became of each.

use serde::de::DeserializeOwned;

use crate::bindings::agent::pleach::plugin::orchestration as host;
use crate::{
    CallError, CallResult, Error, GroupRequest, JoinMode, JoinPolicy, JoinResult, JoinStatus, MemberOutcome, RunStatus,
    Spawn, SpawnedGroup, json,
};

/// Runs to spawn together: all of them or none.
///
/// ```no_run
/// # fn main() -> Result<(), pleach_sdk::Error> {
/// use pleach_sdk::{Group, Spawn};
/// let group = Group::best_effort()
///     .key("review")
///     .members(["a", "b"].map(|part| Spawn::of("reviewer").input_text(format!("\"{part}\""))))
///     .start()?;
/// let joined = group.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is started"]
pub struct Group {
    request: GroupRequest,
}

impl Group {
    /// A group that is decided when every member has ended.
    pub fn best_effort() -> Self {
        Self::joined(JoinMode::BestEffort)
    }

    /// A group that is decided at the first failure.
    pub fn fail_fast() -> Self {
        Self::joined(JoinMode::FailFast)
    }

    /// A group that is decided when `quorum` members have completed.
    pub fn quorum(quorum: u32) -> Self {
        let mut group = Self::joined(JoinMode::Quorum);
        group.request.join.quorum = Some(quorum);
        group
    }

    /// A group that is decided at the first success.
    pub fn first_success() -> Self {
        Self::joined(JoinMode::FirstSuccess)
    }

    fn joined(mode: JoinMode) -> Self {
        Self {
            request: GroupRequest {
                members: Vec::new(),
                key_prefix: None,
                join: JoinPolicy { mode, quorum: None, timeout_ms: None },
            },
        }
    }

    /// One more member.
    pub fn member(mut self, member: Spawn) -> Self {
        self.request.members.push(member.into_request());
        self
    }

    /// More members, in this order.
    pub fn members(mut self, members: impl IntoIterator<Item = Spawn>) -> Self {
        self.request.members.extend(members.into_iter().map(Spawn::into_request));
        self
    }

    /// Make the group idempotent; members get the keys `{key}:{ordinal}`.
    pub fn key(mut self, key_prefix: impl Into<String>) -> Self {
        self.request.key_prefix = Some(key_prefix.into());
        self
    }

    /// How long to wait for a decision, counted from the spawn.
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.request.join.timeout_ms = Some(timeout_ms);
        self
    }

    /// Spawn all members or none, and go on.
    pub fn start(&self) -> Result<SpawnedGroup, CallError> {
        host::spawn_group(&self.request)
    }
}

impl From<GroupRequest> for Group {
    fn from(request: GroupRequest) -> Self {
        Self { request }
    }
}

/// Wait for a group that this run, or a descendant of it, spawned.
pub fn join(group_id: &str) -> Result<JoinResult, CallError> {
    host::join(group_id)
}

impl SpawnedGroup {
    /// Wait until the group is decided.
    pub fn join(&self) -> Result<JoinResult, CallError> {
        join(&self.group_id)
    }
}

impl JoinResult {
    /// Whether the group's policy was met: `completed`, or nobody to wait for.
    pub fn is_completed(&self) -> bool {
        matches!(self.status, JoinStatus::Completed | JoinStatus::Empty)
    }

    /// The members that completed, by ordinal.
    pub fn completed(&self) -> impl Iterator<Item = &MemberOutcome> {
        self.outputs.iter().filter(|member| member.status == RunStatus::Completed)
    }

    /// The members that failed or timed out, by ordinal.
    pub fn failed(&self) -> impl Iterator<Item = &MemberOutcome> {
        self.outputs.iter().filter(|member| matches!(member.status, RunStatus::Failed | RunStatus::TimedOut))
    }
}

impl MemberOutcome {
    /// What the member gave back, as a type of yours. Where it did not complete,
    /// its error is the answer.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(&format!("member {}", self.ordinal), self.status, &self.output, &self.error)
    }
}

impl CallResult {
    /// What the child gave back, as a type of yours. Where it did not complete,
    /// its error is the answer.
    pub fn completed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(&self.target, self.status, &self.output, &self.error)
    }
}

fn read<T: DeserializeOwned>(
    who: &str,
    status: RunStatus,
    output: &Option<String>,
    error: &Option<crate::RunError>,
) -> Result<T, Error> {
    if let Some(output) = output.as_deref().filter(|_| status == RunStatus::Completed) {
        return json::parse(&format!("the output of {who}"), output);
    }
    Err(match error {
        Some(error) => Error::from(error.clone()).while_doing(who),
        None => Error::new("not_completed", format!("{who} ended as {status:?} without an output")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunError;

    fn member(ordinal: u32, status: RunStatus, output: Option<&str>) -> MemberOutcome {
        let error = output.is_none().then(|| RunError {
            code: "boom".into(),
            message: "it broke".into(),
            retryable: true,
            details: None,
        });
        MemberOutcome { ordinal, run_id: format!("run-{ordinal}"), status, output: output.map(str::to_owned), error }
    }

    fn joined(outputs: Vec<MemberOutcome>) -> JoinResult {
        JoinResult {
            group_id: "g".into(),
            mode: JoinMode::BestEffort,
            status: JoinStatus::CompletedWithErrors,
            complete: true,
            success_count: 1,
            failure_count: 2,
            cancelled_count: 1,
            running_count: 0,
            outputs,
            reason: "all_ended".into(),
            decided_at_seq: 9,
        }
    }

    #[test]
    fn a_cancelled_member_is_neither_a_success_nor_a_failure() {
        let joined = joined(vec![
            member(0, RunStatus::Completed, Some("1")),
            member(1, RunStatus::Failed, None),
            member(2, RunStatus::Cancelled, None),
            member(3, RunStatus::TimedOut, None),
        ]);
        assert_eq!(joined.completed().map(|member| member.ordinal).collect::<Vec<_>>(), [0]);
        assert_eq!(joined.failed().map(|member| member.ordinal).collect::<Vec<_>>(), [1, 3]);
        assert!(!joined.is_completed());
    }

    #[test]
    fn an_output_is_read_into_a_type_and_an_error_keeps_its_code() {
        assert_eq!(member(0, RunStatus::Completed, Some("7")).output::<u32>().unwrap(), 7);
        let error = member(1, RunStatus::Failed, None).output::<u32>().unwrap_err();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("boom", "member 1: it broke"));
        assert!(error.retryable);
    }

    #[test]
    fn json_fields_serialise_as_documents() {
        let text = serde_json::to_value(member(0, RunStatus::Completed, Some("{\"a\":1}"))).unwrap();
        assert_eq!(text["output"]["a"], 1);
        assert_eq!(text["status"], "completed");
        let back: MemberOutcome = serde_json::from_value(text).unwrap();
        assert_eq!(back.output.as_deref(), Some("{\"a\":1}"));
    }
}
