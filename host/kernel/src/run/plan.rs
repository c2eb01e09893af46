//! Plan: carry out what a replanner answered.
//!
//! Each action is admitted like any request, and refused like one; what was
//! admitted is written as one group. When a plan is asked for, and how often, is
//! in `replan.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::admission::{Batch, RESERVED_KEYS, check_key, check_request};
use super::cancel::Reach;
use super::replan::{ACTION, About, Evaluation};
use super::spawn::Asked;
use crate::command::{Caller, JoinMode, Resolution, Spawn, SpawnRequest, Surface};
use crate::denial::{Code, Denial};
use crate::fact::{AppliedPlan, GroupSpec, PlanStep, RunSpec, RunStatus};
use crate::id::{RunId, Timestamp};
use crate::payload::Payload;
use crate::scope::Grant;
use crate::tree::{RunIx, Tree};

/// What a replanner answers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Plan {
    pub actions: Vec<Action>,
    #[serde(default)]
    pub rationale: String,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Retry(String),
    Spawn(PlannedSpawn),
    Cancel(String),
    Accept(String),
    Abort(String),
}

/// A run that a plan asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlannedSpawn {
    pub target: Arc<str>,
    pub input: Payload,
    #[serde(default)]
    pub spawn_key: Option<Arc<str>>,
    #[serde(default)]
    pub scopes: Grant,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// A plan with the targets of its spawns looked up, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub plan: Plan,
    pub resolutions: Vec<Resolution>,
}

impl PlannedSpawn {
    fn request(&self) -> SpawnRequest {
        SpawnRequest {
            scopes: self.scopes.clone(),
            timeout_ms: self.timeout_ms,
            ..SpawnRequest::new(self.target.clone(), self.input.clone())
        }
    }
}

/// Whose plan it is, and whose children it mends.
#[derive(Clone, Copy)]
struct Planning {
    now: Timestamp,
    caller: RunIx,
    of: RunIx,
    surface: Surface,
}

/// What was admitted of a plan, before any of it is written.
struct Draft {
    prefix: Arc<str>,
    batch: Batch,
    runs: Vec<RunSpec>,
    cancels: BTreeSet<RunIx>,
    /// Failures that an action of this plan has answered.
    answered: BTreeSet<RunIx>,
}

impl Draft {
    /// Takes in a run that was admitted; a key of its own is kept.
    fn add(&mut self, mut spec: RunSpec) {
        if spec.key_derived {
            spec.spawn_key = format!("{}:{}", self.prefix, self.runs.len()).into();
        }
        self.batch.runs += 1;
        self.batch.reserved.add(&Tree::reservation(&spec.request.budget));
        self.runs.push(spec);
    }
}

