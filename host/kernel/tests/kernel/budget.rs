//! Budgets: reserved before, settled after, refunded, and never overspent by
//! more than what was under way.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

fn tokens(amount: u64) -> Usage {
    Usage { tokens: amount, ..Usage::default() }
}

fn with_tokens(amount: u64) -> Scene {
    Scene::under(|_, request| request.budget.tokens = Some(amount))
}

fn budgeted(request: SpawnRequest, amount: u64) -> SpawnRequest {
    with(request, |request| request.budget.tokens = Some(amount))
}

fn left(scene: &Scene, run: u32) -> Option<u64> {
    scene.tree.remaining_budget(id(run)).tokens
}

fn done(spent: u64) -> (Outcome, Usage) {
    (Outcome::Completed(json("1")), tokens(spent))
}

#[test]
fn what_a_child_may_spend_is_reserved_before_it_starts_and_the_rest_comes_back() {
    let mut scene = with_tokens(100);
    let run = scene.live(0, budgeted(child("a"), 60));
    assert_eq!((left(&scene, 0), left(&scene, run)), (Some(40), Some(60)));
    let denial = scene.try_spawn(0, budgeted(child("a"), 41)).unwrap_err();
    assert_eq!(denial.code, Code::BudgetExhausted);
    assert_eq!((denial.limit, denial.requested, denial.current), (Some(100), Some(41), Some(60)));
    scene.spawn(0, budgeted(child("a"), 40));
    scene.skip();
    let (outcome, usage) = done(25);
    scene.finish(run, outcome, usage);
    expect![[r#"
        1 completed
        1 budget settled, {"tokens":35} back
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(left(&scene, 0), Some(35), "100 less 25 spent and 40 reserved");
}

/// By the moves alone: what was reserved is what was spent and what came back.
#[test]
fn the_moves_of_an_account_add_up_by_themselves() {
    let mut scene = with_tokens(100);
    let run = scene.live(0, budgeted(child("a"), 60));
    scene.tree.spend(scene.at(), id(run), tokens(5));
    let (outcome, usage) = done(25);
    scene.finish(run, outcome, usage);
    expect![[r#"
        0 spawns [1]
        1 budget reserved {"tokens":60}
        1 started
        1 budget spent {"tokens":5}
        1 completed
        1 budget settled, {"tokens":30} back
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_child_without_a_budget_draws_on_its_parents() {
    let mut scene = with_tokens(100);
    let pool = scene.live(0, budgeted(boss(), 50));
    let drawing = scene.live(pool, child("a"));
    assert_eq!(left(&scene, drawing), Some(50));
    let (outcome, usage) = done(20);
    scene.finish(drawing, outcome, usage);
    assert_eq!((left(&scene, pool), left(&scene, 0)), (Some(30), Some(50)));
}

#[test]
fn an_amount_that_an_account_does_not_limit_is_drawn_from_above() {
    let mut scene = with_tokens(100);
    let calls = scene.live(0, with(boss(), |request| request.budget.host_calls = Some(5)));
    assert_eq!(left(&scene, calls), Some(100));
    scene.tree.spend(scene.at(), id(calls), Usage { tokens: 30, host_calls: 2, ..Usage::default() });
    scene.take();
    assert_eq!(left(&scene, 0), Some(70));
    assert_eq!(scene.tree.remaining_budget(id(calls)).host_calls, Some(3));
    assert_eq!(scene.tree.remaining_budget(id(0)).host_calls, None, "nobody limits it above");
    assert_eq!(scene.tree.budget_holder(id(calls), Dimension::Tokens), Some((id(0), 70)));
    assert_eq!(scene.tree.budget_holder(id(calls), Dimension::HostCalls), Some((id(calls), 3)));
    assert_eq!(scene.tree.budget_holder(id(calls), Dimension::WallMs), None);
    scene.ok(calls);
}

#[test]
fn an_account_settles_when_nobody_draws_on_it_any_more() {
    let mut scene = with_tokens(100);
    let pool = scene.live(0, budgeted(boss(), 50));
    let abandoned = scene.live(pool, closing(ParentClose::Abandon));
    scene.ok(pool);
    assert_eq!(left(&scene, 0), Some(50), "the abandoned child may still spend it");
    scene.skip();
    let (outcome, usage) = done(10);
    scene.finish(abandoned, outcome, usage);
    assert_eq!(left(&scene, 0), Some(90));
    expect![[r#"
        2 completed
        1 budget settled, {"tokens":40} back
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn accounts_settle_up_the_tree() {
    let mut scene = with_tokens(100);
    let outer = scene.live(0, budgeted(boss(), 80));
    let inner = scene.live(outer, budgeted(boss(), 50));
    scene.ok(outer);
    scene.skip();
    let (outcome, usage) = done(20);
    scene.finish(inner, outcome, usage);
    expect![[r#"
        2 cancelled (parent_closed), late: completed
        2 budget settled, {"tokens":30} back
        1 completed
        1 budget settled, {"tokens":60} back
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(left(&scene, 0), Some(80));
}

#[test]
fn when_nothing_is_left_the_next_spawn_is_refused() {
    // Every run takes time and makes calls; tokens it may do without.
    type Limit = fn(&mut Budget);
    let table: [(&str, Limit, Usage, bool); 3] = [
        ("tokens", |budget| budget.tokens = Some(5), tokens(5), true),
        ("host_calls", |budget| budget.host_calls = Some(5), Usage { host_calls: 5, ..Usage::default() }, false),
        ("cpu_ms", |budget| budget.cpu_ms = Some(1), Usage { cpu_us: 1_000, ..Usage::default() }, false),
    ];
    for (name, limit, spent, admitted) in table {
        let mut scene = Scene::under(|_, request| limit(&mut request.budget));
        assert!(scene.try_spawn(0, child("a")).is_ok());
        scene.tree.spend(scene.at(), id(0), spent);
        scene.take();
        assert_eq!(scene.try_spawn(0, child("a")).is_ok(), admitted, "{name}");
        let one_more = with(child("a"), |request| {
            request.budget = Budget { tokens: Some(1), host_calls: Some(1), cpu_ms: Some(1), ..Budget::default() };
        });
        assert_eq!(scene.try_spawn(0, one_more).unwrap_err().code, Code::BudgetExhausted, "{name}");
        assert_eq!(scene.status(0), RunStatus::Running, "to use up all of it is not to cross it");
    }
}

#[test]
fn a_ceiling_that_is_crossed_cancels_what_draws_on_it() {
    let mut scene = with_tokens(100);
    let pool = scene.live(0, budgeted(boss(), 50));
    let (one, two, other) = (scene.live(pool, child("a")), scene.live(pool, child("a")), scene.live(0, child("a")));
    scene.skip();
    let (outcome, usage) = done(51);
    scene.finish(one, outcome, usage);
    expect![[r#"
        2 completed
        1 budget exhausted
        1 cancels [1 3] (budget_exhausted)
    "#]]
    .assert_eq(&scene.told());
    let (outcome, usage) = done(50);
    scene.finish(two, outcome, usage);
    scene.stop(pool);
    scene.stop(other);
    assert_eq!(
        scene.status(other),
        RunStatus::Cancelled,
        "the tree has nothing left either: 100 are spent, and 1 over"
    );
}

#[test]
fn the_tree_is_cancelled_when_its_own_ceiling_is_crossed() {
    let mut scene = with_tokens(10);
    let run = scene.live(0, child("a"));
    scene.tree.spend(scene.at(), id(run), tokens(10));
    scene.take();
    assert_eq!(scene.tree.stop_count(), 0);
    scene.tree.spend(scene.at(), id(run), tokens(1));
    scene.take();
    scene.stop(run);
    scene.stop(0);
    assert_eq!(scene.statuses(), "cancelled cancelled");
    assert!(scene.tree.root().error().unwrap().message.contains("budget_exhausted"));
    assert_eq!(scene.tree.usage().tokens, 11, "by no more than the call that was under way");
}

/// What was spent beyond a reservation is seen above once it settles, and that
/// may be when a parent ends because its last child has.
#[test]
fn an_overspent_reservation_is_acted_on_above_when_it_settles() {
    let mut scene = with_tokens(100);
    let pool = scene.live(0, budgeted(boss(), 90));
    let waited = scene.live(pool, closing(ParentClose::Wait));
    let (outcome, usage) = done(120);
    scene.finish(pool, outcome, usage);
    assert_eq!(left(&scene, 0), Some(10), "above, the reservation still stands");
    scene.skip();
    scene.stop(waited);
    expect![[r#"
        2 cancelled (budget_exhausted)
        1 completed
        1 budget settled, {"tokens":0} back
        0 budget exhausted
        0 cancels [0] (budget_exhausted)
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(left(&scene, 0), Some(0));
}

#[test]
fn running_guests_burn_the_wall_clock_together() {
    let mut scene = Scene::under(|_, request| request.budget.wall_ms = Some(300));
    let run = scene.live(0, child("a"));
    assert_eq!(scene.tree.next_timer(), Some(Timestamp(START + 150)), "two guests, 300 ms");
    scene.wait(50);
    scene.ok(run);
    assert_eq!(scene.tree.next_timer(), Some(Timestamp(START + 250)), "100 are gone, and one guest is left");
    scene.skip();
    scene.wait(199);
    assert_eq!(scene.told(), "");
    scene.wait(1);
    expect![[r#"
        0 budget exhausted
        0 cancels [0] (budget_exhausted)
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_reservation_brings_the_end_of_the_wall_clock_nearer() {
    let mut scene = Scene::under(|_, request| request.budget.wall_ms = Some(300));
    let run = scene.live(0, with(child("a"), |request| request.budget.wall_ms = Some(200)));
    assert_eq!(scene.tree.next_timer(), Some(Timestamp(START + 100)));
    scene.wait(10);
    scene.ok(run);
    assert_eq!(scene.tree.next_timer(), Some(Timestamp(START + 290)), "what it did not take comes back");
}

#[test]
fn what_running_guests_have_burnt_cannot_be_reserved() {
    let mut scene = Scene::under(|_, request| request.budget.wall_ms = Some(300));
    scene.wait(200);
    let ask = |ms| with(child("a"), |request| request.budget.wall_ms = Some(ms));
    let denial = scene.try_spawn(0, ask(101)).unwrap_err();
    assert_eq!((denial.code, denial.limit, denial.current), (Code::BudgetExhausted, Some(300), Some(200)));
    assert!(scene.try_spawn(0, ask(100)).is_ok());
}

#[test]
fn a_policys_budget_holds_for_every_tree() {
    let mut scene = Scene::under(|policy, _| policy.budget.tokens = Some(7));
    assert_eq!(left(&scene, 0), Some(7));
    let scene_of_its_own = Scene::under(|policy, request| {
        (policy.budget.tokens, request.budget.tokens) = (Some(7), Some(3));
    });
    assert_eq!(left(&scene_of_its_own, 0), Some(3));
    assert_eq!(scene.try_spawn(0, budgeted(child("a"), 8)).unwrap_err().code, Code::BudgetExhausted);
}

/// A model call may come back after the guest that made it was stopped.
#[test]
fn what_was_spent_is_counted_until_the_run_has_ended() {
    let mut scene = with_tokens(100);
    let parent = scene.live(0, boss());
    let waited = scene.live(parent, closing(ParentClose::Wait));
    scene.ok(parent);
    scene.tree.spend(scene.at(), id(parent), tokens(5));
    scene.take();
    assert_eq!(left(&scene, 0), Some(95));
    scene.ok(waited);
    scene.skip();
    scene.tree.spend(scene.at(), id(parent), tokens(5));
    scene.take();
    assert_eq!(scene.told(), "");
}

#[test]
fn the_log_adds_up_to_the_totals() {
    let mut scene = with_tokens(1_000);
    for amount in 1..=5 {
        let run = scene.live(0, budgeted(child("a"), amount));
        scene.tree.spend(scene.at(), id(run), tokens(1));
        let (outcome, usage) = done(amount - 1);
        scene.finish(run, outcome, usage);
    }
    let in_the_log = scene.log().iter().map(|event| match &event.fact {
        Fact::ChildLifecycle(life) => life.usage.map_or(0, |usage| usage.tokens),
        Fact::Budget(moved) => moved.spent.tokens,
        _ => 0,
    });
    assert_eq!(in_the_log.sum::<u64>(), 15);
    assert_eq!((scene.tree.usage().tokens, left(&scene, 0)), (15, Some(985)));
}
