//! Nodes: what graphs ask of the kernel. A graph's run has many things under way,
//! and waits for whichever ends next.

use std::collections::BTreeMap;
use std::sync::Arc;

use pleach_kernel::{
    About, Caller, Evaluate, Notice, Replanning, RunId, Spawn, SpawnGroup, SpawnRequest, Spawned, Surface,
};
use pleach_sandbox::{Asked, CallError, Evaluating, NodeCall, NodeGroup, NodeQuestion, NodeRun, Reply};

use super::Driver;
use super::waiting::Answer;

/// Notices that are given at once.
const NOTICES: usize = 256;

/// Graphs that wait for what ends next.
#[derive(Default)]
pub(super) struct Listeners(BTreeMap<RunId, Listener>);

struct Listener {
    after: u32,
    asked: Asked,
    reply: Reply<Vec<Notice>>,
}

impl Listeners {
    /// A guest has stopped, and waits for nothing any more.
    pub(super) fn forget(&mut self, run: RunId) {
        self.0.remove(&run);
    }
}

impl Driver {
    pub(super) fn node_call(&mut self, run: RunId, node: Arc<str>, call: NodeCall) {
        let now = self.shared.clock.now();
        match call {
            NodeCall::SpawnGroup { group, site, reply } => {
                let asked = group.clone();
                let group = self.node_group(node, group);
                let answer = match self.tree.replayed_group(run, site.call, &group) {
                    Some(Ok(spawned)) => Ok(spawned),
                    Some(Err(difference)) => return self.differs(run, &difference),
                    None => {
                        self.note_queue();
                        self.tree.spawn_group(now, run, Surface::Graph, group, site).map_err(CallError::Denied)
                    }
                };
                self.record_refusal(run, || group_asked(site.call, &asked), &answer);
                self.answers.push(Answer::Grouped(reply, answer));
            }
            NodeCall::ExtendGroup { group, first, members, asked, reply } => {
                let members = members.into_iter().map(|member| self.node_spawn(&node, member)).collect();
                self.note_queue();
                let answer = self.tree.extend_group(now, run, Surface::Graph, group, first, members);
                let answer = answer.map_err(CallError::Denied);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::Extended(reply, answer));
            }
            NodeCall::GiveUpGroup { group, asked, reply } => {
                let answer = self.tree.give_up_group(now, run, Surface::Graph, group).map_err(CallError::Denied);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::GivenUp(reply, answer));
            }
            NodeCall::Cancel { request, asked, reply } => {
                let answer = self.tree.cancel_subtree(now, Caller::Run(run), Surface::Graph, &request);
                let answer = answer.map_err(CallError::Denied);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::GuestCancelled(reply, answer));
            }
            NodeCall::Evaluate { question, site, asked, reply } => {
                let NodeQuestion { about, replanner, config } = question;
                let replanner = replanner.map(|target| {
                    let resolution = self.shared.registry.resolve(self.tree.tenant(), &target);
                    (target, resolution)
                });
                let ask = Evaluate { run_id: None, replanner, config, node: Some(about) };
                let answer = match self.tree.evaluate(now, run, Surface::Graph, ask, site) {
                    Ok(Replanning::Answered(answer)) => Ok(Evaluating::Answered(answer)),
                    Ok(Replanning::Asked { planner, .. }) => Ok(Evaluating::Asked(planner)),
                    Err(denial) => Err(CallError::Denied(denial)),
                };
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::Evaluating(reply, answer));
            }
            NodeCall::TakePlan { planner, about, asked, reply } => {
                let about = About { of: run, node: Some(about) };
                let answer = self.plan_made(run, planner, Surface::Graph, &about);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::Evaluated(reply, answer));
            }
            NodeCall::Verdict { verdict, call } => self.tree.record_verdict(now, run, call, node, verdict),
        }
    }

    /// Runs for several nodes, each admitted by itself.
    pub(super) fn node_runs(&mut self, run: RunId, runs: Vec<NodeRun>, reply: Reply<Vec<Result<Spawned, CallError>>>) {
        let now = self.shared.clock.now();
        let mut answers = Vec::with_capacity(runs.len());
        for NodeRun { node, request, site } in runs {
            let asked = request.clone();
            let spawn = self.node_spawn(&node, request);
            let answer = match self.tree.replayed_spawn(run, site.call, &spawn) {
                Some(Ok(spawned)) => Ok(spawned),
                Some(Err(difference)) => return self.differs(run, &difference),
                None => {
                    self.note_queue();
                    self.tree.spawn_run(now, run, Surface::Graph, spawn, site).map_err(CallError::Denied)
                }
            };
            self.record_refusal(run, || Asked::spawn_run(site.call, &asked), &answer);
            answers.push(answer);
        }
        self.answers.push(Answer::Ran(reply, answers));
    }

    fn node_spawn(&self, node: &Arc<str>, request: Arc<SpawnRequest>) -> Spawn {
        Spawn { node_id: Some(node.clone()), ..self.resolved(request) }
    }

    fn node_group(&self, node: Arc<str>, group: NodeGroup) -> SpawnGroup {
        let NodeGroup { members, key_prefix, join, size, agent_call } = group;
        let members = members.into_iter().map(|member| self.node_spawn(&node, member)).collect();
        SpawnGroup { members, key_prefix: Some(key_prefix), join, size, node_id: Some(node), agent_call }
    }

    /// Gives a graph what has ended, or lets it wait for that.
    pub(super) fn next(&mut self, run: RunId, after: u32, known: Option<u32>, asked: Asked, reply: Reply<Vec<Notice>>) {
        match known {
            Some(known) => {
                let notices = self.tree.notices(run, after as usize, known as usize);
                self.answers.push(Answer::Noticed(reply, Ok(notices)));
            }
            None => {
                self.listeners.0.insert(run, Listener { after, asked, reply });
            }
        }
    }

    /// Tells graphs what has ended since they began to wait. A graph takes no place
    /// of `max_concurrency`, so it need not wait for one to go on.
    pub(super) fn tell_listeners(&mut self) {
        let news = |(run, listener): (&RunId, &Listener)| {
            (self.tree.notice_count(*run) > listener.after as usize).then_some(*run)
        };
        let heard: Vec<RunId> = self.listeners.0.iter().filter_map(news).collect();
        for run in heard {
            let Some(Listener { after, asked, reply }) = self.listeners.0.remove(&run) else { continue };
            let notices = self.tree.notices(run, after as usize, NOTICES);
            // What they say is in the log; only how many there were is not.
            self.record_answer(run, asked, &Ok(notices.len() as u32));
            self.answers.push(Answer::Noticed(reply, Ok(notices)));
        }
    }
}

fn group_asked(call: u32, group: &NodeGroup) -> Asked {
    let asked = Asked::spawn_group(call, &group.members, Some(&*group.key_prefix), &group.join);
    if group.agent_call { Asked { what: pleach_sandbox::journal::what::AGENT_CALL, ..asked } } else { asked }
}
