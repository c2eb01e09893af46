//! Limits: what a graph certainly spawns fits what it may spawn. A warning where
//! that is so only if not everything in it runs.

use pleach_kernel::{Budget, Limits, Policy};

use crate::check::{Flow, Guards};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{Kind, Node, Plan};
use crate::source::Span;

pub(super) fn check(plan: &Plan, name: &str, policy: &Policy, found: &mut Diagnostics) {
    // As a root run of this name is admitted.
    let limits = policy.tighten(name, &plan.settings.tighten(&policy.limits));
    admission(plan, policy, &limits, found);
    let flow = Flow::of(plan);
    let guards = Guards::of(plan, &flow);
    let (mut certain, mut possible) = (Sum::default(), Sum::default());
    for (place, node) in plan.nodes.iter().enumerate() {
        let runs = runs_of(node);
        depth(node, runs, &limits, found);
        budgets(plan, policy, node, found);
        replans(node, &limits, found);
        possible.add(runs, node.span);
        if guards.is_always(place) {
            certain.add(runs, node.span);
            for (limit, name, code) in counted(&limits) {
                if certain.crosses(limit, runs) {
                    let message = format!(
                        "`{}` brings the runs of this graph to {}, and `{name}` is {limit}",
                        node.id, certain.runs
                    );
                    let problem = Diagnostic::error(code, node.span, message);
                    found.push(problem.hint(raise(plan, policy, name, certain.runs)));
                }
            }
        }
    }
    for (limit, name, _) in counted(&limits) {
        if possible.runs > u64::from(limit) && certain.runs <= u64::from(limit) {
            let message =
                format!("the graph may spawn {} runs if all of it runs, and `{name}` is {limit}", possible.runs);
            let problem = Diagnostic::warning("may_exceed_fanout", possible.last, message);
            found.push(problem.hint(raise(plan, policy, name, possible.runs)));
        }
    }
}

/// A run cannot be given more than the graph or the policy has.
fn budgets(plan: &Plan, policy: &Policy, node: &Node, found: &mut Diagnostics) {
    for run in node.kind.runs() {
        for (dimension, wanted) in amounts(&run.budget) {
            let of =
                |budget| amounts(budget).into_iter().find(|(name, _)| *name == dimension).and_then(|(_, most)| most);
            let most = [(of(&plan.settings.budget), "the graph"), (of(&policy.budget), "the policy")];
            let least = most.into_iter().filter_map(|(most, whose)| Some((most?, whose))).min();
            if let Some((wanted, (most, whose))) = wanted.zip(least).filter(|(wanted, (most, _))| wanted > most) {
                let message = format!("`{}` is given {wanted} of `{dimension}`, and {whose} has {most}", node.id);
                let problem = Diagnostic::error("budget_exhausted", run.target_span, message);
                found.push(problem.hint(format!("ask for less, or raise `budget.{dimension}` of {whose}")));
            }
        }
    }
}

