//! Events: the envelope of a fact, as it stands in a tree's log.
//!
//! What each kind of event says is in `fact.rs`; what it does to a tree's state
//! is in `fold.rs`.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::command::Surface;
use crate::denial::Denial;
use crate::fact::{
    BudgetMove, CancellationPropagation, ChildLifecycle, JoinDecision, NodeCompletion, NodeFailure, PluginVerdict,
    Progress, ReplanDecision, SpawnDecision, Step,
};
use crate::id::{RunId, Timestamp};

/// What an event says, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    SpawnDecision(Box<SpawnDecision>),
    ChildLifecycle(Box<ChildLifecycle>),
    JoinDecision(JoinDecision),
    PolicyDeny(Box<Denial>),
    CancellationPropagation(CancellationPropagation),
    RouteDecision(PluginVerdict),
    JudgeVerdict(PluginVerdict),
    ReplanDecision(Box<ReplanDecision>),
    NodeFailure(NodeFailure),
    NodeCompletion(NodeCompletion),
    Progress(Progress),
    Budget(Box<BudgetMove>),
}

/// Who may see an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    Client,
    Internal,
}

impl Fact {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SpawnDecision(_) => "orchestration.spawn_decision",
            Self::ChildLifecycle(_) => "orchestration.child_lifecycle",
            Self::JoinDecision(_) => "orchestration.join_decision",
            Self::PolicyDeny(_) => "orchestration.policy_deny",
            Self::CancellationPropagation(_) => "orchestration.cancellation_propagation",
            Self::RouteDecision(_) => "orchestration.route_decision",
            Self::JudgeVerdict(_) => "orchestration.judge_verdict",
            Self::ReplanDecision(_) => "orchestration.replan_decision",
            Self::NodeFailure(_) => "orchestration.node_failure",
            Self::NodeCompletion(_) => "orchestration.node_completion",
            Self::Progress(_) => "orchestration.progress",
            Self::Budget(_) => "orchestration.budget",
        }
    }

    /// Who may see it.
    pub fn visibility(&self) -> Visibility {
        match self {
            Self::ChildLifecycle(life) if life.status == Step::Closing => Visibility::Internal,
            _ => Visibility::Client,
        }
    }
}

/// One fact in a tree's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// From 1, without a gap.
    pub seq: u64,
    pub at: Timestamp,
    /// The run that it is about, or whose call it answers.
    pub run_id: RunId,
    pub node_id: Option<Arc<str>>,
    /// Where in its try the run asked for it: the number of the host call. Only of
    /// what a replay of the try has to find again.
    pub call: Option<u32>,
    pub surface: Surface,
    pub fact: Fact,
}

/// The stored form; tenant and root are the tree's and are not repeated.
#[derive(Serialize)]
struct Stored<'a, D> {
    seq: u64,
    at: Timestamp,
    run_id: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: &'a Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u32>,
    event: &'static str,
    surface: Surface,
    visibility: Visibility,
    data: &'a D,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn stored<S: Serializer, D: Serialize>(event: &Event, data: &D, to: S) -> Result<S::Ok, S::Error> {
            Stored {
                seq: event.seq,
                at: event.at,
                run_id: event.run_id,
                node_id: &event.node_id,
                call: event.call,
                event: event.fact.name(),
                surface: event.surface,
                visibility: event.fact.visibility(),
                data,
            }
            .serialize(to)
        }
        match &self.fact {
            Fact::SpawnDecision(data) => stored(self, data, serializer),
            Fact::ChildLifecycle(data) => stored(self, data, serializer),
            Fact::JoinDecision(data) => stored(self, data, serializer),
            Fact::PolicyDeny(data) => stored(self, data, serializer),
            Fact::CancellationPropagation(data) => stored(self, data, serializer),
            Fact::RouteDecision(data) | Fact::JudgeVerdict(data) => stored(self, data, serializer),
            Fact::ReplanDecision(data) => stored(self, data, serializer),
            Fact::NodeFailure(data) => stored(self, data, serializer),
            Fact::NodeCompletion(data) => stored(self, data, serializer),
            Fact::Progress(data) => stored(self, data, serializer),
            Fact::Budget(data) => stored(self, data, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            seq: u64,
            at: Timestamp,
            run_id: RunId,
            #[serde(default)]
            node_id: Option<Arc<str>>,
            #[serde(default)]
            call: Option<u32>,
            event: String,
            surface: Surface,
            data: Box<RawValue>,
        }
        fn data<T: serde::de::DeserializeOwned, E: serde::de::Error>(read: &Read) -> Result<T, E> {
            serde_json::from_str(read.data.get())
                .map_err(|e| E::custom(format_args!("data of {} at seq {}: {e}", read.event, read.seq)))
        }
        let read = Read::deserialize(deserializer)?;
        let fact = match read.event.as_str() {
            "orchestration.spawn_decision" => Fact::SpawnDecision(data(&read)?),
            "orchestration.child_lifecycle" => Fact::ChildLifecycle(data(&read)?),
            "orchestration.join_decision" => Fact::JoinDecision(data(&read)?),
            "orchestration.policy_deny" => Fact::PolicyDeny(data(&read)?),
            "orchestration.cancellation_propagation" => Fact::CancellationPropagation(data(&read)?),
            "orchestration.route_decision" => Fact::RouteDecision(data(&read)?),
            "orchestration.judge_verdict" => Fact::JudgeVerdict(data(&read)?),
            "orchestration.replan_decision" => Fact::ReplanDecision(data(&read)?),
            "orchestration.node_failure" => Fact::NodeFailure(data(&read)?),
            "orchestration.node_completion" => Fact::NodeCompletion(data(&read)?),
            "orchestration.progress" => Fact::Progress(data(&read)?),
            "orchestration.budget" => Fact::Budget(data(&read)?),
            other => {
                return Err(D::Error::custom(format_args!("unknown event `{other}` at seq {}", read.seq)));
            }
        };
        let Read { seq, at, run_id, node_id, call, surface, .. } = read;
        Ok(Self { seq, at, run_id, node_id, call, surface, fact })
    }
}
