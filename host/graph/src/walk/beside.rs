//! Loops beside each other, and joins of groups that one of them begins anew.

use expect_test::expect;
use serde_json::json;

use super::scripted::{End, Kernel};
use super::tests::{check, plan};

/// The first loop sends the map round again while the second still waits for what the
/// map's first round comes to.
#[test]
fn a_join_on_a_longer_loop_waits_for_a_map_that_a_shorter_one_has_begun_anew() {
    let text = r#"
nodes:
  g: {map: {over: "[1, 2, 3, 4]", target: x, window: 1}}
  j: {join: {}}
  r: {replan: {of: [g], max_replans: 1}}
  w: {spawn_run: {target: x}}
  s: {replan: {of: [w], max_replans: 2}}
  out: {output: {value: "${{ nodes.j.output.values }}"}}
edges:
- {from: g, to: j}
- {from: j, to: r}
- {from: r.replan, to: g}
- {from: r.continue, to: out}
- {from: g, to: w}
- {from: w, to: s}
- {from: s.replan, to: g}
- {from: s.continue, to: out}
"#;
    check(
        text,
        &json!({}),
        &["w"],
        expect![[r#"
            g:0 w +1 -g1 g#2:0 w#2 +1 +2 +3
            g completed, j completed, r completed, w completed, s completed, out completed
            ["g#2:0","+1","+2","+3"]
        "#]],
    );
}

/// The group of a join that is on a longer loop than its group's replan.
const BESIDE: &str = r#"
nodes:
  a: {spawn_run: {target: x, on_failure: isolated}}
  g: {spawn_group: {targets: [{target: x}]}}
  w: {spawn_run: {target: x}}
  s: {replan: {of: [w], max_replans: 1}}
  k: {spawn_run: {target: x}}
  j: {join: {group: g}}
  r: {replan: {of: [k], max_replans: 1}}
  out: {output: {value: "${{ nodes.j.output.values }}"}}
edges:
- {from: a, to: g}
- {from: g, to: w}
- {from: w, to: s}
- {from: s.replan, to: a}
- {from: s.continue, to: out}
- {from: g, to: k}
- {from: k, to: j}
- {from: j, to: r}
- {from: r.replan, to: a}
- {from: r.continue, to: out}
"#;

#[test]
fn a_join_whose_group_is_on_its_way_again_waits_for_it() {
    check(
        BESIDE,
        &json!({}),
        &["w"],
        expect![[r#"
        a g:0 w k a#2 g#2:0 w#2
        a completed, g completed, w completed, s completed, k completed, j completed, r completed, out completed
        ["g#2:0"]
    "#]],
    );
}

#[test]
fn a_join_whose_group_does_not_come_again_has_failed() {
    check(
        BESIDE,
        &json!({}),
        &["w", "a#2"],
        expect![[r#"
        a g:0 w k a#2
        a failed, g skipped, w skipped, s waiting, k completed, j failed, r waiting, out waiting
        node_failed: node `j` failed: no_group: its group was not spawned: the node that makes it was skipped or has failed
    "#]],
    );
}

/// The group of the first round is decided when that of the second is on its way.
#[test]
fn a_join_does_not_take_the_group_of_an_earlier_round_for_the_one_that_it_waits_for() {
    let ends = |key: &str| if key == "w" { End::Fail } else { End::Ok(json!(key)) };
    let (end, _) = Kernel::new(&ends).in_order(32).walk(&plan(BESIDE), &json!({}));
    assert_eq!(end, r#"["g#2:0"]"#);
}

/// The join is under way, and waits for a group that only comes when they are let go.
#[test]
fn loops_that_wait_for_each_other_are_let_go_beside_a_join_that_waits_for_what_comes_after() {
    let text = r#"
nodes:
  p: {spawn_run: {target: x}}
  a: {spawn_run: {target: x}}
  b: {spawn_run: {target: x}}
  after_a: {spawn_run: {target: x}}
  after_b: {spawn_run: {target: x}}
  again_a: {replan: {of: [a], max_replans: 1}}
  again_b: {replan: {of: [b], max_replans: 1}}
  g: {spawn_group: {targets: [{target: x}]}}
  w: {spawn_run: {target: x}}
  s: {replan: {of: [w], max_replans: 1}}
  j: {join: {}}
  r: {replan: {of: [g], max_replans: 1}}
  out: {output: {value: "${{ nodes.j.output.values }}"}}
edges:
- {from: p, to: a}
- {from: p, to: b}
- {from: a, to: after_a}
- {from: b, to: after_b}
- {from: a, to: again_a}
- {from: after_b, to: again_a}
- {from: b, to: again_b}
- {from: after_a, to: again_b}
- {from: again_a.replan, to: a}
- {from: again_a.continue, to: g}
- {from: again_b.replan, to: b}
- {from: again_b.continue, to: g}
- {from: g, to: w}
- {from: w, to: s}
- {from: s.replan, to: p}
- {from: s.continue, to: out}
- {from: g, to: j}
- {from: j, to: r}
- {from: r.replan, to: g}
- {from: r.continue, to: out}
"#;
    let ends = |key: &str| if key == "w" { End::Fail } else { End::Ok(json!(key)) };
    for order in 0..200 {
        let (end, _) = Kernel::new(&ends).in_order(order).walk(&plan(text), &json!({}));
        assert!(matches!(&*end, r#"["g:0"]"# | r#"["g#2:0"]"#), "{end} in order {order}");
    }
}

/// A group is decided when the join that had waited for it is on its way again.
#[test]
fn a_join_is_done_only_when_it_is_its_turn() {
    let text = r#"
nodes:
  g: {spawn_group: {targets: [{target: x}]}}
  k: {spawn_run: {target: x}}
  k2: {spawn_run: {target: x}}
  j: {join: {group: g}}
  q: {spawn_run: {target: x}}
  z: {spawn_run: {target: x}}
  x1: {replan: {of: [z], max_replans: 1}}
  y1: {replan: {of: [z], max_replans: 1}}
  o1: {output: {value: 1}}
  o2: {output: {value: 2}}
edges:
- {from: g, to: j}
- {from: k, to: k2}
- {from: k2, to: j}
- {from: j, to: q}
- {from: q, to: x1}
- {from: z, to: x1}
- {from: x1.replan, to: k}
- {from: x1.continue, to: o1}
- {from: j, to: y1}
- {from: z, to: y1}
- {from: y1.replan, to: g}
- {from: y1.continue, to: o2}
"#;
    let ends = |key: &str| if key == "z" { End::Fail } else { End::Ok(json!(key)) };
    for order in 0..200 {
        let mut kernel = Kernel::new(&ends).in_order(order);
        let (end, _) = kernel.walk(&plan(text), &json!({}));
        assert!(!end.is_empty(), "it ends");
        let at = |key: &str| kernel.log.iter().position(|other| other == key);
        assert!(at("q#2").is_none_or(|q| at("k2#2").is_some_and(|k2| k2 < q)), "{}", kernel.log.join(" "));
    }
}
