//! Walks that come by a second time, over a kernel that answers as a test says.

use expect_test::expect;
use serde_json::json;

use super::tests::check;

const LOOP: &str = r#"
nodes:
  work: {spawn_group: {targets: [{target: x}, {target: x}]}}
  all: {join: {}}
  good: {judge: {score: double(nodes.all.output.success_count), threshold: 2}}
  again: {replan: {max_replans: 2}}
  out: {output: {value: "${{ nodes.all.output.values }}"}}
  sorry: {output: {value: sorry}}
edges:
- {from: work, to: all}
- {from: all, to: good}
- {from: good.pass, to: out}
- {from: good.fail, to: again}
- {from: again.replan, to: work}
- {from: again.continue, to: sorry}
"#;

#[test]
fn a_way_out_of_a_loop_stays_open_while_the_loop_may_come_by_again() {
    check(
        LOOP,
        &json!({}),
        &["work:1"],
        expect![[r#"
        work:0 work:1 work#2:0 work#2:1
        work completed, all completed, good completed, again skipped, out completed, sorry skipped
        ["work#2:0","work#2:1"]
    "#]],
    );
    check(
        LOOP,
        &json!({}),
        &[],
        expect![[r#"
        work:0 work:1
        work completed, all completed, good completed, again skipped, out completed, sorry skipped
        ["work:0","work:1"]
    "#]],
    );
}

/// An input that does not fit is a failure that trying again may mend.
#[test]
fn a_replan_counts_a_failure_that_no_run_shows() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x, input: "${{ has(nodes.again.output) }}", input_schema: {const: true}}}
  again: {replan: {max_replans: MOST}}
  out: {output: {value: "${{ [nodes.again.output.action, nodes.again.output.failed] }}"}}
edges: [{from: a, to: again}, {from: again.replan, to: a}, {from: again.continue, to: out}]
"#;
    check(
        &text.replace("MOST", "2"),
        &json!({}),
        &[],
        expect![[r#"
            a#2
            a completed, again completed, out completed
            ["continue",0]
        "#]],
    );
    check(
        &text.replace("MOST", "0"),
        &json!({}),
        &[],
        expect![[r#"

            a failed, again completed, out completed
            ["continue",1]
        "#]],
    );
}

#[test]
fn what_comes_after_a_loop_begins_when_the_loop_is_over_and_sees_its_last_round() {
    let text = r#"
nodes:
  draft: {spawn_run: {target: x}}
  check: {spawn_run: {target: x}}
  again: {replan: {max_replans: 3}}
  aside: {spawn_run: {target: x, input: "${{ nodes.draft.output }}"}}
  out: {output: {value: "${{ [nodes.draft.output, nodes.aside.status] }}"}}
edges:
- {from: draft, to: check}
- {from: check, to: again}
- {from: again.replan, to: draft}
- {from: draft, to: aside}
- {from: again.continue, to: out}
- {from: aside, to: out}
"#;
    check(
        text,
        &json!({}),
        &["check", "check#2"],
        expect![[r#"
            draft check draft#2 check#2 draft#3 check#3 aside
            draft completed, check completed, again completed, aside completed, out completed
            ["draft#3","completed"]
        "#]],
    );
}

#[test]
fn a_loop_is_left_when_its_replans_are_used_up() {
    check(
        LOOP,
        &json!({}),
        &["work:1", "work#2:1", "work#3:0"],
        expect![[r#"
        work:0 work:1 work#2:0 work#2:1 work#3:0 work#3:1
        work completed, all completed, good completed, again completed, out skipped, sorry completed
        "sorry"
    "#]],
    );
}

#[test]
fn a_replan_hears_of_a_failed_run_without_the_graph_failing() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x}}
  b: {spawn_run: {target: x}}
  again: {replan: {of: [a], max_replans: 1}}
  out: {output: {value: "${{ has(nodes.b.output) ? nodes.b.output : 'none' }}"}}
edges: [{from: a, to: b}, {from: b, to: again}, {from: again.replan, to: a}, {from: again.continue, to: out}]
"#;
    check(
        text,
        &json!({}),
        &["a"],
        expect![[r#"
        a a#2 b
        a completed, b completed, again completed, out completed
        "b"
    "#]],
    );
    check(
        text,
        &json!({}),
        &["a", "a#2"],
        expect![[r#"
        a a#2
        a failed, b skipped, again completed, out completed
        "none"
    "#]],
    );
}

#[test]
fn two_replans_that_lead_back_to_one_node_come_to_an_end() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x}}
  b: {spawn_run: {target: x}}
  c: {spawn_run: {target: x}}
  r1: {replan: {max_replans: 1}}
  r2: {replan: {max_replans: 1}}
  o1: {output: {value: 1}}
  o2: {output: {value: 2}}
edges:
- {from: a, to: b}
- {from: a, to: c}
- {from: b, to: r1}
- {from: c, to: r2}
- {from: r1.replan, to: a}
- {from: r1.continue, to: o1}
- {from: r2.replan, to: a}
- {from: r2.continue, to: o2}
"#;
    check(
        text,
        &json!({}),
        &["b", "c"],
        expect![[r#"
            a b c a#2 a#3 b#2 c#2
            a completed, b completed, c completed, r1 completed, r2 completed, o1 completed, o2 completed
            {"o1":1,"o2":2}
        "#]],
    );
}

#[test]
fn two_loops_that_wait_for_what_comes_after_each_other_come_to_an_end() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x}}
  b: {spawn_run: {target: x}}
  after_a: {spawn_run: {target: x}}
  after_b: {spawn_run: {target: x}}
  again_a: {replan: {of: [a], max_replans: 1}}
  again_b: {replan: {of: [b], max_replans: 1}}
  out: {output: {value: [1]}}
edges:
- {from: a, to: after_a}
- {from: b, to: after_b}
- {from: a, to: again_a}
- {from: after_b, to: again_a}
- {from: b, to: again_b}
- {from: after_a, to: again_b}
- {from: again_a.replan, to: a}
- {from: again_a.continue, to: out}
- {from: again_b.replan, to: b}
- {from: again_b.continue, to: out}
"#;
    check(
        text,
        &json!({}),
        &["a"],
        expect![[r#"
            a b after_b a#2
            a completed, b completed, after_a skipped, after_b completed, again_a completed, again_b completed, out completed
            [1]
        "#]],
    );
}

#[test]
fn a_join_that_comes_round_again_has_what_its_group_was_decided_as() {
    let text = r#"
nodes:
  g: {spawn_group: {targets: [{target: x}, {target: x}]}}
  a: {spawn_run: {target: x}}
  j: {join: {group: g}}
  r: {replan: {max_replans: 1}}
  out: {output: {value: "${{ nodes.j.output.values }}"}}
edges: [{from: g, to: a}, {from: a, to: j}, {from: j, to: r}, {from: r.replan, to: a}, {from: r.continue, to: out}]
"#;
    check(
        text,
        &json!({}),
        &["g:1"],
        expect![[r#"
        g:0 g:1 a a#2
        g completed, a completed, j completed, r completed, out completed
        ["g:0"]
    "#]],
    );
}

#[test]
fn a_join_outside_a_loop_hears_of_the_group_that_it_has_waited_for() {
    let text = r#"
nodes:
  g: {spawn_group: {targets: [{target: x}]}}
  j: {join: {group: g}}
  w: {spawn_run: {target: x}}
  r: {replan: {of: [w], max_replans: 1}}
  out: {output: {value: "${{ nodes.j.output.values }}"}}
  end: {spawn_run: {target: x}}
edges:
- {from: g, to: j}
- {from: g, to: w}
- {from: j, to: out}
- {from: w, to: r}
- {from: r.replan, to: g}
- {from: r.continue, to: end}
"#;
    check(
        text,
        &json!({}),
        &["w"],
        expect![[r#"
            g:0 w g#2:0 w#2 end
            g completed, j completed, w completed, r completed, out completed, end completed
            ["g#2:0"]
        "#]],
    );
}

/// A plain edge stands for each handle that no other edge leads from.
#[test]
fn a_replan_that_leads_on_plainly_makes_up_for_a_failure_that_no_run_shows() {
    let text = r#"
nodes:
  a: {spawn_run: {target: x, input: "${{ run.seed }}", input_schema: {type: string}}}
  again: {replan: {}}
  out: {output: {value: "${{ nodes.again.output.action }}"}}
edges: [{from: a, to: again}, {from: again, to: out}]
"#;
    check(
        text,
        &json!({}),
        &[],
        expect![[r#"

        a failed, again completed, out completed
        "replan"
    "#]],
    );
}

/// Those that it had spawned until then are counted as they ended.
#[test]
fn a_replan_counts_the_runs_of_a_map_that_broke() {
    let text = r#"
nodes:
  m: {map: {over: "[1, 2, 0, 4]", target: x, window: 1, input: "${{ 6 / item }}"}}
  j: {join: {}}
  r: {replan: {of: [m], max_replans: 0}}
  out: {output: {value: "${{ [nodes.r.output.failed, nodes.r.output.completed] }}"}}
edges: [{from: m, to: j}, {from: j, to: r}, {from: r.continue, to: out}, {from: r.replan, to: m}]
"#;
    check(
        text,
        &json!({}),
        &[],
        expect![[r#"
            m:0 +1 -g1
            m completed, j completed, r completed, out completed
            [1,2]
        "#]],
    );
}
