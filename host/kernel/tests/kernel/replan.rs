//! Evaluation: which failures count, and how often a replan is suggested.

use pleach_kernel::*;

use crate::scene::*;

pub fn question(of: Option<u32>, replanner: bool) -> Evaluate {
    let replanner = replanner.then(|| ("mend".into(), found("mend")));
    Evaluate { run_id: of.map(id), replanner, config: Some(json(r#"{"patience":2}"#)), node: None }
}

impl Scene {
    pub fn try_evaluate(&mut self, caller: u32, of: Option<u32>, replanner: bool) -> Result<Replanning, Box<Denial>> {
        let ask = question(of, replanner);
        self.calls += 1;
        let answer = self.tree.evaluate(self.at(), id(caller), Surface::Guest, ask, site(self.calls));
        self.take();
        answer
    }

    /// The answer about the root's children, where no replanner is asked.
    pub fn evaluate(&mut self) -> Evaluation {
        match self.try_evaluate(0, None, false) {
            Ok(Replanning::Answered(answer)) => *answer,
            other => panic!("{other:?}"),
        }
    }

    /// A child of the root that has failed.
    pub fn failed(&mut self) -> u32 {
        let run = self.live(0, child("a"));
        self.fail(run);
        run
    }
}

#[test]
fn without_a_failure_there_is_nothing_to_replan() {
    let mut scene = Scene::new();
    let done = scene.live(0, child("a"));
    scene.ok(done);
    scene.live(0, child("a"));
    let answer = scene.evaluate();
    assert_eq!((answer.needs_replan, answer.suggested_action), (false, SuggestedAction::Continue));
    assert_eq!(answer.counts, ChildCounts { total: 2, completed: 1, running: 1, ..ChildCounts::default() });
    assert_eq!((answer.replans_used, answer.max_replans), (0, 3));
}

#[test]
fn failed_and_timed_out_children_count_and_cancelled_ones_do_not() {
    let mut scene = Scene::new();
    let join = JoinPolicy { mode: JoinMode::FailFast, quorum: None, timeout_ms: None };
    let first = scene.group(0, join, [child("a"), child("b")]);
    scene.fail(first);
    scene.stop(first + 1);
    let slow = scene.live(0, with(keyed("a", "slow"), |request| request.timeout_ms = Some(5)));
    scene.wait(5);
    scene.stop(slow);
    let answer = scene.evaluate();
    let failed: Vec<_> = answer.failed_children.iter().map(|child| (child.run_id.index, child.status)).collect();
    assert_eq!(failed, [(first, RunStatus::Failed), (slow, RunStatus::TimedOut)]);
    assert_eq!(answer.counts, ChildCounts { total: 3, failed: 2, cancelled: 1, ..ChildCounts::default() });
    assert_eq!(answer.failed_children[1].spawn_key.as_deref(), Some("slow"));
}

#[test]
fn replans_are_bounded_by_max_replans() {
    for limit in [0, 1, 2] {
        let mut scene = Scene::under(|policy, _| (policy.limits.max_replans, policy.limits.max_stalls) = (limit, 9));
        for used in 1..=limit {
            scene.failed();
            let answer = scene.evaluate();
            assert_eq!((answer.needs_replan, answer.replans_used), (true, used));
        }
        scene.failed();
        let answer = scene.evaluate();
        assert_eq!((answer.needs_replan, answer.replans_used), (false, limit));
        assert!(scene.told().ends_with(&format!("Continue (max_replans) {limit}/{limit}\n")));
        assert!(!answer.failed_children.is_empty(), "what failed is told all the same");
    }
}

#[test]
fn as_many_answers_without_progress_in_a_row_as_max_stalls_are_given_and_0_is_none() {
    for (limit, replans) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let mut scene = Scene::under(|policy, _| (policy.limits.max_replans, policy.limits.max_stalls) = (9, limit));
        scene.failed();
        let answers: Vec<bool> = (0..6).map(|_| scene.evaluate().needs_replan).collect();
        let expected: Vec<bool> = (0..6).map(|n| n < replans).collect();
        assert_eq!(answers, expected, "max_stalls {limit}");
        assert!(scene.told().contains("(max_stalls)"));
    }
}

#[test]
fn progress_starts_the_count_of_stalls_anew() {
    let mut scene = Scene::under(|policy, _| (policy.limits.max_replans, policy.limits.max_stalls) = (9, 1));
    scene.failed();
    assert!(scene.evaluate().needs_replan);
    assert!(scene.evaluate().needs_replan, "one stall");
    let run = scene.live(0, child("a"));
    scene.ok(run);
    assert!(scene.evaluate().needs_replan, "one more has completed");
    assert!(scene.evaluate().needs_replan, "one stall again");
    assert!(!scene.evaluate().needs_replan, "and two");
}

#[test]
fn the_children_of_a_run_below_can_be_looked_at_and_no_others() {
    let mut scene = Scene::new();
    let boss_a = scene.live(0, boss());
    let leaf = scene.live(boss_a, child("a"));
    scene.fail(leaf);
    let boss_b = scene.live(0, boss());
    let mut code = |caller, of| match scene.try_evaluate(caller, Some(of), false) {
        Ok(Replanning::Answered(answer)) => format!("{} failed", answer.counts.failed),
        Ok(asked) => format!("{asked:?}"),
        Err(denial) => denial.code.to_string(),
    };
    assert_eq!(code(0, boss_a), "1 failed");
    assert_eq!(code(boss_a, boss_a), "1 failed");
    assert_eq!(code(boss_b, boss_a), "not_in_lineage");
    assert_eq!(code(boss_a, 0), "not_in_lineage");
    assert_eq!(code(0, 99), "run_not_found");
    assert_eq!(code(99, 0), "run_not_found");
    assert_eq!(code(leaf, leaf), "caller_cancelled");
}

#[test]
fn a_replanner_is_asked_only_where_it_is_needed() {
    let mut scene = Scene::new();
    assert!(matches!(scene.try_evaluate(0, None, true), Ok(Replanning::Answered(_))));
    assert_eq!(scene.tree.runs().len(), 1);
    let failed = scene.failed();
    let Ok(Replanning::Asked { planner, of }) = scene.try_evaluate(0, None, true) else { panic!("it is asked") };
    assert_eq!((planner.index, of), (failed + 1, id(0)));
    let request = &scene.tree.run(planner).unwrap().spec.request;
    expect_test::expect![[r#"
        {
          "failed": [
            {
              "run_id": "00000000-0000-feed-0000-000000000000.1",
              "target": "a",
              "spawn_key": "~1.2",
              "status": "failed",
              "attempt": 1,
              "input": null,
              "error": {
                "code": "broken",
                "message": "it broke",
                "retryable": false
              }
            }
          ],
          "completed_count": 0,
          "replans_used": 0,
          "max_replans": 3,
          "config": {
            "patience": 2
          }
        }"#]]
    .assert_eq(&{
        let input: ReplanInput = serde_json::from_str(request.input.as_str()).unwrap();
        serde_json::to_string_pretty(&input).unwrap()
    });
}

/// What a replanner is shown, with its fields in their order.
#[derive(serde::Serialize, serde::Deserialize)]
struct ReplanInput {
    failed: Vec<FailedInput>,
    completed_count: u32,
    replans_used: u32,
    max_replans: u32,
    config: Option<serde_json::Value>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct FailedInput {
    run_id: String,
    target: String,
    spawn_key: Option<String>,
    status: RunStatus,
    attempt: u32,
    input: serde_json::Value,
    error: Option<RunError>,
}

#[test]
fn asking_the_same_again_is_the_same_replanner() {
    let mut scene = Scene::new();
    scene.failed();
    let first = scene.try_evaluate(0, None, true);
    assert_eq!(scene.try_evaluate(0, None, true), first);
}

/// The first try's replanner was cancelled with it.
#[test]
fn a_second_try_asks_a_replanner_of_its_own() {
    let mut scene = Scene::new();
    let parent = scene.live(0, with(retrying(2, 0), |request| request.scopes = everything()));
    let leaf = scene.live(parent, keyed("a", "k"));
    scene.fail(leaf);
    let Ok(Replanning::Asked { planner: first, .. }) = scene.try_evaluate(parent, None, true) else { panic!() };
    scene.flake(parent);
    assert_eq!(scene.status(first.index), RunStatus::Cancelled);
    scene.wait(0);
    scene.start(parent);
    let Ok(Replanning::Asked { planner: second, .. }) = scene.try_evaluate(parent, None, true) else { panic!() };
    assert_ne!(first, second);
}

#[test]
fn a_replanner_is_admitted_like_any_child_and_not_counted_as_one() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_fanout = 1);
    scene.failed();
    assert_eq!(scene.try_evaluate(0, None, true).unwrap_err().code, Code::MaxFanout);
    let mut scene = Scene::new();
    scene.failed();
    let Ok(Replanning::Asked { planner, .. }) = scene.try_evaluate(0, None, true) else { panic!() };
    scene.start(planner.index);
    scene.fail(planner.index);
    let answer = scene.evaluate();
    assert_eq!((answer.counts.total, answer.failed_children.len()), (1, 1));
}

#[test]
fn what_is_no_replanner_is_not_asked() {
    let mut scene = Scene::new();
    scene.failed();
    let mut ask = |replanner: (&str, Resolution)| {
        let replanner = Some((replanner.0.into(), replanner.1));
        let ask = Evaluate { run_id: None, replanner, config: None, node: None };
        scene.tree.evaluate(scene.at(), id(0), Surface::Guest, ask, site(9)).unwrap_err()
    };
    assert_eq!(ask(("a", found("a"))).code, Code::InvalidRequest);
    let missing = ask(("mend", Resolution::NotFound { hint: "none is published".into() }));
    assert_eq!((missing.code, missing.target.as_deref()), (Code::TargetNotFound, Some("mend")));
    assert_eq!(&*missing.action, "evaluate_and_replan");
    scene.take();
}

#[test]
fn another_replanner_for_the_same_children_is_a_conflict() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.fail(run);
    let mut ask = |target: &str, config: Option<Payload>| {
        let resolution = found("mend");
        let ask = Evaluate { run_id: None, replanner: Some((target.into(), resolution)), config, node: None };
        scene.calls += 1;
        let answer = scene.tree.evaluate(scene.at(), id(0), Surface::Guest, ask, site(scene.calls));
        scene.take();
        answer.map_err(|denial| denial.code)
    };
    let first = ask("mend", None).unwrap();
    assert_eq!(ask("mend", None), Ok(first));
    assert_eq!(ask("mend@^1", None), Err(Code::IdempotencyConflict));
    assert_eq!(ask("mend", Some(json("1"))), Err(Code::IdempotencyConflict));
}

/// What a node of the root's graph is told about some of its children.
fn ask(scene: &mut Scene, node: ReplanNode) -> (bool, Option<String>, u32) {
    scene.calls += 1;
    let question = Evaluate { run_id: None, replanner: None, config: None, node: Some(node.into()) };
    let answer = scene.tree.evaluate(scene.at(), id(0), Surface::Graph, question, site(scene.calls));
    scene.take();
    let Ok(Replanning::Answered(answer)) = answer else { panic!("{answer:?}") };
    (answer.needs_replan, answer.reason.map(|reason| reason.to_string()), answer.counts.failed)
}

fn node(name: &str, among: &[u32]) -> ReplanNode {
    ReplanNode { id: name.into(), among: among.iter().map(|run| id(*run)).collect(), ..ReplanNode::default() }
}

#[test]
fn what_one_node_has_not_mended_is_no_stall_of_another() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_stalls = 0);
    let (first, second) = (scene.failed(), scene.failed());
    let stalled = (false, Some("max_stalls".to_owned()), 1);
    assert_eq!(ask(&mut scene, node("a", &[first])), (true, None, 1));
    assert_eq!(ask(&mut scene, node("b", &[second])), (true, None, 1));
    assert_eq!(ask(&mut scene, node("a", &[first])), stalled);
    assert_eq!(ask(&mut scene, node("b", &[second])), stalled);
    let third = scene.failed();
    assert_eq!(ask(&mut scene, node("c", &[third])), (true, None, 1));
    let fourth = scene.failed();
    let used_up = (false, Some("max_replans".to_owned()), 1);
    assert_eq!(ask(&mut scene, node("d", &[fourth])), used_up, "three were given to the run, whoever asked");
}

