//! Notice: what has ended below a run, one after the other.
//!
//! A caller that has spawned many things waits for whichever ends next. What ends
//! first is what the log says first, so the n-th notice is the same in every
//! replay, and waiting for it takes no journal but how many were given at once.

use std::sync::Arc;

use serde::Serialize;

use super::join::JoinResult;
use crate::fact::{RunError, RunStatus};
use crate::id::{GroupId, RunId};
use crate::payload::Payload;
use crate::tree::{Noticed, Run, RunIx, Tree};

/// Something that a run has spawned has come to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A child that is in no group, or a member of a group that is added to.
    Run(Box<EndedRun>),
    /// A group was decided.
    Group(Box<JoinResult>),
}

/// How a child has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndedRun {
    pub run_id: RunId,
    pub spawn_key: Arc<str>,
    /// The group that it is a member of, and its place there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<(GroupId, u32)>,
    pub status: RunStatus,
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
}

impl Tree {
    /// How much has ended below a run.
    pub fn notice_count(&self, run: RunId) -> usize {
        self.run(run).map_or(0, |run| run.noticed.len())
    }

    /// What ended below a run after the first `after`, at most `most` of it.
    pub fn notices(&self, run: RunId, after: usize, most: usize) -> Vec<Notice> {
        let noticed = self.run(run).map_or(&[][..], |run| &run.noticed);
        noticed.iter().skip(after).take(most).filter_map(|noticed| self.told_notice(*noticed)).collect()
    }

    fn told_notice(&self, noticed: Noticed) -> Option<Notice> {
        match noticed {
            Noticed::Run(ix) => Some(Notice::Run(Box::new(self.ended(&self.runs[ix as RunIx])))),
            Noticed::Group(index) => {
                self.join_result(self.group_id(index as usize)).map(|result| Notice::Group(Box::new(result)))
            }
        }
    }

    fn ended(&self, run: &Run) -> EndedRun {
        EndedRun {
            run_id: run.id,
            spawn_key: run.spec.spawn_key.clone(),
            member: run.group.map(|(group, ordinal)| (self.group_id(group), ordinal)),
            status: run.status,
            attempts: run.attempt,
            output: run.output().cloned(),
            error: run.error(),
        }
    }

    /// Part of applying the end of a run: its parent hears of it, unless it hears of
    /// the group as a whole.
    pub(crate) fn notice(&mut self, parent: RunIx, ix: RunIx, group: Option<(usize, u32)>) {
        if self.is_told(group) {
            self.runs[parent].noticed.push(Noticed::Run(ix as u32));
        }
    }

    fn is_told(&self, group: Option<(usize, u32)>) -> bool {
        group.is_none_or(|(group, _)| self.groups[group].spec.size.is_some())
    }

    /// What was noticed, from a state that was read back: the order is the log's.
    pub(crate) fn restore_notices(&mut self) {
        let runs = self.runs.iter().enumerate().filter(|(_, run)| run.status.is_terminal() && self.is_told(run.group));
        let runs = runs.filter_map(|(ix, run)| Some((run.finished_seq, run.parent?, Noticed::Run(ix as u32))));
        let groups = self.groups.iter().enumerate().filter_map(|(index, group)| {
            Some((group.decided.as_ref()?.seq, group.owner, Noticed::Group(index as u32)))
        });
        let mut all: Vec<(u64, RunIx, Noticed)> = runs.chain(groups).collect();
        all.sort_unstable_by_key(|(seq, ..)| *seq);
        for (_, parent, noticed) in all {
            self.runs[parent].noticed.push(noticed);
        }
    }
}
