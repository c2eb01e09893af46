//! Draft: the members of a group that is to be asked for, computed some at a time: there
//! may be many, and others want the processor too.

use std::collections::VecDeque;
use std::sync::Arc;

use pleach_kernel::{GroupId, JoinPolicy, NodeVerdict, RunError, SpawnRequest};
use serde_json::{Value as Json, json};

use super::{Ask, Group, Walk};
use crate::expression::Datum;
use crate::plan::NodeIx;

/// After so many steps of evaluations, others have their turn: about a millisecond.
pub(super) const PAUSE_AFTER: usize = 1_000;

/// A group, or more members for one, on its way.
pub(super) struct Draft {
    node: NodeIx,
    left: VecDeque<Member>,
    members: Vec<Arc<SpawnRequest>>,
    then: Then,
}

/// A member that is not computed yet.
pub(super) enum Member {
    /// One of those that the file lists, by its place.
    Listed(usize),
    /// One for an item of a map's list, by its place.
    Item(u32, Json),
}

/// What is asked for when all are.
pub(super) enum Then {
    Group { key_prefix: Arc<str>, join: JoinPolicy, size: Option<u32> },
    Extend { group: GroupId, first: u32 },
}

impl Draft {
    pub(super) fn new(node: NodeIx, left: VecDeque<Member>, then: Then) -> Self {
        let members = Vec::with_capacity(left.len());
        Self { node, left, members, then }
    }
}

impl Walk {
    /// Computes further members, and asks for the group when there are no more.
    pub(super) fn go_on_with(&mut self, mut draft: Draft) {
        while let Some(member) = draft.left.pop_front() {
            match self.member(draft.node, member) {
                Ok(request) => draft.members.push(request.into()),
                Err(error) => return self.give_up_draft(draft, error),
            }
            if self.is_pause_due() {
                break;
            }
        }
        if !draft.left.is_empty() {
            self.draft = Some(draft);
            return;
        }
        let Draft { node, members, then, .. } = draft;
        self.asks.push_back(match then {
            Then::Group { key_prefix, join, size } => {
                Ask::Group { node, group: Box::new(Group { members, key_prefix, join, size, agent_call: false }) }
            }
            Then::Extend { group, first } => Ask::Extend { node, group, first, members },
        });
    }

    fn member(&self, node: NodeIx, member: Member) -> Result<SpawnRequest, RunError> {
        let plan = self.plan.clone();
        let runs = plan.nodes[node].kind.runs();
        self.values.took(1);
        match member {
            Member::Listed(place) => self.request(&runs[place], &[]),
            Member::Item(index, item) => {
                let (item, place) = (Datum::from(item), Datum::from(json!(index)));
                self.request(&runs[0], &[("item", &item), ("index", &place)]).map_err(|mut error| {
                    error.message = format!("item {index}: {}", error.message);
                    error
                })
            }
        }
    }

    fn give_up_draft(&mut self, draft: Draft, error: RunError) {
        match draft.then {
            Then::Group { .. } => {
                self.pending.remove(&draft.node);
                self.fail_untold(draft.node, error);
            }
            Then::Extend { .. } => {
                self.verdicts.push((draft.node, NodeVerdict::Failed(error.clone())));
                self.give_up_map(draft.node, error);
            }
        }
    }
}
