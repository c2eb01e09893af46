//! What happens in a simulation, all of it drawn from one number.

use pleach_kernel::{CircuitBreaker, Fairness, JoinMode, ParentClose, Priority};

use super::graphs::GRAPHS;
use super::program::{Child, Op};

/// A sequence of numbers that looks like chance and is not (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// One simulation.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The root runs, submitted at once.
    pub roots: Vec<Child>,
    /// A graph that every root is in place of what its child says.
    pub graph: Option<&'static str>,
    /// After so many milliseconds each host but the last dies.
    pub lives_ms: Vec<u64>,
    /// How long the machine is off between two hosts.
    pub downtime_ms: u64,
    /// After so many milliseconds somebody cancels this run of that root.
    pub cancels: Vec<(u64, usize, u32)>,
    pub write_delays: Vec<u64>,
    pub lateness: Vec<u64>,
    pub places: usize,
    pub max_running: Option<u32>,
    pub max_concurrency: u32,
    pub park_after_ms: u64,
    pub snapshot_every: u64,
    /// The number of an append that fails.
    pub fail_in: Option<u64>,
    pub lie_at: Option<u64>,
    pub circuit_breaker: Option<CircuitBreaker>,
    pub fairness: Fairness,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let d = &mut dice;
        let roots = (0..1 + d.roll(3)).map(|_| Child { attempts: d.one_in(4).then_some(2), ..child(d, 3) }).collect();
        Self {
            roots,
            graph: d.one_in(4).then(|| GRAPHS[d.roll(GRAPHS.len() as u64) as usize].1),
            lives_ms: (0..d.roll(5)).map(|_| d.roll(600)).collect(),
            downtime_ms: if d.one_in(4) { d.roll(2_000) } else { 0 },
            cancels: (0..d.roll(3)).map(|_| (d.roll(800), d.roll(3) as usize, d.roll(6) as u32)).collect(),
            write_delays: (0..1 + d.roll(5)).map(|_| d.roll(30)).collect(),
            lateness: (0..1 + d.roll(4)).map(|_| if d.one_in(2) { 0 } else { d.roll(40) }).collect(),
            places: 2 + d.roll(12) as usize,
            max_running: d.one_in(3).then(|| 1 + d.roll(4) as u32),
            max_concurrency: 1 + d.roll(8) as u32,
            park_after_ms: [0, 5, 50, 500, 60_000][d.roll(5) as usize],
            snapshot_every: 1 + d.roll(40),
            fail_in: d.one_in(5).then(|| 1 + d.roll(30)),
            lie_at: None,
            circuit_breaker: d.one_in(3).then(|| CircuitBreaker {
                failures: 1 + d.roll(3) as u32,
                window_ms: 1 + d.roll(500),
                open_ms: d.roll(300),
                successes: 1 + d.roll(2) as u32,
            }),
            fairness: if d.one_in(2) { Fairness::ShortestFirst } else { Fairness::RoundRobin },
        }
    }
}

/// A run that does a few things, some of them through children of its own.
fn child(d: &mut Dice, levels: u64) -> Child {
    let count = 1 + d.roll(8);
    let mut ops: Vec<Op> = (0..count).flat_map(|_| op(d, levels)).collect();
    if levels < 3 && d.one_in(8) {
        ops.push(Op::Fail);
    }
    let attempts = d.one_in(4).then(|| 2 + d.roll(2) as u32);
    if attempts.is_some() {
        let at = d.roll(ops.len() as u64 + 1) as usize;
        ops.insert(at, Op::FailUntil(2));
    }
    Child {
        ops,
        attempts,
        timeout_ms: d.one_in(8).then(|| 20 + d.roll(400)),
        host_calls: d.one_in(10).then(|| d.roll(8)),
        wall_ms: d.one_in(12).then(|| 1 + d.roll(300)),
        close: match d.roll(8) {
            0 => ParentClose::Wait,
            1 => ParentClose::Abandon,
            _ => ParentClose::Cancel,
        },
        priority: [Priority::High, Priority::Medium, Priority::Low][d.roll(3) as usize],
        spare: d.one_in(6),
    }
}

fn op(d: &mut Dice, levels: u64) -> Vec<Op> {
    let below = levels.saturating_sub(1);
    match d.roll(if levels == 0 { 9 } else { 14 }) {
        0 | 1 => vec![Op::Sleep(d.roll(200))],
        2 => vec![Op::Recorded(d.roll(3) as u32)],
        3 => vec![Op::Outside(d.roll(3) as u32)],
        4 => vec![Op::Report],
        5 => vec![Op::Now],
        6 => vec![Op::RemainingBudget],
        7 => vec![Op::Query],
        8 => vec![Op::Cancel(d.roll(2) as usize)],
        9 => vec![Op::Spawn { child: child(d, below), key: key(d) }],
        10 => vec![Op::Call { child: child(d, below), timeout_ms: d.one_in(4).then(|| 10 + d.roll(300)) }],
        11 => vec![group(d, below), Op::Join(0), Op::Evaluate { replanner: d.one_in(2) }],
        12 => {
            let group = group(d, below);
            vec![group.clone(), Op::Sleep(d.roll(60)), group, Op::Join(d.roll(2) as usize)]
        }
        _ => vec![group(d, below), Op::Join(0)],
    }
}

fn key(d: &mut Dice) -> Option<String> {
    d.one_in(3).then(|| format!("k{}", d.roll(4)))
}

fn group(d: &mut Dice, below: u64) -> Op {
    let members: Vec<Child> = (0..d.roll(4)).map(|_| child(d, below)).collect();
    let mode = match d.roll(4) {
        0 => JoinMode::BestEffort,
        1 => JoinMode::FailFast,
        2 if !members.is_empty() => JoinMode::Quorum,
        _ => JoinMode::FirstSuccess,
    };
    let quorum = (mode == JoinMode::Quorum).then(|| 1 + d.roll(members.len() as u64) as u32);
    Op::Group { members, mode, quorum, timeout_ms: d.one_in(3).then(|| 10 + d.roll(300)), key: key(d) }
}
