//! A run whose host is killed again and again, at any instant, comes to the end
//! that it would have come to.
//!
//! The real program is killed with SIGKILL and started again with `resume`. The
//! instants are drawn from one number, which is printed; `PLEACH_SEED` plays it
//! again, as far as a machine does the same twice.
#![cfg(unix)]

mod outcome;
mod workload;

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use pleach_engine::Host;
use serde_json::Value;

use crate::program::Desk;
use outcome::Outcome;

/// Kills that hit, at least.
const KILLS: u32 = 200;

/// Between two looks whether a program has ended, or has to.
const LOOK: Duration = Duration::from_millis(1);

/// What is made of a kill that came before anything had begun: the machine is slower
/// than was thought. And of a run that came to its end first: it is faster.
const SLOWER: f64 = 1.03;
const FASTER: f64 = 0.97;

/// What no program takes that is not killed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_run_whose_hosts_are_killed_at_any_instant_ends_as_if_none_had_been() {
    let seed = seed();
    println!("PLEACH_SEED={seed}");
    let mut killing = Killing::begin(seed);
    while killing.kills < KILLS || killing.is_under_way {
        killing.step();
    }
    let Killing { kills, midway, trees, disturbed, .. } = killing;
    println!("{kills} kills, {midway} of them midway, in {trees} trees, of which {disturbed} had hosts killed");
    assert!(midway > KILLS / 4, "most kills came before anything had begun, so that little was tested");
    killing.check_store();
}

struct Killing {
    desk: Desk,
    dice: Dice,
    /// How long the workload takes when nothing happens to it, as far as is known: how
    /// busy the machine is changes meanwhile. And the least, as it was measured.
    takes: Duration,
    least: Duration,
    undisturbed: Outcome,
    kills: u32,
    /// Kills of programs that had shown some event of their own.
    midway: u32,
    /// Trees that have ended, and how many of them had been resumed.
    trees: u32,
    disturbed: u32,
    /// Something was started that has not come to its end.
    is_under_way: bool,
    /// Kills since it was.
    hit: u32,
    /// Ended and looked at.
    known: Vec<String>,
    /// Events that a program has shown before it was killed.
    shown: Vec<Value>,
}

impl Killing {
    fn begin(seed: u64) -> Self {
        let desk = Desk::new();
        workload::prepare(&desk);
        let mut arguments = workload::RUN.to_vec();
        arguments.extend(["--format", "json"]);
        // Compiled code is in the cache from the second time on.
        let mut takes = Duration::MAX;
        let mut outcomes = Vec::new();
        let mut known = Vec::new();
        for _ in 0..2 {
            let started = Instant::now();
            let report = desk.expect(0, &arguments).json();
            takes = takes.min(started.elapsed());
            let id = report["run_id"].as_str().expect("an id").to_owned();
            let (outcome, faults) = outcome::of(&desk, &id, &[]);
            assert_eq!(faults, [""; 0]);
            outcomes.push(outcome);
            known.push(id);
        }
        let undisturbed = outcomes.pop().expect("an outcome");
        assert_eq!(outcomes[0], undisturbed, "two undisturbed runs end differently: the test itself is wrong");
        let said = &undisturbed.runs[""][2];
        assert_eq!(said[0], "completed", "{said:#}");
        println!("undisturbed it takes {takes:?}, with {} runs", undisturbed.runs.len());
        Self {
            desk,
            dice: Dice(seed),
            takes,
            least: takes,
            undisturbed,
            kills: 0,
            midway: 0,
            trees: 0,
            disturbed: 0,
            is_under_way: false,
            hit: 0,
            known,
            shown: Vec::new(),
        }
    }

    /// One program, from its start until it ends or is killed.
    fn step(&mut self) {
        let mut arguments = if self.is_under_way { workload::RESUME.to_vec() } else { workload::RUN.to_vec() };
        arguments.extend(["--format", "ndjson", "--park-after", self.dice.one_of(&["0", "0.01", "30"])]);
        let (output, errors) = (self.desk.path("output"), self.desk.path("errors"));
        let mut command = self.desk.command(&arguments);
        command.stdout(File::create(&output).expect("a file")).stderr(File::create(&errors).expect("a file"));
        let mut child = command.stdin(Stdio::null()).spawn().expect("starting pleach");
        self.is_under_way = true;
        // Every other life is a short one, so that trees are killed several times.
        let most = self.takes.mul_f64(if self.dice.roll().is_multiple_of(2) { 1.05 } else { 0.5 });
        let lives = (self.kills < KILLS).then(|| self.dice.part(most));
        let code = end(&mut child, lives);
        let output = std::fs::read_to_string(&output).expect("UTF-8 on standard output");
        let errors = std::fs::read_to_string(&errors).expect("UTF-8 on standard error");
        let has_shown = self.keep_shown(&output);
        match code {
            None => {
                self.kills += 1;
                self.midway += u32::from(has_shown);
                self.hit += 1;
                if !has_shown {
                    self.takes = self.takes.mul_f64(SLOWER);
                }
            }
            Some(code) => {
                assert_eq!((code, errors.as_str()), (0, ""), "pleach {}\n{output}", arguments.join(" "));
                // What is resumed has only its rest to do, which says nothing.
                if self.hit == 0 {
                    self.takes = self.takes.mul_f64(FASTER).max(self.least);
                }
                self.check_ended();
            }
        }
    }

