//! Targets: the plugins that a graph names, and the scopes that it hands to them.

use std::collections::HashMap;

use pleach_kernel::{ParentClose, Policy, Resolution, Role, Scope, covered, target_matches};

use crate::Surroundings;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{Kind, Plan, RunPlan};
use crate::source::Span;
use crate::target::{parts, wrong};

/// One use of a plugin.
struct Use<'a> {
    target: &'a str,
    span: Span,
    /// What it has to be.
    role: Role,
    run: Option<&'a RunPlan>,
}

pub(super) fn check(plan: &Plan, graph: &str, surroundings: &dyn Surroundings, found: &mut Diagnostics) {
    cancels(plan, surroundings, found);
    let mut known: HashMap<&str, Option<Resolution>> = HashMap::new();
    let mut is_empty_told = false;
    // One that there cannot be was told already.
    for one in uses(plan).into_iter().filter(|one| wrong(one.target).is_none()) {
        let resolution = known.entry(one.target).or_insert_with(|| surroundings.resolve(one.target));
        let name = match resolution {
            None => parts(one.target).0.to_owned(),
            Some(Resolution::Found(plugin)) => {
                role(&one, plugin.role, found);
                plugin.name.to_string()
            }
            Some(Resolution::NotFound { hint }) => {
                let message = format!("there is no plugin `{}`: {hint}", one.target);
                found.push(
                    Diagnostic::error("target_not_found", one.span, message)
                        .hint("`pleach plugin publish FILE` adds it; `pleach plugin list` shows what there is"),
                );
                continue;
            }
            Some(Resolution::NotPublished) => {
                let message = format!("`{}` is not published", one.target);
                let problem = Diagnostic::error("target_not_published", one.span, message);
                found.push(problem.hint("publish it, or ask for another version"));
                parts(one.target).0.to_owned()
            }
        };
        allowlist(graph, surroundings.policy(), &name, &one, &mut is_empty_told, found);
        scopes(graph, surroundings, &name, &one, found);
    }
}

/// What a graph cancels has an id that nobody knows before it runs.
fn cancels(plan: &Plan, surroundings: &dyn Surroundings, found: &mut Diagnostics) {
    let Ok(any) = "run.cancel:*".parse::<Scope>() else { return };
    for node in &plan.nodes {
        if let Kind::CancelSubtree { node_span, .. } = &node.kind {
            needs(surroundings, &any, *node_span, found);
        }
    }
}

/// The graph itself uses a scope: policy allows it, and the graph's run was granted it.
fn needs(surroundings: &dyn Surroundings, scope: &Scope, span: Span, found: &mut Diagnostics) {
    if !covered(&surroundings.policy().scopes, scope) {
        let message = format!("the graph needs `{scope}` for this, and policy allows it to no run");
        let hint = format!("add `{scope}` to `scopes` in the policy");
        found.push(Diagnostic::error("scope_exceeds_policy", span, message).hint(hint));
    } else if surroundings.grant().is_some_and(|grant| !covered(grant.can_use(), scope)) {
        let message = format!("the graph needs `{scope}` for this, and is not granted it");
        let hint = format!("run it with `--grant '{scope}'`, or with a scope that covers it");
        found.push(Diagnostic::error("scope_required", span, message).hint(hint));
    }
}

/// Every plugin that a graph names, in the order of the file.
fn uses(plan: &Plan) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    for node in &plan.nodes {
        let role = match &node.kind {
            Kind::Judge(_) => Role::Judge,
            Kind::Router(_) => Role::Router,
            Kind::SpawnRun { .. }
            | Kind::AgentCall { .. }
            | Kind::SpawnGroup { .. }
            | Kind::Map { .. }
            | Kind::Join { .. }
            | Kind::Replan(_)
            | Kind::CancelSubtree { .. }
            | Kind::Output(_) => Role::Agent,
        };
        for run in node.kind.runs() {
            uses.push(Use { target: &run.target, span: run.target_span, role, run: Some(run) });
            let fallbacks = run.fallbacks.iter();
            uses.extend(fallbacks.map(|(target, span)| Use { target, span: *span, role, run: Some(run) }));
        }
        if let Kind::Replan(replan) = &node.kind
            && let Some((target, span)) = &replan.target
        {
            uses.push(Use { target, span: *span, role: Role::Replanner, run: None });
        }
    }
    uses
}

