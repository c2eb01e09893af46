//! Pictures of a graph with a node of every kind, before and after it ran.

mod hostile;

use expect_test::{expect, expect_file};

use super::scene::{REVIEW, Scene, plan};
use super::{Format, Happened, draw};

fn drawn(format: Format) -> String {
    draw(&plan(REVIEW), None, format)
}

fn drawn_run(format: Format) -> String {
    let (plan, scene) = (plan(REVIEW), Scene::review());
    draw(&plan, Some(&Happened::of(&plan, &scene.run, &scene.events)), format)
}

#[test]
fn every_kind_of_node_in_lines() {
    expect![[r#"
        review: 13 nodes, 20 edges, 1 loop
        Reviews a repository in shards.

        1   list      agent_call      lister
            ├ → shards
            └ when input.loud == true → note
        2   shards    map             reader@^1 for each of nodes.list.output.files  → read
            note      spawn_run       notifier, not waited for
        3   read      join            best_effort of shards
            ├ completed, completed_with_errors → kind
            └ failed, timed_out → stop
        4   kind      router          by input.kind
            ├ security → experts
            └ style, default → lint
            stop      cancel_subtree  stops shards  → give_up
        5   experts   spawn_group     2 × auditor, fuzzer  → opinions
            lint      spawn_run       linter  → report
            give_up   output          fails with nothing_read
        6   opinions  join            quorum 2 of experts
            ├ completed → good
            └ completed_with_errors, failed, timed_out → again
        7   good      judge           nodes.opinions.output.success_count ≥ 2
            ├ pass → report
            └ fail → again
        8   again     replan          of shards, when failed > 0, at most 2 times
            ├ replan ↩ shards (loop)
            └ continue → report
        9   report    output"#]]
    .assert_eq(&drawn(Format::Text));
}

#[test]
fn a_run_in_lines() {
    expect![[r#"
        review: 13 nodes, 20 edges, 1 loop; completed in 4.2 s
        Reviews a repository in shards.

        1 * list      agent_call      completed, 120 ms                     lister
            ├ → shards  ✓
            └ when input.loud == true → note
        2 * shards    map             completed, 2.3 s, 3 runs, 2 attempts  reader@^1 for each of nodes.list.output.files  → read
            note      spawn_run       skipped                               notifier, not waited for
        3 * read      join            completed                             best_effort of shards
            ├ completed, completed_with_errors → kind  ✓
            └ failed, timed_out → stop
        4 * kind      router          completed (security)                  by input.kind
            ├ security → experts  ✓
            └ style, default → lint
            stop      cancel_subtree  skipped                               stops shards  → give_up
        5 * experts   spawn_group     completed, 3.3 s, 6 runs              2 × auditor, fuzzer  → opinions
            lint      spawn_run       skipped                               linter  → report
            give_up   output          skipped                               fails with nothing_read
        6 * opinions  join            completed                             quorum 2 of experts
            ├ completed → good  ✓
            └ completed_with_errors, failed, timed_out → again
        7 * good      judge           completed (pass)                      nodes.opinions.output.success_count ≥ 2
            ├ pass → report  ✓
            └ fail → again
        8   again     replan          completed (replan)                    of shards, when failed > 0, at most 2 times
            ├ replan ↩ shards (loop)  ✓
            └ continue → report
        9 * report    output          completed

        * critical path, 4251 ms (4.2 s): list → shards → read → kind → experts → opinions → good → report"#]].assert_eq(&drawn_run(Format::Text));
}

#[test]
fn every_kind_of_node_in_mermaid() {
    expect![[r#"
        flowchart TD
          n0("list<br/>agent_call<br/>lister")
          n1[/"shards<br/>map<br/>reader#64;#94;1 for each of nodes.list.output.files"/]
          n2[\"read<br/>join<br/>best_effort of shards"/]
          n3[/"kind<br/>router<br/>by input.kind"\]
          n4[["experts<br/>spawn_group<br/>2 × auditor, fuzzer"]]
          n5[\"opinions<br/>join<br/>quorum 2 of experts"/]
          n6["lint<br/>spawn_run<br/>linter"]
          n7["note<br/>spawn_run<br/>notifier, not waited for"]
          n8{{"good<br/>judge<br/>nodes.opinions.output.success_count ≥ 2"}}
          n9[\"again<br/>replan<br/>of shards, when failed #62; 0, at most 2 times"\]
          n10>"stop<br/>cancel_subtree<br/>stops shards"]
          n11(["report<br/>output"])
          n12(["give_up<br/>output<br/>fails with nothing_read"])
          n0 --> n1
          n0 -->|"when input.loud #61;#61; true"| n7
          n1 --> n2
          n2 -->|"completed, completed_with_errors"| n3
          n2 -->|"failed, timed_out"| n10
          n10 --> n12
          n3 -->|"security"| n4
          n3 -->|"style, default"| n6
          n5 -->|"completed"| n8
          n5 -->|"completed_with_errors, failed, timed_out"| n9
          n8 -->|"pass"| n11
          n8 -->|"fail"| n9
          n6 --> n11
          n9 -.->|"replan"| n1
          n9 -->|"continue"| n11
          n4 -.- n5"#]]
    .assert_eq(&drawn(Format::Mermaid));
}

#[test]
fn a_run_in_mermaid() {
    expect![[r#"
        flowchart TD
          n0("★ list<br/>agent_call<br/>lister<br/>completed, 120 ms")
          n1[/"★ shards<br/>map<br/>reader#64;#94;1 for each of nodes.list.output.files<br/>completed, 2.3 s, 3 runs, 2 attempts"/]
          n2[\"★ read<br/>join<br/>best_effort of shards<br/>completed"/]
          n3[/"★ kind<br/>router<br/>by input.kind<br/>completed #40;security#41;"\]
          n4[["★ experts<br/>spawn_group<br/>2 × auditor, fuzzer<br/>completed, 3.3 s, 6 runs"]]
          n5[\"★ opinions<br/>join<br/>quorum 2 of experts<br/>completed"/]
          n6["lint<br/>spawn_run<br/>linter<br/>skipped"]
          n7["note<br/>spawn_run<br/>notifier, not waited for<br/>skipped"]
          n8{{"★ good<br/>judge<br/>nodes.opinions.output.success_count ≥ 2<br/>completed #40;pass#41;"}}
          n9[\"again<br/>replan<br/>of shards, when failed #62; 0, at most 2 times<br/>completed #40;replan#41;"\]
          n10>"stop<br/>cancel_subtree<br/>stops shards<br/>skipped"]
          n11(["★ report<br/>output<br/>completed"])
          n12(["give_up<br/>output<br/>fails with nothing_read<br/>skipped"])
          n0 --> n1
          n0 -->|"when input.loud #61;#61; true"| n7
          n1 --> n2
          n2 -->|"completed, completed_with_errors"| n3
          n2 -->|"failed, timed_out"| n10
          n10 --> n12
          n3 -->|"security"| n4
          n3 -->|"style, default"| n6
          n5 -->|"completed"| n8
          n5 -->|"completed_with_errors, failed, timed_out"| n9
          n8 -->|"pass"| n11
          n8 -->|"fail"| n9
          n6 --> n11
          n9 -.->|"replan"| n1
          n9 -->|"continue"| n11
          n4 -.- n5
          classDef completed stroke:#2da44e,stroke-width:2px
          class n0,n1,n2,n3,n4,n5,n8,n9,n11 completed
          classDef skipped stroke:#8b949e,stroke-dasharray:6 4
          class n6,n7,n10,n12 skipped
          classDef critical stroke-width:4px
          class n0,n1,n2,n3,n4,n5,n8,n11 critical
          linkStyle 0,2,3,6,8,10,15 stroke-width:4px
          %% critical path: 4251 ms (4.2 s)"#]].assert_eq(&drawn_run(Format::Mermaid));
}

#[test]
fn every_kind_of_node_in_dot() {
    expect![[r#"
        digraph "review" {
          label="review: 13 nodes, 20 edges, 1 loop" labelloc=t fontname="sans-serif"
          node [shape=box fontname="sans-serif" fontsize=11]
          edge [fontname="sans-serif" fontsize=10]
          n0 [label="list\nagent_call\nlister" style="rounded" tooltip="list: agent_call; lister"]
          n1 [label="shards\nmap\nreader@^1 for each of nodes.list.output.files" shape=parallelogram tooltip="shards: map; reader@^1 for each of nodes.list.output.files"]
          n2 [label="read\njoin\nbest_effort of shards" shape=invtrapezium tooltip="read: join; best_effort of shards"]
          n3 [label="kind\nrouter\nby input.kind" shape=trapezium tooltip="kind: router; by input.kind"]
          n4 [label="experts\nspawn_group\n2 × auditor, fuzzer" peripheries=2 tooltip="experts: spawn_group; 2 × auditor, fuzzer"]
          n5 [label="opinions\njoin\nquorum 2 of experts" shape=invtrapezium tooltip="opinions: join; quorum 2 of experts"]
          n6 [label="lint\nspawn_run\nlinter" tooltip="lint: spawn_run; linter"]
          n7 [label="note\nspawn_run\nnotifier, not waited for" tooltip="note: spawn_run; notifier, not waited for"]
          n8 [label="good\njudge\nnodes.opinions.output.success_count ≥ 2" shape=hexagon tooltip="good: judge; nodes.opinions.output.success_count ≥ 2"]
          n9 [label="again\nreplan\nof shards, when failed > 0, at most 2 times" shape=cds tooltip="again: replan; of shards, when failed > 0, at most 2 times"]
          n10 [label="stop\ncancel_subtree\nstops shards" shape=octagon tooltip="stop: cancel_subtree; stops shards"]
          n11 [label="report\noutput" shape=oval tooltip="report: output"]
          n12 [label="give_up\noutput\nfails with nothing_read" shape=oval tooltip="give_up: output; fails with nothing_read"]
          n0 -> n1
          n0 -> n7 [label="when input.loud == true"]
          n1 -> n2
          n2 -> n3 [label="completed, completed_with_errors"]
          n2 -> n10 [label="failed, timed_out"]
          n10 -> n12
          n3 -> n4 [label="security"]
          n3 -> n6 [label="style, default"]
          n5 -> n8 [label="completed"]
          n5 -> n9 [label="completed_with_errors, failed, timed_out"]
          n8 -> n11 [label="pass"]
          n8 -> n9 [label="fail"]
          n6 -> n11
          n9 -> n1 [label="replan" style=dashed constraint=false]
          n9 -> n11 [label="continue"]
          n4 -> n5 [style=dotted arrowhead=none]
        }"#]].assert_eq(&drawn(Format::Dot));
}

#[test]
fn a_run_in_dot() {
    expect![[r##"
        digraph "review" {
          label="review: 13 nodes, 20 edges, 1 loop; completed in 4.2 s; critical path 4251 ms" labelloc=t fontname="sans-serif"
          node [shape=box fontname="sans-serif" fontsize=11]
          edge [fontname="sans-serif" fontsize=10]
          n0 [label="* list\nagent_call\nlister\ncompleted, 120 ms" color="#2da44e" penwidth=3 style="rounded,bold" tooltip="list: agent_call; lister; completed, 120 ms; on the critical path"]
          n1 [label="* shards\nmap\nreader@^1 for each of nodes.list.output.files\ncompleted, 2.3 s, 3 runs, 2 attempts" shape=parallelogram color="#2da44e" penwidth=3 style="bold" tooltip="shards: map; reader@^1 for each of nodes.list.output.files; completed, 2.3 s, 3 runs, 2 attempts; on the critical path"]
          n2 [label="* read\njoin\nbest_effort of shards\ncompleted" shape=invtrapezium color="#2da44e" penwidth=3 style="bold" tooltip="read: join; best_effort of shards; completed; on the critical path"]
          n3 [label="* kind\nrouter\nby input.kind\ncompleted (security)" shape=trapezium color="#2da44e" penwidth=3 style="bold" tooltip="kind: router; by input.kind; completed (security); on the critical path"]
          n4 [label="* experts\nspawn_group\n2 × auditor, fuzzer\ncompleted, 3.3 s, 6 runs" peripheries=2 color="#2da44e" penwidth=3 style="bold" tooltip="experts: spawn_group; 2 × auditor, fuzzer; completed, 3.3 s, 6 runs; on the critical path"]
          n5 [label="* opinions\njoin\nquorum 2 of experts\ncompleted" shape=invtrapezium color="#2da44e" penwidth=3 style="bold" tooltip="opinions: join; quorum 2 of experts; completed; on the critical path"]
          n6 [label="lint\nspawn_run\nlinter\nskipped" color="#8b949e" style="dashed" tooltip="lint: spawn_run; linter; skipped"]
          n7 [label="note\nspawn_run\nnotifier, not waited for\nskipped" color="#8b949e" style="dashed" tooltip="note: spawn_run; notifier, not waited for; skipped"]
          n8 [label="* good\njudge\nnodes.opinions.output.success_count ≥ 2\ncompleted (pass)" shape=hexagon color="#2da44e" penwidth=3 style="bold" tooltip="good: judge; nodes.opinions.output.success_count ≥ 2; completed (pass); on the critical path"]
          n9 [label="again\nreplan\nof shards, when failed > 0, at most 2 times\ncompleted (replan)" shape=cds color="#2da44e" tooltip="again: replan; of shards, when failed > 0, at most 2 times; completed (replan)"]
          n10 [label="stop\ncancel_subtree\nstops shards\nskipped" shape=octagon color="#8b949e" style="dashed" tooltip="stop: cancel_subtree; stops shards; skipped"]
          n11 [label="* report\noutput\ncompleted" shape=oval color="#2da44e" penwidth=3 style="bold" tooltip="report: output; completed; on the critical path"]
          n12 [label="give_up\noutput\nfails with nothing_read\nskipped" shape=oval color="#8b949e" style="dashed" tooltip="give_up: output; fails with nothing_read; skipped"]
          n0 -> n1 [penwidth=3]
          n0 -> n7 [label="when input.loud == true" color="#8b949e"]
          n1 -> n2 [penwidth=3]
          n2 -> n3 [label="completed, completed_with_errors" penwidth=3]
          n2 -> n10 [label="failed, timed_out" color="#8b949e"]
          n10 -> n12 [color="#8b949e"]
          n3 -> n4 [label="security" penwidth=3]
          n3 -> n6 [label="style, default" color="#8b949e"]
          n5 -> n8 [label="completed" penwidth=3]
          n5 -> n9 [label="completed_with_errors, failed, timed_out" color="#8b949e"]
          n8 -> n11 [label="pass" penwidth=3]
          n8 -> n9 [label="fail" color="#8b949e"]
          n6 -> n11 [color="#8b949e"]
          n9 -> n1 [label="replan" style=dashed constraint=false]
          n9 -> n11 [label="continue" color="#8b949e"]
          n4 -> n5 [style=dotted arrowhead=none penwidth=3]
        }"##]].assert_eq(&drawn_run(Format::Dot));
}

#[test]
fn every_kind_of_node_in_svg() {
    expect_file!["tests/review.svg"].assert_eq(&drawn(Format::Svg));
}

#[test]
fn a_run_in_svg() {
    expect_file!["tests/review_run.svg"].assert_eq(&drawn_run(Format::Svg));
}

#[test]
fn a_graph_without_nodes_is_drawn() {
    let mut empty = plan("spec_version: '2.0'\nnodes: {a: {output: {}}}\n");
    empty.nodes.clear();
    for format in [Format::Text, Format::Mermaid, Format::Dot] {
        assert!(!draw(&empty, None, format).is_empty());
    }
    roxmltree::Document::parse(&draw(&empty, None, Format::Svg)).expect("XML");
}

#[test]
fn a_plain_edge_is_taken_where_no_handle_leads_elsewhere() {
    let text = r#"
spec_version: "2.0"
nodes:
  way: {router: {route_key: input, routes: [{name: a}, {name: b}]}}
  one: {output: {}}
  rest: {output: {}}
edges:
  - {from: way.a, to: one}
  - {from: way, to: rest}
"#;
    let plan = plan(text);
    for (route, expected) in [("a", [true, false]), ("b", [false, true]), ("c", [false, true])] {
        let mut scene = Scene::new(pleach_kernel::RunStatus::Completed);
        scene.routed("way", 1, route);
        let happened = Happened::of(&plan, &scene.run, &scene.events);
        assert_eq!([0, 1].map(|edge| happened.is_taken(&plan, &plan.edges[edge])), expected, "{route}");
    }
}

#[test]
fn of_very_many_ways_some_are_named() {
    let nodes: Vec<String> = (0..12).map(|ix| format!("  n{ix}: {{spawn_run: {{target: w}}}}")).collect();
    let edges: Vec<String> = (1..12).map(|ix| format!("  - {{from: n0, to: n{ix}}}")).collect();
    let text = format!("spec_version: '2.0'\nnodes:\n{}\nedges:\n{}\n", nodes.join("\n"), edges.join("\n"));
    let lines = draw(&plan(&text), None, Format::Text);
    assert!(lines.contains("w  → n1, n2, n3, n4, n5, n6, n7, n8 and 3 more\n2   n1 "), "{lines}");
}

#[test]
fn of_a_long_critical_path_the_ends_are_named() {
    let nodes: Vec<String> = (0..30).map(|ix| format!("  n{ix}: {{spawn_run: {{target: w}}}}")).collect();
    let edges: Vec<String> = (1..30).map(|ix| format!("  - {{from: n{}, to: n{ix}}}", ix - 1)).collect();
    let text = format!("spec_version: '2.0'\nnodes:\n{}\nedges:\n{}\n", nodes.join("\n"), edges.join("\n"));
    let (plan, mut scene) = (plan(&text), Scene::new(pleach_kernel::RunStatus::Completed));
    for ix in 0..30 {
        let id = format!("n{ix}");
        scene.child(&id, &id, pleach_kernel::RunStatus::Completed, ix * 10, ix * 10 + 10);
    }
    let happened = Happened::of(&plan, &scene.run, &scene.events);
    assert_eq!(happened.critical_path(&plan).map(|path| (path.nodes.len(), path.ms)), Some((30, 300)));
    let lines = draw(&plan, Some(&happened), Format::Text);
    let path = lines.lines().last().unwrap_or_default();
    assert!(path.starts_with("* critical path, 300 ms: n0 → n1 → ") && path.ends_with(" → n28 → n29"), "{path}");
    assert!(path.contains(" → n7 → … 14 more … → n22 → "), "{path}");
}
