//! Files that chance breaks: whatever they say, they are judged, soon, and every
//! problem has a place in them.

use std::time::{Duration, Instant};

use pleach_graph::compile;
use pleach_graph::source::Source;
use proptest::prelude::*;

const GRAPH: &str = r#"spec_version: "2.0"
name: fuzzed
policy: {max_fanout: 5}
nodes:
  m: {map: {over: "input.items.filter(x, x > 1)", target: w, input: {i: "${{ item }} of ${{ index }}"}}}
  j: {join: {mode: quorum, quorum: 2}}
  k:
    judge: {score: "nodes.j.output.score * 2.0", threshold: 0.5}
  r: {router: {route_key: input.kind, routes: [{name: a}, {name: b, equals: 3}]}}
  again: {replan: {of: [m], when: failed > completed, max_replans: 2}}
  s: {spawn_run: {target: "w@^1", scopes: ["fs.read:öl/*"], retry: {max_attempts: 3}, input: "${{ has(nodes.r.output) }}"}}
  o: {output: {value: {all: "${{ nodes.j.output }}"}}}
edges:
  - {from: m, to: j}
  - {from: j, to: k}
  - {from: k.pass, to: r}
  - {from: k.fail, to: again}
  - {from: again.replan, to: m}
  - {from: again.continue, to: o}
  - {from: r.a, to: s}
  - {from: r, to: o, when: "input.x == 'y'"}
  - {from: s, to: o}
"#;

/// What chance does to a file.
#[derive(Clone, Debug)]
enum Change {
    Byte(usize, u8),
    Drop(usize),
    Repeat(usize),
    Swap(usize, usize),
    Cut(usize),
    Insert(usize, String),
}

fn change() -> impl Strategy<Value = Change> {
    let word = prop_oneof![
        Just("${{"),
        Just("}}"),
        Just("nodes."),
        Just("[1, 'x']"),
        Just(": "),
        Just("- "),
        Just("&a "),
        Just("*a"),
        Just("\""),
        Just("again.replan"),
        Just("{"),
        Just("~"),
        Just("!!x "),
        Just("\t"),
        Just("ö"),
        Just("-9"),
        Just("1e400"),
        Just(".map(x, "),
    ];
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        any::<usize>().prop_map(Change::Drop),
        any::<usize>().prop_map(Change::Repeat),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Change::Swap(one, other)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), word).prop_map(|(at, word)| Change::Insert(at, word.to_owned())),
    ]
}

fn changed(mut text: String, change: &Change) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        return text;
    }
    let many = lines.len();
    let place = |at: usize| at % many;
    match change {
        Change::Byte(at, byte) => {
            let mut bytes = text.into_bytes();
            let at = at % bytes.len();
            bytes[at] = *byte;
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        Change::Drop(at) => drop(lines.remove(place(*at))),
        Change::Repeat(at) => lines.insert(place(*at), lines[place(*at)]),
        Change::Swap(one, other) => lines.swap(place(*one), place(*other)),
        Change::Cut(at) => {
            let at = (0..=at % text.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(at);
            return text;
        }
        Change::Insert(at, word) => {
            let at = (0..=at % text.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert_str(at, word);
            return text;
        }
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_however_broken_is_judged_soon(changes in proptest::collection::vec(change(), 1..6)) {
        let text = changes.iter().fold(GRAPH.to_owned(), changed);
        let start = Instant::now();
        let source = Source::new("g", text.as_str());
        let compiled = compile(&source);
        prop_assert!(start.elapsed() < Duration::from_secs(20));
        for problem in &compiled.problems {
            let places = problem.related.iter().map(|(span, _)| *span).chain([problem.span]);
            for span in places {
                prop_assert!(text.get(span.range()).is_some(), "{problem:?} is nowhere in {text}");
            }
        }
    }
}
