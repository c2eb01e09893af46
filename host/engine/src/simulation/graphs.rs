//! Graphs among what crash points are crossed with. Their nodes run what every
//! simulated agent runs: lists of operations, see `program.rs`.
//!
//! Nothing that a graph gives back here says in which order things ended at one
//! moment: a host that recovers may see them in another.

use super::lives::{End, live_with};
use super::scenarios::Scenario;

/// What is played, the graph, and how it ends.
pub(super) const GRAPHS: [(&str, &str, &str); 27] = [
    ("a graph: a chain", CHAIN, r#"completed [["answered","slept"],["slept"]]"#),
    ("a graph: a diamond", DIAMOND, r#"completed {"bottom":["reported"]}"#),
    ("a graph: best effort", BEST_EFFORT, r#"completed [["answered"],["slept"]]"#),
    ("a graph: fail fast", FAIL_FAST, r#"completed {"after":["answered"]}"#),
    ("a graph: a quorum", QUORUM, r#"completed "join_quorum_reached""#),
    ("a graph: a quorum that cannot be reached", NO_QUORUM, r#"completed "join_quorum_impossible""#),
    ("a graph: first success", FIRST_SUCCESS, r#"completed [["slept"]]"#),
    ("a graph: a join that times out", TIMED_OUT, r#"completed [["answered"]]"#),
    ("a graph: a group of nobody", EMPTY, r#"completed "empty""#),
    ("a graph: a map with a window smaller than its list", MAP, r#"completed 5"#),
    ("a graph: a map that fails fast with more to come", MAP_FAILS, r#"completed "join_fail_fast""#),
    (
        "a graph: a map that is cancelled with more to come",
        MAP_CANCELLED,
        r#"completed ["join_given_up",[["slept"]],2]"#,
    ),
    ("a graph: a map that is begun anew with more to come", MAP_ANEW, r#"completed ["all_ended",2]"#),
    ("a graph: a router and a judge", CHOICES, r#"completed "pass""#),
    ("a graph: a loop by a rule", LOOP, r#"completed 3"#),
    ("a graph: a loop by an output that does not fit", UNFIT, r#"completed ["answered"]"#),
    (
        "a graph: members that give what does not fit",
        MISFITS,
        r#"completed ["join_quorum_reached",[["slept","answered"],["try 2"]],1]"#,
    ),
    ("a graph: a plan of a replanner's", PLAN, r#"completed ["replan",1]"#),
    ("a graph: a failure that is isolated", ISOLATED, r#"completed {"later":["done outside"]}"#),
    ("a graph: a failure that ends it", CASCADING, r#"failed node_failed"#),
    ("a graph: a cancel", CANCEL, r#"completed {"count":2,"slow":"cancelled"}"#),
    ("a graph: a call, a retry and a timeout", CALLS, r#"completed ["answered","steady","done outside"]"#),
    ("a graph: a refusal", REFUSED, r#"completed ["answered"]"#),
    ("a graph: a run that outlives it", CLOSING, r#"completed "gone""#),
    ("a graph: another try", AGAIN, "failed #2 after 0 calls: flaky"),
    ("a graph: another try of a loop", AGAIN_ROUND, "failed #2 after 0 calls: looped"),
    ("a graph: another try while a map is added to", AGAIN_WITHIN, "failed #2 after 0 calls: flaky"),
];

pub(super) fn all() -> Vec<Scenario> {
    GRAPHS.iter().map(|(name, text, _)| Scenario::of_graph(name, text)).collect()
}

/// A scenario that ends otherwise than it says would cross the crash points with
/// something else.
#[test]
fn every_graph_ends_as_it_says() {
    for ((name, _, ends), scenario) in GRAPHS.iter().zip(all()) {
        let (left, faults) = live_with(&scenario.plan(), &[End::Never]);
        assert!(faults.is_empty(), "{name}: {faults:?}");
        let root = left.trees[0][0].replace(" #1 after 0 calls:", "");
        assert_eq!(root.trim(), *ends, "{name}");
    }
}

const CHAIN: &str = r#"
spec_version: "2.0"
nodes:
  first: {spawn_run: {target: sim, input: [{recorded: 1}, {sleep: 10}]}}
  second: {agent_call: {target: sim, input: ["report", {outside: 1}]}}
  third: {spawn_run: {target: sim, input: [{sleep: "${{ size(nodes.second.output) * 5 }}"}]}}
  out: {output: {value: "${{ [nodes.first.output, nodes.third.output] }}"}}
edges: [{from: first, to: second}, {from: second, to: third}, {from: third, to: out}]
"#;

const DIAMOND: &str = r#"
spec_version: "2.0"
tasks:
- {id: top, agent: sim, input: ["now"]}
- {id: left, agent: sim, input: [{sleep: 5}], needs: [top]}
- {id: right, agent: sim, input: [{sleep: 20}, {recorded: 1}], needs: [top]}
- {id: bottom, agent: sim, input: ["report"], needs: [left, right]}
"#;

const BEST_EFFORT: &str = r#"
spec_version: "2.0"
nodes:
  all: {spawn_group: {targets: [{target: sim, input: [{recorded: 1}]}, {target: sim, input: ["fail"]}, {target: sim, input: [{sleep: 10}]}]}}
  gather: {join: {}}
  fine: {output: {value: fine}}
  some: {output: {value: "${{ nodes.gather.output.values }}"}}
edges: [{from: all, to: gather}, {from: gather.completed, to: fine}, {from: gather, to: some}]
"#;

const FAIL_FAST: &str = r#"
spec_version: "2.0"
nodes:
  all: {spawn_group: {targets: [{target: sim, input: ["report", {sleep: 100000}]}, {target: sim, input: [{sleep: 5}, "fail"]}]}}
  gather: {join: {mode: fail_fast}}
  after: {spawn_run: {target: sim, input: [{recorded: 1}]}}
edges: [{from: all, to: gather}, {from: gather, to: after}]
"#;

const QUORUM: &str = r#"
spec_version: "2.0"
nodes:
  all: {spawn_group: {targets: [{target: sim, input: [{sleep: 5}]}, {target: sim, input: [{sleep: 10}]}, {target: sim, input: [{sleep: 100000}]}]}}
  gather: {join: {mode: quorum, quorum: 2}}
  out: {output: {value: "${{ nodes.gather.output.reason }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: all, to: gather}, {from: gather.completed, to: out}, {from: gather, to: sorry}]
"#;

const NO_QUORUM: &str = r#"
spec_version: "2.0"
nodes:
  all: {spawn_group: {targets: [{target: sim, input: ["fail"]}, {target: sim, input: [{sleep: 5}, "fail"]}, {target: sim, input: [{sleep: 100000}]}]}}
  gather: {join: {mode: quorum, quorum: 2}}
  out: {output: {value: "${{ nodes.gather.output.reason }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: all, to: gather}, {from: gather.failed, to: out}, {from: gather, to: sorry}]
"#;

const FIRST_SUCCESS: &str = r#"
spec_version: "2.0"
nodes:
  race: {spawn_group: {targets: [{target: sim, input: ["fail"]}, {target: sim, input: [{sleep: 5}]}, {target: sim, input: [{sleep: 100000}]}]}}
  gather: {join: {mode: first_success}}
  out: {output: {value: "${{ nodes.gather.output.values }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: race, to: gather}, {from: gather.completed, to: out}, {from: gather, to: sorry}]
"#;

const TIMED_OUT: &str = r#"
spec_version: "2.0"
nodes:
  all: {spawn_group: {targets: [{target: sim, input: [{recorded: 1}]}, {target: sim, input: [{sleep: 100000}]}]}}
  gather: {join: {timeout_ms: 200}}
  late: {spawn_run: {target: sim, input: ["report"]}}
  out: {output: {value: "${{ nodes.gather.output.values }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: all, to: gather}, {from: gather.timed_out, to: late}, {from: late, to: out}, {from: gather, to: sorry}]
"#;

const EMPTY: &str = r#"
spec_version: "2.0"
nodes:
  before: {spawn_run: {target: sim, input: ["now"]}}
  none: {map: {over: "[]", target: sim}}
  gather: {join: {}}
  out: {output: {value: "${{ nodes.gather.output.status }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: before, to: none}, {from: none, to: gather}, {from: gather.completed, to: out}, {from: gather, to: sorry}]
"#;

const MAP: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: "[10, 1, 7, 3, 9]", target: sim, input: [{sleep: "${{ item }}"}, {recorded: "${{ index }}"}], window: 2}}
  gather: {join: {}}
  out: {output: {value: "${{ size(nodes.gather.output.values) }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: all, to: gather}, {from: gather.completed, to: out}, {from: gather, to: sorry}]
"#;

const MAP_FAILS: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: "[1, 2, 3, 4, 5, 6]", target: sim, input: ["${{ item == 1 ? 'fail' : 'report' }}", {sleep: 100000}], window: 2}}
  gather: {join: {mode: fail_fast}}
  out: {output: {value: "${{ nodes.gather.output.reason }}"}}
  sorry: {output: {value: sorry}}
edges: [{from: all, to: gather}, {from: gather.failed, to: out}, {from: gather, to: sorry}]
"#;

const MAP_CANCELLED: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: "[5, 100000, 100000, 100000]", target: sim, input: [{sleep: "${{ item }}"}], window: 2}}
  gather: {join: {}}
  soon: {spawn_run: {target: sim, input: [{sleep: 50}]}}
  stop: {cancel_subtree: {node: all}}
  out: {output: {value: "${{ [nodes.gather.output.reason, nodes.gather.output.values, nodes.stop.output.cancelled_count] }}"}}
edges: [{from: all, to: gather}, {from: all, to: soon}, {from: soon, to: stop}, {from: gather, to: out}, {from: stop, to: out}]
"#;

/// The join is on the way of one loop, and the map in another besides.
const MAP_ANEW: &str = r#"
spec_version: "2.0"
nodes:
  all:
    map: {over: "has(nodes.again.output) ? [1, 2] : [5, 100000, 100000]", target: sim, input: [{sleep: "${{ item }}"}], window: 1}
  gather: {join: {}}
  later: {replan: {of: [all], max_replans: 1}}
  once: {spawn_run: {target: sim, input: [{sleep: 50}, "${{ has(nodes.again.output) ? 'report' : 'fail' }}"]}}
  again: {replan: {of: [once], max_replans: 1}}
  out: {output: {value: "${{ [nodes.gather.output.reason, size(nodes.gather.output.values)] }}"}}
edges:
- {from: all, to: gather}
- {from: gather, to: later}
- {from: later.replan, to: all}
- {from: later.continue, to: out}
- {from: all, to: once}
- {from: once, to: again}
- {from: again.replan, to: all}
- {from: again.continue, to: out}
"#;

const CHOICES: &str = r#"
spec_version: "2.0"
nodes:
  first: {spawn_run: {target: sim, input: [{recorded: 1}]}}
  kind: {router: {route_key: "nodes.first.output[0]", routes: [{name: answered}, {name: slept}]}}
  good: {judge: {score: "size(nodes.answered.output)", threshold: 2}}
  answered: {spawn_run: {target: sim, input: ["now", "report"]}}
  slept: {spawn_run: {target: sim, input: ["fail"]}}
  out: {output: {value: "${{ nodes.good.output.outcome }}"}}
  bad: {output: {error: {code: bad}}}
edges:
- {from: first, to: kind}
- {from: kind.answered, to: answered}
- {from: kind.slept, to: slept}
- {from: kind.default, to: bad}
- {from: answered, to: good}
- {from: slept, to: bad}
- {from: good.pass, to: out}
- {from: good.fail, to: bad}
"#;

const LOOP: &str = r#"
spec_version: "2.0"
nodes:
  begin: {spawn_run: {target: sim, input: ["report"]}}
  work: {map: {over: "[1, 2, 3]", target: sim, input: ["${{ item == 2 && !has(nodes.again.output) ? 'fail' : 'report' }}", {sleep: 5}], window: 2}}
  gather: {join: {}}
  again: {replan: {when: failed > 0, max_replans: 2}}
  out: {output: {value: "${{ size(nodes.gather.output.values) }}"}}
edges:
- {from: begin, to: work}
- {from: work, to: gather}
- {from: gather, to: again}
- {from: again.replan, to: work}
- {from: again.continue, to: out}
"#;

/// The second gives what fits when it is tried again, and the third never.
const MISFITS: &str = r#"
spec_version: "2.0"
nodes:
  all:
    spawn_group:
      targets:
      - {target: sim, input: [{sleep: 50}, {recorded: 1}], output_schema: {contains: {const: answered}}}
      - {target: sim, input: ["tries"], output_schema: {const: [try 2]}, retry: {max_attempts: 2, backoff: fixed, initial_ms: 5, max_ms: 5}}
      - {target: sim, input: [{outside: 1}, "report"], output_schema: {contains: {const: answered}}}
  gather: {join: {mode: quorum, quorum: 2}}
  out: {output: {value: "${{ [nodes.gather.output.reason, nodes.gather.output.values, nodes.gather.output.failure_count] }}"}}
edges: [{from: all, to: gather}, {from: gather, to: out}]
"#;

const UNFIT: &str = r#"
spec_version: "2.0"
nodes:
  work: {spawn_run: {target: sim, input: "${{ has(nodes.again.output) ? [{'recorded': 1}] : ['report'] }}", output_schema: {const: [answered]}}}
  again: {replan: {max_replans: 2}}
  out: {output: {value: "${{ nodes.work.output }}"}}
edges: [{from: work, to: again}, {from: again.replan, to: work}, {from: again.continue, to: out}]
"#;

const PLAN: &str = r#"
spec_version: "2.0"
nodes:
  work: {spawn_group: {targets: [{target: sim, input: [{sleep: 5}, "fail"]}, {target: sim, input: [{recorded: 1}]}]}}
  gather: {join: {}}
  again: {replan: {target: sim-replanner, max_replans: 1}}
  out: {output: {value: "${{ [nodes.again.output.action, size(nodes.again.output.outputs)] }}"}}
edges: [{from: work, to: gather}, {from: gather, to: again}, {from: again, to: out}]
"#;

const ISOLATED: &str = r#"
spec_version: "2.0"
tasks:
- {id: bad, agent: sim, input: ["report", "fail"], on_failure: isolated}
- {id: after, agent: sim, input: [], needs: [bad]}
- {id: free, agent: sim, input: [{sleep: 10}]}
- {id: later, agent: sim, input: [{outside: 1}], needs: [free]}
"#;

const CASCADING: &str = r#"
spec_version: "2.0"
tasks:
- {id: long, agent: sim, input: [{sleep: 100000}]}
- {id: bad, agent: sim, input: [{sleep: 10}, "fail"]}
- {id: after, agent: sim, input: [], needs: [bad]}
"#;

const CANCEL: &str = r#"
spec_version: "2.0"
nodes:
  slow: {spawn_run: {target: sim, scopes: ["spawn:*", "run.cancel:*", "run.abandon:*"], delegate: ["spawn:*", "run.cancel:*", "run.abandon:*"], input: [{spawn: {child: {ops: [{sleep: 100000}]}, key: null}}, {sleep: 100000}]}}
  after: {spawn_run: {target: sim, input: []}}
  quick: {spawn_run: {target: sim, input: [{sleep: 50}]}}
  stop: {cancel_subtree: {node: slow, reason: enough}}
  out: {output: {value: {slow: "${{ nodes.slow.status }}", count: "${{ nodes.stop.output.cancelled_count }}"}}}
edges: [{from: slow, to: after}, {from: quick, to: stop}, {from: slow, to: out}, {from: stop, to: out}]
"#;

const CALLS: &str = r#"
spec_version: "2.0"
nodes:
  flaky: {spawn_run: {target: sim, input: [{recorded: 2}, {fail_until: 3}, {outside: 2}], retry: {max_attempts: 3, backoff: exponential, initial_ms: 20, max_ms: 1000, jitter: 0.5}}}
  slow: {agent_call: {target: sim, input: [{sleep: 100000}], timeout_ms: 80, on_failure: isolated}}
  late: {spawn_run: {target: sim, input: [{sleep: 100000}], timeout_ms: 90, on_failure: isolated}}
  out: {output: {value: "${{ nodes.flaky.output }}"}}
edges: [{from: flaky, to: out}]
"#;

const REFUSED: &str = r#"
spec_version: "2.0"
nodes:
  wide: {map: {over: "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101].filter(n, n > 0)", target: sim, window: 200, on_failure: isolated}}
  gather: {join: {}}
  free: {spawn_run: {target: sim, input: [{recorded: 1}]}}
  out: {output: {value: "${{ nodes.free.output }}"}}
edges: [{from: wide, to: gather}, {from: free, to: out}]
"#;

const CLOSING: &str = r#"
spec_version: "2.0"
nodes:
  waits: {spawn_run: {target: sim, input: [{sleep: 30}, {recorded: 1}], wait: false, parent_close: wait}}
  goes_on: {spawn_run: {target: sim, input: [{sleep: 60}, {recorded: 2}], wait: false, parent_close: abandon}}
  ends: {spawn_run: {target: sim, input: [{sleep: 100000}], wait: false}}
  out: {output: {value: gone}}
edges: [{from: waits, to: out}, {from: goes_on, to: out}, {from: ends, to: out}]
"#;

/// The second try finds what the first has spawned.
const AGAIN: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: "[1, 2, 3, 4]", target: sim, input: [{recorded: "${{ item }}"}, {sleep: 5}], window: 2}}
  gather: {join: {}}
  once: {spawn_run: {target: sim, input: ["report"]}}
  bad: {output: {error: {code: flaky, retryable: true}}}
edges: [{from: all, to: gather}, {from: gather, to: once}, {from: once, to: bad}]
"#;

/// The second try goes round as often as the first, and finds each round.
const AGAIN_ROUND: &str = r#"
spec_version: "2.0"
nodes:
  work: {spawn_run: {target: sim, input: ["${{ has(nodes.again.output) ? 'report' : 'fail' }}"]}}
  again: {replan: {of: [work], max_replans: 1}}
  went: {router: {route_key: "has(nodes.work.output)", routes: [{name: yes, equals: true}]}}
  good: {output: {error: {code: looped, retryable: true}}}
  bad: {output: {error: {code: did_not_loop}}}
edges: [{from: work, to: again}, {from: again.replan, to: work}, {from: again.continue, to: went}, {from: went.yes, to: good}, {from: went.default, to: bad}]
"#;

/// The second try adds what the first has not, and finds the others. If it added some
/// of them again, the group would be too large, and the map would fail the graph.
const AGAIN_WITHIN: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: "[5, 6, 7, 1000, 1000, 100000]", target: sim, input: [{sleep: "${{ item }}"}], window: 2}}
  gather: {join: {}}
  once: {spawn_run: {target: sim, input: [{sleep: 50}]}}
  bad: {output: {error: {code: flaky, retryable: true}}}
edges: [{from: all, to: gather}, {from: once, to: bad}]
"#;
