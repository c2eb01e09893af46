//! Snapshots: what is restored is what was there.
//!
//! That this holds of any tree is checked after every decision of every scene
//! and along the simulation; here are the form, its number and its size.

use std::sync::Arc;

use expect_test::expect_file;
use pleach_kernel::*;

use crate::scene::*;

/// A snapshot of [`played`], as hosts of this format have written it.
const GOLDEN: &str = include_str!("snapshot.json");

/// A tree in which every field of a snapshot is used.
fn played() -> Scene {
    let mut scene = Scene::fairly(Fairness::ShortestFirst, |policy, request| {
        request.budget = Budget { tokens: Some(1_000), wall_ms: Some(90_000), ..Budget::default() };
        let entry = Orchestrator {
            targets: vec!["a".into()],
            scopes: scopes(&["llm:*"]),
            limits: Tightening { max_fanout: Some(2), ..Tightening::default() },
        };
        policy.orchestrators.insert("narrow".into(), entry);
    });
    let spent = scene.live(0, with(child("a"), |request| request.budget.tokens = Some(1)));
    scene.now += 5;
    scene.finish(spent, Outcome::Completed(json(r#"{"a": 1.0}"#)), Usage { tokens: 7, ..Usage::default() });
    scene.fail(spent);
    let waits = scene.live(0, retrying(3, 500));
    scene.flake(waits);
    scene.wait(500);
    scene.start(waits);
    scene.flake(waits);
    let over = scene.live(0, with(child("a"), |request| request.budget.tokens = Some(2)));
    scene.tree.spend(scene.at(), id(over), Usage { tokens: 3, ..Usage::default() });
    scene.take();
    let slow = with(keyed("narrow", "slow"), |request| request.timeout_ms = Some(700));
    scene.live(0, slow);
    let failed = scene.failed();
    let plan = Plan { actions: vec![Action::Accept(id(failed).to_string())], rationale: String::new() };
    let planned = Ok(Planned { plan, resolutions: Vec::new() });
    scene.tree.apply_plan(scene.at(), id(0), Surface::Graph, &about(0), planned).unwrap();
    let node_id = Some("fan".into());
    let decided = SpawnGroup { key_prefix: Some("g".into()), node_id, ..members([child("a"), child("a")]) };
    let members_of = scene.try_group(0, decided.clone()).unwrap().members;
    scene.start(members_of[0].run_id.index);
    scene.fail(members_of[0].run_id.index);
    scene.start(members_of[1].run_id.index);
    scene.ok(members_of[1].run_id.index);
    scene.try_group(0, decided).unwrap();
    scene.try_group(0, SpawnGroup { agent_call: true, ..members([closing(ParentClose::Abandon)]) }).unwrap();
    let progress = Progress { message: "half".into(), fraction: None, data: None, dropped: 0 };
    scene.calls += 1;
    scene.tree.record_progress(scene.at(), id(0), scene.calls, progress);
    scene.take();
    let gone = scene.live(0, child("b"));
    scene.cancel(Caller::Operator, Cancel::of(id(gone))).unwrap();
    scene.failed();
    assert!(matches!(scene.try_evaluate(0, None, true), Ok(Replanning::Asked { .. })));
    let handed_on = scene.live(0, with(child("a"), |request| request.fallbacks = vec!["b".into()]));
    scene.fail(handed_on);
    scene
}

/// A line for each run, for whoever compares two of these.
fn text(tree: &Tree) -> String {
    let text = String::from_utf8(tree.snapshot()).unwrap();
    text.replace(r#"{"plugin":"#, "\n{\"plugin\":").replace(r#","groups":"#, ",\n\"groups\":") + "\n"
}

#[test]
fn the_form_of_a_snapshot_does_not_change_under_the_same_number() {
    let text = text(&played().tree);
    let same_number = GOLDEN.starts_with(&format!("{{\"format\":{SNAPSHOT_FORMAT},"));
    assert!(
        text == GOLDEN || !same_number,
        "the form of a snapshot is another: raise SNAPSHOT_FORMAT, then test with UPDATE_EXPECT=1\n{text}"
    );
    expect_file!["snapshot.json"].assert_eq(&text);
    for field in [
        "key_derived",
        "limits",
        "parent",
        "node_id",
        "attempt",
        "fate",
        "guest_active",
        "attempt_started_at",
        "retry_due",
        "finished_seq",
        "usage",
        "replan",
        "superseded",
        "late_logged",
        "calls",
        "reported",
        "idempotent",
        "agent_call",
        "planner",
        "succeeded",
        "failed",
        "decided",
        "reserved",
        "users",
        "settled",
        "exhausted",
        "running",
        "started_sum",
        "wall_timer",
        "stops",
        "decisions",
        "ticket",
        "tickets",
        "fairness",
        "fallback",
        "fallbacks",
        "first_attempt",
    ] {
        assert!(text.contains(&format!("\"{field}\":")), "no {field} in it");
    }
}

#[test]
fn a_snapshot_as_it_was_written_is_restored() {
    let restored = Tree::restore(root(), GOLDEN.as_bytes()).unwrap();
    assert!(restored == played().tree);
}

fn refusal(text: &str) -> String {
    Tree::restore(root(), text.as_bytes()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_is_no_snapshot_of_this_format_and_tree_is_refused() {
    let next = SNAPSHOT_FORMAT + 1;
    let later = GOLDEN.replacen(&format!("\"format\":{SNAPSHOT_FORMAT}"), &format!("\"format\":{next}"), 1);
    assert_eq!(Tree::restore(root(), later.as_bytes()).unwrap_err(), RestoreError::OtherFormat { found: next });
    let refused = format!("the snapshot is of format 99, and this host reads {SNAPSHOT_FORMAT}");
    assert_eq!(refusal(r#"{"format":99,"tree":"whatever"}"#), refused);
    let other = Tree::restore(RootId(1), GOLDEN.as_bytes()).map(|_| ()).unwrap_err();
    assert_eq!(other, RestoreError::OtherTree { found: root() });
    for broken in ["", "{}", &GOLDEN[..GOLDEN.len() / 2], &GOLDEN.replacen("\"users\"", "\"user\"", 1)] {
        assert!(refusal(broken).starts_with("the snapshot cannot be read: "), "{broken}");
    }
}

/// Nothing that a snapshot names is looked up before it is known to be there.
#[test]
fn a_snapshot_that_speaks_of_what_is_not_in_it_is_refused() {
    for (was, is) in [
        ("\"plugin\":0", "\"plugin\":77"),
        ("\"parent\":0", "\"parent\":77"),
        ("\"account\":0", "\"account\":77"),
        ("\"owner\":0", "\"owner\":77"),
        ("\"ticket\":10", "\"ticket\":99"),
        ("\"fallback\":0", "\"fallback\":9"),
        ("\"fallbacks\":[1]", "\"fallbacks\":[77]"),
        ("\"stops\":[", "\"stops\":[77,"),
        ("\"decisions\":[", "\"decisions\":[77,"),
        ("{\"run\":1}", "{\"run\":77}"),
        ("{\"group\":0}", "{\"group\":77}"),
        ("\"planner\":{\"planner\":", "\"planner\":{\"planner\":77"),
        ("\"start\":6,\"end\":8", "\"start\":6,\"end\":88"),
        ("\"succeeded\":1", "\"succeeded\":9"),
    ] {
        assert!(GOLDEN.contains(was), "{was}");
        let why = refusal(&GOLDEN.replacen(was, is, 1));
        assert!(why.ends_with(" in it") || why.contains("parent") || why.contains("ticket"), "{is}: {why}");
    }
}

#[test]
fn runs_share_what_they_have_in_common() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.spawn(0, child("a"));
    }
    let lines: Vec<String> = scene.log().iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    let folded = Tree::fold(root(), lines.iter().map(|line| serde_json::from_str(line).unwrap())).unwrap();
    let restored = Tree::restore(root(), &scene.tree.snapshot()).unwrap();
    for tree in [&scene.tree, &folded, &restored] {
        let plugins: Vec<&Arc<PluginRef>> = tree.runs().iter().map(|run| &run.spec.plugin).collect();
        assert!(Arc::ptr_eq(plugins[1], plugins[2]) && Arc::ptr_eq(plugins[2], plugins[3]));
        assert!(!Arc::ptr_eq(plugins[0], plugins[1]), "another plugin is another");
    }
}

#[test]
fn a_snapshot_is_folded_on_from_where_it_was_taken() {
    let scene = played();
    let (before, after) = scene.log().split_at(20);
    let early = Tree::fold(root(), before.to_vec()).unwrap();
    let mut tree = Tree::restore(root(), &early.snapshot()).unwrap();
    tree.fold_on(after.to_vec()).unwrap();
    assert!(tree == scene.tree);
    let error = tree.fold_on(after.to_vec()).unwrap_err();
    assert!(error.to_string().contains("does not fold at seq 21"), "{error}");
    assert!(tree == scene.tree, "what is refused changes nothing");
}

/// Trees of many small runs are the normal case, and a snapshot holds them all.
#[test]
fn an_ended_run_takes_a_few_hundred_bytes() {
    const RUNS: u32 = 10_000;
    let submit = Submit {
        spawn: ready(with(boss(), |request| request.target = "lead".into())),
        limits: Limits::CEILING,
        fairness: Fairness::default(),
    };
    let (id, tenant) = (RootId(0x01938f2e_7c00_7000_8000_0123456789ab), Tenant::default_tenant());
    let now = Timestamp(1_785_000_000_000);
    let mut tree = Tree::open(now, id, tenant, policy().into(), Surface::Guest, submit).unwrap();
    assert!(tree.start(now, id.run()));
    let group = members((0..RUNS).map(|_| child("noop")));
    let spawned = tree.spawn_group(now, id.run(), Surface::Guest, group, site(0)).unwrap();
    let usage = Usage { cpu_us: 1_234, host_calls: 1, ..Usage::default() };
    for member in &spawned.members {
        assert!(tree.start(now, member.run_id));
        let outcome = Outcome::Completed(Payload::null());
        tree.finish(now.plus_ms(3), Finish { run_id: member.run_id, attempt: 1, outcome, usage });
    }
    tree.take_events();
    let bytes = tree.snapshot();
    let each = bytes.len() / RUNS as usize;
    println!("{} bytes for {RUNS} ended runs, {each} each", bytes.len());
    assert!(each < 700, "{each} bytes for each run");
    assert!(Tree::restore(id, &bytes).as_ref() == Ok(&tree));
}
