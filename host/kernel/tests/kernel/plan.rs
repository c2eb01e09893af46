//! Plans: each action is admitted like any request, and told as it was taken.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

impl Scene {
    fn apply(&mut self, actions: Vec<Action>) -> Evaluation {
        let spawns = actions.iter().filter_map(|action| match action {
            Action::Spawn(wanted) => Some(found(&wanted.target)),
            Action::Retry(_) | Action::Cancel(_) | Action::Accept(_) | Action::Abort(_) => None,
        });
        let resolutions = spawns.collect();
        let plan = Plan { actions, rationale: "so be it".into() };
        self.try_plan(0, 0, Ok(Planned { plan, resolutions })).unwrap_or_else(|denial| panic!("{denial}"))
    }

    fn try_plan(&mut self, caller: u32, of: u32, plan: Result<Planned, String>) -> Result<Evaluation, Box<Denial>> {
        let answer = self.tree.apply_plan(self.at(), id(caller), Surface::Guest, &about(of), plan);
        self.take();
        answer
    }
}

fn name(run: u32) -> String {
    id(run).to_string()
}

fn spawn(target: &str, key: Option<&str>) -> Action {
    Action::Spawn(PlannedSpawn {
        target: target.into(),
        input: Payload::null(),
        spawn_key: key.map(Into::into),
        scopes: Grant::default(),
        timeout_ms: None,
    })
}

