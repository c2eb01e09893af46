//! Circuit: whether a plugin is worth another try, by how its last ones ended.
//!
//! Too many failures in a short time open the circuit, and nothing is tried for a
//! while. Then it is half open: as many tries at once are let through, as probes, as
//! still have to succeed for it to close; one that fails opens it again.
//!
//! A try counts for the circuit that it was started under: what began before the
//! circuit opened or closed says nothing about what came after.

use std::collections::VecDeque;

use crate::id::Timestamp;

/// When a circuit opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// So many failures within the window open it; at least 1.
    pub failures: u32,
    pub window_ms: u64,
    /// How long nothing is tried.
    pub open_ms: u64,
    /// So many successes close it again; at least 1.
    pub successes: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 5, window_ms: 300_000, open_ms: 60_000, successes: 2 }
    }
}

/// How a try ended, as far as its plugin is to blame or to praise for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    Succeeded,
    Failed,
    /// It was stopped, or failed for another's reason.
    Neither,
}

/// Whether a try may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Granted,
    /// As one of the few that show whether the plugin works again. Whoever gets this
    /// says how the try [ended](Circuit::probed), whatever comes of it.
    Probe(Probe),
    /// It is open; none where it is up to probes that are on their way.
    Refused {
        until: Option<Timestamp>,
    },
}

/// Which time the circuit was half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe(u64);

/// What is known of one plugin; closed, and without a failure, to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    state: State,
    /// When it last opened or closed.
    since: Timestamp,
    /// How often it was half open.
    times: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// When tries failed that still count, at most as many as open it.
    Closed {
        failed: VecDeque<Timestamp>,
    },
    Open {
        until: Timestamp,
    },
    HalfOpen {
        trying: u32,
        succeeded: u32,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { failed: VecDeque::new() }, since: Timestamp(0), times: 0 }
    }
}

