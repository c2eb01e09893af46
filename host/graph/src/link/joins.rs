//! Joins: which group each waits for, and what it says of it.

use pleach_kernel::{JoinMode, JoinPolicy};

use super::{Joining, Linker};
use crate::diagnostic::Diagnostic;
use crate::plan::{GroupJoin, Kind, NodeIx, Plan};
use crate::spec;

impl Linker<'_> {
    /// Gives every group what its join says, and every join its group.
    pub(super) fn joins(&mut self, plan: &mut Plan) {
        for Joining { place, said, is_torn } in std::mem::take(&mut self.joinings) {
            self.is_torn = is_torn;
            let Some(group) = self.group_of(plan, place, &said) else { continue };
            if let Kind::Join { group: named, .. } = &mut plan.nodes[place].kind {
                *named = Some(group);
            }
            let mode = said.mode.as_ref().map_or(spec::JoinMode::BestEffort, |mode| mode.value);
            let policy = JoinPolicy {
                mode: kernel_mode(mode),
                quorum: said.quorum.as_ref().map(|quorum| quorum.value),
                timeout_ms: said.timeout_ms.as_ref().map(|timeout| timeout.value),
            };
            let (mode_span, quorum_span) =
                (said.mode.as_ref().map(|at| at.span), said.quorum.as_ref().map(|at| at.span));
            self.quorum(plan, place, group, &said);
            let (first, span) = (joined_by(plan, group), plan.nodes[place].span);
            if let Some(first) = first {
                let message = format!("the group `{}` is joined twice", plan.nodes[group].id);
                let problem = Diagnostic::error("joined_twice", span, message)
                    .hint("a group is decided once: use the output of the first join")
                    .related(plan.nodes[first].span, "joined here first");
                self.found.push(problem);
                continue;
            }
            if let Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } = &mut plan.nodes[group].kind {
                *join = GroupJoin { policy, node: Some(place), mode_span, quorum_span };
            }
        }
    }

    /// The group that a join waits for: the one it names, or the one that an edge
    /// leads from.
    fn group_of(&mut self, plan: &Plan, place: NodeIx, said: &spec::Join) -> Option<NodeIx> {
        let join = &plan.nodes[place];
        if let Some(name) = &said.group {
            let group = plan.find(name)?;
            let kind = &plan.nodes[group].kind;
            if kind.is_group() {
                return Some(group);
            }
            let message = format!("`{}` is a {} and makes no group", name.value, kind.name());
            let problem = Diagnostic::error("join_without_group", name.span, message);
            self.found.push(problem.hint("name a `spawn_group` or a `map`"));
            return None;
        }
        let before = join.incoming.iter().map(|edge| plan.edges[*edge].from);
        if join.lost.incoming || self.is_torn {
            return None;
        }
        let mut groups: Vec<NodeIx> = before.filter(|node| plan.nodes[*node].kind.is_group()).collect();
        groups.dedup();
        match groups.as_slice() {
            [group] => Some(*group),
            [] => {
                let problem =
                    Diagnostic::error("join_without_group", join.span, format!("the join `{}` has no group", join.id));
                self.found
                    .push(problem.hint("lead an edge to it from a `spawn_group` or a `map`, or name one as `group`"));
                None
            }
            [first, second, ..] => {
                let (first, second) = (&plan.nodes[*first].id, &plan.nodes[*second].id);
                let message =
                    format!("the join `{}` comes after `{first}` and `{second}`, and joins one group", join.id);
                let problem = Diagnostic::error("join_without_group", join.span, message);
                self.found.push(problem.hint(format!("write `group: {first}`, and give `{second}` a join of its own")));
                None
            }
        }
    }

    fn quorum(&mut self, plan: &Plan, place: NodeIx, group: NodeIx, said: &spec::Join) {
        let is_quorum = said.mode.as_ref().is_some_and(|mode| mode.value == spec::JoinMode::Quorum);
        let members = match &plan.nodes[group].kind {
            Kind::SpawnGroup { members, .. } if !plan.nodes[group].lost.outgoing => Some(members.len() as u32),
            _ => None,
        };
        let (span, message, hint) = match (&said.quorum, is_quorum) {
            (None, false) => return,
            (None, true) | (Some(_), false) if self.is_torn => return,
            (None, true) => {
                let span = said.mode.as_ref().map_or(plan.nodes[place].span, |mode| mode.span);
                (span, "mode `quorum` needs a quorum".to_owned(), "write `quorum: 2`, or how many have to complete")
            }
            (Some(quorum), false) => {
                (quorum.span, "a quorum is for mode `quorum` only".to_owned(), "write `mode: quorum`")
            }
            (Some(quorum), true) if quorum.value == 0 => {
                (quorum.span, "a quorum of 0 is none".to_owned(), "it is at least 1")
            }
            (Some(quorum), true) => match members {
                Some(members) if quorum.value > members => {
                    let message = format!("a quorum of {} of {members} can never be reached", quorum.value);
                    (quorum.span, message, "it is at most the number of targets")
                }
                _ => return,
            },
        };
        self.found.push(Diagnostic::error("invalid_quorum", span, message).hint(hint));
    }
}

fn joined_by(plan: &Plan, group: NodeIx) -> Option<NodeIx> {
    match &plan.nodes[group].kind {
        Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } => join.node,
        _ => None,
    }
}

fn kernel_mode(mode: spec::JoinMode) -> JoinMode {
    match mode {
        spec::JoinMode::BestEffort => JoinMode::BestEffort,
        spec::JoinMode::All => JoinMode::All,
        spec::JoinMode::FailFast => JoinMode::FailFast,
        spec::JoinMode::Quorum => JoinMode::Quorum,
        spec::JoinMode::FirstSuccess => JoinMode::FirstSuccess,
    }
}