    /// All lines but the last, which may have been cut short; whether there is an
    /// event among them.
    fn keep_shown(&mut self, output: &str) -> bool {
        let before = self.shown.len();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        self.shown.extend(lines.filter(|line| line.get("event").is_some()));
        self.shown.len() > before
    }

    /// What was under way has ended, as it had to; nothing at all where the first
    /// kill came before it was on disk.
    fn check_ended(&mut self) {
        let runs = self.desk.expect(0, &["runs", "--limit", "1000", "--format", "json"]).json();
        for run in runs.as_array().into_iter().flatten() {
            let id = run["run_id"].as_str().expect("an id");
            if self.known.iter().any(|known| known == id) {
                continue;
            }
            let (outcome, faults) = outcome::of(&self.desk, id, &self.shown);
            let folder = self.desk.path("");
            assert_eq!(faults, [""; 0], "run {id} after {} kills", self.hit);
            assert!(run["finished_at"].is_string(), "{run} in {}", folder.display());
            pretty_eq(&outcome, &self.undisturbed, &format!("run {id} after {} kills", self.hit));
            self.known.push(id.to_owned());
            self.trees += 1;
            self.disturbed += u32::from(self.hit > 0);
        }
        self.shown.clear();
        self.is_under_way = false;
        self.hit = 0;
    }

    fn check_store(&self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let url = format!("sqlite:{}", self.desk.path(".pleach/pleach.db").display());
        let faults = runtime.block_on(async {
            let host = Host::builder().store(&url).recover(false).build().await.expect("opening the store");
            let faults = host.check().await.expect("checking the store");
            host.shutdown(Duration::ZERO).await.expect("closing the store");
            faults
        });
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Waits for the end of a program, and kills it when it has lived for so long;
/// none where that was its end.
fn end(child: &mut Child, lives: Option<Duration>) -> Option<i32> {
    let started = Instant::now();
    let until = lives.unwrap_or(PATIENCE);
    while started.elapsed() < until {
        if let Some(status) = child.try_wait().expect("looking at pleach") {
            return Some(status.code().expect("an exit code"));
        }
        std::thread::sleep(LOOK.min(until.saturating_sub(started.elapsed())));
    }
    child.kill().expect("killing pleach");
    let status = child.wait().expect("waiting for pleach");
    assert!(lives.is_some(), "it does not end within {PATIENCE:?}");
    status.code()
}

/// Says where two outcomes part, and not all that they have in common.
#[track_caller]
fn pretty_eq(outcome: &Outcome, expected: &Outcome, what: &str) {
    let mut parts = Vec::new();
    for key in outcome.runs.keys().chain(expected.runs.keys()) {
        let (is, was) = (outcome.runs.get(key), expected.runs.get(key));
        if is != was {
            parts.push(format!("run `{key}`\n  is  {is:?}\n  was {was:?}"));
        }
    }
    for fact in outcome.facts.keys().chain(expected.facts.keys()) {
        let (is, was) = (outcome.facts.get(fact), expected.facts.get(fact));
        if is != was {
            parts.push(format!("{fact}\n  is  {is:?} times\n  was {was:?} times"));
        }
    }
    parts.sort_unstable();
    parts.dedup();
    assert!(parts.is_empty(), "{what} ended differently\n{}", parts.join("\n"));
}

fn seed() -> u64 {
    match std::env::var("PLEACH_SEED") {
        Ok(seed) => seed.parse().expect("PLEACH_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64,
    }
}

/// A sequence of numbers that looks like chance and is not (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Some part of a whole, to the microsecond.
    fn part(&mut self, whole: Duration) -> Duration {
        let whole = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.roll() % whole)
    }

    fn one_of<'a>(&mut self, these: &[&'a str]) -> &'a str {
        these[(self.roll() % these.len() as u64) as usize]
    }
}
