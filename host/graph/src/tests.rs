//! Whole files: what is told of them.

use crate::diagnostic::OneLine;
use crate::source::Source;
use crate::{Compiled, compile};

/// Every problem of a file, a line each, with its hint.
pub(crate) fn problems(text: &str) -> String {
    told(text, compile)
}

/// The same, compiled in some way.
pub(crate) fn told(text: &str, compile: impl Fn(&Source) -> Compiled) -> String {
    let source = Source::new("g", text);
    let told = compile(&source).problems.into_iter().map(|one| {
        let hint = one.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{}{hint}", OneLine(&source, &one))
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_one_node_says_is_checked_by_itself() {
    let text = r#"
spec_version: "2.0"
name: Bad Name
nodes:
  a: {spawn_run: {target: w, retry: {max_attempts: 0, jitter: 2}, scopes: ["nonsense"], timeout_ms: 0}}
  a: {spawn_run: {target: w}}
  "b c": {spawn_run: {target: w, input: {x: "${{ 1 + }}"}}}
  r: {router: {routes: [{name: x}, {name: x}, {name: default}], route_key: input.k, target: t}}
  j: {judge: {score: input.s, criteria: {}}}
  o: {output: {value: 1, error: {code: x}}}
  g: {spawn_group: {targets: [{target: w}, {target: w}]}}
  q: {join: {mode: quorum, quorum: 3}}
  q2: {join: {group: a}}
  q3: {join: {}}
  q4: {join: {group: g}}
edges:
  - {from: a.done, to: j}
  - {from: g, to: q}
  - {from: g, to: q}
  - {from: r.y, to: zz}
  - {from: j.passed, to: o}
  - {from: j, to: j}
"#;
    expect_test::expect![[r#"
        g:3:7: error[invalid_name]: `Bad Name` is no name of a graph (1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter)
        g:5:52: error[invalid_value]: `max_attempts` counts the first try: it is at least 1
        g:5:63: error[invalid_value]: `jitter` is a part of the wait: it is from 0 to 1
        g:5:76: error[scope_invalid]: `nonsense` is not a scope: it has no `:`, as in `fs.read:docs/*`
        g:5:101: error[invalid_value]: a run of 0 ms cannot be (leave it out for a run without a deadline)
        g:6:3: error[duplicate_node]: there are two nodes `a` (give one of them another id)
        g:7:3: error[invalid_id]: `b c` is no id of a node (1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`, beginning with a letter or `_`)
        g:7:52: error[expression]: it is no expression: it ends too early
        g:8:43: error[duplicate_route]: there are two routes `x` (give it another name)
        g:8:54: error[invalid_name]: there is always a route `default`, for what equals no other (give it another name)
        g:8:93: error[two_kinds]: `target` of the router `r` is here beside `route_key` (keep one of them)
        g:9:22: error[missing_field]: a `score` needs a `threshold` to be held against (write `threshold: 0.8`, or what it has to reach)
        g:9:41: error[unused_field]: `criteria` means nothing without `target` (leave it out)
        g:10:33: error[two_kinds]: `error` of the output `o` is here beside `value` (keep one of them)
        g:12:36: error[invalid_quorum]: a quorum of 3 of 2 can never be reached (it is at most the number of targets)
        g:13:22: error[join_without_group]: `a` is a spawn_run and makes no group (name a `spawn_group` or a `map`)
        g:14:3: error[join_without_group]: the join `q3` has no group (lead an edge to it from a `spawn_group` or a `map`, or name one as `group`)
        g:15:3: error[joined_twice]: the group `g` is joined twice (a group is decided once: use the output of the first join)
        g:15:22: error[join_never_decided]: the join `q4` can never be decided: `g` runs beside `q4`, and may be done before it or after it (add an edge: `{from: g, to: q4}`)
        g:17:14: error[unknown_handle]: the spawn_run `a` has no handle `done` (write `a`: only a join, a judge, a router and a replan have handles)
        g:19:12: error[duplicate_edge]: this edge is here twice: `g` to `q` (leave one out)
        g:20:14: error[unknown_handle]: the router `r` has no handle `y` (it has `x`, `default`)
        g:20:21: error[unknown_node]: there is no node `zz`
        g:21:14: error[unknown_handle]: the judge `j` has no handle `passed` (did you mean `j.pass`?)
        g:22:19: error[cycle]: `j` leads to itself (a loop leads back through a `replan`)"#]].assert_eq(&problems(text));
}

#[test]
fn what_looks_computed_and_is_not_is_told() {
    let text = r#"
spec_version: "2.0"
version: one.two
nodes:
  a: {spawn_run: {target: "w@^^1", scopes: ["fs.read:${{ input.dir }}"], input: {"${{ input.k }}": 1, "$${{": "${{ input.x }}"}}}
  r: {router: {route_key: input.k, routes: [{name: x, equals: "${{ input.x }}"}]}}
  p: {router: {target: "pick@>=1.2, <3", routes: [{name: x, equals: 1}]}}
  c: {cancel_subtree: {node: a, reason: "for ${{ input.why }}"}}
  o: {output: {value: 1}}
edges: [{from: a, to: r}, {from: r, to: p}, {from: p, to: c}, {from: c, to: o}]
"#;
    expect_test::expect![[r#"
        g:3:10: warning[invalid_version]: `one.two` is no version: unexpected character 'o' while parsing major version number (write it as `1.0.0`: a graph is published under nothing else)
        g:5:27: error[invalid_version]: `^^1` is no requirement of a version: unexpected character '^' while parsing major version number (write it as `1.2.3`, `^1`, `>=1.2, <3` or `*`)
        g:5:45: warning[not_computed]: a scope is taken as it stands: `${{ … }}` in it is not computed (name what the run may use; `*` in its place stands for any)
        g:5:82: warning[not_computed]: a key is taken as it stands: `${{ … }}` in it is not computed (make the map in an expression, such as `${{ {input.key: input.value} }}`)
        g:6:63: warning[not_computed]: what a route `equals` is taken as it stands: `${{ … }}` in it is not computed (compare in the `route_key`, such as `input.a == input.b`, with `equals: true`)
        g:7:69: warning[unused_field]: `equals` means nothing without `route_key` (leave it out)
        g:8:41: warning[not_computed]: a `reason` is taken as it stands: `${{ … }}` in it is not computed (say it in words that hold for each run)"#]].assert_eq(&problems(text));
}

#[test]
fn what_is_wrong_with_a_schema_is_told_where_it_is() {
    let text = r##"
spec_version: "2.0"
input_schema:
  type: object
  properties:
    name: {type: strin}
nodes:
  a:
    spawn_run:
      target: w
      output_schema: {properties: {"a/b": {anyOf: [{type: string}, {$ref: "#/$defs/gone"}]}}}
"##;
    expect_test::expect![[r#"
        g:6:18: error[invalid_schema]: no JSON Schema: there is no type "strin"; there are `array`, `boolean`, `integer`, `null`, `number`, `object` and `string`
        g:11:68: error[invalid_schema]: no JSON Schema: it refers to `#/$defs/gone`, which is no place in it; write `#/$defs/NAME`"#]].assert_eq(&problems(text));
}

#[test]
fn what_the_graph_makes_has_types() {
    let text = r#"
spec_version: "2.0"
output_schema: {type: string}
nodes:
  g: {spawn_group: {targets: [{target: w}]}}
  j: {join: {}}
  a: {spawn_run: {target: w, on_failure: isolated, input: {x: "${{ nodes.j.output.values.x }}", y: "n ${{ nodes.j.output.success_count + ' ok' }}"}}}
  b: {spawn_run: {target: w, input: "${{ nodes.a.error.msg }} ${{ has(nodes.a.error.code.x) }} ${{ input.t.matches('(') }}"}}
  r: {router: {route_key: input.x > 1, routes: [{name: big}, {name: small, equals: true}, {name: n, equals: 1}]}}
  s: {router: {route_key: size(input.l), routes: [{name: "0"}, {name: one, equals: 1.0}]}}
  o: {output: {value: 5}}
edges: [{from: g, to: j}, {from: j, to: a}, {from: a, to: b}, {from: b, to: r}, {from: r, to: s}, {from: s, to: o}]
"#;
    expect_test::expect![[r#"
        g:7:68: error[type_error]: a list has no field `x`
        g:7:107: error[type_error]: `+` does not take an integer and text (write `string(…)` around what is no text)
        g:8:42: error[unknown_field]: an error has no field `msg` (it has `code`, `message`)
        g:8:70: error[type_error]: text has no field `x`
        g:8:116: error[type_error]: `(` is no pattern: unclosed group
        g:9:56: warning[route_never_taken]: the route `big` is never taken: the key is a boolean, and this is text (say with `equals` what the key is to be, of the same type)
        g:9:109: warning[route_never_taken]: the route `n` is never taken: the key is a boolean, and this is an integer (say with `equals` what the key is to be, of the same type)
        g:10:58: warning[route_never_taken]: the route `0` is never taken: the key is an integer, and this is text (say with `equals` what the key is to be, of the same type)
        g:10:84: warning[route_never_taken]: the route `one` is never taken: the key is an integer, and this is a floating-point number (say with `equals` what the key is to be, of the same type)
        g:11:3: error[output_schema]: what `o` gives does not fit the graph's `output_schema`: 5 is not of type "string" (change one of them)"#]].assert_eq(&problems(text));
}

#[test]
fn a_join_that_cannot_be_read_is_not_missing_too() {
    let text = r#"
spec_version: "2.0"
nodes:
  g: {spawn_group: {targets: [{target: w}]}}
  j: {join: {mode: quorum, quorum: "1"}}
  h: {spawn_group: {targets: [{target: w}]}}
  k: {join: {mode: quroum}}
edges: [{from: g, to: j}, {from: h, to: k}]
"#;
    expect_test::expect![[r#"
        g:5:36: error[wrong_type]: expected an integer, found text
        g:7:20: error[unknown_name]: there is no `quroum` here (did you mean `quorum`?)"#]]
    .assert_eq(&problems(text));
}

#[test]
fn a_condition_that_says_nothing_is_none() {
    let text = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w, input: {zip: 01234}}}
  b: {spawn_run: {target: w, input: !input.flag}}
edges:
  - from: a
    to: b
    when: !has(nodes.a.output.n)
  - {from: a, to: b, when: }
"#;
    expect_test::expect![[r#"
        g:5:37: error[syntax]: `!input.flag` is a tag of YAML, and no text (put the whole text in quotes)
        g:9:11: error[syntax]: `!has(nodes.a.output.n)` is a tag of YAML, and no text (put the whole text in quotes)
        g:10:12: error[duplicate_edge]: this edge is here twice: `a` to `b` (leave one out)
        g:10:26: error[wrong_type]: expected an expression, found nothing"#]]
    .assert_eq(&problems(text));
}

/// A host that checks more than the one before it still goes on with what that has begun.
#[test]
fn a_stored_graph_is_not_checked_again() {
    let text = r#"
spec_version: "2.0"
nodes:
  g: {spawn_group: {targets: [{target: w}]}}
  j: {join: {}}
  o: {output: {value: "${{ nodes.j.output.values + 1 }}"}}
edges: [{from: g, to: j}, {from: j, to: o}]
"#;
    let source = Source::new("g", text);
    assert_eq!(compile(&source).into_plan().map(drop).unwrap_err()[0].code, "type_error");
    assert_eq!(crate::compile_stored(&source).into_plan().unwrap().nodes.len(), 3);
}

#[test]
fn a_node_has_no_other_fields_than_it_has() {
    let text = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w}}
  o: {output: {value: "${{ nodes.a.attempts }}"}}
edges: [{from: a, to: o}]
"#;
    expect_test::expect!["g:5:28: error[unknown_field]: a node has no field `attempts` (what the node gave is below its output: `nodes.a.output.attempts`)"].assert_eq(&problems(text));
}
