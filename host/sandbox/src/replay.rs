//! Holding a guest that is run again to what it did before.
//!
//! Its calls are numbered in the order in which it makes them. One that was
//! recorded is answered from the journal, one that made runs by the kernel,
//! which knows them; a call that is neither what it was before nor new fails the
//! run with `nondeterminism`.

use std::collections::VecDeque;

use pleach_kernel::RunError;

use crate::journal::{Answer, Entry, what};

/// What is known of the earlier life of a try that is started again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The try's journal, in the order in which it was written.
    pub entries: Vec<Entry>,
    /// The calls that made runs, by number, with their names in
    /// [`crate::journal::what`].
    pub made: Vec<(u32, &'static str)>,
    /// Every call below this number was made. What `entries` and `made` show is
    /// counted in.
    pub reached: u32,
    /// The processor time that was used, and charged, before; none where that
    /// went down with the host.
    pub cpu_us: Option<u64>,
}

impl Replay {
    /// Entries and bytes of the journal so far.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.entries.iter().map(Entry::bytes).sum())
    }

    /// None where nothing was done before.
    pub(crate) fn begin(self) -> Option<Replaying> {
        let Self { mut entries, mut made, reached, .. } = self;
        entries.sort_by_key(|entry| entry.call);
        made.sort_by_key(|(call, _)| *call);
        let known = entries.last().map(|entry| entry.call).max(made.last().map(|(call, _)| *call));
        let reached = reached.max(known.map_or(0, |call| call.saturating_add(1)));
        let replaying = Replaying { entries: entries.into(), made: made.into(), reached, next: 0 };
        (reached > 0).then_some(replaying)
    }
}

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Replaying {
    entries: VecDeque<Entry>,
    made: VecDeque<(u32, &'static str)>,
    reached: u32,
    /// The call that comes next.
    next: u32,
}

/// What is known of one call.
#[derive(Debug)]
pub(crate) struct Known {
    /// None: the kernel knows, or nobody has to.
    pub(crate) answer: Option<Answer>,
    /// It is the last call that is known.
    pub(crate) last: bool,
}

impl Replaying {
    /// What is known of the call `call`, which the guest makes now.
    pub(crate) fn take(&mut self, call: u32, name: &str, hash: impl FnOnce() -> u64) -> Result<Known, RunError> {
        self.next = call.saturating_add(1);
        let mut entry = None;
        // Of an intent and its result, the result.
        while let Some(next) = self.entries.pop_front_if(|entry| entry.call <= call) {
            entry = Some(next);
        }
        let mut made = None;
        while let Some((_, name)) = self.made.pop_front_if(|(at, _)| *at <= call) {
            made = Some(name);
        }
        let last = self.next >= self.reached;
        if let Some(Entry { what, asked, answer, .. }) = entry {
            let hash = hash();
            if *what == *name && asked == hash {
                return Ok(Known { answer: Some(answer), last });
            }
            return Err(differs(call, &recorded(&what, asked), name, hash));
        }
        match made {
            Some(before) if before == name => Ok(Known { answer: None, last }),
            Some(before) => Err(differs(call, &format!("was `{before}`, which made runs"), name, hash())),
            None if matches!(name, what::JOIN | what::REPORT | what::VERDICT) => Ok(Known { answer: None, last }),
            None => Err(differs(call, "left nothing behind, as a join or a report does", name, hash())),
        }
    }

    /// Whether something else than this is known of the call `call`.
    pub(crate) fn is_other(&self, call: u32, name: &str) -> bool {
        let recorded = self.entries.iter().find(|entry| entry.call >= call);
        let made = self.made.iter().find(|(at, _)| *at >= call);
        recorded.is_some_and(|entry| entry.call == call && *entry.what != *name)
            || made.is_some_and(|(at, before)| *at == call && *before != name)
    }

    /// What is wrong with a guest that ended here.
    pub(crate) fn ended_early(&self, how: &str) -> RunError {
        let known = self.entries.iter().map(|entry| (entry.call, recorded(&entry.what, entry.asked)));
        let made = self.made.iter().map(|(call, name)| (*call, format!("was `{name}`, which made runs")));
        let ahead = known.chain(made).min_by_key(|(call, _)| *call);
        let ahead = ahead.map_or(String::new(), |(call, known)| format!("; call {call} {known}"));
        let Self { next, reached, .. } = self;
        let message =
            format!("run again, the plugin {how} after {next} host calls, and it had made {reached} before{ahead}");
        RunError::new("nondeterminism", format!("{message}. {HINT}"))
    }
}

fn recorded(name: &str, hash: u64) -> String {
    format!("was recorded as `{name}` with arguments of the hash {hash:016x}")
}

const HINT: &str = "A plugin has to do the same in every run with the same input, seed and answers: it may not take \
                    chance or order from anywhere else";

fn differs(call: u32, before: &str, name: &str, hash: u64) -> RunError {
    let now = format!("run again, the plugin asked for `{name}` with arguments of the hash {hash:016x}");
    RunError::new("nondeterminism", format!("host call {call} {before}; {now}. {HINT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(call: u32, name: &str, asked: u64, answer: &str) -> Entry {
        Entry { call, what: name.into(), asked, answer: Answer::Given(answer.as_bytes().into()) }
    }

    fn replaying() -> Replaying {
        let entries = vec![entry(1, "a", 7, "x"), entry(1, "a", 7, "y"), entry(4, "b", 8, "z")];
        Replay { entries, made: vec![(2, "spawn_run")], ..Replay::default() }.begin().unwrap()
    }

    #[test]
    fn what_is_known_of_a_call_is_known_before_it_is_made() {
        let replaying = replaying();
        let is_other = |call| replaying.is_other(call, "verdict");
        assert_eq!([0, 1, 2, 3, 4, 5].map(is_other), [false, true, true, false, true, false]);
        assert!(!replaying.is_other(1, "a") && !replaying.is_other(2, "spawn_run"));
    }

    #[test]
    fn a_call_that_is_what_it_was_is_answered_as_it_was() {
        let mut replaying = replaying();
        let mut take = |call, name, hash| replaying.take(call, name, || hash).map(|known| (known.answer, known.last));
        let given = |text: &str| Some(Answer::Given(text.as_bytes().into()));
        assert_eq!(take(0, "join", 1), Ok((None, false)));
        assert_eq!(take(1, "a", 7), Ok((given("y"), false)), "the later of two");
        assert_eq!(take(2, "spawn_run", 2), Ok((None, false)));
        assert_eq!(take(3, "progress.report", 3), Ok((None, false)));
        assert_eq!(take(4, "b", 8), Ok((given("z"), true)));
    }

    #[test]
    fn a_call_that_differs_is_named_with_what_it_was() {
        let message = |call, name: &str, hash| {
            let mut replaying = replaying();
            (0..call).for_each(|call| {
                let _ = replaying.take(call, "join", || 0);
            });
            let error = replaying.take(call, name, || hash).unwrap_err();
            assert_eq!((&*error.code, error.retryable), ("nondeterminism", false));
            error.message
        };
        let other = message(1, "a", 9);
        assert!(other.contains("call 1 was recorded as `a`") && other.contains("0000000000000007"), "{other}");
        assert!(other.contains("asked for `a`") && other.contains("0000000000000009"), "{other}");
        assert!(message(1, "b", 7).contains("asked for `b`"));
        assert!(message(2, "agent_call", 7).contains("call 2 was `spawn_run`"));
        assert!(message(3, "query_tree", 7).contains("call 3 left nothing behind"));
    }

    #[test]
    fn what_a_graph_has_decided_by_itself_may_be_told_again() {
        let mut replaying = Replay { reached: 2, ..Replay::default() }.begin().unwrap();
        assert!(replaying.take(0, what::VERDICT, || 0).is_ok());
        assert!(replaying.take(1, what::NEXT, || 0).is_err(), "what a graph waits for is recorded");
    }

    #[test]
    fn a_guest_that_ends_early_is_told_what_was_ahead() {
        let mut replaying = replaying();
        replaying.take(0, "join", || 0).unwrap();
        let message = replaying.ended_early("completed").message;
        assert!(message.contains("completed after 1 host calls"), "{message}");
        assert!(message.contains("made 5 before; call 1 was recorded as `a`"), "{message}");
    }

    #[test]
    fn there_is_no_replay_of_nothing() {
        assert!(Replay::default().begin().is_none());
        assert!(Replay { reached: 1, ..Replay::default() }.begin().is_some());
    }
}
