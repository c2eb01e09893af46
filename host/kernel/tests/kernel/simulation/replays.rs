//! Replays: a guest that is run again asks what it has asked before.

use std::sync::Arc;

use pleach_kernel::{Evaluate, RunId, Spawn, SpawnGroup, Spawned, SpawnedGroup};

use super::walk::Simulation;

/// What was asked at one call, and what the answer was.
pub enum Exchange {
    Spawn(Box<Spawn>, Box<Spawned>),
    Group(SpawnGroup, SpawnedGroup),
    Planner(Box<Evaluate>, RunId, RunId),
}

/// One call of one try of a guest.
pub struct Answered {
    pub caller: RunId,
    pub attempt: u32,
    pub call: u32,
    pub exchange: Exchange,
}

impl Simulation<'_> {
    /// Takes note of an answer, if the call was that of a guest that runs.
    pub(super) fn answered(&mut self, caller: RunId, call: u32, exchange: Exchange) {
        if let Some(run) = self.tree.run(caller).filter(|run| self.tree.guest_active(run.id)) {
            self.answered.push(Answered { caller, attempt: run.attempt, call, exchange });
        }
    }

    /// Asks what was asked before: the answer is the same while the try lasts, and
    /// nothing afterwards. That a replay decides nothing is in the types: it has
    /// the tree to read only.
    pub(super) fn ask_again(&mut self) -> &'static str {
        if self.answered.is_empty() {
            return "replay nothing";
        }
        let place = self.dice.below(self.answered.len() as u64) as usize;
        let Answered { caller, attempt, call, ref exchange } = self.answered[place];
        let lasts = self.tree.guest_active(caller) && self.tree.run(caller).is_some_and(|run| run.attempt == attempt);
        let made = self.tree.calls_made(caller).any(|(made, _)| made == call);
        assert_eq!(made, lasts, "a call is known as long as its try lasts");
        assert!(!lasts || self.tree.calls_reached(caller) > call);
        match exchange {
            Exchange::Spawn(spawn, answer) => {
                let again = self.tree.replayed_spawn(caller, call, spawn);
                assert_eq!(again, lasts.then(|| Ok((**answer).clone())));
                let mut other = (**spawn).clone();
                Arc::make_mut(&mut other.request).spawn_key = Some("another".into());
                let other = self.tree.replayed_spawn(caller, call, &other);
                assert_eq!(other.map(|answer| answer.is_err()), lasts.then_some(true));
            }
            Exchange::Group(group, answer) => {
                let again = self.tree.replayed_group(caller, call, group);
                assert_eq!(again, lasts.then(|| Ok(answer.clone())));
                let other = SpawnGroup { agent_call: !group.agent_call, ..group.clone() };
                let other = self.tree.replayed_group(caller, call, &other);
                assert_eq!(other.map(|answer| answer.is_err()), lasts.then_some(true));
            }
            Exchange::Planner(ask, planner, of) => {
                let again = self.tree.replayed_planner(caller, call, ask);
                assert_eq!(again, lasts.then_some(Ok((*planner, *of))));
                let other = Evaluate { replanner: None, ..(**ask).clone() };
                let other = self.tree.replayed_planner(caller, call, &other);
                assert_eq!(other.map(|answer| answer.is_err()), lasts.then_some(true));
            }
        }
        self.report.replays += u64::from(lasts);
        if !lasts {
            self.answered.swap_remove(place);
        }
        "replay"
    }
}
