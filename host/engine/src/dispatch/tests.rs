//! The queue, without guests and without time: who is next.

use pleach_kernel::{Fairness, MAX_PASSES, Priority, Quotas, RootId};

use super::queue::{Queue, Want};

const FREE: Quotas = Quotas { max_running: None, max_queued: None, memory_bytes: None, stored_bytes: None };

fn want(priority: Priority) -> Want {
    Want { priority, fairness: Fairness::RoundRobin, mean: 0, quotas: FREE }
}

fn shortest(mean: u64) -> Want {
    Want { fairness: Fairness::ShortestFirst, mean, ..want(Priority::Medium) }
}

fn at_most(running: u32) -> Want {
    Want { quotas: Quotas { max_running: Some(running), ..FREE }, ..want(Priority::Medium) }
}

/// A queue of trees that are called by a number, and so many tenants.
struct Played {
    queue: Queue<u64>,
    served: Vec<u64>,
}

impl Played {
    fn new(tenants: usize) -> Self {
        let mut queue = Queue::new(1);
        for tenant in 0..tenants {
            assert_eq!(queue.add_tenant(), tenant);
        }
        Self { queue, served: Vec::new() }
    }

    fn wants(&mut self, tenant: usize, tree: u64, want: Want) {
        self.queue.line_up(tenant, RootId(tree.into()), tree, &want);
    }

    /// Gives the next place: the tenant and the tree. Nothing is given back.
    fn serve(&mut self) -> Option<(usize, u64)> {
        let next = self.queue.next()?;
        let granted = self.queue.grant(next).unwrap();
        self.served.push(granted.1);
        Some(granted)
    }

    /// Gives the next place to a tree that wants another at once.
    fn serve_again(&mut self, want: Want) -> u64 {
        let (tenant, tree) = self.serve().unwrap();
        self.wants(tenant, tree, want);
        tree
    }
}

#[test]
fn tenants_take_turns_and_within_one_its_trees() {
    let mut played = Played::new(2);
    for (tenant, tree) in [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)] {
        played.wants(tenant, tree, want(Priority::Medium));
    }
    for _ in 0..12 {
        played.serve_again(want(Priority::Medium));
    }
    assert_eq!(played.served, [1, 4, 2, 5, 3, 4, 1, 5, 2, 4, 3, 5]);
}

#[test]
fn ten_thousand_trees_of_one_tenant_do_not_hold_up_another() {
    let mut played = Played::new(2);
    for tree in 0..10_000 {
        played.wants(0, tree, want(Priority::Medium));
    }
    played.serve();
    played.wants(1, 99_999, want(Priority::Medium));
    assert_eq!(played.serve(), Some((1, 99_999)));
}

#[test]
fn priority_goes_before_turns() {
    let mut played = Played::new(2);
    played.wants(0, 1, want(Priority::Low));
    played.wants(0, 2, want(Priority::Medium));
    played.wants(1, 3, want(Priority::Low));
    played.wants(1, 4, want(Priority::High));
    while played.serve().is_some() {}
    assert_eq!(played.served, [4, 2, 3, 1], "and the tenant that was served longest ago goes first among equals");
}

#[test]
fn a_tree_that_has_come_to_want_more_is_judged_anew_and_one_that_wants_the_same_keeps_its_turn() {
    let mut played = Played::new(1);
    for tree in 1..=3 {
        played.wants(0, tree, want(Priority::Medium));
    }
    played.wants(0, 1, want(Priority::Medium));
    played.wants(0, 3, want(Priority::High));
    while played.serve().is_some() {}
    assert_eq!(played.served, [3, 1, 2]);
}

#[test]
fn nobody_is_passed_over_for_ever_by_higher_priority() {
    for priority in [Priority::Medium, Priority::Low] {
        let mut played = Played::new(2);
        played.wants(1, 0, want(Priority::High));
        played.serve_again(want(Priority::High));
        played.wants(0, 1, want(priority));
        for _ in 0..MAX_PASSES {
            assert_eq!(played.serve_again(want(Priority::High)), 0);
        }
        assert_eq!(played.serve(), Some((0, 1)), "{priority:?}");
    }
}

#[test]
fn the_shortest_goes_first_among_trees_that_chose_it() {
    let mut played = Played::new(1);
    played.wants(0, 1, want(Priority::Medium));
    for (tree, mean) in [(2, 30), (3, 10), (4, 20), (5, 0)] {
        played.wants(0, tree, shortest(mean));
    }
    played.wants(0, 6, want(Priority::Medium));
    played.wants(0, 4, shortest(5));
    while played.serve().is_some() {}
    assert_eq!(played.served, [1, 5, 4, 3, 2, 6], "whoever has the turn, and the shortest in place of one of its own");
}

#[test]
fn nobody_is_passed_over_for_ever_by_shorter_ones() {
    let mut played = Played::new(1);
    played.wants(0, 1, shortest(100));
    played.wants(0, 2, shortest(1));
    for _ in 0..MAX_PASSES {
        assert_eq!(played.serve_again(shortest(1)), 2);
    }
    assert_eq!(played.serve(), Some((0, 1)));
}