fn amounts(budget: &Budget) -> [(&'static str, Option<u64>); 5] {
    let Budget { tokens, cost_microusd, wall_ms, cpu_ms, host_calls } = *budget;
    [
        ("tokens", tokens),
        ("cost_microusd", cost_microusd),
        ("wall_ms", wall_ms),
        ("cpu_ms", cpu_ms),
        ("host_calls", host_calls),
    ]
}

/// What would keep the graph itself from being started.
fn admission(plan: &Plan, policy: &Policy, limits: &Limits, found: &mut Diagnostics) {
    let top = Span::default();
    if !policy.surfaces.graph {
        let problem = Diagnostic::error("feature_disabled", top, "policy has turned graphs off");
        found.push(problem.hint("turn `surfaces.graph` on in the policy"));
    }
    // What the file says itself was told without a policy.
    if limits.max_concurrency == 0 && plan.settings.limits.max_concurrency != Some(0) {
        let message = "`max_concurrency` is 0, so that no run could ever start";
        found.push(Diagnostic::error("max_concurrency", top, message).hint("raise it in the policy, or in the graph"));
    }
    let both = amounts(&policy.budget).into_iter().zip(amounts(&plan.settings.budget));
    for (name, ours, theirs) in both.map(|((name, ours), (_, theirs))| (name, ours, theirs)) {
        if let Some((limit, wanted)) = ours.zip(theirs).filter(|(limit, wanted)| wanted > limit) {
            let message = format!("the graph's budget of `{name}` is {wanted}, and policy gives {limit}");
            let problem = Diagnostic::error("budget_exhausted", top, message);
            found.push(problem.hint(format!("ask for less, or raise `budget.{name}` in the policy")));
        }
    }
}

/// Runs, added up in the order of the file.
#[derive(Default)]
struct Sum {
    runs: u64,
    /// The last node that spawns any.
    last: Span,
}

impl Sum {
    fn add(&mut self, runs: u64, span: Span) {
        self.runs = self.runs.saturating_add(runs);
        if runs > 0 {
            self.last = span;
        }
    }

    /// Whether it was with the last ones that the sum went over a limit.
    fn crosses(&self, limit: u32, last: u64) -> bool {
        self.runs > u64::from(limit) && self.runs - last <= u64::from(limit)
    }
}

/// Every run of a graph is its child, so that both limits count the same.
fn counted(limits: &Limits) -> [(u32, &'static str, &'static str); 2] {
    [
        (limits.max_fanout, "max_fanout", "max_fanout"),
        (limits.max_children_total, "max_children_total", "max_children_total"),
    ]
}

/// The runs that a node spawns at least, when it runs.
fn runs_of(node: &Node) -> u64 {
    match &node.kind {
        Kind::Map { over: Some((list, _)), .. } => list.literal_len().unwrap_or(0) as u64,
        Kind::Map { over: None, .. } => 0,
        Kind::Replan(replan) => u64::from(replan.target.is_some()),
        Kind::SpawnRun { .. }
        | Kind::AgentCall { .. }
        | Kind::SpawnGroup { .. }
        | Kind::Join { .. }
        | Kind::Router(_)
        | Kind::Judge(_)
        | Kind::CancelSubtree { .. }
        | Kind::Output(_) => node.kind.runs().len() as u64,
    }
}

fn depth(node: &Node, runs: u64, limits: &Limits, found: &mut Diagnostics) {
    let spawns = runs > 0 || matches!(node.kind, Kind::Map { .. });
    if spawns && limits.max_depth == 0 {
        let message = format!("`{}` spawns runs, which are at depth 1, and `max_depth` is 0", node.id);
        let problem = Diagnostic::error("max_depth", node.span, message);
        found.push(problem.hint("raise `max_depth` in the policy, and in the graph's own"));
    }
}

fn replans(node: &Node, limits: &Limits, found: &mut Diagnostics) {
    if let Kind::Replan(replan) = &node.kind
        && let Some(wanted) = replan.max_replans.filter(|wanted| *wanted > limits.max_replans)
    {
        let message = format!("`{}` may not replan {wanted} times: `max_replans` is {}", node.id, limits.max_replans);
        let problem = Diagnostic::error("max_replans", replan.max_replans_span, message);
        found.push(problem.hint("lower it, or raise `limits.max_replans` in the policy"));
    }
}

fn raise(plan: &Plan, policy: &Policy, name: &str, runs: u64) -> String {
    let own = match name {
        "max_fanout" => plan.settings.limits.max_fanout,
        _ => plan.settings.limits.max_children_total,
    };
    let in_policy = match name {
        "max_fanout" => policy.limits.max_fanout,
        _ => policy.limits.max_children_total,
    };
    match own.is_some_and(|own| own <= in_policy) {
        true => format!("raise `policy.{name}` of the graph to {runs}"),
        false => format!("raise `limits.{name}` in the policy to {runs}, or have runs spawn some of them"),
    }
}
