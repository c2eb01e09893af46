//! Ready: the runs of one tree that could start, and which of them goes first.
//!
//! Priority goes before everything; then, in a tree that chose it, the plugin that
//! takes the least time; then whoever has been ready for longest. Nobody is passed
//! over for ever: who has been ready for longest of all goes first once
//! [`MAX_PASSES`] have gone before it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::command::{Fairness, Priority};
use crate::id::RunId;
use crate::tree::{RunIx, Tree};

/// So many that became ready later may go before a run, because of their priority or
/// because they are shorter.
pub const MAX_PASSES: u64 = 64;

/// Where a run stands while it could start. A lane is linked through its runs, so that
/// taking any of them out costs the same however many wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spot {
    /// A number, counted up, that it drew when it became ready.
    pub ticket: NonZeroU64,
    before: Option<u32>,
    after: Option<u32>,
}

/// Runs by when they became ready; never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lane {
    first: u32,
    last: u32,
}

/// The ready runs of a tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Waiting {
    pub fairness: Fairness,
    /// Where runs go in turn: by priority.
    in_turn: [Option<Lane>; 3],
    /// Where the shortest goes first: by plugin, too. There are few of those.
    by_plugin: BTreeMap<(Priority, Arc<str>), Lane>,
    len: usize,
    /// The last ticket that was drawn.
    pub tickets: u64,
}

impl Waiting {
    fn lane(&self, priority: Priority, plugin: &Arc<str>) -> Option<Lane> {
        match self.fairness {
            Fairness::RoundRobin => self.in_turn[priority as usize],
            Fairness::ShortestFirst => self.by_plugin.get(&(priority, plugin.clone())).copied(),
        }
    }

    fn set_lane(&mut self, priority: Priority, plugin: &Arc<str>, lane: Option<Lane>) {
        match (self.fairness, lane) {
            (Fairness::RoundRobin, lane) => self.in_turn[priority as usize] = lane,
            (Fairness::ShortestFirst, Some(lane)) => drop(self.by_plugin.insert((priority, plugin.clone()), lane)),
            (Fairness::ShortestFirst, None) => drop(self.by_plugin.remove(&(priority, plugin.clone()))),
        }
    }
}

/// A run that could start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyRun {
    pub run: RunId,
    pub priority: Priority,
    /// How long its plugin takes on average; 0 where nobody asked.
    pub mean: u64,
}

/// The ready runs of a tree in the order in which they should start, each as if those
/// before it had.
pub struct Ready<'a> {
    tree: &'a Tree,
    lanes: Vec<Head>,
    left: u64,
}

/// The part of a lane that is left.
struct Head {
    priority: Priority,
    mean: u64,
    first: Option<u32>,
}

impl Iterator for Ready<'_> {
    type Item = ReadyRun;

    fn next(&mut self) -> Option<ReadyRun> {
        let mut oldest: Option<(u64, usize)> = None;
        let mut best: Option<((Priority, u64, u64), usize)> = None;
        for (place, lane) in self.lanes.iter().enumerate() {
            let Some(Spot { ticket, .. }) = lane.first.and_then(|ix| self.tree.runs[ix as RunIx].spot) else {
                continue;
            };
            let ticket = ticket.get();
            let order = (lane.priority, lane.mean, ticket);
            if oldest.is_none_or(|(other, _)| ticket < other) {
                oldest = Some((ticket, place));
            }
            if best.is_none_or(|(other, _)| order < other) {
                best = Some((order, place));
            }
        }
        let ((_, best), (ticket, oldest)) = best.zip(oldest)?;
        // Every later ticket that does not wait any more has gone before it, or was
        // cancelled; those who wait beside it have been passed over less often.
        let passes = self.tree.waiting.tickets + 1 - ticket - self.left;
        let lane = &mut self.lanes[if passes >= MAX_PASSES { oldest } else { best }];
        let ix = lane.first? as RunIx;
        lane.first = self.tree.runs[ix].spot?.after;
        self.left -= 1;
        Some(ReadyRun { run: self.tree.run_id(ix), priority: lane.priority, mean: lane.mean })
    }
}

const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

impl Tree {
    /// Runs that could start if there were room, in the order they should; `mean` says
    /// how long a plugin takes on average, 0 where nobody knows, and is asked only
    /// where the tree chose that the shortest goes first.
    pub fn ready_by(&self, mean: impl Fn(&str) -> u64) -> Ready<'_> {
        let waiting = &self.waiting;
        let head = |priority: Priority, mean: u64, lane: &Lane| Head { priority, mean, first: Some(lane.first) };
        let lanes = match waiting.fairness {
            Fairness::RoundRobin => {
                let lanes = PRIORITIES.iter().zip(&waiting.in_turn);
                lanes.filter_map(|(priority, lane)| Some(head(*priority, 0, lane.as_ref()?))).collect()
            }
            Fairness::ShortestFirst => {
                let lanes = waiting.by_plugin.iter();
                lanes.map(|((priority, plugin), lane)| head(*priority, mean(plugin), lane)).collect()
            }
        };
        Ready { tree: self, lanes, left: waiting.len as u64 }
    }

    /// As [`Tree::ready_by`], where nobody knows how long plugins take.
    pub fn ready(&self) -> impl Iterator<Item = RunId> + '_ {
        self.ready_by(|_| 0).map(|ready| ready.run)
    }

    pub fn ready_count(&self) -> usize {
        self.waiting.len
    }

    /// Which runs go first where places are short.
    pub fn fairness(&self) -> Fairness {
        self.waiting.fairness
    }

    /// It could start from now on.
    pub(crate) fn make_ready(&mut self, ix: RunIx) {
        self.waiting.tickets += 1;
        // There are more tickets than anybody can draw.
        if let Some(ticket) = NonZeroU64::new(self.waiting.tickets) {
            self.stand_last(ix, ticket);
        }
    }

    /// Takes in a run whose ticket is the last in its lane.
    pub(crate) fn stand_last(&mut self, ix: RunIx, ticket: NonZeroU64) {
        let (run, me) = (&self.runs[ix], ix as u32);
        let (priority, plugin) = (run.spec.request.priority, &run.plugin().name);
        let lane = self.waiting.lane(priority, plugin);
        let first = lane.map_or(me, |lane| lane.first);
        self.waiting.set_lane(priority, plugin, Some(Lane { first, last: me }));
        self.waiting.len += 1;
        let before = lane.map(|lane| lane.last);
        if let Some(spot) = before.and_then(|before| self.runs[before as RunIx].spot.as_mut()) {
            spot.after = Some(me);
        }
        self.runs[ix].spot = Some(Spot { ticket, before, after: None });
    }

    /// It has started, or will not.
    pub(crate) fn unready(&mut self, ix: RunIx) {
        let Some(Spot { before, after, .. }) = self.runs[ix].spot.take() else { return };
        if let Some(spot) = before.and_then(|before| self.runs[before as RunIx].spot.as_mut()) {
            spot.after = after;
        }
        if let Some(spot) = after.and_then(|after| self.runs[after as RunIx].spot.as_mut()) {
            spot.before = before;
        }
        self.waiting.len -= 1;
        if before.is_some() && after.is_some() {
            return;
        }
        let run = &self.runs[ix];
        let (priority, plugin) = (run.spec.request.priority, &run.plugin().name);
        if let Some(Lane { first, last }) = self.waiting.lane(priority, plugin) {
            let first = if before.is_none() { after } else { Some(first) };
            let last = if after.is_none() { before } else { Some(last) };
            let lane = first.zip(last).map(|(first, last)| Lane { first, last });
            self.waiting.set_lane(priority, plugin, lane);
        }
    }
}