impl Circuit {
    pub fn is_closed(&self) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// Asks for another try.
    pub fn ask(&mut self, config: &CircuitBreaker, now: Timestamp) -> Permission {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.times += 1;
            self.state = State::HalfOpen { trying: 0, succeeded: 0 };
        }
        match &mut self.state {
            State::Closed { .. } => Permission::Granted,
            State::Open { until } => Permission::Refused { until: Some(*until) },
            State::HalfOpen { trying, succeeded } if *trying + *succeeded < config.successes.max(1) => {
                *trying += 1;
                Permission::Probe(Probe(self.times))
            }
            State::HalfOpen { .. } => Permission::Refused { until: None },
        }
    }

    /// A try that was granted, and began at `started_at`, has failed.
    pub fn failed(&mut self, config: &CircuitBreaker, now: Timestamp, started_at: Timestamp) {
        if started_at < self.since {
            return;
        }
        let State::Closed { failed } = &mut self.state else { return };
        while failed.front().is_some_and(|at| at.plus_ms(config.window_ms) <= now) {
            failed.pop_front();
        }
        failed.push_back(now);
        if failed.len() >= config.failures.max(1) as usize {
            self.open(config, now);
        }
    }

    /// A probe has ended.
    pub fn probed(&mut self, config: &CircuitBreaker, now: Timestamp, probe: Probe, tried: Tried) {
        let State::HalfOpen { trying, succeeded } = &mut self.state else { return };
        if probe != Probe(self.times) {
            return;
        }
        *trying = trying.saturating_sub(1);
        match tried {
            Tried::Neither => {}
            Tried::Failed => self.open(config, now),
            Tried::Succeeded => {
                *succeeded += 1;
                if *succeeded >= config.successes.max(1) {
                    self.state = State::Closed { failed: VecDeque::new() };
                    self.since = now;
                }
            }
        }
    }

    fn open(&mut self, config: &CircuitBreaker, now: Timestamp) {
        self.state = State::Open { until: now.plus_ms(config.open_ms) };
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: CircuitBreaker = CircuitBreaker { failures: 3, window_ms: 100, open_ms: 50, successes: 2 };

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms)
    }

    /// A circuit whose tries failed at these times, each as soon as it began.
    fn failed_at(times: &[u64]) -> Circuit {
        let mut circuit = Circuit::default();
        for ms in times {
            circuit.failed(&CONFIG, at(*ms), at(*ms));
        }
        circuit
    }

    fn probe(circuit: &mut Circuit, ms: u64) -> Probe {
        match circuit.ask(&CONFIG, at(ms)) {
            Permission::Probe(probe) => probe,
            other => panic!("no probe at {ms}: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_five_in_five_minutes_a_minute_and_two() {
        let CircuitBreaker { failures, window_ms, open_ms, successes } = CircuitBreaker::default();
        assert_eq!((failures, window_ms, open_ms, successes), (5, 300_000, 60_000, 2));
    }

    #[test]
    fn failures_within_the_window_open_it_and_no_fewer() {
        assert!(failed_at(&[1, 2]).is_closed());
        assert!(!failed_at(&[1, 2, 100]).is_closed());
        assert!(failed_at(&[1, 2, 101]).is_closed(), "the first is as old as the window");
        assert!(!failed_at(&[1, 50, 101, 102]).is_closed());
    }

    #[test]
    fn an_open_circuit_refuses_until_its_time_is_up() {
        let mut circuit = failed_at(&[1, 2, 3]);
        assert_eq!(circuit.ask(&CONFIG, at(3)), Permission::Refused { until: Some(at(53)) });
        assert_eq!(circuit.ask(&CONFIG, at(52)), Permission::Refused { until: Some(at(53)) });
        probe(&mut circuit, 53);
    }

    #[test]
    fn half_open_lets_through_as_many_as_still_have_to_succeed() {
        let mut circuit = failed_at(&[1, 2, 3]);
        let (first, second) = (probe(&mut circuit, 60), probe(&mut circuit, 60));
        assert_eq!(circuit.ask(&CONFIG, at(60)), Permission::Refused { until: None });
        circuit.probed(&CONFIG, at(61), first, Tried::Succeeded);
        assert_eq!(circuit.ask(&CONFIG, at(61)), Permission::Refused { until: None }, "one is on its way");
        circuit.probed(&CONFIG, at(62), second, Tried::Neither);
        let third = probe(&mut circuit, 62);
        circuit.probed(&CONFIG, at(63), third, Tried::Succeeded);
        assert_eq!(circuit.ask(&CONFIG, at(63)), Permission::Granted);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_the_other_says_nothing_more() {
        let mut circuit = failed_at(&[1, 2, 3]);
        let (first, second) = (probe(&mut circuit, 60), probe(&mut circuit, 60));
        circuit.probed(&CONFIG, at(70), first, Tried::Failed);
        assert_eq!(circuit.ask(&CONFIG, at(71)), Permission::Refused { until: Some(at(120)) });
        circuit.probed(&CONFIG, at(72), second, Tried::Succeeded);
        let (third, _fourth) = (probe(&mut circuit, 120), probe(&mut circuit, 120));
        circuit.probed(&CONFIG, at(121), second, Tried::Failed);
        circuit.probed(&CONFIG, at(121), third, Tried::Succeeded);
        assert!(!circuit.is_closed(), "one of two has succeeded");
        assert_eq!(circuit.ask(&CONFIG, at(121)), Permission::Refused { until: None });
    }

    #[test]
    fn what_began_before_it_opened_or_closed_does_not_count() {
        let mut circuit = failed_at(&[10, 20, 30]);
        circuit.failed(&CONFIG, at(40), at(5));
        assert_eq!(circuit.ask(&CONFIG, at(79)), Permission::Refused { until: Some(at(80)) }, "it is open no longer");
        for _ in 0..2 {
            let probe = probe(&mut circuit, 90);
            circuit.probed(&CONFIG, at(91), probe, Tried::Succeeded);
        }
        for ms in 92..95 {
            circuit.failed(&CONFIG, at(ms), at(29));
        }
        assert!(circuit.is_closed());
        for ms in 95..98 {
            circuit.failed(&CONFIG, at(ms), at(92));
        }
        assert!(!circuit.is_closed());
    }
}
