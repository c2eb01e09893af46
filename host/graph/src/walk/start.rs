//! Start: what a node asks for when its turn comes.

use std::collections::VecDeque;
use std::sync::Arc;

use pleach_kernel::{Cancel, MAX_PAYLOAD_BYTES, NodeVerdict, Payload, ReplanNode, RunError, RunId, SpawnRequest};
use serde_json::{Value as Json, json};

use super::draft::{Draft, Member, Then};
use super::{Ask, Group, Grouped, Listener, Status, Walk};
use crate::expression::{Datum, Expression};
use crate::plan::{GroupJoin, Judge, Kind, NodeIx, Output, Replan, Router, RunPlan};
use crate::source::Span;

/// How long an agent call takes at most where it does not say.
const AGENT_CALL_TIMEOUT_MS: u64 = 60_000;

/// Members that are added to a group at once, at most.
const ADDED: usize = 256;

impl Walk {
    pub(super) fn begin(&mut self, node: NodeIx) {
        let state = &mut self.states[node];
        state.status = Status::Running;
        state.iteration += 1;
        self.running += 1;
        let plan = self.plan.clone();
        let begun = match &plan.nodes[node].kind {
            Kind::SpawnRun { run, .. } => self.begin_run(node, run),
            Kind::AgentCall { run } => self.begin_call(node, run),
            Kind::SpawnGroup { members, join } => {
                self.begin_group(node, members, join);
                Ok(())
            }
            Kind::Map { over, window, join, .. } => self.begin_map(node, over.as_ref(), *window, join),
            Kind::Join { group, .. } => self.begin_join(node, *group),
            Kind::Router(router) => self.begin_router(node, router),
            Kind::Judge(judge) => self.begin_judge(node, judge),
            Kind::Replan(replan) => self.begin_replan(node, replan),
            Kind::CancelSubtree { node: of, reason, .. } => self.begin_cancel(node, *of, reason.as_ref()),
            Kind::Output(output) => self.begin_output(node, output),
        };
        if let Err(error) = begun {
            self.fail_untold(node, error);
        }
    }

    /// The key that the runs of a node are known by: its id, and from the second
    /// time on which time it is.
    fn key(&self, node: NodeIx) -> Arc<str> {
        let id = &self.plan.nodes[node].id;
        match self.states[node].iteration {
            1 => id.clone(),
            again => format!("{id}#{again}").into(),
        }
    }

    pub(super) fn listener(&self, node: NodeIx) -> Listener {
        Listener { node, iteration: self.states[node].iteration }
    }

    pub(super) fn request(&self, run: &RunPlan, locals: &[(&str, &Datum)]) -> Result<SpawnRequest, RunError> {
        let input = run.input.render(&self.values.scope(&self.plan, locals));
        let input = input.map_err(|why| RunError::new("expression_failed", format!("its input: {why}")))?;
        bounded(&input, "input_too_large")?;
        if let Some(schema) = &run.input_schema {
            let wrong = |why| RunError::new("input_schema", format!("its input does not fit: {why}"));
            let json: Json = serde_json::from_str(input.as_str()).map_err(|error| wrong(error.to_string()))?;
            schema.check(&json).map_err(wrong)?;
        }
        Ok(SpawnRequest {
            scopes: run.scopes.clone(),
            timeout_ms: run.timeout_ms,
            retry: run.retry,
            budget: run.budget,
            parent_close: run.parent_close,
            priority: run.priority,
            fallbacks: run.fallbacks.iter().map(|(target, _)| target.clone()).collect(),
            ..SpawnRequest::new(run.target.clone(), input)
        })
    }

    fn begin_run(&mut self, node: NodeIx, run: &RunPlan) -> Result<(), RunError> {
        let request = SpawnRequest { spawn_key: Some(self.key(node)), ..self.request(run, &[])? };
        self.asks.push_back(Ask::Run { node, request: request.into() });
        Ok(())
    }

    fn begin_call(&mut self, node: NodeIx, run: &RunPlan) -> Result<(), RunError> {
        let mut request = self.request(run, &[])?;
        let timeout_ms = Some(request.timeout_ms.take().unwrap_or(AGENT_CALL_TIMEOUT_MS));
        let join = pleach_kernel::JoinPolicy { timeout_ms, ..Default::default() };
        let key_prefix = self.key(node);
        let group = Group { members: vec![request.into()], key_prefix, join, size: None, agent_call: true };
        self.asks.push_back(Ask::Group { node, group: Box::new(group) });
        Ok(())
    }

    fn begin_group(&mut self, node: NodeIx, members: &[RunPlan], join: &GroupJoin) {
        let members = (0..members.len()).map(Member::Listed).collect();
        let then = Then::Group { key_prefix: self.key(node), join: join.policy, size: None };
        self.draft = Some(Draft::new(node, members, then));
    }