fn role(one: &Use<'_>, is: Role, found: &mut Diagnostics) {
    if is == one.role {
        return;
    }
    let (is_what, wanted) = (with_article(is), with_article(one.role));
    let hint = match is {
        Role::Agent => "run it with `spawn_run` or `agent_call`",
        Role::Judge => "ask it with a `judge` node",
        Role::Router => "ask it with a `router` node",
        Role::Replanner => "ask it with a `replan` node",
    };
    found.push(match one.role {
        // It runs, with the input of its own role.
        Role::Agent => {
            let message = format!("`{}` is {is_what}, and {wanted} is usual here", one.target);
            Diagnostic::warning("wrong_role", one.span, message).hint(hint)
        }
        Role::Judge | Role::Router | Role::Replanner => {
            let message = format!("`{}` is {is_what}, and {wanted} is needed here", one.target);
            Diagnostic::error("wrong_role", one.span, message).hint(hint)
        }
    });
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Agent => "an agent",
        Role::Judge => "a judge",
        Role::Router => "a router",
        Role::Replanner => "a replanner",
    }
}

fn allowlist(
    graph: &str,
    policy: &Policy,
    name: &str,
    one: &Use<'_>,
    is_empty_told: &mut bool,
    found: &mut Diagnostics,
) {
    let allowed = policy.targets_of(graph);
    let list = match policy.orchestrators.contains_key(graph) {
        true => format!("`orchestrators.{graph}.targets`"),
        false => "`targets`".to_owned(),
    };
    if allowed.is_empty() {
        if !std::mem::replace(is_empty_told, true) {
            let message = format!("policy lists no targets for the graph `{graph}`, and an empty list allows none");
            let problem = Diagnostic::error("allowlist_empty", one.span, message);
            found.push(problem.hint(format!("add `{name}` to {list} in the policy, and the others that it runs")));
        }
    } else if !allowed.iter().any(|pattern| target_matches(pattern, name)) {
        let message = format!("policy does not list `{name}` among the targets of the graph `{graph}`");
        let problem = Diagnostic::error("target_not_allowlisted", one.span, message);
        found.push(problem.hint(format!("add `{name}` to {list} in the policy")));
    }
}

/// The scopes that the graph itself needs for it, and those that it hands on.
fn scopes(graph: &str, surroundings: &dyn Surroundings, name: &str, one: &Use<'_>, found: &mut Diagnostics) {
    let policy = surroundings.policy();
    if let Ok(scope) = Scope::exact("spawn", name) {
        needs(surroundings, &scope, one.span, found);
    }
    let Some(run) = one.run else { return };
    if run.parent_close == ParentClose::Abandon
        && let Ok(scope) = Scope::exact("run.abandon", name)
    {
        needs(surroundings, &scope, run.parent_close_span, found);
    }
    // Once for each run, not for its fallbacks again.
    if one.span != run.target_span {
        return;
    }
    for (place, scope) in run.scopes.scopes().enumerate() {
        let span = run.scope_spans.get(place).copied().unwrap_or(run.target_span);
        if !policy.hands_on(graph, scope) {
            let within = match covered(&policy.scopes, scope) {
                true => format!("`orchestrators.{graph}.scopes`"),
                false => "`scopes`".to_owned(),
            };
            let message = format!("policy does not let the graph `{graph}` hand on `{scope}`");
            let hint = format!("add a scope that covers it to {within} in the policy, or ask for less");
            found.push(Diagnostic::error("scope_exceeds_policy", span, message).hint(hint));
        } else if surroundings.grant().is_some_and(|grant| !covered(grant.can_delegate(), scope)) {
            let message = format!("the graph is not granted `{scope}` to hand it on");
            let hint =
                format!("run it with `--grant '{scope}'`, or with `--delegate` where it is not to use it itself");
            found.push(Diagnostic::error("scope_not_held", span, message).hint(hint));
        }
    }
}
