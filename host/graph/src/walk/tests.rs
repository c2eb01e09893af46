//! Walks, over a kernel that answers as a test says.

use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::scripted::{End, Kernel};
use crate::plan::Plan;
use crate::source::Source;

pub(super) fn plan(text: &str) -> Arc<Plan> {
    let source = Source::new("g.yaml", format!("spec_version: \"2.0\"\n{text}"));
    Arc::new(crate::compile(&source).into_plan().unwrap_or_else(|problems| panic!("{problems:#?}")))
}

/// Runs end well, with their key as the output, but for those that are named.
pub(super) fn check(text: &str, input: &Json, failing: &[&str], expected: Expect) {
    let ends = |key: &str| if failing.contains(&key) { End::Fail } else { End::Ok(json!(key)) };
    let mut kernel = Kernel::new(&ends);
    let (end, stands) = kernel.walk(&plan(text), input);
    expected.assert_eq(&format!("{}\n{stands}\n{end}\n", kernel.log.join(" ")));
}

#[test]
fn a_node_starts_when_all_that_it_needs_is_there() {
    let text = "tasks:\n- {id: d, agent: x, needs: [b, c]}\n- {id: b, agent: x, needs: [a]}\n- {id: c, agent: x, needs: [a]}\n- {id: a, agent: x}\n";
    check(
        text,
        &json!({}),
        &[],
        expect![[r#"
        a b c d
        d completed, b completed, c completed, a completed
        {"d":"d"}
    "#]],
    );
}

#[test]
fn an_isolated_failure_skips_what_depends_on_it_and_nothing_else() {
    let text = "tasks:\n- {id: a, agent: x, on_failure: isolated}\n- {id: b, agent: x, needs: [a]}\n- {id: c, agent: x, needs: [b, d]}\n- {id: d, agent: x}\n- {id: e, agent: x, needs: [d]}\n";
    check(
        text,
        &json!({}),
        &["a"],
        expect![[r#"
        a d e
        a failed, b skipped, c skipped, d completed, e completed
        {"e":"e"}
    "#]],
    );
}

#[test]
fn a_cascading_failure_ends_the_walk() {
    check(
        "tasks: [{id: a, agent: x}, {id: b, agent: x, needs: [a]}]",
        &json!({}),
        &["a"],
        expect![[r#"
        a
        a failed, b waiting
        node_failed: node `a` failed: broken: it broke
    "#]],
    );
}

#[test]
fn a_map_adds_members_as_others_end() {
    let text = r#"
nodes:
  each: {map: {over: input, target: x, window: 2, input: "${{ item }}"}}
  all: {join: {}}
  out: {output: {value: "${{ nodes.all.output.success_count }}"}}
edges: [{from: each, to: all}, {from: all, to: out}]
"#;
    check(
        text,
        &json!([1, 2, 3, 4, 5]),
        &[],
        expect![[r#"
        each:0 each:1 +2 +3 +4
        each completed, all completed, out completed
        5
    "#]],
    );
    check(
        text,
        &json!([]),
        &[],
        expect![[r#"

        each completed, all completed, out completed
        0
    "#]],
    );
    check(
        text,
        &json!({"not": "a list"}),
        &[],
        expect![[r#"

        each failed, all waiting, out waiting
        node_failed: node `each` failed: not_a_list: `over` is to be a list, and is {"not":"a list"}
    "#]],
    );
}

#[test]
fn an_edge_with_a_condition_is_taken_where_it_holds() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x}}
  b: {output: {value: b}}
  c: {output: {value: c}}
edges: [{from: a, to: b, when: input.n > 1}, {from: a, to: c, when: input.n <= 1}]
"#;
    check(
        text,
        &json!({"n": 2}),
        &[],
        expect![[r#"
        a
        a completed, b completed, c skipped
        "b"
    "#]],
    );
    check(
        text,
        &json!({"n": 1}),
        &[],
        expect![[r#"
        a
        a completed, b skipped, c completed
        "c"
    "#]],
    );
    check(
        text,
        &json!({"n": "x"}),
        &[],
        expect![[r#"
        a
        a completed, b waiting, c waiting
        expression_failed: the edge from `a` to `b`: `input.n > 1`: found no matching overload for '_>_' applied to '(string, int)'
    "#]],
    );
}

#[test]
fn a_graph_whose_outputs_were_all_skipped_has_failed() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x, on_failure: isolated}}
  out: {output: {value: "${{ nodes.a.output }}"}}
edges: [{from: a, to: out}]
"#;
    check(
        text,
        &json!({}),
        &["a"],
        expect![[r#"
        a
        a failed, out skipped
        node_failed: node `a` failed: broken: it broke
    "#]],
    );
}

#[test]
fn a_map_that_is_cancelled_is_not_waited_for() {
    let text = r#"
nodes:
  each: {map: {over: input, target: x, window: 1}}
  all: {join: {}}
  stop: {cancel_subtree: {node: each}}
  out: {output: {value: "${{ nodes.all.output.reason }}"}}
edges: [{from: each, to: all}, {from: each, to: stop}, {from: all, to: out}]
"#;
    check(
        text,
        &json!([1, 2, 3]),
        &[],
        expect![[r#"
            each:0 -g1
            each completed, all completed, stop completed, out completed
            "join_given_up"
        "#]],
    );
}

#[test]
fn however_much_is_skipped_takes_no_stack() {
    let mut text = "tasks:\n- {id: t0, agent: x, on_failure: isolated}\n".to_owned();
    for place in 1..20_000 {
        text.push_str(&format!("- {{id: t{place}, agent: x, needs: [t{}]}}\n", place - 1));
    }
    let plan = plan(&text);
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let walked = small.spawn(move || Kernel::new(&|_| End::Fail).walk(&plan, &json!({})).1).unwrap();
    assert_eq!(walked.join().unwrap().matches("skipped").count(), 19_999);
}

/// Tasks that need earlier ones, by chance.
fn tasks() -> impl Strategy<Value = Vec<(Vec<usize>, bool)>> {
    let needs = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    prop::collection::vec((needs, any::<bool>()), 1..40).prop_map(|all| {
        let earlier = |(place, (needs, isolated)): (usize, (Vec<prop::sample::Index>, bool))| {
            let mut needs: Vec<usize> = needs.iter().filter(|_| place > 0).map(|need| need.index(place)).collect();
            needs.sort_unstable();
            needs.dedup();
            (needs, isolated)
        };
        all.into_iter().enumerate().map(earlier).collect()
    })
}

/// What is computed for a long list comes in pieces, between which others have a turn.
#[test]
fn a_walk_that_computes_much_pauses() {
    let text = r#"
nodes:
  each: {map: {over: input, target: x, input: "${{ [1, 2, 3, 4, 5, 6, 7, 8, 9].map(n, n * item) }}", window: 1000}}
  all: {join: {}}
edges: [{from: each, to: all}]
"#;
    let pauses = |items: usize| {
        let input = pleach_kernel::Payload::of(&(0..items).collect::<Vec<_>>()).unwrap();
        let mut walk = super::Walk::new(plan(text), input, json!({"seed": 1})).unwrap();
        let mut pauses = 0;
        loop {
            match walk.ask() {
                Some(super::Ask::Pause) => pauses += 1,
                Some(super::Ask::Group { group, .. }) => {
                    assert_eq!(group.members.len(), items);
                    assert_eq!(
                        group.members[items - 1].input.as_str().len(),
                        10 + (1..10).map(|n| (n * (items - 1)).to_string().len()).sum::<usize>()
                    );
                    return pauses;
                }
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!((pauses(10), pauses(1_000)), (0, 10));
}

proptest! {
    #[test]
    fn every_graph_of_tasks_ends_and_runs_what_it_can_once(tasks in tasks(), failing in prop::collection::vec(0usize..40, 0..4)) {
        let mut text = "tasks:\n".to_owned();
        for (place, (needs, _)) in tasks.iter().enumerate() {
            let needs: Vec<String> = needs.iter().map(|need| format!("t{need}")).collect();
            text.push_str(&format!("- {{id: t{place}, agent: x, on_failure: isolated, needs: [{}]}}\n", needs.join(", ")));
        }
        let fails = |key: &str| failing.iter().any(|place| key == format!("t{place}"));
        let ends = |key: &str| if fails(key) { End::Fail } else { End::Ok(json!(key)) };
        let mut kernel = Kernel::new(&ends);
        let plan = plan(&text);
        let (_, stands) = kernel.walk(&plan, &json!({}));
        // What depends on a failure is skipped, all else has run, each once.
        let mut lost = vec![false; tasks.len()];
        for (place, (needs, _)) in tasks.iter().enumerate() {
            let skipped = needs.iter().any(|need| lost[*need]);
            let runs = kernel.log.iter().filter(|key| **key == format!("t{place}")).count();
            prop_assert_eq!(runs, usize::from(!skipped), "t{} in {}", place, stands);
            lost[place] = skipped || fails(&format!("t{place}"));
        }
        // And after all that it needs.
        for (place, (needs, _)) in tasks.iter().enumerate() {
            let at = |place: usize| kernel.log.iter().position(|key| *key == format!("t{place}"));
            if let Some(began) = at(place) {
                prop_assert!(needs.iter().all(|need| at(*need).is_some_and(|need| need < began)));
            }
        }
    }
}

/// What a map has got until then is still there to be joined.
#[test]
fn a_map_that_cannot_add_its_last_member_is_given_up() {
    let text = r#"
nodes:
  each: {map: {over: "[1, 2, 3]", target: x, window: 1, input: "${{ 6 / (3 - item) }}", on_failure: isolated}}
  all: {join: {}}
  out: {output: {value: "${{ [nodes.all.output.reason, nodes.all.output.values] }}"}}
edges: [{from: each, to: all}, {from: all, to: out}]
"#;
    check(
        text,
        &json!({}),
        &[],
        expect![[r#"
        each:0 +1 -g1
        each completed, all completed, out completed
        ["join_given_up",["each:0","+1"]]
    "#]],
    );
}

#[test]
fn null_is_a_value_like_any_other() {
    let text = r#"
nodes:
  kind: {router: {route_key: "input.kind", routes: [{name: none, equals: null}, {name: "null"}]}}
  out: {output: {value: nothing}}
  text: {output: {value: text}}
  other: {spawn_run: {target: x, input: null, input_schema: {type: "null"}}}
edges: [{from: kind.none, to: out}, {from: kind.null, to: text}, {from: kind.default, to: other}]
"#;
    check(
        text,
        &json!({"kind": null}),
        &[],
        expect![[r#"

        kind completed, out completed, text skipped, other skipped
        "nothing"
    "#]],
    );
    check(
        text,
        &json!({"kind": "null"}),
        &[],
        expect![[r#"

        kind completed, out skipped, text completed, other skipped
        "text"
    "#]],
    );
    check(
        text,
        &json!({"kind": 0}),
        &[],
        expect![[r#"
        other
        kind completed, out skipped, text skipped, other completed
        no_output: graph g has reached none of its outputs
    "#]],
    );
}
