//! What waits for a turn on one worker: first in, first out for each tenant, and the
//! tenants in turn, so that one with a thousand tasks takes no more turns than one with
//! ten.

use std::collections::{BTreeMap, VecDeque};

/// Whose turns a task takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line(pub u64);

/// So many tasks in a row are handed on past those who wait.
const HANDED_ON: u32 = 16;

/// Lines with nobody in them are kept for the next while there are no more.
const EMPTY_LINES: usize = 64;

pub(super) struct Queue<T> {
    /// What the task before has woken goes on while what it is about is in the cache.
    next: Option<T>,
    /// How many of those who wait it lets pass before that.
    lets_pass: usize,
    handed_on: u32,
    lines: BTreeMap<Line, VecDeque<T>>,
    /// Lines with somebody in them, in the order of their turns.
    turns: VecDeque<Line>,
    waiting: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { next: None, lets_pass: 0, handed_on: 0, lines: BTreeMap::new(), turns: VecDeque::new(), waiting: 0 }
    }
}

impl<T> Queue<T> {
    /// How many wait, without the one that goes next.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts it right behind the task that has a turn and as many of those who wait, but no
    /// more than are in its line; or where another is there already, into its line.
    pub(super) fn hand_on(&mut self, line: Line, lets_pass: usize, task: T) {
        if self.next.is_some() {
            return self.push(line, task);
        }
        self.next = Some(task);
        // More than it would wait for in its own line are never let past.
        self.lets_pass = lets_pass.min(self.lines.get(&line).map_or(0, VecDeque::len));
    }

    pub(super) fn push(&mut self, line: Line, task: T) {
        let tasks = self.lines.entry(line).or_default();
        if tasks.is_empty() {
            self.turns.push_back(line);
        }
        tasks.push_back(task);
        self.waiting += 1;
    }

    /// Whoever's turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let may_go_on = self.turns.is_empty() || self.lets_pass == 0 && self.handed_on < HANDED_ON;
        if let Some(task) = self.next.take_if(|_| may_go_on) {
            self.handed_on = self.handed_on.saturating_add(1);
            return Some(task);
        }
        self.handed_on = 0;
        self.lets_pass = self.lets_pass.saturating_sub(1);
        self.pop_waiting()
    }

    fn pop_waiting(&mut self) -> Option<T> {
        let line = self.turns.pop_front()?;
        let tasks = self.lines.get_mut(&line)?;
        let task = tasks.pop_front();
        if !tasks.is_empty() {
            self.turns.push_back(line);
        } else if self.lines.len() > EMPTY_LINES {
            self.lines.remove(&line);
        }
        self.waiting -= 1;
        task
    }

    /// What would go next, for a worker that finds nobody who waits.
    pub(super) fn take_next(&mut self) -> Option<T> {
        self.next.take()
    }

    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Half of those who wait, the first to go first.
    pub(super) fn split(&mut self) -> Vec<T> {
        let half = self.waiting.div_ceil(2);
        std::iter::from_fn(|| self.pop_waiting()).take(half).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Line = Line(1);
    const OTHER: Line = Line(2);

    fn order(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn tenants_take_turns_and_each_has_its_order() {
        let mut queue = Queue::default();
        for task in ["a1", "a2", "a3"] {
            queue.push(ONE, task);
        }
        queue.push(OTHER, "b1");
        queue.push(OTHER, "b2");
        assert_eq!(queue.waiting(), 5);
        assert_eq!(order(&mut queue), ["a1", "b1", "a2", "b2", "a3"]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn what_is_handed_on_goes_before_those_who_wait_and_only_one_does() {
        let mut queue = Queue::default();
        queue.push(ONE, "waits");
        queue.hand_on(ONE, 0, "next");
        queue.hand_on(ONE, 0, "late");
        assert_eq!(order(&mut queue), ["next", "waits", "late"]);
    }

    #[test]
    fn what_lets_others_pass_goes_after_those_of_its_line_who_wait_by_then() {
        let mut queue = Queue::default();
        queue.push(ONE, "waits");
        queue.hand_on(ONE, 2, "patient");
        queue.push(ONE, "late");
        assert_eq!(order(&mut queue), ["waits", "patient", "late"]);
        for task in ["a", "b", "c"] {
            queue.push(ONE, task);
        }
        queue.hand_on(ONE, 2, "patient");
        assert_eq!(order(&mut queue), ["a", "b", "patient", "c"]);
        // Others' lines are none of its business.
        queue.push(ONE, "a");
        queue.hand_on(OTHER, 2, "patient");
        assert_eq!(order(&mut queue), ["patient", "a"]);
    }

    #[test]
    fn two_that_wake_each_other_let_others_have_a_turn_in_the_end() {
        let mut queue = Queue::default();
        queue.push(ONE, "waits");
        for _ in 0..HANDED_ON {
            queue.hand_on(OTHER, 0, "pair");
            assert_eq!(queue.pop(), Some("pair"));
        }
        queue.hand_on(OTHER, 0, "pair");
        assert_eq!(order(&mut queue), ["waits", "pair"]);
        // Where nobody waits, nobody is passed over.
        for _ in 0..2 * HANDED_ON {
            queue.hand_on(OTHER, 0, "pair");
            assert_eq!(queue.pop(), Some("pair"));
        }
    }

    #[test]
    fn half_of_each_line_is_split_off_and_what_goes_next_stays() {
        let mut queue = Queue::default();
        for task in ["a1", "a2", "a3"] {
            queue.push(ONE, task);
        }
        queue.push(OTHER, "b1");
        queue.hand_on(OTHER, 0, "next");
        assert_eq!(queue.split(), ["a1", "b1"]);
        assert_eq!(order(&mut queue), ["next", "a2", "a3"]);
        queue.push(ONE, "only");
        assert_eq!(queue.split(), ["only"]);
        assert_eq!(queue.split(), [""; 0]);
    }

    #[test]
    fn lines_of_tenants_that_have_gone_are_not_kept_without_end() {
        let mut queue = Queue::default();
        for line in 0..10 * EMPTY_LINES as u64 {
            queue.push(Line(line), "x");
            assert_eq!(queue.pop(), Some("x"));
        }
        assert!(queue.lines.len() <= EMPTY_LINES + 1);
    }
}
