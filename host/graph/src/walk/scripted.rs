//! A kernel that answers as a test says.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pleach_kernel::{
    ChildCounts, EndedRun, Evaluation, GroupId, JoinMode, JoinResult, JoinStatus, MemberOutcome, Notice, Payload,
    RootId, RunError, RunId, RunStatus, SuggestedAction,
};
use serde_json::{Value as Json, json};

use super::{Ask, Walk};
use crate::plan::Plan;

/// A kernel that spawns everything, and ends runs in the order of their spawning,
/// unless it is told to end them in another.
pub(super) struct Kernel<'a> {
    runs: u32,
    groups: u32,
    /// What is to be heard, in order.
    news: VecDeque<Notice>,
    /// How a run ends, by its key.
    ends: &'a dyn Fn(&str) -> End,
    /// Groups that are added to: what is known of their members.
    open: HashMap<GroupId, (u32, Vec<MemberOutcome>)>,
    failed: BTreeMap<RunId, bool>,
    /// Answers `replan`, by who was given them.
    replans: BTreeMap<Arc<str>, u32>,
    order: u64,
    pub log: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Ok(Json),
    Fail,
}

impl<'a> Kernel<'a> {
    pub fn new(ends: &'a dyn Fn(&str) -> End) -> Self {
        let (news, open, failed, replans, log) = Default::default();
        Self { runs: 0, groups: 0, news, ends, open, failed, replans, order: 0, log }
    }

    /// Ends runs in an order that follows from a number.
    pub fn in_order(self, order: u64) -> Self {
        Self { order, ..self }
    }

