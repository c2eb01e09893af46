//! Replan: look at failed children, and say whether another try may mend them.
//!
//! Without a replanner the answer is an evaluation, and what to do is the
//! caller's. With one, the replanner runs as a child like any other; how its
//! answer is carried out is in `plan.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admission::{Batch, RESERVED_KEYS};
use super::spawn::Asked;
use crate::command::{CallSite, Caller, Resolution, Spawn, SpawnRequest, Surface};
use crate::denial::{Code, Denial};
use crate::event::{Event, Fact};
use crate::fact::{AppliedPlan, ReplanDecision, RunError, RunStatus, SuggestedAction};
use crate::id::{RunId, Timestamp};
use crate::lineage::Role;
use crate::payload::Payload;
use crate::tree::{RunIx, Tree};

pub(super) const ACTION: &str = "evaluate_and_replan";

/// What was answered to one run's children so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplanState {
    /// Answers `replan`, whoever asked.
    used: u32,
    /// Those to the run's own questions.
    own: Answered,
    /// Those to each node of its graph: what one has not mended is no stall of another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    nodes: BTreeMap<Arc<str>, Answered>,
}

/// Answers `replan` to one who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    used: u32,
    stalls: u32,
    /// Failed and completed children at the last of them.
    last: Option<(u32, u32)>,
}

impl Answered {
    /// Answers in a row without progress, were there another one now.
    fn stalls_at(&self, now: (u32, u32)) -> u32 {
        match self.last {
            Some(last) if !progressed(last, now) => self.stalls + 1,
            _ => 0,
        }
    }
}

impl ReplanState {
    /// Another try of a graph asks its replans again, about the runs that it finds, and is
    /// to be answered as the first was. What a guest asks is asked about new runs.
    pub(crate) fn begin_try(&mut self) {
        if !self.nodes.is_empty() {
            *self = Self::default();
        }
    }

    /// Answers `replan` so far.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    fn answered(&self, node: Option<&str>) -> Answered {
        match node {
            Some(node) => self.nodes.get(node).copied().unwrap_or_default(),
            None => self.own,
        }
    }
}

/// A question about failed children.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluate {
    /// Whose children; the caller's own where it is none.
    pub run_id: Option<RunId>,
    /// The replanner to ask, looked up.
    pub replanner: Option<(Arc<str>, Resolution)>,
    /// Settings for it.
    pub config: Option<Payload>,
    /// The node of the caller's graph that asks, if one does.
    pub node: Option<Arc<ReplanNode>>,
}

/// A node of a graph that looks at failures, and what it makes of them by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplanNode {
    pub id: Arc<str>,
    /// The children that it looks at, in order of their ids.
    pub among: Arc<[RunId]>,
    /// Nodes that have failed without a failed run to show for it, as one does whose
    /// input does not fit its schema. Each counts as a failure.
    pub failed_node_ids: Vec<Arc<str>>,
    /// Why it goes on whatever has failed: by a rule of its own.
    pub declines: Option<Arc<str>>,
    /// The most times that it is answered `replan`, and in a row without progress; the
    /// run's limits hold as well.
    pub max_replans: Option<u32>,
    pub max_stalls: Option<u32>,
}

/// Whose children a plan is made for, and by which node of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    pub of: RunId,
    pub node: Option<Arc<ReplanNode>>,
}

impl About {
    fn node(&self) -> Option<&ReplanNode> {
        self.node.as_deref()
    }

    pub(super) fn node_id(&self) -> Option<Arc<str>> {
        self.node.as_ref().map(|node| node.id.clone())
    }
}

/// Children by how they stand. Replanners are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCounts {
    pub total: u32,
    pub completed: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub running: u32,
}

/// A child that failed or timed out by itself and was not replaced since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedChild {
    pub run_id: RunId,
    pub target: Arc<str>,
    pub spawn_key: Option<Arc<str>>,
    pub status: RunStatus,
    pub error: Option<RunError>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub needs_replan: bool,
    pub suggested_action: SuggestedAction,
    pub failed_children: Vec<FailedChild>,
    pub counts: ChildCounts,
    pub replans_used: u32,
    pub max_replans: u32,
    /// Why nothing is to be done although something failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<AppliedPlan>,
}