    fn begin_map(
        &mut self,
        node: NodeIx,
        over: Option<&(Expression, Span)>,
        window: u32,
        join: &GroupJoin,
    ) -> Result<(), RunError> {
        let items = match over.map(|(over, _)| self.value(over)).transpose()? {
            Some(Json::Array(items)) => items,
            other => {
                let found = other.unwrap_or_default();
                let message = format!("`over` is to be a list, and is {}", short(&found));
                return Err(RunError::new("not_a_list", message));
            }
        };
        let count = items.len() as u32;
        let mut rest: VecDeque<Json> = items.into();
        let first = rest.len().min(window as usize);
        let members = (0..).zip(rest.drain(..first)).map(|(index, item)| Member::Item(index, item)).collect();
        let size = (!rest.is_empty()).then_some(count);
        // Kept until the group is there.
        self.pending.insert(node, (rest, first as u32));
        let then = Then::Group { key_prefix: self.key(node), join: join.policy, size };
        self.draft = Some(Draft::new(node, members, then));
        Ok(())
    }

    /// Members of a map that have ended make room for others.
    pub(super) fn extend(&mut self, node: NodeIx) {
        let Some(group) = &mut self.states[node].group else { return };
        let wanted = (group.free as usize).min(group.rest.len()).min(ADDED);
        if wanted == 0 {
            return;
        }
        let (id, first) = (group.id, group.next);
        let members =
            (first..).zip(group.rest.drain(..wanted)).map(|(index, item)| Member::Item(index, item)).collect();
        group.free -= wanted as u32;
        group.next += wanted as u32;
        self.draft = Some(Draft::new(node, members, Then::Extend { group: id, first }));
    }

    fn begin_join(&mut self, node: NodeIx, group: Option<NodeIx>) -> Result<(), RunError> {
        let of = group.ok_or_else(no_group)?;
        let state = &mut self.states[of];
        match state.group.as_ref().map(|group| group.decided.clone()) {
            Some(Some(decided)) => self.joined(node, decided),
            Some(None) => state.awaited_by = Some(node),
            // A replan has sent it round again, and its next group is on its way.
            None if state.iteration > 0 && matches!(state.status, Status::Waiting | Status::Running) => {
                state.awaited_by = Some(node);
            }
            None => return Err(no_group()),
        }
        Ok(())
    }

    fn begin_router(&mut self, node: NodeIx, router: &Router) -> Result<(), RunError> {
        if let Some(plugin) = &router.plugin {
            return self.begin_run(node, &plugin.run);
        }
        let Some((key, _)) = &router.key else {
            return Err(RunError::new("no_route", "the router has no `route_key`"));
        };
        let value = self.value(key)?;
        let handle = router.equals.iter().position(|equals| *equals == value).unwrap_or(router.equals.len());
        let route = self.plan.nodes[node].handles[handle].clone();
        let answer =
            payload(&json!({"route": &*route, "rationale": format!("`{}` is {}", key.text(), short(&value))}))?;
        self.verdicts.push((node, NodeVerdict::Route(answer.clone())));
        self.done(node, answer, Some(handle));
        Ok(())
    }

    fn begin_judge(&mut self, node: NodeIx, judge: &Judge) -> Result<(), RunError> {
        if let Some(plugin) = &judge.plugin {
            return self.begin_run(node, &plugin.run);
        }
        let Some((score, _)) = &judge.score else { return Err(RunError::new("no_score", "the judge has no `score`")) };
        let value = self.value(score)?;
        let Some(number) = value.as_f64() else {
            let message = format!("`{}` is to be a number, and is {}", score.text(), short(&value));
            return Err(RunError::new("not_a_number", message));
        };
        let passes = number >= judge.threshold;
        let (outcome, relation) = if passes { ("pass", "reaches") } else { ("fail", "is below") };
        let rationale = format!("`{}` is {value}, which {relation} {}", score.text(), judge.threshold);
        let answer = payload(&json!({"outcome": outcome, "score": value, "rationale": rationale}))?;
        self.verdicts.push((node, NodeVerdict::Judgement(answer.clone())));
        self.done(node, answer, Some(usize::from(!passes)));
        Ok(())
    }

    /// Whether anything is to be made of it is the kernel's to say: it counts the
    /// answers, and the log knows of each.
    fn begin_replan(&mut self, node: NodeIx, replan: &Replan) -> Result<(), RunError> {
        let about = Arc::new(self.looked_at(node, replan)?);
        let config = replan.config.as_ref().map(|config| config.render(&self.values.scope(&self.plan, &[])));
        let config =
            config.transpose().map_err(|why| RunError::new("expression_failed", format!("its config: {why}")))?;
        let replanner = replan.target.as_ref().map(|(target, _)| target.clone());
        self.asks.push_back(Ask::Evaluate { node, about, replanner, config });
        Ok(())
    }

    fn rule_holds(&self, replan: &Replan, failed: u32, completed: u32) -> Result<bool, RunError> {
        let Some((when, _)) = &replan.when else { return Ok(true) };
        let (failed, completed) = (Datum::from(json!(failed)), Datum::from(json!(completed)));
        let locals = [("failed", &failed), ("completed", &completed)];
        match when.evaluate(&self.values.scope(&self.plan, &locals)) {
            Ok(Json::Bool(holds)) => Ok(holds),
            Ok(other) => Err(RunError::new("not_a_condition", format!("`{}` is {}", when.text(), short(&other)))),
            Err(why) => Err(RunError::new("expression_failed", why)),
        }
    }

