//! Graphs, and what a host with a few plugins and a policy says of them.

use std::collections::HashMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use pleach_kernel::{Grant, PluginRef, Policy, Resolution, Role};

use crate::tests::told;
use crate::{Surroundings, compile_for};

/// A registry of a few plugins, and a policy.
struct Host {
    plugins: HashMap<&'static str, Role>,
    policy: Policy,
    grant: Option<Grant>,
}

impl Surroundings for Host {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    fn resolve(&self, target: &str) -> Option<Resolution> {
        if target == "old" {
            return Some(Resolution::NotPublished);
        }
        Some(match self.plugins.get_key_value(target) {
            Some((name, role)) => Resolution::Found(Arc::new(PluginRef {
                name: (*name).into(),
                version: "1.0.0".into(),
                digest: "sha256:0".into(),
                role: *role,
            })),
            None => Resolution::NotFound { hint: "tenant default has worker".into() },
        })
    }
}

#[track_caller]
fn check(policy: &str, nodes_and_edges: &str, expected: Expect) {
    check_run(policy, None, nodes_and_edges, expected);
}

#[track_caller]
fn check_run(policy: &str, grant: Option<Grant>, nodes_and_edges: &str, expected: Expect) {
    let plugins = [
        ("worker", Role::Agent),
        ("judge", Role::Judge),
        ("router", Role::Router),
        ("replanner", Role::Replanner),
        ("secret", Role::Agent),
    ];
    let policy = serde_saphyr::from_str(policy).expect("a policy");
    let host = Host { plugins: plugins.into(), policy, grant };
    let text = format!("spec_version: \"2.0\"\nname: lead\n{nodes_and_edges}");
    expected.assert_eq(&told(&text, |source| compile_for(source, &host)));
}

const OPEN: &str =
    "{targets: ['*'], scopes: ['spawn:*', 'fs.read:repo/*'], limits: {max_fanout: 100, max_children_total: 100}}";