    /// What is heard next. A group is decided after its members have ended.
    fn next(&mut self) -> Option<Notice> {
        let most = self.news.len() as u64;
        let mut at = self.order.checked_rem(most)? as usize;
        self.order = self.order.rotate_right(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if let Notice::Group(group) = &self.news[at] {
            let of_group = |news: &Notice| match news {
                Notice::Run(run) => group.outputs.iter().any(|member| member.run_id == run.run_id),
                Notice::Group(_) => false,
            };
            at = self.news.iter().position(of_group).unwrap_or(at);
        }
        self.news.remove(at)
    }

    fn run(&mut self) -> RunId {
        self.runs += 1;
        RunId { root: RootId(1), index: self.runs }
    }

    fn outcome(&mut self, key: &str, run_id: RunId, ordinal: u32) -> MemberOutcome {
        self.log.push(key.to_owned());
        let (status, output, error) = match (self.ends)(key) {
            End::Ok(value) => (RunStatus::Completed, Some(Payload::of(&value).unwrap()), None),
            End::Fail => (RunStatus::Failed, None, Some(RunError::new("broken", "it broke"))),
        };
        self.failed.insert(run_id, status == RunStatus::Failed);
        MemberOutcome { ordinal, run_id, status, output, error }
    }

    fn ended(outcome: MemberOutcome, key: &str, group: Option<GroupId>) -> Notice {
        let MemberOutcome { ordinal, run_id, status, output, error } = outcome;
        let member = group.map(|group| (group, ordinal));
        Notice::Run(Box::new(EndedRun { run_id, spawn_key: key.into(), member, status, attempts: 1, output, error }))
    }

    fn decided(&mut self, group_id: GroupId, outputs: Vec<MemberOutcome>) {
        let count = |wanted| outputs.iter().filter(|member| member.status == wanted).count() as u32;
        let (success_count, failure_count) = (count(RunStatus::Completed), count(RunStatus::Failed));
        let status = match (success_count, failure_count) {
            (0, 0) => JoinStatus::Empty,
            (0, _) => JoinStatus::Failed,
            (_, 0) => JoinStatus::Completed,
            _ => JoinStatus::CompletedWithErrors,
        };
        self.end_group(group_id, outputs, status, "all_ended");
    }

    fn end_group(&mut self, group_id: GroupId, outputs: Vec<MemberOutcome>, status: JoinStatus, reason: &str) {
        let count = |wanted| outputs.iter().filter(|member| member.status == wanted).count() as u32;
        let (success_count, failure_count) = (count(RunStatus::Completed), count(RunStatus::Failed));
        self.news.push_back(Notice::Group(Box::new(JoinResult {
            group_id,
            mode: JoinMode::BestEffort,
            status,
            complete: true,
            outputs,
            success_count,
            failure_count,
            cancelled_count: 0,
            running_count: 0,
            reason: reason.into(),
            decided_at_seq: 1,
        })));
    }

    fn answer(&mut self, walk: &mut Walk, ask: Ask) {
        match ask {
            Ask::Run { node, request } => {
                let run = self.run();
                let key = request.spawn_key.clone().unwrap();
                let outcome = self.outcome(&key, run, 0);
                self.news.push_back(Self::ended(outcome, &key, None));
                walk.spawned(node, run);
            }
            Ask::Group { node, group } => {
                self.groups += 1;
                let id = GroupId { root: RootId(1), index: self.groups };
                let members: Vec<MemberOutcome> = (0..group.members.len() as u32)
                    .map(|ordinal| {
                        let run = self.run();
                        self.outcome(&format!("{}:{ordinal}", group.key_prefix), run, ordinal)
                    })
                    .collect();
                let runs = members.iter().map(|member| member.run_id).collect();
                match group.size {
                    Some(size) => {
                        let news = members.iter().map(|member| Self::ended(member.clone(), "", Some(id)));
                        self.news.extend(news);
                        self.open.insert(id, (size, members));
                    }
                    None => self.decided(id, members),
                }
                walk.grouped(node, id, runs);
            }
            Ask::Extend { node, group, first, members } => {
                assert_eq!(first as usize, self.open[&group].1.len(), "one comes after the other");
                let mut runs = Vec::new();
                for ordinal in first..first + members.len() as u32 {
                    let run = self.run();
                    let outcome = self.outcome(&format!("+{ordinal}"), run, ordinal);
                    self.news.push_back(Self::ended(outcome.clone(), "", Some(group)));
                    self.open.get_mut(&group).unwrap().1.push(outcome);
                    runs.push(run);
                }
                let (size, all) = self.open[&group].clone();
                if all.len() as u32 == size {
                    self.decided(group, all);
                }
                walk.extended(node, runs);
            }
            Ask::Cancel { node, requests } => walk.cancelled(node, requests.len() as u32),
            Ask::GiveUp { group, .. } => {
                if let Some((size, members)) = self.open.remove(&group)
                    && (members.len() as u32) < size
                {
                    self.log.push(format!("-g{}", group.index));
                    self.end_group(group, members, JoinStatus::Failed, "join_given_up");
                }
            }
            Ask::Pause => {}
            Ask::Evaluate { node, about, .. } => {
                let runs = about.among.iter().filter(|run| self.failed.get(run) == Some(&true)).count();
                let completed = about.among.len() as u32 - runs as u32;
                let failed = (runs + about.failed_node_ids.len()) as u32;
                let used = self.replans.entry(about.id.clone()).or_default();
                let is_used_up = about.max_replans.is_some_and(|most| *used >= most);
                let reason = about.declines.clone().or_else(|| is_used_up.then(|| "max_replans".into()));
                let needs_replan = failed > 0 && reason.is_none();
                *used += u32::from(needs_replan);
                let answer = Evaluation {
                    needs_replan,
                    suggested_action: SuggestedAction::Replan,
                    failed_children: Vec::new(),
                    counts: ChildCounts { failed, completed, ..ChildCounts::default() },
                    replans_used: *used,
                    max_replans: 9,
                    reason,
                    plan: None,
                };
                walk.evaluated(node, answer);
            }
            Ask::TakePlan { .. } => panic!("no test has a replanner"),
        }
    }

    /// Walks to the end; what it was, and how each node stands.
    pub fn walk(&mut self, plan: &Arc<Plan>, input: &Json) -> (String, String) {
        let (walk, end) = self.walk_to_end(plan, input);
        let end = match end {
            Ok(output) => output.as_str().to_owned(),
            Err(error) => format!("{}: {}", error.code, error.message),
        };
        let stands =
            plan.nodes.iter().enumerate().map(|(node, said)| format!("{} {}", said.id, walk.status(node).as_str()));
        (end, stands.collect::<Vec<_>>().join(", "))
    }

    pub fn walk_to_end(&mut self, plan: &Arc<Plan>, input: &Json) -> (Walk, super::End) {
        let input = Payload::of(input).unwrap();
        let mut walk = Walk::new(plan.clone(), input, json!({"seed": 1})).unwrap_or_else(|error| panic!("{error:?}"));
        loop {
            while let Some(ask) = walk.ask() {
                self.answer(&mut walk, ask);
            }
            if let Some(end) = walk.end() {
                return (walk, end);
            }
            let news = self.next().unwrap_or_else(|| {
                panic!("it waits for what does not come: {:?}\n{}", walk.states, self.log.join(" "))
            });
            walk.hear(news);
        }
    }
}
