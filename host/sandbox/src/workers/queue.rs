//! What waits for a turn on one worker: the tenants in turn, so that one with a thousand
//! tasks takes no more turns than one with ten. Of a tenant's, those that have begun and
//! those that have not have as much time, and each their order. Else whoever needs a few
//! turns would wait for a whole fan-out in each, its parent among them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Whose turns a task takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line(pub u64);

/// So many tasks in a row are handed on past those who wait.
const HANDED_ON: u32 = 16;

/// Lines with nobody in them are kept for the next while there are no more.
const EMPTY_LINES: usize = 64;

/// Those who wait are moved to another worker as if each took so long.
const NOMINAL: Duration = Duration::from_micros(10);

/// A tenant's tasks that wait.
struct Waiters<T> {
    begun: VecDeque<T>,
    new: VecDeque<T>,
    /// Nanoseconds that those that have begun had more than the new ones, while both waited.
    ahead: i64,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self { begun: VecDeque::new(), new: VecDeque::new(), ahead: 0 }
    }
}

impl<T> Waiters<T> {
    fn len(&self) -> usize {
        self.begun.len() + self.new.len()
    }

    fn push(&mut self, is_new: bool, task: T) {
        if is_new { &mut self.new } else { &mut self.begun }.push_back(task);
    }

    /// Whoever goes first, and whether it is new.
    fn pop(&mut self) -> Option<(T, bool)> {
        if self.begun.is_empty() || self.new.is_empty() {
            self.ahead = 0;
        }
        let is_new = self.begun.is_empty() || self.ahead > 0 && !self.new.is_empty();
        let task = if is_new { &mut self.new } else { &mut self.begun }.pop_front()?;
        Some((task, is_new))
    }

    fn charge(&mut self, was_new: bool, took: Duration) {
        let nanos = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
        self.ahead = if was_new { self.ahead.saturating_sub(nanos) } else { self.ahead.saturating_add(nanos) };
    }
}

pub(super) struct Queue<T> {
    /// What the task before has woken goes on while what it is about is in the cache.
    next: Option<T>,
    /// How many of those who wait it lets pass before that.
    lets_pass: usize,
    handed_on: u32,
    lines: BTreeMap<Line, Waiters<T>>,
    /// Lines with somebody in them, in the order of their turns.
    turns: VecDeque<Line>,
    waiting: usize,
    /// Whose the turn is, where it was waited for, and whether that task is new.
    turn: Option<(Line, bool)>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let (lines, turns) = (BTreeMap::new(), VecDeque::new());
        Self { next: None, lets_pass: 0, handed_on: 0, lines, turns, waiting: 0, turn: None }
    }
}

impl<T> Queue<T> {
    /// How many wait, without the one that goes next.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts it right behind the task that has a turn and as many of those who wait, but no
    /// more than are in its line; or where another is there already, into its line.
    pub(super) fn hand_on(&mut self, line: Line, is_new: bool, lets_pass: usize, task: T) {
        if self.next.is_some() {
            return self.push(line, is_new, task);
        }
        self.next = Some(task);
        // More than it would wait for in its own line are never let past.
        self.lets_pass = lets_pass.min(self.lines.get(&line).map_or(0, Waiters::len));
    }

    pub(super) fn push(&mut self, line: Line, is_new: bool, task: T) {
        let waiters = self.lines.entry(line).or_default();
        if waiters.len() == 0 {
            self.turns.push_back(line);
        }
        waiters.push(is_new, task);
        self.waiting += 1;
    }

    /// The turn is over of whoever was popped last.
    pub(super) fn ended(&mut self, took: Duration) {
        if let Some((line, was_new)) = self.turn.take()
            && let Some(waiters) = self.lines.get_mut(&line)
        {
            waiters.charge(was_new, took);
        }
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
        let (task, line, is_new) = self.pop_waiting()?;
        self.turn = Some((line, is_new));
        Some(task)
    }