/// An evaluation, or the replanner that has to end before there is one.
#[derive(Clone, Debug, PartialEq)]
pub enum Replanning {
    Answered(Box<Evaluation>),
    /// Give what this run answers to [`Tree::apply_plan`].
    Asked {
        planner: RunId,
        of: RunId,
    },
}

/// One failed child, as a replanner is shown it.
#[derive(Clone, Debug, Serialize)]
pub struct ReplanChild {
    pub run_id: RunId,
    pub target: Arc<str>,
    pub spawn_key: Option<Arc<str>>,
    pub status: RunStatus,
    pub attempt: u32,
    pub input: Payload,
    pub error: Option<RunError>,
}

/// What a replanner is run with.
#[derive(Clone, Debug, Serialize)]
pub struct ReplanRequest {
    pub failed: Vec<ReplanChild>,
    pub completed_count: u32,
    pub replans_used: u32,
    pub max_replans: u32,
    pub config: Option<Payload>,
}

/// How children stand, before anything is answered.
pub(super) struct Standing {
    counts: ChildCounts,
    failed: Vec<RunIx>,
    /// Nodes that failed without one of those.
    failed_node_ids: Vec<Arc<str>>,
    /// Why nothing more is planned although something failed.
    blocked: Option<Arc<str>>,
}

impl Standing {
    fn failures(&self) -> u32 {
        (self.failed.len() + self.failed_node_ids.len()) as u32
    }

    pub(super) fn needs_replan(&self) -> bool {
        self.failures() > 0 && self.blocked.is_none()
    }
}