#[test]
fn a_target_is_published_listed_and_of_the_right_role() {
    let nodes = r#"nodes:
  a: {spawn_run: {target: wroker}}
  b: {spawn_run: {target: old, fallbacks: [worker, judge]}}
  c: {agent_call: {target: judge}}
  d: {judge: {target: worker}}
  e: {router: {target: replanner, routes: [{name: x}]}}
  f: {replan: {target: worker}}
  g: {spawn_run: {target: secret}}
  o: {output: {}}
edges:
  - {from: a, to: f}
  - {from: d, to: o}
  - {from: e, to: o}
  - {from: f, to: o}
  - {from: b, to: o}
  - {from: c, to: o}
  - {from: g, to: o}
"#;
    check(
        OPEN,
        nodes,
        expect![[r#"
            g:4:27: error[target_not_found]: there is no plugin `wroker`: tenant default has worker (`pleach plugin publish FILE` adds it; `pleach plugin list` shows what there is)
            g:5:27: error[target_not_published]: `old` is not published (publish it, or ask for another version)
            g:5:52: warning[wrong_role]: `judge` is a judge, and an agent is usual here (ask it with a `judge` node)
            g:6:28: warning[wrong_role]: `judge` is a judge, and an agent is usual here (ask it with a `judge` node)
            g:7:23: error[wrong_role]: `worker` is an agent, and a judge is needed here (run it with `spawn_run` or `agent_call`)
            g:8:24: error[wrong_role]: `replanner` is a replanner, and a router is needed here (ask it with a `replan` node)
            g:9:24: error[wrong_role]: `worker` is an agent, and a replanner is needed here (run it with `spawn_run` or `agent_call`)"#]],
    );
    let listed =
        "{targets: ['*'], scopes: ['spawn:worker'], orchestrators: {lead: {targets: [worker, judge, 'r*', old]}}}";
    check(
        listed,
        nodes,
        expect![[r#"
            g:4:27: error[target_not_found]: there is no plugin `wroker`: tenant default has worker (`pleach plugin publish FILE` adds it; `pleach plugin list` shows what there is)
            g:5:27: error[scope_exceeds_policy]: the graph needs `spawn:old` for this, and policy allows it to no run (add `spawn:old` to `scopes` in the policy)
            g:5:27: error[target_not_published]: `old` is not published (publish it, or ask for another version)
            g:5:52: error[scope_exceeds_policy]: the graph needs `spawn:judge` for this, and policy allows it to no run (add `spawn:judge` to `scopes` in the policy)
            g:5:52: warning[wrong_role]: `judge` is a judge, and an agent is usual here (ask it with a `judge` node)
            g:6:28: error[scope_exceeds_policy]: the graph needs `spawn:judge` for this, and policy allows it to no run (add `spawn:judge` to `scopes` in the policy)
            g:6:28: warning[wrong_role]: `judge` is a judge, and an agent is usual here (ask it with a `judge` node)
            g:7:23: error[wrong_role]: `worker` is an agent, and a judge is needed here (run it with `spawn_run` or `agent_call`)
            g:8:24: error[scope_exceeds_policy]: the graph needs `spawn:replanner` for this, and policy allows it to no run (add `spawn:replanner` to `scopes` in the policy)
            g:8:24: error[wrong_role]: `replanner` is a replanner, and a router is needed here (ask it with a `replan` node)
            g:9:24: error[wrong_role]: `worker` is an agent, and a replanner is needed here (run it with `spawn_run` or `agent_call`)
            g:10:27: error[scope_exceeds_policy]: the graph needs `spawn:secret` for this, and policy allows it to no run (add `spawn:secret` to `scopes` in the policy)
            g:10:27: error[target_not_allowlisted]: policy does not list `secret` among the targets of the graph `lead` (add `secret` to `orchestrators.lead.targets` in the policy)"#]],
    );
    check(
        "{}",
        "tasks: [{id: a, agent: worker}, {id: b, agent: worker}]",
        expect![[r#"
        g:3:24: error[allowlist_empty]: policy lists no targets for the graph `lead`, and an empty list allows none (add `worker` to `targets` in the policy, and the others that it runs)
        g:3:24: error[scope_exceeds_policy]: the graph needs `spawn:worker` for this, and policy allows it to no run (add `spawn:worker` to `scopes` in the policy)
        g:3:48: error[scope_exceeds_policy]: the graph needs `spawn:worker` for this, and policy allows it to no run (add `spawn:worker` to `scopes` in the policy)"#]],
    );
}

#[test]
fn a_scope_is_within_policy() {
    check(
        "{targets: ['*'], scopes: ['spawn:*', 'fs.read:*'], orchestrators: {lead: {targets: [worker], scopes: ['fs.read:repo/*']}}}",
        r#"nodes:
  a: {spawn_run: {target: worker, scopes: ["fs.read:repo/a", "fs.read:x", "net:y"], parent_close: abandon}}
  b: {cancel_subtree: {node: a}}
"#,
        expect![[r#"
            g:4:27: error[scope_exceeds_policy]: the graph needs `run.abandon:worker` for this, and policy allows it to no run (add `run.abandon:worker` to `scopes` in the policy)
            g:4:62: error[scope_exceeds_policy]: policy does not let the graph `lead` hand on `fs.read:x` (add a scope that covers it to `orchestrators.lead.scopes` in the policy, or ask for less)
            g:4:75: error[scope_exceeds_policy]: policy does not let the graph `lead` hand on `net:y` (add a scope that covers it to `scopes` in the policy, or ask for less)
            g:5:30: error[scope_exceeds_policy]: the graph needs `run.cancel:*` for this, and policy allows it to no run (add `run.cancel:*` to `scopes` in the policy)"#]],
    );
}

#[test]
fn what_certainly_runs_fits_the_limits() {
    let nodes = r#"policy: {max_fanout: 5}
nodes:
  a: {spawn_group: {targets: [{target: worker}, {target: worker}]}}
  j: {join: {}}
  m: {map: {over: "[1, 2, 3]", target: worker}}
  k: {join: {}}
  r: {router: {route_key: input.k, routes: [{name: x}]}}
  x: {spawn_run: {target: worker}}
  p: {replan: {max_replans: 9}}
  o: {output: {}}
edges:
  - {from: a, to: j}
  - {from: m, to: k}
  - {from: j, to: r}
  - {from: r.x, to: x}
  - {from: r.default, to: o}
  - {from: x, to: o}
  - {from: k, to: p}
  - {from: p, to: o}
"#;
    check(
        OPEN,
        nodes,
        expect![[r#"
        g:10:3: warning[may_exceed_fanout]: the graph may spawn 6 runs if all of it runs, and `max_fanout` is 5 (raise `policy.max_fanout` of the graph to 6)
        g:11:29: error[max_replans]: `p` may not replan 9 times: `max_replans` is 3 (lower it, or raise `limits.max_replans` in the policy)"#]],
    );
    check(
        &OPEN.replace("max_fanout: 100, max_children_total: 100", "max_fanout: 4, max_children_total: 100"),
        nodes,
        expect![[r#"
        g:7:3: error[max_fanout]: `m` brings the runs of this graph to 5, and `max_fanout` is 4 (raise `limits.max_fanout` in the policy to 5, or have runs spawn some of them)
        g:11:29: error[max_replans]: `p` may not replan 9 times: `max_replans` is 3 (lower it, or raise `limits.max_replans` in the policy)"#]],
    );
    check(
        "{targets: ['*'], scopes: ['spawn:*'], surfaces: {graph: false}, limits: {max_concurrency: 0}, budget: {tokens: 5}}",
        "max_concurrency: 0\nbudget: {tokens: 6, wall_ms: 1}\ntasks: [{id: a, agent: worker, budget: {tokens: 6, wall_ms: 2, cpu_ms: 3}}]",
        expect![[r#"
            g:1:1: error[budget_exhausted]: the graph's budget of `tokens` is 6, and policy gives 5 (ask for less, or raise `budget.tokens` in the policy)
            g:1:1: error[feature_disabled]: policy has turned graphs off (turn `surfaces.graph` on in the policy)
            g:3:18: error[invalid_value]: at most 0 at once would start nothing (leave it out for what the policy allows)
            g:5:24: error[budget_exhausted]: `a` is given 2 of `wall_ms`, and the graph has 1 (ask for less, or raise `budget.wall_ms` of the graph)
            g:5:24: error[budget_exhausted]: `a` is given 6 of `tokens`, and the policy has 5 (ask for less, or raise `budget.tokens` of the policy)"#]],
    );
    check(
        "{targets: ['*'], scopes: ['spawn:*'], limits: {max_concurrency: 0}}",
        "tasks: [{id: a, agent: worker}]",
        expect![
            "g:1:1: error[max_concurrency]: `max_concurrency` is 0, so that no run could ever start (raise it in the policy, or in the graph)"
        ],
    );
    check(
        "{targets: ['*'], scopes: ['spawn:*'], limits: {max_depth: 0}}",
        "tasks: [{id: a, agent: worker}]",
        expect![
            "g:3:14: error[max_depth]: `a` spawns runs, which are at depth 1, and `max_depth` is 0 (raise `max_depth` in the policy, and in the graph's own)"
        ],
    );
}

/// What it is granted shows only when it is run.
#[test]
fn a_scope_is_granted_to_the_run() {
    let nodes = r#"nodes:
  a: {spawn_run: {target: worker, scopes: ["fs.read:repo/a"]}}
  b: {judge: {target: judge, input: 1}}
  c: {cancel_subtree: {node: a}}
  d: {spawn_run: {target: worker, parent_close: abandon}}
  e: {output: {}}
edges: [{from: a, to: b}, {from: b.pass, to: e}, {from: b.fail, to: c}, {from: c, to: d}, {from: d, to: e}]
"#;
    let policy = "{targets: ['*'], scopes: ['spawn:*', 'fs.read:repo/*', 'run.cancel:*', 'run.abandon:*']}";
    let scopes = |scopes: &[&str]| scopes.iter().map(|scope| scope.parse().unwrap()).collect::<Vec<_>>();
    check(policy, nodes, expect![[""]]);
    check_run(
        policy,
        Some(Grant::default()),
        nodes,
        expect![[r#"
        g:4:27: error[scope_required]: the graph needs `spawn:worker` for this, and is not granted it (run it with `--grant 'spawn:worker'`, or with a scope that covers it)
        g:4:44: error[scope_not_held]: the graph is not granted `fs.read:repo/a` to hand it on (run it with `--grant 'fs.read:repo/a'`, or with `--delegate` where it is not to use it itself)
        g:5:23: error[scope_required]: the graph needs `spawn:judge` for this, and is not granted it (run it with `--grant 'spawn:judge'`, or with a scope that covers it)
        g:6:30: error[scope_required]: the graph needs `run.cancel:*` for this, and is not granted it (run it with `--grant 'run.cancel:*'`, or with a scope that covers it)
        g:7:27: error[scope_required]: the graph needs `run.abandon:worker` for this, and is not granted it (run it with `--grant 'run.abandon:worker'`, or with a scope that covers it)
        g:7:27: error[scope_required]: the graph needs `spawn:worker` for this, and is not granted it (run it with `--grant 'spawn:worker'`, or with a scope that covers it)"#]],
    );
    let can_use = scopes(&["spawn:worker", "run.cancel:*", "run.abandon:worker"]);
    let some = Grant::new(can_use, scopes(&["fs.read:repo/*"]));
    check_run(
        policy,
        Some(some),
        nodes,
        expect![
            "g:5:23: error[scope_required]: the graph needs `spawn:judge` for this, and is not granted it (run it with `--grant 'spawn:judge'`, or with a scope that covers it)"
        ],
    );
}

/// It was told already that there can be no such plugin.
#[test]
fn a_target_that_there_cannot_be_is_told_once() {
    let text = "nodes:\n  a: {spawn_run: {target: Worker}}\n  b: {spawn_run: {target: \"w@^^1\"}}\n";
    check(
        OPEN,
        text,
        expect![[r#"
        g:4:27: error[invalid_name]: `Worker` is no target (`name` or `name@requirement`; a name is 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter)
        g:5:27: error[invalid_version]: `^^1` is no requirement of a version: unexpected character '^' while parsing major version number (write it as `1.2.3`, `^1`, `>=1.2, <3` or `*`)"#]],
    );
}

/// However many scopes before it are none.
#[test]
fn a_scope_over_policy_is_told_where_it_is() {
    let text = "nodes:\n  a: {spawn_run: {target: worker, scopes: [\"spawn\", \"net.http:*\"], delegate: [\"x\", \"fs.write:*\"]}}\n";
    check(
        OPEN,
        text,
        expect![[r#"
        g:4:44: error[scope_invalid]: `spawn` is not a scope: it has no `:`, as in `fs.read:docs/*`
        g:4:53: error[scope_exceeds_policy]: policy does not let the graph `lead` hand on `net.http:*` (add a scope that covers it to `scopes` in the policy, or ask for less)
        g:4:79: error[scope_invalid]: `x` is not a scope: it has no `:`, as in `fs.read:docs/*`
        g:4:84: error[scope_exceeds_policy]: policy does not let the graph `lead` hand on `fs.write:*` (add a scope that covers it to `scopes` in the policy, or ask for less)"#]],
    );
}