    fn pop_waiting(&mut self) -> Option<(T, Line, bool)> {
        let line = self.turns.pop_front()?;
        let waiters = self.lines.get_mut(&line)?;
        let (task, is_new) = waiters.pop()?;
        if waiters.len() > 0 {
            self.turns.push_back(line);
        } else if self.lines.len() > EMPTY_LINES {
            self.lines.remove(&line);
        }
        self.waiting -= 1;
        Some((task, line, is_new))
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
        let mut split = Vec::with_capacity(half);
        while split.len() < half
            && let Some((task, line, is_new)) = self.pop_waiting()
        {
            split.push(task);
            if let Some(waiters) = self.lines.get_mut(&line) {
                waiters.charge(is_new, NOMINAL);
            }
        }
        split
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
            queue.push(ONE, true, task);
        }
        queue.push(OTHER, true, "b1");
        queue.push(OTHER, true, "b2");
        assert_eq!(queue.waiting(), 5);
        assert_eq!(order(&mut queue), ["a1", "b1", "a2", "b2", "a3"]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn those_that_have_begun_and_new_ones_have_as_much_time() {
        let mut queue = Queue::default();
        for task in ["n1", "n2", "n3", "n4", "n5"] {
            queue.push(ONE, true, task);
        }
        queue.push(ONE, false, "b1");
        queue.push(ONE, false, "b2");
        let mut turn = |micros| {
            let task = queue.pop();
            queue.ended(Duration::from_micros(micros));
            task
        };
        // One long turn of one that has begun is worth as much time of new ones.
        assert_eq!(turn(30), Some("b1"));
        assert_eq!([turn(10), turn(10), turn(10)], [Some("n1"), Some("n2"), Some("n3")]);
        assert_eq!(turn(30), Some("b2"));
        // Where none of the others waits, nothing is owed.
        assert_eq!(turn(10), Some("n4"));
        queue.push(ONE, false, "b3");
        assert_eq!(order(&mut queue), ["b3", "n5"]);
    }

    #[test]
    fn of_those_that_have_begun_and_new_ones_as_many_are_split_off() {
        let mut queue = Queue::default();
        for task in ["n1", "n2", "n3"] {
            queue.push(ONE, true, task);
        }
        for task in ["b1", "b2", "b3"] {
            queue.push(ONE, false, task);
        }
        assert_eq!(queue.split(), ["b1", "n1", "b2"]);
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn what_is_handed_on_goes_before_those_who_wait_and_only_one_does() {
        let mut queue = Queue::default();
        queue.push(ONE, true, "waits");
        queue.hand_on(ONE, true, 0, "next");
        queue.hand_on(ONE, true, 0, "late");
        assert_eq!(order(&mut queue), ["next", "waits", "late"]);
    }

    #[test]
    fn what_lets_others_pass_goes_after_those_of_its_line_who_wait_by_then() {
        let mut queue = Queue::default();
        queue.push(ONE, true, "waits");
        queue.hand_on(ONE, true, 2, "patient");
        queue.push(ONE, true, "late");
        assert_eq!(order(&mut queue), ["waits", "patient", "late"]);
        for task in ["a", "b", "c"] {
            queue.push(ONE, true, task);
        }
        queue.hand_on(ONE, true, 2, "patient");
        assert_eq!(order(&mut queue), ["a", "b", "patient", "c"]);
        // Others' lines are none of its business.
        queue.push(ONE, true, "a");
        queue.hand_on(OTHER, true, 2, "patient");
        assert_eq!(order(&mut queue), ["patient", "a"]);
    }

    #[test]
    fn two_that_wake_each_other_let_others_have_a_turn_in_the_end() {
        let mut queue = Queue::default();
        queue.push(ONE, true, "waits");
        for _ in 0..HANDED_ON {
            queue.hand_on(OTHER, true, 0, "pair");
            assert_eq!(queue.pop(), Some("pair"));
        }
        queue.hand_on(OTHER, true, 0, "pair");
        assert_eq!(order(&mut queue), ["waits", "pair"]);
        // Where nobody waits, nobody is passed over.
        for _ in 0..2 * HANDED_ON {
            queue.hand_on(OTHER, true, 0, "pair");
            assert_eq!(queue.pop(), Some("pair"));
        }
    }

    #[test]
    fn half_of_each_line_is_split_off_and_what_goes_next_stays() {
        let mut queue = Queue::default();
        for task in ["a1", "a2", "a3"] {
            queue.push(ONE, true, task);
        }
        queue.push(OTHER, true, "b1");
        queue.hand_on(OTHER, true, 0, "next");
        assert_eq!(queue.split(), ["a1", "b1"]);
        assert_eq!(order(&mut queue), ["next", "a2", "a3"]);
        queue.push(ONE, true, "only");
        assert_eq!(queue.split(), ["only"]);
        assert_eq!(queue.split(), [""; 0]);
    }

    #[test]
    fn lines_of_tenants_that_have_gone_are_not_kept_without_end() {
        let mut queue = Queue::default();
        for line in 0..10 * EMPTY_LINES as u64 {
            queue.push(Line(line), true, "x");
            assert_eq!(queue.pop(), Some("x"));
        }
        assert!(queue.lines.len() <= EMPTY_LINES + 1);
    }
}
