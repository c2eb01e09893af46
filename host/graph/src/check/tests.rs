//! Whole graphs, and the lines that are told of them.

use expect_test::{Expect, expect};

use crate::tests::problems;

/// What is told of a graph of these nodes and edges.
#[track_caller]
fn check(nodes_and_edges: &str, expected: Expect) {
    expected.assert_eq(&problems(&format!("spec_version: \"2.0\"\nnodes:\n{nodes_and_edges}")));
}

#[test]
fn every_handle_leads_somewhere() {
    check(
        r#"  g: {spawn_group: {targets: [{target: w}, {target: w}]}}
  f: {join: {mode: first_success}}
  r: {router: {route_key: input.k, routes: [{name: x}, {name: y, equals: 1}, {name: z, equals: 1}]}}
  j: {judge: {score: "1.0", threshold: 1}}
  a: {spawn_run: {target: w}}
  b: {spawn_run: {target: w}}
edges:
  - {from: g, to: f}
  - {from: f.completed, to: r}
  - {from: f.completed_with_errors, to: a}
  - {from: r.x, to: a}
  - {from: r.x, to: b}
  - {from: j.pass, to: a}
  - {from: j.fail, to: b}
  - {from: j, to: a}
"#,
        expect![[r#"
            g:4:3: error[handle_unwired]: `f.failed`, `f.timed_out` lead nowhere (add an edge for each, or a plain one for all: `{from: f, to: …}`)
            g:5:3: error[handle_unwired]: `r.y`, `r.z`, `r.default` lead nowhere (add an edge for each, or a plain one for all: `{from: r, to: …}`)
            g:5:96: warning[route_never_taken]: the route `z` is never taken: `y` equals the same (the first that equals the key is taken: give it another `equals`)
            g:12:14: error[handle_impossible]: `f` never ends as `completed_with_errors`: the mode of its group is `first_success` (take the edge out; only `best_effort` goes on after a failure)
            g:14:14: error[handle_wired_twice]: the handle `r.x` leads to two nodes (lead it to one node, and lead plain edges from that one to several)
            g:17:12: warning[edge_never_taken]: this edge is never taken: an edge leads from every handle of the judge `j` (take it out)"#]],
    );
}

#[test]
fn a_plain_edge_covers_the_handles_that_no_other_leads_from() {
    check(
        r#"  g: {spawn_group: {targets: [{target: w}]}}
  f: {join: {}}
  a: {spawn_run: {target: w}}
  b: {output: {}}
  h: {map: {over: input.l, target: w}}
  last: {join: {}}
edges:
  - {from: g, to: f}
  - {from: f.failed, to: a}
  - {from: f, to: b}
  - {from: h, to: last}
"#,
        expect![[r#"
            g:5:3: warning[unused_output]: nobody looks at the output of `a`, and nothing comes after it (use `nodes.a.output` in an output, lead an edge from it, or take it out)
            g:8:3: warning[unused_output]: nobody looks at the output of `last`, and nothing comes after it (use `nodes.last.output` in an output, lead an edge from it, or take it out)"#]],
    );
}

#[test]
fn a_cycle_is_legal_only_through_a_replan() {
    let nodes = r#"  a: {spawn_run: {target: w}}
  b: {spawn_run: {target: w}}
  c: {spawn_run: {target: w}}
  r: {replan: {max_replans: 0}}
  o: {output: {}}
edges:
  - {from: a, to: b}
  - {from: b, to: r}
  - {from: r.continue, to: o}
"#;
    check(
        &format!("{nodes}  - {{from: r.replan, to: a}}\n"),
        expect![[r#"
        g:5:3: warning[unused_output]: nobody looks at the output of `c`, and nothing comes after it (use `nodes.c.output` in an output, lead an edge from it, or take it out)
        g:12:12: warning[edge_never_taken]: this edge is never taken: `max_replans` of `r` is 0 (raise `max_replans`, or take the loop out)"#]],
    );
    check(
        &format!("{nodes}  - {{from: r.replan, to: c}}\n  - {{from: c, to: a}}\n  - {{from: b, to: a}}\n"),
        expect![[r#"
        g:12:12: warning[edge_never_taken]: this edge is never taken: `max_replans` of `r` is 0 (raise `max_replans`, or take the loop out)
        g:14:12: error[cycle]: these nodes wait for each other: `a → b → a` (take one of these edges out, or lead back from the handle `replan` of a `replan` node)"#]],
    );
    check(
        &nodes.replace("r.continue, to: o", "r, to: a").replace("from: b, to: r", "from: b.x, to: r"),
        expect![[r#"
        g:5:3: warning[unused_output]: nobody looks at the output of `c`, and nothing comes after it (use `nodes.c.output` in an output, lead an edge from it, or take it out)
        g:10:14: error[unknown_handle]: the spawn_run `b` has no handle `x` (write `b`: only a join, a judge, a router and a replan have handles)"#]],
    );
    check(
        &nodes.replace("r.continue, to: o", "r.continue, to: a"),
        expect![[r#"
        g:5:3: warning[unused_output]: nobody looks at the output of `c`, and nothing comes after it (use `nodes.c.output` in an output, lead an edge from it, or take it out)
        g:6:3: error[handle_unwired]: `r.replan` leads nowhere (add an edge `{from: r.replan, to: …}`)
        g:11:12: error[cycle]: these nodes wait for each other: `a → b → r → a` (a loop leads back from the handle `r.replan`, and from no other)"#]],
    );
}

#[test]
fn a_cycle_of_tasks_is_told_by_their_needs() {
    let tasks = (0..12).map(|n| format!("- {{id: t{n}, agent: w, needs: [t{}]}}\n", (n + 1) % 12)).collect::<String>();
    expect!["g:3:30: error[cycle]: these nodes wait for each other: `t0 → t11 → t10 → t9 → t8 → t7 → t6 → … → t0`, 12 nodes (take one of these `needs` out)"].assert_eq(&problems(&format!("spec_version: \"2.0\"\ntasks:\n{tasks}")));
}

#[test]
fn a_node_that_no_edge_can_lead_to_is_told() {
    check(
        r#"  g: {spawn_group: {targets: [{target: w}]}}
  f: {join: {mode: fail_fast}}
  a: {spawn_run: {target: w}}
  b: {spawn_run: {target: w}}
  c: {spawn_run: {target: w}}
edges:
  - {from: g, to: f}
  - {from: f, to: c}
  - {from: f.completed_with_errors, to: a}
  - {from: a, to: b}
  - {from: a, to: c}
"#,
        expect![[r#"
            g:5:3: error[unreachable_node]: `a` never runs: no edge to it is taken (lead an edge to it from a node and a handle that can be reached, or take it out)
            g:6:3: error[unreachable_node]: `b` never runs: no edge to it is taken (lead an edge to it from a node and a handle that can be reached, or take it out)
            g:11:14: error[handle_impossible]: `f` never ends as `completed_with_errors`: the mode of its group is `fail_fast` (take the edge out; only `best_effort` goes on after a failure)"#]],
    );
}

#[test]
fn a_join_comes_after_its_group() {
    check(
        r#"  r: {router: {route_key: input.k, routes: [{name: x}]}}
  later: {spawn_group: {targets: [{target: w}]}}
  beside: {spawn_group: {targets: [{target: w}]}}
  other: {spawn_group: {targets: [{target: w}]}}
  maybe: {spawn_group: {targets: [{target: w}]}}
  lonely: {map: {over: input.l, target: w}}
  j1: {join: {group: later}}
  j2: {join: {group: beside}}
  j3: {join: {group: other}}
  j4: {join: {group: maybe}}
edges:
  - {from: j1, to: later}
  - {from: r.x, to: other}
  - {from: r.default, to: j3}
  - {from: beside, to: maybe, when: input.w}
  - {from: maybe, to: j4}
  - {from: beside, to: j4}
"#,
        expect![[r#"
            g:8:3: warning[group_never_joined]: nobody waits for the group of `lonely` (add a `join` node and an edge `{from: lonely, to: …}`)
            g:9:22: error[join_never_decided]: the join `j1` can never be decided: `later` comes after `j1` (lead the edges so that `later` comes first)
            g:10:22: error[join_never_decided]: the join `j2` can never be decided: `beside` runs beside `j2`, and may be done before it or after it (add an edge: `{from: beside, to: j2}`)
            g:11:22: error[join_never_decided]: the join `j3` can never be decided: `other` and `j3` are on different branches of `r` (look at a node that is on the way to this one)
            g:12:22: warning[group_may_be_skipped]: `j4` may run although its group `maybe` was skipped (lead to the join only from where the group was spawned; it fails where there is none)"#]],
    );
}

#[test]
fn a_replan_and_a_cancel_are_about_runs_before_them() {
    check(
        r#"  a: {spawn_run: {target: w}}
  j: {judge: {score: "1.0", threshold: 1}}
  alone: {replan: {}}
  of: {replan: {of: [j, z]}}
  k: {cancel_subtree: {node: j}}
  late: {cancel_subtree: {node: z}}
  beside: {cancel_subtree: {node: a}}
  z: {spawn_run: {target: w}}
edges:
  - {from: alone, to: a}
  - {from: j, to: of}
  - {from: of, to: k}
  - {from: late, to: z}
"#,
        expect![[r#"
            g:5:3: error[no_lineage]: `alone` has nothing to look at: no node before it spawns a run (lead an edge to it from a `join`, a `spawn_run`, an `agent_call`, a `map` or a `spawn_group`)
            g:6:22: error[no_lineage]: `j` is a judge and spawns no run (name a `spawn_run`, an `agent_call`, a `spawn_group` or a `map`)
            g:6:25: error[no_lineage]: `of` cannot look at the runs of `z`: `z` runs beside `of`, and may be done before it or after it (add an edge: `{from: z, to: of}`)
            g:7:30: error[no_lineage]: `j` is a judge and spawns no run (name a `spawn_run`, an `agent_call`, a `spawn_group` or a `map`)
            g:8:33: error[no_lineage]: `late` has nothing to cancel: `z` comes after `late` (lead the edges so that `z` comes first)"#]],
    );
}

#[test]
fn what_an_expression_looks_at_has_run() {
    check(
        r#"  a: {spawn_run: {target: w, input: {x: "${{ nodes.b.output }} and ${{ nodes.aa.output }}", y: "${{ nodes.a.output }}"}}}
  b: {spawn_run: {target: w, input: "${{ nodes.a.outptu }}"}}
  c: {spawn_run: {target: w, input: "${{ nodes.a.output + string(nodes.b.score) }}"}}
  r: {router: {route_key: nodes.b.output.kind, routes: [{name: x}]}}
  x: {spawn_run: {target: w}}
  d: {spawn_run: {target: w, input: "${{ nodes.x.output }}"}}
  m: {spawn_run: {target: w, input: ["${{ nodes.x.output }}", "${{ has(nodes.x.output) ? nodes.x.output : input }}", "${{ nodes.x.status }}"]}}
  o: {output: {value: "${{ nodes.m.output }} ${{ nodes.r.output }} ${{ run.sed }} ${{ inptu.x }} ${{ item }} ${{ failed }} ${{ plain }} ${{ a }}"}}
edges:
  - {from: a, to: b}
  - {from: b, to: r}
  - {from: r.x, to: x}
  - {from: r.default, to: d}
  - {from: x, to: m}
  - {from: d, to: m}
  - {from: m, to: o, when: nodes.m.output.ok && nodes.c.output.ok}
"#,
        expect![[r#"
            g:3:46: error[node_cannot_have_run]: `b` cannot have run when `a` does: `b` comes after `a` (lead the edges so that `b` comes first)
            g:3:72: error[unknown_node]: there is no node `aa` (did you mean `a`?)
            g:3:101: error[node_cannot_have_run]: `a` cannot have run when `a` does: it is the node itself (look at a node before it)
            g:4:42: error[unknown_field]: a node has no field `outptu` (did you mean `output`?)
            g:5:42: error[node_cannot_have_run]: `a` cannot have run when `c` does: `a` runs beside `c`, and may be done before it or after it (add an edge: `{from: a, to: c}`)
            g:5:66: error[node_cannot_have_run]: `b` cannot have run when `c` does: `b` runs beside `c`, and may be done before it or after it (add an edge: `{from: b, to: c}`)
            g:5:66: error[unknown_field]: a node has no field `score` (what the node gave is below its output: `nodes.b.output.score`)
            g:8:42: error[node_cannot_have_run]: `x` cannot have run when `d` does: `x` and `d` are on different branches of `r` (look at a node that is on the way to this one)
            g:9:43: warning[may_not_have_run]: `x` may have been skipped when `m` runs, and then has no output (ask first: `has(nodes.x.output) ? nodes.x.output : null`)
            g:10:72: error[unknown_field]: the run has no field `sed` (did you mean `seed`?)
            g:10:87: error[unknown_name]: there is no `inptu` here (did you mean `input`?)
            g:10:102: error[unknown_name]: `item` is known only in the runs of a `map` (it can be used in the `input` of the `map`, and not in its `over`)
            g:10:114: error[unknown_name]: `failed` is known only in the `when` of a `replan` (count the outputs of a join)
            g:10:128: error[unknown_name]: there is no `plain` here (text goes in quotes: `"plain"`; data is in `input`, `nodes` and `run`)
            g:10:141: error[unknown_name]: there is no `a` here (what the node gave is `nodes.a.output`)
            g:18:49: error[node_cannot_have_run]: `c` cannot have run when `m` does: `c` runs beside `m`, and may be done before it or after it (add an edge: `{from: c, to: m}`)"#]],
    );
}

#[test]
fn what_lies_on_every_way_has_certainly_run() {
    // Two that are both awaited, a fork that comes together again, a branch that may
    // be passed by, and a loop.
    check(
        r#"  s: {spawn_run: {target: w}}
  p: {spawn_run: {target: w, input: "${{ nodes.s.output }}"}}
  q: {spawn_run: {target: w, input: "${{ nodes.s.output }}"}}
  n: {judge: {score: "nodes.p.output + nodes.q.output", threshold: 1}}
  yes: {spawn_run: {target: w, input: "${{ nodes.n.output }}"}}
  no: {spawn_run: {target: w, input: "${{ nodes.q.output }}"}}
  both: {spawn_run: {target: w, input: "${{ nodes.n.output }} ${{ has(nodes.yes.output) ? nodes.yes.output : nodes.no.output }}"}}
  g: {map: {over: nodes.both.output, target: w, input: "${{ [item, index] }}"}}
  j: {join: {}}
  again: {replan: {when: failed > completed}}
  o: {output: {value: "${{ nodes.j.output }} ${{ nodes.both.output }} ${{ nodes.again.output }}"}}
edges:
  - {from: s, to: p}
  - {from: s, to: q}
  - {from: p, to: n}
  - {from: q, to: n}
  - {from: n.pass, to: yes}
  - {from: n.fail, to: no}
  - {from: yes, to: both}
  - {from: no, to: both}
  - {from: both, to: g}
  - {from: g, to: j}
  - {from: j, to: again}
  - {from: again.replan, to: g}
  - {from: again.continue, to: o}
"#,
        expect![[""]],
    );
}

#[test]
fn what_comes_later_in_a_loop_is_there_the_second_time() {
    check(
        r#"  w: {spawn_run: {target: w, input: ["${{ nodes.j.output.rationale }}", "${{ has(nodes.j.output) ? nodes.j.output.rationale : '' }}"]}}
  j: {judge: {score: nodes.w.output, threshold: 1}}
  r: {replan: {}}
  o: {output: {value: "${{ nodes.w.output }}"}}
edges:
  - {from: w, to: j}
  - {from: j.fail, to: r}
  - {from: j.pass, to: o}
  - {from: r.replan, to: w}
  - {from: r.continue, to: o}
"#,
        expect![
            "g:3:43: warning[may_not_have_run]: `j` has not run when `w` runs for the first time: it comes later in the loop (ask first: `has(nodes.j.output) ? nodes.j.output : null`)"
        ],
    );
}

#[test]
fn work_that_nobody_looks_at_is_told() {
    let nodes = r#"  a: {spawn_run: {target: w}}
  b: {agent_call: {target: w}}
  c: {spawn_run: {target: w, wait: false}}
  d: {spawn_run: {target: w}}
  o: {output: {value: "${{ nodes.d.output }}"}}
edges:
  - {from: d, to: o}
"#;
    check(
        nodes,
        expect![[r#"
        g:3:3: warning[unused_output]: nobody looks at the output of `a`, and nothing comes after it (use `nodes.a.output` in an output, lead an edge from it, or take it out)
        g:4:3: warning[unused_output]: nobody looks at the output of `b`, and nothing comes after it (use `nodes.b.output` in an output, lead an edge from it, or take it out)"#]],
    );
}

#[test]
fn an_expression_gives_what_is_needed_there() {
    check(
        r#"  m: {map: {over: "size(input.l)", target: w, input: "${{ 1 + 'ö' }} ${{ index + 'x' }}"}}
  j: {join: {}}
  k: {judge: {score: "'high'", threshold: 1}}
  r: {replan: {when: failed}}
edges:
  - {from: m, to: j}
  - {from: j, to: r}
  - {from: r, to: k}
  - {from: m, to: k, when: "nodes.m.status"}
  - {from: k, to: o}
"#,
        expect![[r#"
            g:3:20: error[type_error]: a `map` goes over a list, not an integer (give a list, such as `input.items`)
            g:3:59: error[type_error]: `+` does not take an integer and text (write `string(…)` around what is no text)
            g:3:74: error[type_error]: `+` does not take an integer and text (write `string(…)` around what is no text)
            g:5:23: error[type_error]: a score is a number, not text (give a number, such as `1.0`)
            g:6:22: error[type_error]: a condition is a boolean, not an integer (compare it: `… == …`, `… > …`)
            g:11:29: error[type_error]: a condition is a boolean, not text (compare it: `… == …`, `… > …`)
            g:12:19: error[unknown_node]: there is no node `o`"#]],
    );
}

#[test]
fn a_replan_can_lead_on_to_another_that_leads_back() {
    let nodes = r#"  a: {spawn_run: {target: w}}
  r1: {replan: {}}
  fix: {spawn_run: {target: w, input: "${{ nodes.r1.output }}"}}
  r2: {replan: {}}
  o: {output: {}}
edges:
  - {from: a, to: r1}
  - {from: r1.replan, to: fix}
  - {from: fix, to: r2}
  - {from: r2.replan, to: a}
  - {from: r1.continue, to: o}
  - {from: r2.continue, to: o}
"#;
    check(nodes, expect![[""]]);
}

#[test]
fn what_was_told_of_a_node_or_an_edge_is_not_told_again_of_others() {
    check(
        r#"  a: {spawn_run: {tagret: w}}
  b: {spawn_run: {target: w, input: "${{ nodes.a.output }} ${{ nodes.g.output }}"}}
  g: {map: {over: input.l, target: w}}
  j: {join: {}}
  k: {judge: {score: nodes.a.output, threshold: 1}}
  after: {spawn_run: {target: w, input: "${{ nodes.g.output }}"}}
  o: {output: {}}
edges:
  - {from: a, to: b}
  - {from: g, to: jj}
  - {from: gg, to: j}
  - {from: k.passed, to: b}
  - {from: k.fail, to: a}
  - {from: b, to: after}
"#,
        expect![[r#"
            g:3:19: error[unknown_field]: there is no field `tagret` here (did you mean `target`?)
            g:6:3: warning[unused_output]: nobody looks at the output of `j`, and nothing comes after it (use `nodes.j.output` in an output, lead an edge from it, or take it out)
            g:8:3: warning[unused_output]: nobody looks at the output of `after`, and nothing comes after it (use `nodes.after.output` in an output, lead an edge from it, or take it out)
            g:12:19: error[unknown_node]: there is no node `jj` (did you mean `j`?)
            g:13:12: error[unknown_node]: there is no node `gg` (did you mean `g`?)
            g:14:14: error[unknown_handle]: the judge `k` has no handle `passed` (did you mean `k.pass`?)"#]],
    );
}

#[test]
fn what_the_kernel_would_refuse_of_one_run_is_told() {
    let scopes = vec!["a:b"; 1_025].join(", ");
    check(
        &format!(
            r#"  a: {{spawn_run: {{target: Worker, fallbacks: ["w@", w], retry: {{max_attempts: 1001}}}}}}
  b: {{replan: {{target: ""}}}}
  c: {{agent_call: {{target: "w@^1", scopes: [{scopes}]}}}}
edges:
  - {{from: a, to: b}}
  - {{from: b, to: c}}
"#
        ),
        expect![[r#"
            g:3:27: error[invalid_name]: `Worker` is no target (`name` or `name@requirement`; a name is 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter)
            g:3:47: error[invalid_name]: `w@` is no target (`name` or `name@requirement`; a name is 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter)
            g:3:79: error[invalid_value]: a run is tried at most 1000 times
            g:4:24: error[invalid_name]: `` is no target (`name` or `name@requirement`; a name is 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter)
            g:5:5165: error[invalid_value]: a list has at most 1024 scopes, not 1025 (use a wildcard)"#]],
    );
}

/// A graph as long as it is has no stack to be followed with.
#[test]
fn a_long_graph_takes_no_stack() {
    const NODES: usize = 20_000;
    let mut text = "spec_version: \"2.0\"\nnodes:\n".to_owned();
    for n in 0..NODES {
        text.push_str(&format!("  n{n}: {{judge: {{score: input.s, threshold: 1}}}}\n"));
    }
    text.push_str("edges:\n");
    for n in 1..NODES {
        text.push_str(&format!("- {{from: n{}.pass, to: n{n}}}\n- {{from: n{}.fail, to: n0}}\n", n - 1, n - 1));
    }
    let check = move || problems(&text);
    let told = std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap().join().expect("it fits");
    expect![[r#"
        g:20002:3: error[handle_unwired]: `n19999.pass`, `n19999.fail` lead nowhere (add an edge for each, or a plain one for all: `{from: n19999, to: …}`)
        g:20005:23: error[cycle]: `n0` leads to itself (a loop leads back through a `replan`)
        g:20007:10: error[cycle]: these nodes wait for each other: `n0 → n1 → n0` (take one of these edges out, or lead back from the handle `replan` of a `replan` node)"#]].assert_eq(&told);
}

/// What agents and plugins give is theirs to say.
#[test]
fn what_the_graph_makes_has_certain_fields() {
    check(
        r#"  g: {map: {over: input.items, target: w}}
  j: {join: {}}
  k: {judge: {score: nodes.g.output.values, threshold: 1}}
  l: {judge: {score: nodes.j.output.status, threshold: 1}}
  r: {router: {route_key: nodes.l.output.verdict, routes: [{name: x}]}}
  h: {map: {over: nodes.j.output, target: w, input: "${{ nodes.j.output.value }}"}}
  a: {spawn_run: {target: w, input: "${{ [nodes.r.output.route, nodes.j.output.values, nodes.l.output.score] }}"}}
  b: {spawn_run: {target: w, input: "${{ nodes.a.output.whatever }}"}}
edges:
- {from: g, to: j}
- {from: j, to: k}
- {from: k, to: l}
- {from: l, to: r}
- {from: r, to: h}
- {from: r, to: a}
- {from: a, to: b}
"#,
        expect![[r#"
            g:5:22: error[unknown_field]: `g` is a map, and its output has no field `values` (what its members gave is in the output of the `join` that waits for them, as `values`)
            g:6:22: error[type_error]: a score is a number, not text (give a number, such as `1.0`)
            g:7:27: error[unknown_field]: `l` is a judge, and its output has no field `verdict` (it has `outcome`, `score`, `rationale`)
            g:8:3: warning[group_never_joined]: nobody waits for the group of `h` (add a `join` node and an edge `{from: h, to: …}`)
            g:8:19: error[type_error]: a `map` goes over a list, not a map (give a list, such as `input.items`)
            g:8:58: error[unknown_field]: `j` is a join, and its output has no field `value` (did you mean `values`?)"#]],
    );
}

/// Of a node that could not be read whole, nothing is said that may follow from that.
#[test]
fn what_could_not_be_read_is_not_missing_too() {
    check(
        r#"  a: {spawn_run: {target: w}}
  j: {judge: {score: nodes.a.output, treshold: 1}}
  k: {judge: {score: 5, threshold: 1}}
  r: {router: {route_key: input.k, routes: {name: x}}}
  m: {map: {over: [1, 2], target: w}}
  n: {join: {mode: quorum, quorum: many}}
  o: {join: {mode: some, quorum: 2, group: m}}
"#,
        expect![[r#"
            g:4:22: error[node_cannot_have_run]: `a` cannot have run when `j` does: `a` runs beside `j`, and may be done before it or after it (add an edge: `{from: a, to: j}`)
            g:4:38: error[unknown_field]: there is no field `treshold` here (did you mean `threshold`?)
            g:5:22: error[wrong_type]: expected an expression, found an integer (write it in quotes)
            g:6:44: error[wrong_type]: expected a list, found a map
            g:7:19: error[wrong_type]: expected an expression, found a list (an expression is text: write it in quotes, such as "[1, 2, 3]")
            g:8:36: error[wrong_type]: expected an integer, found text
            g:9:20: error[unknown_name]: there is no `some` here (it is one of `best_effort`, `all`, `fail_fast`, `quorum`, `first_success`)"#]],
    );
}

#[test]
fn what_is_written_as_elsewhere_is_told_how_it_is_written_here() {
    check(
        r#"  a-b: {spawn_run: {target: w}}
  o: {output: {value: "${{ nodes.a-b.output }}"}}
  p: {output: {error: {code: Not Good}}}
  r: {spawn_run: {target: w, input: "${{ None }}"}}
  s: {agent_call: {tagret: w}}
edges:
- {form: a-b, to: o}
"#,
        expect![[r#"
            g:4:28: error[unknown_node]: there is no node `a` (an id with `-` goes in brackets: `nodes["a-b"]`)
            g:4:28: error[type_error]: `-` does not take a map and a value
            g:4:36: error[unknown_name]: there is no `b` here (text goes in quotes: `"b"`; data is in `input`, `nodes` and `run`)
            g:5:30: error[invalid_name]: `Not Good` is no code of an error (1 to 64 of `a-z`, `0-9` and `_`, beginning with a letter: what varies goes into the `message`)
            g:6:42: error[unknown_name]: there is no `None` here (CEL writes `true`, `false` and `null`)
            g:7:20: error[unknown_field]: there is no field `tagret` here (did you mean `target`?)
            g:9:4: error[unknown_field]: there is no field `form` here (did you mean `from`?)"#]],
    );
}

#[test]
fn a_router_has_so_many_routes_and_no_more() {
    let told = |count: usize| {
        let routes: Vec<String> = (0..count).map(|route| format!("{{name: r{route}, equals: {route}}}")).collect();
        let node = format!("  r: {{router: {{route_key: input.k, routes: [{}]}}}}\n", routes.join(", "));
        problems(&format!("spec_version: \"2.0\"\nnodes:\n{node}  o: {{output: {{}}}}\nedges: [{{from: r, to: o}}]\n"))
    };
    assert_eq!(told(1_000), "");
    assert!(told(1_001).contains("error[too_large]: a router has at most 1000 routes, and this has 1001"));
}