/// The steps of a plan in a few words.
fn steps(answer: &Evaluation) -> String {
    let plan = answer.plan.as_ref().unwrap_or_else(|| panic!("no plan was carried out"));
    let words = plan.steps.iter().map(|step| match (&step.denied, step.run_id, step.replaces) {
        (Some(denial), _, _) => format!("{}: {}", step.action, denial.code),
        (None, Some(run), Some(failed)) => format!("{} {} as {}", step.action, failed.index, run.index),
        (None, Some(run), None) => format!("{} {}", step.action, run.index),
        (None, None, _) => step.action.to_string(),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_plan_retries_spawns_cancels_and_accepts() {
    let mut scene = Scene::new();
    let (one, two, running) = (scene.failed(), scene.failed(), scene.live(0, child("a")));
    scene.skip();
    let answer = scene.apply(vec![
        Action::Retry(name(one)),
        spawn("b", None),
        Action::Cancel(name(running)),
        Action::Accept(name(two)),
    ]);
    assert_eq!(steps(&answer), "retry 1 as 4, spawn 5, cancel 3, accept 2");
    expect![[r#"
        0 spawns [4 5] as g0
        0 cancels [3] (cancelled_by_plan)
        0 replans [1 2]: Replan 1/3, with a plan
    "#]]
    .assert_eq(&scene.told());
    let plan = answer.plan.unwrap();
    assert_eq!((plan.group_id, plan.aborted, plan.rationale.as_str()), (Some(group_id(0)), false, "so be it"));
    scene.stop(running);
    assert!(scene.evaluate().failed_children.is_empty(), "what was retried or accepted is answered");
    scene.start(4);
    scene.fail(4);
    assert_eq!(scene.evaluate().failed_children.len(), 1, "the retry is a child like any other");
}

#[test]
fn a_retry_asks_for_the_same_once_more() {
    let mut scene = Scene::new();
    let request = with(keyed("a@^1", "k"), |request| {
        request.input = json("[1]");
        request.scopes = Grant::new(scopes(&["llm:a"]), []);
        request.timeout_ms = Some(77);
    });
    let failed = scene.live(0, request.clone());
    scene.fail(failed);
    scene.apply(vec![Action::Retry(name(failed))]);
    let spec = &scene.tree.runs()[2].spec;
    assert_eq!(*spec.request, SpawnRequest { spawn_key: None, ..request });
    assert_eq!(spec.plugin, scene.tree.runs()[1].spec.plugin, "by the plugin that it was pinned to");
}

#[test]
fn each_action_is_admitted_or_denied_by_itself() {
    let mut scene = Scene::under(|policy, request| {
        policy.limits.max_fanout = 6;
        policy.targets = vec!["a".into(), "b".into()];
        let without = ["run.abandon:*", "spawn:*"];
        request.scopes = Grant::new(scopes(&without), []);
    });
    let (one, two) = (scene.failed(), scene.failed());
    let (running, done) = (scene.live(0, child("a")), scene.live(0, child("a")));
    scene.ok(done);
    let answer = scene.apply(vec![
        Action::Retry(name(running)),
        Action::Retry(name(done)),
        Action::Retry("nonsense".into()),
        Action::Retry(name(99)),
        Action::Retry(name(0)),
        Action::Accept(name(running)),
        Action::Cancel(name(running)),
        spawn("c", None),
        Action::Retry(name(one)),
        Action::Retry(name(one)),
        Action::Accept(name(one)),
        spawn("b", Some("~mine")),
        spawn("b", None),
        Action::Retry(name(two)),
    ]);
    expect![[r#"
        retry: invalid_request
        retry: invalid_request
        retry: run_not_found
        retry: run_not_found
        retry: not_in_lineage
        accept: invalid_request
        cancel: scope_required
        spawn: target_not_allowlisted
        retry 1 as 5
        retry: invalid_request
        accept: invalid_request
        spawn: invalid_request
        spawn 6
        retry: max_fanout"#]]
    .assert_eq(&steps(&answer).replace(", ", "\n"));
    assert_eq!(scene.evaluate().failed_children.len(), 1, "what was denied is not mended");
}

#[test]
fn who_gives_up_does_nothing_more() {
    let mut scene = Scene::new();
    let failed = scene.failed();
    let abort = Action::Abort("no use".into());
    let answer = scene.apply(vec![spawn("b", None), abort, Action::Retry(name(failed)), spawn("b", None)]);
    assert_eq!(steps(&answer), "spawn 2, abort");
    let plan = answer.plan.unwrap();
    assert_eq!((plan.aborted, plan.rationale.as_str()), (true, "so be it (aborted: no use)"));
}

#[test]
fn a_planned_spawn_keeps_its_key_and_is_idempotent_on_it() {
    let mut scene = Scene::new();
    let known = scene.spawn(0, keyed("b", "known"));
    scene.failed();
    let answer = scene.apply(vec![
        spawn("b", Some("known")),
        spawn("a", Some("known")),
        spawn("b", Some("new")),
        spawn("b", Some("new")),
        spawn("a", Some("new")),
    ]);
    let conflict = "spawn: idempotency_conflict";
    assert_eq!(steps(&answer), format!("spawn {known}, {conflict}, spawn 3, spawn 3, {conflict}"));
    assert_eq!(scene.spawn(0, keyed("b", "new")), 3);
    assert_eq!(scene.tree.runs().len(), 4);
}

#[test]
fn cancelling_a_child_twice_in_one_plan_is_cancelling_it_once() {
    let mut scene = Scene::new();
    scene.failed();
    let running = scene.live(0, child("a"));
    scene.skip();
    scene.apply(vec![Action::Cancel(name(running)), Action::Cancel(name(running))]);
    assert!(scene.told().starts_with("0 cancels [2] (cancelled_by_plan)\n"));
}

#[test]
fn the_runs_of_a_plan_are_one_group() {
    let mut scene = Scene::new();
    scene.failed();
    let group = scene.apply(vec![spawn("b", None), spawn("b", None)]).plan.unwrap().group_id.unwrap();
    for run in [2, 3] {
        scene.start(run);
        scene.ok(run);
    }
    let result = scene.tree.join_result(group).unwrap();
    assert_eq!((result.mode, result.status, result.success_count), (JoinMode::BestEffort, JoinStatus::Completed, 2));
}

#[test]
fn a_plan_that_spawns_nothing_makes_no_group() {
    let mut scene = Scene::new();
    scene.failed();
    let answer = scene.apply(Vec::new());
    assert_eq!((answer.plan.unwrap().group_id, answer.replans_used), (None, 1));
}

#[test]
fn no_answer_of_a_replanner_is_an_empty_plan_that_counts() {
    let mut scene = Scene::new();
    scene.failed();
    let answer = scene.try_plan(0, 0, Err("it trapped".into())).unwrap();
    assert_eq!((answer.replans_used, answer.needs_replan), (1, true));
    let plan = answer.plan.unwrap();
    assert!(plan.steps.is_empty() && plan.rationale.contains("it trapped"));
}

/// Between the question and its answer others may have mended what failed, or
/// have used up the replans.
#[test]
fn a_plan_that_is_not_needed_any_more_is_not_carried_out() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_replans = 1);
    let failed = scene.failed();
    let answer = scene.apply(vec![Action::Accept(name(failed))]);
    assert_eq!((answer.needs_replan, answer.replans_used), (true, 1));
    for _ in 0..2 {
        let answer = scene.apply(vec![spawn("b", None)]);
        assert_eq!((answer.needs_replan, answer.plan, answer.replans_used), (false, None, 1));
        scene.failed();
    }
    assert_eq!(scene.tree.runs().len(), 4);
}

#[test]
fn a_plan_is_applied_by_a_live_caller_to_runs_below_it() {
    let mut scene = Scene::new();
    let boss = scene.live(0, boss());
    let empty = || Err(String::new());
    assert_eq!(scene.try_plan(boss, 0, empty()).unwrap_err().code, Code::NotInLineage);
    assert_eq!(scene.try_plan(boss, 99, empty()).unwrap_err().code, Code::RunNotFound);
    scene.ok(boss);
    assert_eq!(scene.try_plan(boss, boss, empty()).unwrap_err().code, Code::CallerCancelled);
}

#[test]
fn a_plan_is_read_as_the_contract_writes_it() {
    let text = r#"{
        "actions": [
            {"retry": "r"}, {"cancel": "c"}, {"accept": "a"}, {"abort": "why"},
            {"spawn": {"target": "b", "input": [1], "scopes": {"use": ["llm:x"]}, "timeout_ms": 5}}
        ],
        "rationale": "because"
    }"#;
    let plan: Plan = serde_json::from_str(text).unwrap();
    assert_eq!((plan.actions.len(), plan.rationale.as_str()), (5, "because"));
    let Action::Spawn(wanted) = &plan.actions[4] else { panic!("{plan:?}") };
    assert_eq!((wanted.timeout_ms, wanted.scopes.can_use().len(), wanted.spawn_key.is_none()), (Some(5), 1, true));
    assert!(serde_json::from_str::<Plan>(r#"{"actions": [{"dance": "r"}]}"#).is_err());
}