impl Tree {
    /// Carries out what a replanner answered about the children of `of`; an error
    /// text where it gave no plan. Where nothing needs a plan any more, because
    /// it was mended meanwhile or the limit on plans is met, none is carried out.
    pub fn apply_plan(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        about: &About,
        planned: Result<Planned, String>,
    ) -> Result<Evaluation, Box<Denial>> {
        match self.decide_plan(now, caller, surface, about, planned) {
            Ok(answer) => Ok(answer),
            Err(denial) => {
                let node_id = about.node_id();
                Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial)))
            }
        }
    }

    fn decide_plan(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        about: &About,
        planned: Result<Planned, String>,
    ) -> Result<Evaluation, Denial> {
        let caller = self.live_caller(ACTION, caller)?;
        let of = self.evaluated(caller, Some(about.of))?;
        let standing = self.standing(of, about.node.as_deref());
        let plan = standing.needs_replan().then(|| match planned {
            Ok(planned) => self.carry_out(Planning { now, caller, of, surface }, about.node_id(), planned),
            Err(why) => AppliedPlan {
                rationale: format!("the replanner gave no plan: {why}"),
                steps: Vec::new(),
                group_id: None,
                aborted: false,
            },
        });
        let answer = self.answer(now, about, surface, standing, plan);
        self.settle(now);
        Ok(answer)
    }

    fn carry_out(&mut self, planning: Planning, node_id: Option<Arc<str>>, planned: Planned) -> AppliedPlan {
        let Planning { now, caller, of, surface } = planning;
        let Planned { plan: Plan { actions, mut rationale }, resolutions } = planned;
        let mut resolutions = resolutions.into_iter();
        let mut draft = Draft {
            prefix: format!("{RESERVED_KEYS}plan:{of}:{}", self.runs[of].replan.used()).into(),
            batch: Batch::default(),
            runs: Vec::new(),
            cancels: BTreeSet::new(),
            answered: BTreeSet::new(),
        };
        let mut steps = Vec::with_capacity(actions.len());
        let mut aborted = false;
        for action in &actions {
            let mut step = PlanStep { action: action.name().into(), run_id: None, replaces: None, denied: None };
            let done = match action {
                Action::Retry(run) => self.plan_retry(planning, run, &mut draft, &mut step),
                Action::Spawn(wanted) => {
                    let resolution = resolutions.next().unwrap_or(Resolution::NotFound { hint: String::new() });
                    self.plan_spawn(planning, wanted, resolution, &mut draft, &mut step)
                }
                Action::Cancel(run) => self.plan_cancel(planning, run, &mut draft, &mut step),
                Action::Accept(run) => self.plan_accept(of, run, &mut draft, &mut step),
                Action::Abort(why) => {
                    rationale = format!("{rationale} (aborted: {why})");
                    aborted = true;
                    Ok(())
                }
            };
            if let Err(denial) = done {
                let caller = Caller::Run(self.run_id(caller));
                step.denied = Some(self.deny(now, caller, surface, node_id.clone(), denial));
            }
            steps.push(step);
            // Who gives up does nothing more.
            if aborted {
                break;
            }
        }
        let group_id = self.write_planned(planning, node_id, draft.prefix, draft.runs);
        if !draft.cancels.is_empty() {
            let cancels: Vec<RunIx> = draft.cancels.into_iter().collect();
            self.mark_cancelled(now, surface, of, &cancels, Reach::Everything, "cancelled_by_plan");
        }
        AppliedPlan { rationale, steps, group_id, aborted }
    }

    fn write_planned(
        &mut self,
        planning: Planning,
        node_id: Option<Arc<str>>,
        key_prefix: Arc<str>,
        runs: Vec<RunSpec>,
    ) -> Option<crate::id::GroupId> {
        if runs.is_empty() {
            return None;
        }
        let Planning { now, caller, surface, .. } = planning;
        let group = GroupSpec {
            size: None,
            key_prefix,
            mode: JoinMode::BestEffort,
            quorum: None,
            timeout_ms: self.runs[caller].spec.limits.join_timeout_ms,
            warnings: Vec::new(),
        };
        let id = self.group_id(self.groups.len());
        self.write_spawn(Asked { node_id, ..Asked::new(now, caller, surface) }, runs, Some(group));
        Some(id)
    }

    fn plan_retry(&self, planning: Planning, run: &str, draft: &mut Draft, step: &mut PlanStep) -> Result<(), Denial> {
        let failed = self.failure_of(planning.of, run, draft)?;
        let spec = &self.runs[failed].spec;
        // The plugin that it was pinned to is the one that runs again.
        let request = SpawnRequest { spawn_key: None, ..(*spec.request).clone() };
        let fallbacks = spec.fallbacks.iter().cloned().map(Resolution::Found).collect();
        let spawn = Spawn { fallbacks, ..Spawn::new(request, Resolution::Found(spec.plugin.clone())) };
        let admitted = self.admit(ACTION, planning.now, planning.caller, &spawn, &draft.batch)?;
        step.replaces = Some(self.run_id(failed));
        step.run_id = Some(self.run_id(self.runs.len() + draft.runs.len()));
        draft.answered.insert(failed);
        draft.add(admitted.spec(spawn, "".into(), true));
        Ok(())
    }

    fn plan_spawn(
        &mut self,
        planning: Planning,
        wanted: &PlannedSpawn,
        resolution: Resolution,
        draft: &mut Draft,
        step: &mut PlanStep,
    ) -> Result<(), Denial> {
        let Planning { now, caller, surface, .. } = planning;
        let spawn = Spawn::new(wanted.request(), resolution);
        let target = spawn.request.target.clone();
        check_request(ACTION, &spawn.request).map_err(|denial| denial.of_target(&target))?;
        let next = self.runs.len();
        if let Some(key) = &wanted.spawn_key {
            check_key(ACTION, key).map_err(|denial| denial.of_target(&target))?;
            let known = self.runs[caller].keys.get(key).copied();
            let planned = || draft.runs.iter().position(|spec| spec.spawn_key == *key).map(|place| next + place);
            if let Some(existing) = known.or_else(planned) {
                let spec = match existing < next {
                    true => &self.runs[existing].spec,
                    false => &draft.runs[existing - next],
                };
                if !spec.request.is_same_as(&spawn.request) {
                    let message = format!("the key `{key}` was used for another request, which is run {existing}");
                    return Err(Denial::new(Code::IdempotencyConflict, ACTION, message).of_target(&target));
                }
                step.run_id = Some(self.run_id(existing));
                if existing < next {
                    self.write_found_again(Asked::new(now, caller, surface), &[existing], None);
                }
                return Ok(());
            }
        }
        let admitted = self.admit(ACTION, now, caller, &spawn, &draft.batch)?;
        step.run_id = Some(self.run_id(next + draft.runs.len()));
        let (key, derived) = match &wanted.spawn_key {
            Some(key) => (key.clone(), false),
            None => ("".into(), true),
        };
        draft.add(admitted.spec(spawn, key, derived));
        Ok(())
    }

    fn plan_cancel(&self, planning: Planning, run: &str, draft: &mut Draft, step: &mut PlanStep) -> Result<(), Denial> {
        let ix = self.child_of(planning.of, run)?;
        self.require(ACTION, planning.caller, "run.cancel", &self.run_id(ix).to_string())?;
        step.run_id = Some(self.run_id(ix));
        draft.cancels.insert(ix);
        Ok(())
    }

    fn plan_accept(&self, of: RunIx, run: &str, draft: &mut Draft, step: &mut PlanStep) -> Result<(), Denial> {
        let ix = self.failure_of(of, run, draft)?;
        step.run_id = Some(self.run_id(ix));
        draft.answered.insert(ix);
        Ok(())
    }

    fn child_of(&self, of: RunIx, run: &str) -> Result<RunIx, Denial> {
        let id = run.parse::<RunId>().ok().filter(|id| self.run(*id).is_some());
        let id = id.ok_or_else(|| {
            let run: String = run.chars().take(64).collect();
            Denial::new(Code::RunNotFound, ACTION, format!("the plan names run {run}, which is not in the tree"))
        })?;
        let ix = id.index as RunIx;
        if self.runs[ix].parent != Some(of) {
            let message = format!("run {id} is not a child of {}", self.run_id(of));
            return Err(Denial::new(Code::NotInLineage, ACTION, message));
        }
        Ok(ix)
    }

    /// A child that has failed and that no action has answered yet.
    fn failure_of(&self, of: RunIx, run: &str, draft: &Draft) -> Result<RunIx, Denial> {
        let ix = self.child_of(of, run)?;
        let child = &self.runs[ix];
        let failed = matches!(child.status, RunStatus::Failed | RunStatus::TimedOut);
        if !failed || child.superseded || draft.answered.contains(&ix) {
            let message = format!("run {} has not failed, or was replaced or accepted already", child.id);
            return Err(Denial::new(Code::InvalidRequest, ACTION, message));
        }
        Ok(ix)
    }
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Spawn(_) => "spawn",
            Self::Cancel(_) => "cancel",
            Self::Accept(_) => "accept",
            Self::Abort(_) => "abort",
        }
    }
}
