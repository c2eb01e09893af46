//! What the nodes of a graph ask. A graph is a native program that has many things
//! under way and waits for whichever ends next, so nothing here waits but `next`.

use std::sync::Arc;

use pleach_kernel::{
    Cancel, Cancelled, Evaluation, GroupId, JoinPolicy, NodeVerdict, Notice, ReplanNode, RunId, SpawnRequest, Spawned,
    SpawnedGroup,
};

use super::HostCalls;
use crate::call::{Call, CallError, Evaluating, FailureCode, NodeCall, NodeGroup, NodeQuestion, NodeRun};
use crate::journal::{self, Asked, NO_ARGUMENTS, bytes_of, what};

impl HostCalls {
    /// What has ended below this run after the first `after` notices, in the order
    /// of the log; waits until there is something.
    pub async fn next(&mut self, after: u32) -> Result<Vec<Notice>, CallError> {
        let hash = journal::hash(&after);
        let begun = self.begin(what::NEXT, || hash).await?;
        let asked = Asked { call: begun.call, what: what::NEXT, hash };
        let known = match begun.answer {
            Some(answer) => Some(self.recall::<u32>(answer).await?),
            None => None,
        };
        let answer = self.ask(known.is_some(), |reply| Call::Next { after, known, asked, reply }).await;
        if known.is_none() {
            let recorded = answer.as_ref().map(|notices| notices.len() as u32).map_err(Clone::clone);
            self.count(bytes_of(what::NEXT, &recorded));
        }
        answer
    }

    /// Spawns a run for each of some nodes, in one go: each is a call of its own, and
    /// is admitted or refused by itself.
    pub async fn node_runs(&mut self, runs: Vec<(Arc<str>, Arc<SpawnRequest>)>) -> Vec<Result<Spawned, CallError>> {
        let mut answers: Vec<Option<Result<Spawned, CallError>>> = Vec::with_capacity(runs.len());
        let mut asked = Vec::with_capacity(runs.len());
        let mut is_past = true;
        for (node, request) in runs {
            let begun = match self.begin(what::SPAWN_RUN, || Asked::spawn_run(0, &request).hash).await {
                Ok(begun) => begun,
                Err(error) => {
                    answers.push(Some(Err(error)));
                    continue;
                }
            };
            let site = self.site(begun.call, request.spawn_key.is_some());
            match begun.answer {
                Some(answer) => answers.push(Some(Err(self.recall_error(answer).await))),
                None => {
                    is_past &= begun.is_past;
                    asked.push(NodeRun { node, request, site });
                    answers.push(None);
                }
            }
        }
        let count = asked.len();
        let made = match count {
            0 => Ok(Vec::new()),
            _ => self.ask(is_past, |reply| Call::NodeRuns { runs: asked, reply }).await,
        };
        let mut made = made.unwrap_or_else(|error| vec![Err(error); count]).into_iter();
        for error in made.as_slice().iter().filter_map(|answer| answer.as_ref().err()) {
            self.count(bytes_of::<()>(what::SPAWN_RUN, &Err(error.clone())));
        }
        let lost = || Err(CallError::failed(FailureCode::HostFailure, "the host gave no answer"));
        answers.into_iter().map(|answer| answer.or_else(|| made.next()).unwrap_or_else(lost)).collect()
    }

    /// Spawns a group for a node, or calls an agent for it.
    pub async fn node_group(&mut self, node: &Arc<str>, group: NodeGroup) -> Result<SpawnedGroup, CallError> {
        let what = if group.agent_call { what::AGENT_CALL } else { what::SPAWN_GROUP };
        let hash = || group_hash(&group.members, &group.key_prefix, &group.join);
        let begun = self.begin(what, hash).await?;
        let site = self.site(begun.call, true);
        let node = node.clone();
        let call = |reply| Call::Node { node, call: Box::new(NodeCall::SpawnGroup { group, site, reply }) };
        self.made(begun, what, call).await
    }

    /// Adds members to a group of this run's, from the place `first` on, and gives
    /// them; those that an earlier try added are found again, and none is added where
    /// it is decided already.
    pub async fn extend_group(
        &mut self,
        node: &Arc<str>,
        group: GroupId,
        first: u32,
        members: Vec<Arc<SpawnRequest>>,
    ) -> Result<Vec<RunId>, CallError> {
        let (begun, asked) = self.begin_recorded(what::EXTEND_GROUP, &(group, first, &members)).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let node = node.clone();
        let added = |reply| NodeCall::ExtendGroup { group, first, members, asked, reply };
        self.answered(asked, |reply| Call::Node { node, call: Box::new(added(reply)) }).await
    }

    /// Adds nothing more to a group of this run's: where it lacks members, it is decided
    /// as failed.
    pub async fn give_up_group(&mut self, node: &Arc<str>, group: GroupId) -> Result<(), CallError> {
        let (begun, asked) = self.begin_recorded(what::GIVE_UP_GROUP, &group).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let node = node.clone();
        self.answered(asked, |reply| Call::Node { node, call: Box::new(NodeCall::GiveUpGroup { group, asked, reply }) })
            .await
    }

    /// Stops a run and everything that it caused, for a node.
    pub async fn node_cancel(&mut self, node: &Arc<str>, request: Cancel) -> Result<Cancelled, CallError> {
        let (begun, asked) = self.begin_recorded(what::CANCEL, &request).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let node = node.clone();
        self.answered(asked, |reply| Call::Node { node, call: Box::new(NodeCall::Cancel { request, asked, reply }) })
            .await
    }

    /// Looks at what failed among some children, for a node. Where a replanner has
    /// to be asked, it is spawned, and [`HostCalls::take_plan`] is for when it has
    /// ended.
    pub async fn node_evaluate(&mut self, question: NodeQuestion) -> Result<Evaluating, CallError> {
        let (begun, asked) = self.begin_recorded(what::EVALUATE, &question).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let site = self.site(begun.call, true);
        let node = question.about.id.clone();
        let call = |reply| Call::Node { node, call: Box::new(NodeCall::Evaluate { question, site, asked, reply }) };
        self.answered(asked, call).await
    }

    /// Carries out the plan of a replanner that has ended.
    pub async fn take_plan(&mut self, planner: RunId, about: Arc<ReplanNode>) -> Result<Evaluation, CallError> {
        let (begun, asked) = self.begin_recorded(what::TAKE_PLAN, &(planner, &*about)).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let node = about.id.clone();
        let call = |reply| Call::Node { node, call: Box::new(NodeCall::TakePlan { planner, about, asked, reply }) };
        self.answered(asked, call).await
    }

    /// Has the log know what has come of a node by itself.
    pub fn verdict(&mut self, node: &Arc<str>, verdict: NodeVerdict) {
        if self.is_gone() {
            return;
        }
        let told_before = self.is_replaying();
        // A host of an earlier release told less of its nodes: its journal has no place
        // for this one.
        if told_before && self.vitals.is_other(self.next, what::VERDICT) {
            return;
        }
        let call = match self.number(what::VERDICT, || NO_ARGUMENTS) {
            Ok(begun) => begun.call,
            Err(error) => return self.vitals.fail(error),
        };
        if !told_before {
            self.tell(Call::Node { node: node.clone(), call: Box::new(NodeCall::Verdict { verdict, call }) });
        }
    }
}

fn group_hash(members: &[Arc<SpawnRequest>], key_prefix: &str, join: &JoinPolicy) -> u64 {
    Asked::spawn_group(0, members, Some(key_prefix), join).hash
}
