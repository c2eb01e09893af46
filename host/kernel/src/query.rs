//! Query: a tree as whoever asks is shown it. Nothing is decided here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::Usage;
use crate::command::{Caller, JoinMode, Surface};
use crate::denial::{Code, Denial};
use crate::fact::{JoinStatus, RunError, RunStatus};
use crate::id::{GroupId, RunId, Timestamp};
use crate::tree::{RunIx, Tree};

const ACTION: &str = "query_tree";

/// The most nodes of one answer.
const MAX_NODES: u32 = 1_000;

/// What to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// From this run down; the root where it is none.
    pub run_id: Option<RunId>,
    /// Levels below that run; all where it is none.
    pub max_depth: Option<u32>,
    /// Nodes, from 1; at most 1,000 for a run that asks.
    pub max_nodes: Option<u32>,
    /// Leave out so many of the first children of that run: the next page.
    pub skip_children: u32,
}

/// A tree, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TreeView {
    pub root_run_id: RunId,
    /// Nodes in this answer.
    pub node_count: u32,
    /// The place of the last event that it shows.
    pub seq: u64,
    pub tree: RunView,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunView {
    pub run_id: RunId,
    /// `name@version`: of the last try, where it has fallbacks.
    pub plugin: String,
    pub status: RunStatus,
    /// Why it ended, or is about to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    pub depth: u32,
    pub parent_run_id: Option<RunId>,
    pub parent_node_id: Option<Arc<str>>,
    pub spawn_key: Option<Arc<str>>,
    pub group_id: Option<GroupId>,
    pub ordinal: Option<u32>,
    pub attempt: u32,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub usage: Usage,
    pub children: Vec<RunView>,
    /// Children that are not shown here.
    #[serde(skip_serializing_if = "is_zero")]
    pub children_omitted: u32,
    pub groups: Vec<GroupView>,
}

/// One group that a run has spawned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupView {
    pub group_id: GroupId,
    pub mode: JoinMode,
    /// None while it is not decided.
    pub status: Option<JoinStatus>,
    pub member_count: u32,
    /// At most 1,000 of them.
    pub members: Vec<MemberView>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberView {
    pub ordinal: u32,
    pub run_id: RunId,
    pub status: RunStatus,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Tree {
    /// Answers a query by a run of this tree or by the operator.
    pub fn query(
        &mut self,
        now: Timestamp,
        caller: Caller,
        surface: Surface,
        query: &Query,
    ) -> Result<TreeView, Box<Denial>> {
        let bounded = match caller {
            Caller::Run(_) => Query { max_nodes: Some(query.max_nodes.unwrap_or(MAX_NODES).min(MAX_NODES)), ..*query },
            Caller::Operator => *query,
        };
        let answer = self.open_surface(ACTION, surface).and_then(|()| {
            if let Caller::Run(run) = caller {
                self.live_caller(ACTION, run)?;
            }
            self.view(&bounded)
        });
        answer.map_err(|denial| Box::new(self.deny(now, caller, surface, None, denial)))
    }

    /// A part of the tree as it stands.
    pub fn view(&self, query: &Query) -> Result<TreeView, Denial> {
        let top = query.run_id.unwrap_or(self.id.run());
        if self.run(top).is_none() {
            let message = format!("run {top} is not in tree {}", self.id);
            return Err(Denial::new(Code::RunNotFound, ACTION, message));
        }
        let mut left = query.max_nodes.unwrap_or(u32::MAX).max(1) - 1;
        let before = left;
        let depth = query.max_depth.unwrap_or(u32::MAX);
        let tree = self.run_view(top.index as RunIx, depth, query.skip_children as usize, &mut left);
        Ok(TreeView { root_run_id: self.id.run(), node_count: before - left + 1, seq: self.seq, tree })
    }

    /// The children are taken level by level from the node budget, so that a
    /// wide tree shows siblings before grandchildren.
    fn run_view(&self, ix: RunIx, depth: u32, skip: usize, left: &mut u32) -> RunView {
        let run = &self.runs[ix];
        let lineage = self.lineage(run);
        let wanted = run.children.len().saturating_sub(skip);
        let shown = if depth == 0 { 0 } else { wanted.min(*left as usize) };
        *left -= shown as u32;
        let children = run.children.iter().skip(skip).take(shown);
        RunView {
            run_id: run.id,
            plugin: run.plugin().to_string(),
            status: run.status,
            error: run.error(),
            depth: run.depth,
            parent_run_id: lineage.parent_run_id,
            parent_node_id: lineage.parent_node_id,
            spawn_key: lineage.spawn_key,
            group_id: lineage.group_id,
            ordinal: lineage.ordinal,
            attempt: run.attempt,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            usage: run.usage,
            children: children.map(|child| self.run_view(*child, depth - 1, 0, left)).collect(),
            children_omitted: (wanted - shown) as u32,
            groups: run.groups.iter().map(|group| self.group_view(*group)).collect(),
        }
    }

    fn group_view(&self, index: usize) -> GroupView {
        let group = &self.groups[index];
        let members = group.members.iter().take(MAX_NODES as usize).enumerate().map(|(ordinal, ix)| MemberView {
            ordinal: ordinal as u32,
            run_id: self.run_id(ix),
            status: self.runs[ix].status,
        });
        GroupView {
            group_id: self.group_id(index),
            mode: group.spec.mode,
            status: group.status(),
            member_count: group.members.len() as u32,
            members: members.collect(),
        }
    }
}