    /// What a replan looks at: the runs of the newest round that have ended, as far as
    /// the graph has heard, and nodes that failed without one.
    fn looked_at(&self, node: NodeIx, replan: &Replan) -> Result<ReplanNode, RunError> {
        let nodes: Vec<NodeIx> = match replan.of.as_slice() {
            [] => (0..self.states.len()).filter(|other| *other != node && self.loops.is_before(*other, node)).collect(),
            of => of.iter().map(|(node, _)| *node).collect(),
        };
        let runs = nodes.iter().flat_map(|node| self.states[*node].runs.iter().copied());
        let mut among: Vec<RunId> = runs.filter(|run| self.ended.contains_key(run)).collect();
        among.sort_unstable();
        among.dedup();
        let failed_nodes = nodes.iter().filter(|node| self.states[**node].failed_itself);
        let failed_node_ids: Vec<Arc<str>> = failed_nodes.map(|node| self.plan.nodes[*node].id.clone()).collect();
        let count = |wanted: bool| among.iter().filter(|run| self.ended[*run] == Some(wanted)).count() as u32;
        let (failed, completed) = (count(false) + failed_node_ids.len() as u32, count(true));
        let declines = failed > 0 && !self.rule_holds(replan, failed, completed)?;
        Ok(ReplanNode {
            id: self.plan.nodes[node].id.clone(),
            among: among.into(),
            failed_node_ids,
            declines: declines.then(|| "rule".into()),
            max_replans: replan.max_replans,
            max_stalls: replan.max_stalls,
        })
    }

    fn begin_cancel(&mut self, node: NodeIx, of: Option<NodeIx>, reason: Option<&Arc<str>>) -> Result<(), RunError> {
        let runs = of.map(|of| self.states[of].runs.clone()).unwrap_or_default();
        let live = runs.into_iter().filter(|run| !self.ended.contains_key(run));
        let ask = |run| Cancel { reason: reason.cloned().unwrap_or_else(|| Cancel::REASON.into()), ..Cancel::of(run) };
        let requests: Vec<Cancel> = live.map(ask).collect();
        self.asks.push_back(Ask::Cancel { node, requests });
        // What a map has not spawned is not spawned any more.
        if let Some(of) = of {
            self.give_up_group(of);
        }
        Ok(())
    }

    fn begin_output(&mut self, node: NodeIx, output: &Output) -> Result<(), RunError> {
        let failed = |why| RunError::new("expression_failed", why);
        let value = output.value.render(&self.values.scope(&self.plan, &[])).map_err(failed)?;
        if let Some(failing) = &output.error {
            let message = failing.message.render(&self.values.scope(&self.plan, &[])).map_err(failed)?;
            let message =
                serde_json::from_str::<String>(message.as_str()).unwrap_or_else(|_| message.as_str().to_owned());
            let mut error = RunError::new(&failing.code, message);
            error.retryable = failing.retryable;
            self.finish(node, Status::Completed);
            self.verdicts.push((node, NodeVerdict::Completed));
            self.fatal.get_or_insert(error);
            return Ok(());
        }
        bounded(&value, "output_too_large")?;
        // In a loop, the last one counts.
        self.outputs.retain(|(other, _)| *other != node);
        self.outputs.push((node, value.clone()));
        self.verdicts.push((node, NodeVerdict::Completed));
        self.done(node, value, None);
        Ok(())
    }

    fn value(&self, expression: &Expression) -> Result<Json, RunError> {
        let value = expression.evaluate(&self.values.scope(&self.plan, &[]));
        value.map_err(|why| RunError::new("expression_failed", why))
    }

    /// A group is there.
    pub(super) fn keep_group(&mut self, node: NodeIx, id: pleach_kernel::GroupId) {
        let (rest, next) = self.pending.remove(&node).unwrap_or_default();
        self.states[node].group = Some(Grouped { id, rest, next, free: 0, decided: None });
    }
}

/// Why a join cannot be decided.
pub(super) fn no_group() -> RunError {
    RunError::new("no_group", "its group was not spawned: the node that makes it was skipped or has failed")
}

/// What leaves the graph is as long as a payload may be.
fn bounded(payload: &Payload, code: &str) -> Result<(), RunError> {
    let bytes = payload.as_str().len();
    match bytes <= MAX_PAYLOAD_BYTES {
        true => Ok(()),
        false => Err(RunError::new(code, format!("it has {bytes} bytes, and may have {MAX_PAYLOAD_BYTES}"))),
    }
}

pub(super) fn payload(value: &Json) -> Result<Payload, RunError> {
    Payload::of(value).map_err(|error| RunError::new("output_too_large", error.to_string()))
}

/// A value for a message.
fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