impl Tree {
    /// Answers what to do about failed children, or asks a replanner. A try that is
    /// run again asks [`Tree::replayed_planner`] first.
    pub fn evaluate(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        ask: Evaluate,
        site: CallSite,
    ) -> Result<Replanning, Box<Denial>> {
        let node_id = ask.node.as_ref().map(|node| node.id.clone());
        match self.decide_evaluate(now, caller, surface, ask, site) {
            Ok(answer) => Ok(answer),
            Err(denial) => Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial))),
        }
    }

    fn decide_evaluate(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        ask: Evaluate,
        site: CallSite,
    ) -> Result<Replanning, Denial> {
        self.open_surface(ACTION, surface)?;
        let caller_ix = self.live_caller(ACTION, caller)?;
        let of = self.evaluated(caller_ix, ask.run_id)?;
        let about = About { of: self.run_id(of), node: ask.node };
        let standing = self.standing(of, about.node());
        // A plan is made for runs: where none has failed, there is nothing to ask for.
        let can_plan = standing.needs_replan() && !standing.failed.is_empty();
        let Some((target, resolution)) = ask.replanner.filter(|_| can_plan) else {
            let answer = self.answer(now, &about, surface, standing, None);
            return Ok(Replanning::Answered(Box::new(answer)));
        };
        if let Resolution::Found(plugin) = &resolution
            && plugin.role != Role::Replanner
        {
            let message = format!("{target} is of role {} and not a replanner", plugin.role.as_str());
            return Err(Denial::new(Code::InvalidRequest, ACTION, message).of_target(&target));
        }
        let (call, replans, node_id) = (Some(site.call), Some(about.of), about.node_id());
        let asked = Asked { call, replans, node_id, ..Asked::new(now, caller_ix, surface) };
        let planner = self.ask_replanner(asked, of, target, resolution, &ask.config, &standing)?;
        Ok(Replanning::Asked { planner: self.run_id(planner), of: about.of })
    }

    /// The run whose children are looked at: the caller, or one below it.
    pub(super) fn evaluated(&self, caller: RunIx, wanted: Option<RunId>) -> Result<RunIx, Denial> {
        let Some(wanted) = wanted else { return Ok(caller) };
        if self.run(wanted).is_none() {
            let message = format!("run {wanted} is not in tree {}", self.id);
            return Err(Denial::new(Code::RunNotFound, ACTION, message));
        }
        let ix = wanted.index as RunIx;
        if !self.is_below(ix, caller) {
            let message = format!("run {wanted} is not the caller and not below it");
            return Err(Denial::new(Code::NotInLineage, ACTION, message));
        }
        Ok(ix)
    }

    pub(super) fn standing(&self, of: RunIx, node: Option<&ReplanNode>) -> Standing {
        let mut counts = ChildCounts::default();
        let mut failed = Vec::new();
        for ix in self.runs[of].children.iter().copied() {
            let child = &self.runs[ix];
            if child.plugin().role == Role::Replanner
                || node.is_some_and(|node| node.among.binary_search(&child.id).is_err())
            {
                continue;
            }
            counts.total += 1;
            match child.status {
                RunStatus::Completed => counts.completed += 1,
                RunStatus::Cancelled => counts.cancelled += 1,
                RunStatus::Queued | RunStatus::Running | RunStatus::Paused => counts.running += 1,
                RunStatus::Failed | RunStatus::TimedOut => {
                    counts.failed += 1;
                    if !child.superseded {
                        failed.push(ix);
                    }
                }
            }
        }
        let mut standing = Standing { counts, failed, failed_node_ids: Vec::new(), blocked: None };
        if let Some(node) = node {
            standing.failed_node_ids.clone_from(&node.failed_node_ids);
            standing.counts.failed += node.failed_node_ids.len() as u32;
        }
        standing.blocked = self.blocked(of, node, (standing.failures(), standing.counts.completed));
        standing
    }

    /// Why failures lead to no further plan, if they do not.
    fn blocked(&self, of: RunIx, node: Option<&ReplanNode>, now: (u32, u32)) -> Option<Arc<str>> {
        let (state, limits) = (&self.runs[of].replan, &self.runs[of].spec.limits);
        let answered = state.answered(node.map(|node| &*node.id));
        let is_above = |count: u32, most: Option<u32>| most.is_some_and(|most| count > most);
        let stalls = answered.stalls_at(now);
        if let Some(why) = node.and_then(|node| node.declines.clone()) {
            return Some(why);
        }
        if state.used >= limits.max_replans || is_above(answered.used + 1, node.and_then(|node| node.max_replans)) {
            return Some("max_replans".into());
        }
        if stalls > limits.max_stalls || is_above(stalls, node.and_then(|node| node.max_stalls)) {
            return Some("max_stalls".into());
        }
        None
    }

    /// Writes the answer down and gives it.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        about: &About,
        surface: Surface,
        standing: Standing,
        plan: Option<AppliedPlan>,
    ) -> Evaluation {
        let of = about.of.index as RunIx;
        let needs_replan = standing.needs_replan();
        let suggested_action = if needs_replan { SuggestedAction::Replan } else { SuggestedAction::Continue };
        let failed_children = standing
            .failed
            .iter()
            .map(|ix| {
                let run = &self.runs[*ix];
                FailedChild {
                    run_id: run.id,
                    target: run.spec.request.target.clone(),
                    spawn_key: Some(run.spec.spawn_key.clone()),
                    status: run.status,
                    error: run.error(),
                }
            })
            .collect();
        let max_replans = self.runs[of].spec.limits.max_replans;
        let replans_used = self.runs[of].replan.used + u32::from(needs_replan);
        let reason = standing.blocked.clone().filter(|_| standing.failures() > 0);
        let decision = ReplanDecision {
            run_id: self.run_id(of),
            needs_replan,
            suggested_action,
            failed_run_ids: standing.failed.iter().map(|ix| self.run_id(*ix)).collect(),
            failed_node_ids: standing.failed_node_ids,
            completed_count: standing.counts.completed,
            replans_used,
            max_replans,
            reason: reason.clone(),
            plan: plan.clone(),
        };
        // What a node asks is told under it; else under the node that `of` was spawned for.
        let node_id = about.node_id().or_else(|| self.runs[of].node_id.clone());
        self.emit_from(now, of, node_id, surface, None, Fact::ReplanDecision(Box::new(decision)));
        Evaluation {
            needs_replan,
            suggested_action,
            failed_children,
            counts: standing.counts,
            replans_used,
            max_replans,
            reason,
            plan,
        }
    }

    pub(crate) fn apply_replan(&mut self, event: &Event, decision: &ReplanDecision) {
        let of = decision.run_id.index as RunIx;
        if decision.needs_replan {
            let state = &mut self.runs[of].replan;
            state.used = decision.replans_used;
            let answered = match &event.node_id {
                // Of a run that is no graph, the node is one that it was spawned for.
                Some(node) if event.surface == Surface::Graph => state.nodes.entry(node.clone()).or_default(),
                _ => &mut state.own,
            };
            let failures = decision.failed_run_ids.len() + decision.failed_node_ids.len();
            let now = (failures as u32, decision.completed_count);
            *answered = Answered { used: answered.used + 1, stalls: answered.stalls_at(now), last: Some(now) };
        }
        for step in decision.plan.iter().flat_map(|plan| &plan.steps).filter(|step| step.denied.is_none()) {
            let mended = match &*step.action {
                "retry" => step.replaces,
                "accept" => step.run_id,
                _ => None,
            };
            if let Some(run) = mended {
                self.runs[run.index as usize].superseded = true;
            }
        }
    }

    fn ask_replanner(
        &mut self,
        asked: Asked,
        of: RunIx,
        target: Arc<str>,
        resolution: Resolution,
        config: &Option<Payload>,
        standing: &Standing,
    ) -> Result<RunIx, Denial> {
        let (caller, used) = (asked.caller, self.runs[of].replan.used);
        // A second try of the caller asks anew: the first one's replanner was
        // cancelled with it.
        let mut key: Arc<str> = format!("{RESERVED_KEYS}replan:{}:{of}:{used}", self.runs[caller].attempt).into();
        let holder = self.runs[caller].keys.get(&key).map(|planner| &self.runs[*planner].node_id);
        if let Some(node) = asked.node_id.as_ref().filter(|_| holder.is_some_and(|holder| *holder != asked.node_id)) {
            // Another node asks about others at the same time.
            key = format!("{key}:{node}").into();
        }
        if let Some(planner) = self.runs[caller].keys.get(&key).copied() {
            if !self.was_asked(self.run_id(planner), &target, config) {
                let message =
                    format!("another replanner is asked about them already, which is run {}", self.run_id(planner));
                return Err(Denial::new(Code::IdempotencyConflict, ACTION, message).of_target(&target));
            }
            self.write_found_again(asked, &[planner], None);
            return Ok(planner);
        }
        let failed = standing.failed.iter().map(|ix| {
            let run = &self.runs[*ix];
            ReplanChild {
                run_id: run.id,
                target: run.spec.request.target.clone(),
                spawn_key: Some(run.spec.spawn_key.clone()),
                status: run.status,
                attempt: run.attempt,
                input: run.spec.request.input.clone(),
                error: run.error(),
            }
        });
        let input = Payload::of(&ReplanRequest {
            failed: failed.collect(),
            completed_count: standing.counts.completed,
            replans_used: used,
            max_replans: self.runs[of].spec.limits.max_replans,
            config: config.clone(),
        })
        .map_err(|error| {
            Denial::new(Code::InvalidRequest, ACTION, format!("what failed is too much to plan for: {error}"))
        })?;
        let spawn = Spawn::new(SpawnRequest::new(target, input), resolution);
        let draft = self.admit(ACTION, asked.now, caller, &spawn, &Batch::default())?;
        Ok(self.write_spawn(asked, vec![draft.spec(spawn, key, true)], None))
    }
}

/// Fewer failures or more successes than the last time.
fn progressed(last: (u32, u32), now: (u32, u32)) -> bool {
    now.0 < last.0 || now.1 > last.1
}
