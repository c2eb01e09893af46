//! The board: where each run of a tree stands, as its events tell it, and a
//! picture of that in a given space.
//!
//! Nothing is decided here, and nothing is drawn: `progress` does that.

use std::collections::HashMap;
use std::fmt::Write as _;

use pleach_engine::kernel::Usage;
use serde::Deserialize as _;

use crate::narrate::{Shown, short};
use crate::text;

/// How many runs there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub timed_out: u64,
}

impl Counts {
    pub fn total(&self) -> u64 {
        self.queued + self.running + self.completed + self.failed + self.cancelled + self.timed_out
    }

    fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Queued => &mut self.queued,
            State::Running => &mut self.running,
            State::Completed => &mut self.completed,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
            State::TimedOut => &mut self.timed_out,
        }
    }

    /// The counts that are not 0, in words.
    pub fn told(&self) -> String {
        let parts = [
            (self.running, "running"),
            (self.queued, "queued"),
            (self.completed, "completed"),
            (self.failed, "failed"),
            (self.timed_out, "timed out"),
            (self.cancelled, "cancelled"),
        ];
        let told = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", text::thousands(*n)));
        told.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl State {
    /// What a lifecycle status means for the board. A run that waits for a
    /// person has not ended, and one that waits for its next try is queued.
    fn of(status: &str) -> Option<Self> {
        match status {
            "queued" | "retrying" => Some(Self::Queued),
            "started" | "running" | "paused" | "resumed" => Some(Self::Running),
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            "timed_out" => Some(Self::TimedOut),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Run {
    id: String,
    target: String,
    depth: usize,
    state: State,
    /// Milliseconds since 1970, when it last changed its state.
    since: u64,
    note: String,
}

/// Where each run of a tree stands.
#[derive(Debug, Default)]
pub struct Board {
    /// In the order in which they were spawned: parents before children.
    runs: Vec<Run>,
    places: HashMap<String, usize>,
    counts: Counts,
    spent: Usage,
}

impl Board {
    /// A board with the root on it.
    pub fn new(root: &str, target: &str, now: u64) -> Self {
        let mut board = Self::default();
        board.put(root, target, 0, now);
        board
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the whole tree has spent.
    pub fn spent(&self) -> Usage {
        self.spent
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Shown) {
        // A try says what it spent when it ends; what was spent outside the host
        // is told apart, so nothing is counted twice.
        for spent in [&event.data["usage"], &event.data["spent"]] {
            if let Ok(spent) = Usage::deserialize(spent) {
                self.spent.add(&spent);
            }
        }
        match event.event.as_str() {
            "spawn_decision" => self.spawned(event),
            "child_lifecycle" => {
                let place = self.places.get(event.text("child_run_id")).copied();
                if let (Some(place), Some(state)) = (place, State::of(event.text("status"))) {
                    self.turn(place, state, event.at.0);
                }
            }
            "progress" => {
                if let Some(place) = self.places.get(&event.run_id) {
                    self.runs[*place].note = event.told();
                }
            }
            _ => {}
        }
    }

    fn spawned(&mut self, event: &Shown) {
        let parent = self.places.get(&event.run_id).copied();
        let depth = parent.map_or(0, |place| self.runs[place].depth + 1);
        let ids = event.data.get("spawned_run_ids").and_then(|ids| ids.as_array());
        let targets = event.texts("target");
        for (at, id) in ids.into_iter().flatten().filter_map(|id| id.as_str()).enumerate() {
            let target = targets.get(at).or(targets.last()).copied().unwrap_or_default();
            self.put(id, target, depth, event.at.0);
        }
    }

    fn put(&mut self, id: &str, target: &str, depth: usize, now: u64) {
        if self.places.contains_key(id) {
            return;
        }
        self.places.insert(id.to_owned(), self.runs.len());
        let target = text::line(target).into_owned();
        let state = State::Queued;
        self.runs.push(Run { id: id.to_owned(), target, depth, state, since: now, note: String::new() });
        self.counts.queued += 1;
    }

    fn turn(&mut self, place: usize, state: State, now: u64) {
        let run = &mut self.runs[place];
        *self.counts.of(run.state) -= 1;
        *self.counts.of(state) += 1;
        run.state = state;
        run.since = now;
    }

    /// A line with the counts, then the runs that are running, as a tree, in at
    /// most `height` lines of at most `width` characters.
    pub fn draw(&self, now: u64, width: usize, height: usize) -> String {
        let mut out = String::new();
        let total = text::count(self.counts.total(), "run");
        out.push_str(&text::cut(&format!("{total}: {}", self.counts.told()), width));
        let running: Vec<&Run> = self.runs.iter().filter(|run| run.state == State::Running).collect();
        let room = height.saturating_sub(1);
        let shown = if running.len() > room { room.saturating_sub(1) } else { running.len() };
        for run in &running[..shown] {
            let took = text::duration(now.saturating_sub(run.since));
            let indent = "  ".repeat(run.depth.min(8) + 1);
            let line = format!("{indent}{} {}  {took}  {}", run.target, short(&run.id), run.note);
            write!(out, "\n{}", text::cut(line.trim_end(), width)).ok();
        }
        if shown < running.len() && room > 0 {
            write!(out, "\n  … and {} more running", text::thousands((running.len() - shown) as u64)).ok();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use pleach_engine::kernel::Timestamp;
    use serde_json::{Value, json};

    fn told(board: &mut Board, run_id: &str, name: &str, data: Value) {
        let event =
            Shown { seq: 1, at: Timestamp(1_000), run_id: run_id.into(), node_id: None, event: name.into(), data };
        board.apply(&event);
    }

    fn status(board: &mut Board, run: &str, status: &str) {
        told(board, "r", "child_lifecycle", json!({"child_run_id": run, "status": status}));
    }

    fn sample() -> Board {
        let mut board = Board::new("r", "lead", 0);
        status(&mut board, "r", "started");
        let ids = ["r.1", "r.2", "r.3", "r.4"];
        told(&mut board, "r", "spawn_decision", json!({"target": ["reviewer"], "spawned_run_ids": ids}));
        for run in ["r.1", "r.2", "r.3"] {
            status(&mut board, run, "started");
        }
        status(&mut board, "r.2", "failed");
        told(&mut board, "r.1", "progress", json!({"message": "reading", "fraction": 0.25}));
        board
    }

    #[test]
    fn the_picture_is_the_running_part_of_the_tree() {
        expect![[r#"
            5 runs: 3 running, 1 queued, 1 failed
              lead root  1.0 s
                reviewer .1  1.0 s   25 % reading
                reviewer .3  1.0 s"#]]
        .assert_eq(&sample().draw(2_000, 80, 10));
    }

    #[test]
    fn the_picture_fits_its_space() {
        expect![[r#"
            5 runs: 3 running, …
              lead root  1.0 s
              … and 2 more running"#]]
        .assert_eq(&sample().draw(2_000, 20, 3));
        assert_eq!(sample().draw(2_000, 80, 1).lines().count(), 1);
    }

    #[test]
    fn every_run_is_counted_once() {
        let mut board = sample();
        status(&mut board, "r.2", "failed");
        status(&mut board, "unknown", "failed");
        told(&mut board, "r", "spawn_decision", json!({"target": ["reviewer"], "spawned_run_ids": ["r.1"]}));
        assert_eq!(board.counts(), Counts { queued: 1, running: 3, failed: 1, ..Counts::default() });
        assert_eq!(board.counts().total(), 5);
    }

    #[test]
    fn what_was_spent_adds_up() {
        let mut board = sample();
        let data = json!({"child_run_id": "r.1", "status": "completed", "usage": {"cpu_us": 5, "host_calls": 1}});
        told(&mut board, "r", "child_lifecycle", data);
        told(&mut board, "r.3", "budget", json!({"spent": {"tokens": 7, "cpu_us": 1}}));
        assert_eq!(board.spent(), Usage { cpu_us: 6, host_calls: 1, tokens: 7, ..Usage::default() });
    }
}
