//! Crash points: a host is ended at every single step of every scenario, before
//! it takes effect, after it, and in the middle of a write.

use super::graphs;
use super::lives::{End, Left, live_with};
use super::plan::Plan;
use super::scenarios::{self, Scenario};
use super::world::Cut;

const CUTS: [Cut; 3] = [Cut::Before, Cut::After, Cut::Half];

/// Steps of a host that recovers which are crossed with every step of the one
/// before it.
const RECOVERING_STEPS: u64 = 12;

/// A scenario, and what is left of it where no host dies.
struct Undisturbed {
    scenario: Scenario,
    left: Left,
}

impl Undisturbed {
    fn new(scenario: Scenario) -> Self {
        let (left, faults) = live_with(&scenario.plan(), &[End::Never]);
        assert!(faults.is_empty(), "{}, undisturbed:\n{}", scenario.name, faults.join("\n"));
        Self { scenario, left }
    }

    fn steps(&self) -> u64 {
        self.left.steps[0]
    }

    /// Plays it with hosts that end so: what is left has to be the same.
    fn check(&self, ends: &[End]) {
        let (left, faults) = live_with(&self.scenario.plan(), ends);
        let name = self.scenario.name;
        assert!(faults.is_empty(), "{name}, {ends:?}:\n{}", faults.join("\n"));
        assert_eq!(left.trees, self.left.trees, "{name}, {ends:?}");
    }
}

/// Guests of every kind, and graphs.
fn all() -> Vec<Scenario> {
    [scenarios::all(), graphs::all()].concat()
}

#[test]
fn a_host_can_die_at_any_step_of_anything() {
    for scenario in all() {
        let undisturbed = Undisturbed::new(scenario);
        let steps = undisturbed.steps();
        assert!(steps > 10, "{} takes {steps} steps only", undisturbed.scenario.name);
        for step in 1..=steps {
            for cut in CUTS {
                undisturbed.check(&[End::At(step, cut), End::Never]);
            }
        }
    }
}

#[test]
fn a_host_can_die_while_it_recovers_from_a_death() {
    for scenario in all() {
        let undisturbed = Undisturbed::new(scenario);
        for step in (1..=undisturbed.steps()).step_by(3) {
            for again in 1..=RECOVERING_STEPS {
                let cut = CUTS[(step + again) as usize % CUTS.len()];
                undisturbed.check(&[End::At(step, Cut::After), End::At(again, cut), End::Never]);
            }
        }
    }
}

#[test]
fn whether_guests_are_parked_makes_no_difference() {
    for scenario in all() {
        let name = scenario.name;
        let left = |park_after_ms| {
            let plan = Plan { park_after_ms, ..scenario.plan() };
            let (left, faults) = live_with(&plan, &[End::Never]);
            assert!(faults.is_empty(), "{name}, parked after {park_after_ms} ms:\n{}", faults.join("\n"));
            left.trees
        };
        assert_eq!(left(0), left(60_000), "{name}");
    }
}