#[test]
fn a_node_is_held_to_what_it_allows_itself() {
    let mut scene = Scene::new();
    let run = scene.failed();
    let once = ReplanNode { max_replans: Some(1), ..node("once", &[run]) };
    assert_eq!(ask(&mut scene, once.clone()), (true, None, 1));
    assert_eq!(ask(&mut scene, once), (false, Some("max_replans".into()), 1));
    let fresh = ReplanNode { max_stalls: Some(0), ..node("fresh", &[run]) };
    assert_eq!(ask(&mut scene, fresh.clone()), (true, None, 1));
    assert_eq!(ask(&mut scene, fresh), (false, Some("max_stalls".into()), 1));
    let by_rule = ReplanNode { declines: Some("rule".into()), ..node("by_rule", &[run]) };
    assert_eq!(ask(&mut scene, by_rule), (false, Some("rule".into()), 1));
    let Fact::ReplanDecision(told) = &scene.last().fact else { panic!() };
    assert_eq!((told.reason.as_deref(), &*told.failed_run_ids), (Some("rule"), &[id(run)][..]));
    assert_eq!(scene.last().node_id.as_deref(), Some("by_rule"));
}

#[test]
fn a_node_that_failed_without_a_run_is_a_failure_that_nobody_can_plan_for() {
    let mut scene = Scene::new();
    let done = scene.live(0, child("a"));
    scene.ok(done);
    let asks = ReplanNode { failed_node_ids: vec!["read".into()], ..node("again", &[done]) };
    let runs = scene.tree.runs().len();
    scene.calls += 1;
    let replanner = Some(("mend".into(), found("mend")));
    let question = Evaluate { run_id: None, replanner, config: None, node: Some(asks.clone().into()) };
    let answer = scene.tree.evaluate(scene.at(), id(0), Surface::Graph, question, site(scene.calls)).unwrap();
    scene.take();
    let Replanning::Answered(answer) = answer else { panic!("no replanner is asked") };
    assert_eq!((answer.needs_replan, answer.counts.failed, scene.tree.runs().len()), (true, 1, runs));
    let Fact::ReplanDecision(told) = &scene.last().fact else { panic!() };
    assert_eq!(told.failed_node_ids, ["read".into()]);
    assert!(ask(&mut scene, asks.clone()).0, "one stall");
    assert_eq!(ask(&mut scene, asks), (false, Some("max_stalls".into()), 1));
}

#[test]
fn two_nodes_ask_each_a_replanner_of_its_own() {
    let mut scene = Scene::new();
    let (first, second) = (scene.failed(), scene.failed());
    let mut planner = |name: &str, run: u32| {
        scene.calls += 1;
        let replanner = Some(("mend".into(), found("mend")));
        let question = Evaluate { run_id: None, replanner, config: None, node: Some(node(name, &[run]).into()) };
        let answer = scene.tree.evaluate(scene.at(), id(0), Surface::Graph, question, site(scene.calls)).unwrap();
        scene.take();
        let Replanning::Asked { planner, .. } = answer else { panic!("it is asked") };
        let input = scene.tree.run(planner).unwrap().spec.request.input.clone();
        (planner, input.as_str().contains(&id(run).to_string()))
    };
    let (a, b) = (planner("a", first), planner("b", second));
    assert!(a.0 != b.0 && a.1 && b.1, "{a:?} {b:?}");
    assert_eq!(planner("a", first), a, "asked again, it is the same");
}