#[test]
fn a_tenant_whose_quota_is_used_up_holds_up_nobody_and_goes_on_when_it_is_not() {
    let mut played = Played::new(2);
    assert!(played.queue.take(0, &at_most(1).quotas));
    played.wants(0, 1, at_most(1));
    assert!(played.queue.is_short_of_quota(0));
    played.wants(1, 2, at_most(1));
    assert_eq!((played.serve(), played.serve()), (Some((1, 2)), None));
    played.queue.give_back(0);
    assert_eq!((played.serve(), played.serve()), (Some((0, 1)), None));
    assert!(played.queue.is_empty() && !played.queue.is_short_of_quota(0));
}

#[test]
fn trees_of_one_tenant_may_have_other_quotas() {
    let mut played = Played::new(1);
    played.wants(0, 1, at_most(0));
    played.wants(0, 2, at_most(1));
    let memory_bytes = Some(2);
    played.wants(0, 3, Want { quotas: Quotas { memory_bytes, ..FREE }, ..want(Priority::Medium) });
    assert_eq!((played.serve(), played.serve(), played.serve()), (Some((0, 2)), Some((0, 3)), None));
    assert!(!played.queue.take(0, &FREE), "not while others of the tenant wait");
    played.queue.withdraw(RootId(1));
    assert!(played.queue.take(0, &FREE) && !played.queue.take(0, &at_most(3).quotas));
}

#[test]
fn trees_of_one_tenant_take_turns_whatever_their_quotas() {
    let mut played = Played::new(1);
    for tree in 1..=4 {
        played.wants(0, tree, at_most(100 + tree as u32 % 2));
    }
    while played.serve().is_some() {}
    assert_eq!(played.served, [1, 2, 3, 4]);
}

/// Waiting for one's own quota is not being passed over.
#[test]
fn what_waits_for_its_own_quota_has_no_claim_on_the_hosts_places() {
    let mut played = Played::new(2);
    let low = Want { priority: Priority::Low, ..at_most(1) };
    assert!(played.queue.take(0, &low.quotas));
    played.wants(0, 1, low);
    played.wants(1, 2, want(Priority::High));
    for _ in 0..2 * MAX_PASSES {
        assert_eq!(played.serve_again(want(Priority::High)), 2);
    }
    played.queue.give_back(0);
    for _ in 0..MAX_PASSES {
        assert_eq!(played.serve_again(want(Priority::High)), 2);
    }
    assert_eq!(played.serve(), Some((0, 1)));
}

/// Trees as a plain list, to hold the queue to.
struct Listed {
    tenant: usize,
    tree: u64,
    want: Want,
    /// How often higher priorities went first while it could have been given a place.
    passes: u64,
}

#[test]
fn a_random_queue_serves_whoever_may_be_served_and_passes_nobody_over_too_often() {
    let mut chance = 7_u64;
    let mut roll = move |sides: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % sides
    };
    let (mut played, mut listed): (Played, Vec<Listed>) = (Played::new(4), Vec::new());
    let mut running = [0_u32; 4];
    let mut most_passes = 0;
    for step in 0..100_000 {
        let tenant = roll(4) as usize;
        match roll(10) {
            0..=4 => {
                let tree = roll(20) + 100 * tenant as u64;
                let want = Want {
                    priority: [Priority::High, Priority::High, Priority::Medium, Priority::Low][roll(4) as usize],
                    fairness: [Fairness::RoundRobin, Fairness::ShortestFirst][roll(2) as usize],
                    mean: roll(5),
                    quotas: Quotas { max_running: Some(1 + roll(2) as u32 * 3), ..FREE },
                };
                // A tree keeps its kind of fairness as long as it lives.
                let fairness = [Fairness::RoundRobin, Fairness::ShortestFirst][tree as usize % 2];
                let want = Want { fairness, ..want };
                played.wants(tenant, tree, want);
                let same = |other: &Listed| {
                    other.tree == tree && (other.want.priority, other.want.quotas) == (want.priority, want.quotas)
                };
                let passes = listed.iter().find(|other| same(other)).map_or(0, |other| other.passes);
                listed.retain(|other| other.tree != tree);
                listed.push(Listed { tenant, tree, want, passes });
            }
            5 => {
                let tree = roll(20) + 100 * tenant as u64;
                played.queue.withdraw(RootId(tree.into()));
                listed.retain(|other| other.tree != tree);
            }
            6..=7 if running[tenant] > 0 => {
                running[tenant] -= 1;
                played.queue.give_back(tenant);
            }
            _ => {
                let fits =
                    |other: &Listed| other.want.quotas.max_running.is_some_and(|most| running[other.tenant] < most);
                let candidates: Vec<usize> = (0..listed.len()).filter(|at| fits(&listed[*at])).collect();
                let served = played.serve();
                assert_eq!(served.is_some(), !candidates.is_empty(), "step {step}");
                let Some((tenant, tree)) = served else { continue };
                let at = candidates.iter().copied().find(|at| listed[*at].tree == tree);
                let at = at.unwrap_or_else(|| panic!("step {step}: tree {tree} could not be served"));
                let priority = listed[at].want.priority;
                let best = candidates.iter().map(|at| listed[*at].want.priority).min();
                let overdue = best < Some(priority);
                for other in candidates {
                    listed[other].passes += u64::from(listed[other].want.priority > priority);
                    most_passes = most_passes.max(listed[other].passes);
                }
                assert!(!overdue || listed[at].passes > 0, "step {step}: {tree} goes first without a reason");
                listed.remove(at);
                running[tenant] += 1;
            }
        }
    }
    // Those who stand behind one that is passed over are, too, until it is their turn.
    assert!((10..=2 * MAX_PASSES).contains(&most_passes), "{most_passes}");
}
