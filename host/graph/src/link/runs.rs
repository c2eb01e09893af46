//! Runs: what a node says of the runs that it spawns.

use std::sync::Arc;

use pleach_kernel::{Backoff, Budget, Grant, MAX_GROUP, MAX_SCOPES, ParentClose, Priority, Retry, Scope};

use super::Linker;
use crate::at::At;
use crate::diagnostic::Diagnostic;
use crate::plan::RunPlan;
use crate::source::Span;
use crate::spec;
use crate::target::wrong;
use crate::template::{Template, as_it_stands};
use crate::text::{Json, Template as Text};
use crate::tree::{Entry, Tree, Value};

/// The most fallbacks of one run.
const MAX_FALLBACKS: usize = 8;

/// The most tries of one run, as the kernel has it.
const MAX_ATTEMPTS: u32 = 1_000;

/// What every kind of spawn can say.
#[derive(Default)]
struct Said {
    input: Option<At<Text>>,
    scopes: Vec<At<String>>,
    delegate: Vec<At<String>>,
    timeout_ms: Option<At<u64>>,
    retry: Option<At<spec::RetrySpec>>,
    budget: Option<At<spec::BudgetSpec>>,
    priority: Option<spec::Priority>,
    parent_close: Option<spec::ParentClose>,
    fallbacks: Vec<At<String>>,
    input_schema: Option<At<Json>>,
    output_schema: Option<At<Json>>,
}

macro_rules! said {
    ($node:expr) => {
        Said {
            input: $node.input,
            scopes: $node.scopes,
            delegate: $node.delegate,
            timeout_ms: $node.timeout_ms,
            retry: $node.retry,
            budget: $node.budget,
            priority: $node.priority,
            parent_close: $node.parent_close,
            fallbacks: $node.fallbacks,
            input_schema: $node.input_schema,
            output_schema: $node.output_schema,
        }
    };
}

pub(super) fn of_spawn_run(node: spec::SpawnRun, linker: &mut Linker<'_>) -> RunPlan {
    linker.run(&node.target, said!(node))
}

pub(super) fn of_agent_call(node: spec::AgentCall, linker: &mut Linker<'_>) -> RunPlan {
    linker.run(&node.target, said!(node))
}

pub(super) fn of_map(node: spec::MapOver, linker: &mut Linker<'_>) -> RunPlan {
    linker.run(&node.target, said!(node))
}

/// The members of a group, each with what the group says for all.
pub(super) fn of_group(group: spec::SpawnGroup, linker: &mut Linker<'_>) -> Vec<RunPlan> {
    if let Some(first) = group.targets.get(MAX_GROUP) {
        let message = format!("a group has at most {MAX_GROUP} runs, not {}", group.targets.len());
        linker.found.push(Diagnostic::error("invalid_value", first.span, message).hint("use a `map`"));
    }
    let members = group.targets.into_iter().map(|At { value: member, .. }| {
        let target = member.target.clone();
        let mut said = said!(member);
        if said.scopes.is_empty() {
            said.scopes.clone_from(&group.scopes);
        }
        if said.delegate.is_empty() {
            said.delegate.clone_from(&group.delegate);
        }
        said.timeout_ms = said.timeout_ms.or(group.timeout_ms);
        said.retry = said.retry.or_else(|| group.retry.clone());
        said.budget = said.budget.or(group.budget);
        said.priority = said.priority.or(group.priority);
        said.parent_close = said.parent_close.or(group.parent_close);
        (target, said)
    });
    let members: Vec<(At<String>, Said)> = members.collect();
    members.into_iter().map(|(target, said)| linker.run(&target, said)).collect()
}

/// A judge or a router plugin: its input is put together from what the node says.
pub(super) fn of_plugin(
    target: &At<String>,
    subject: Option<&At<Text>>,
    extra: &[(&str, Option<&At<Text>>)],
    routes: Option<&[String]>,
    timeout_ms: Option<At<u64>>,
    retry: Option<At<spec::RetrySpec>>,
    linker: &mut Linker<'_>,
) -> RunPlan {
    let span = subject.map_or(target.span, |subject| subject.span);
    let entry = |key: &str, value: Tree| Entry { key: key.to_owned(), key_span: value.span, value };
    let null = Tree { span, value: Value::Null };
    let mut entries = vec![entry("subject", subject.map_or(null, |subject| subject.value.0.clone()))];
    entries.extend(extra.iter().filter_map(|(key, value)| Some(entry(key, value.as_ref()?.value.0.clone()))));
    if let Some(routes) = routes {
        let plain = |route: &String| Tree { span, value: Value::Text(route.replace("${{", "$${{")) };
        entries.push(entry("routes", Tree { span, value: Value::List(routes.iter().map(plain).collect()) }));
    }
    let input = Text(Tree { span, value: Value::Map(entries) });
    linker.run(target, Said { input: Some(At { value: input, span }), timeout_ms, retry, ..Said::default() })
}

impl Linker<'_> {
    /// Whether a target can be one, whatever plugins there are.
    pub(super) fn check_target(&mut self, target: &At<String>) {
        if let Some((code, message, hint)) = wrong(target) {
            self.found.push(Diagnostic::error(code, target.span, message).hint(hint));
        }
    }

    fn run(&mut self, target: &At<String>, said: Said) -> RunPlan {
        self.check_target(target);
        said.fallbacks.iter().for_each(|fallback| self.check_target(fallback));
        let input_span = said.input.as_ref().map_or(target.span, |input| input.span);
        let empty = || Template::plain(serde_json::Value::Object(serde_json::Map::new()));
        let input = self.template(said.input.as_ref()).unwrap_or_else(empty);
        let input_schema = self.schema(said.input_schema.as_ref());
        if let (Some(schema), Some(plain)) = (&input_schema, input.as_plain())
            && let Err(why) = schema.check(plain)
        {
            let problem = Diagnostic::error("input_schema", input_span, format!("the input does not fit: {why}"));
            self.found.push(problem.hint("change it, or its `input_schema`"));
        }
        if said.fallbacks.len() > MAX_FALLBACKS {
            let message = format!("a run has at most {MAX_FALLBACKS} fallbacks, not {}", said.fallbacks.len());
            self.found.push(Diagnostic::error("invalid_value", said.fallbacks[MAX_FALLBACKS].span, message));
        }
        if let Some(timeout) = &said.timeout_ms
            && timeout.value == 0
        {
            let problem = Diagnostic::error("invalid_value", timeout.span, "a run of 0 ms cannot be");
            self.found.push(problem.hint("leave it out for a run without a deadline"));
        }
        let (uses, delegates) = (self.scopes(&said.scopes), self.scopes(&said.delegate));
        let scope_spans = uses.iter().chain(&delegates).map(|(_, span)| *span).collect();
        let scopes = |scopes: Vec<(Scope, Span)>| scopes.into_iter().map(|(scope, _)| scope).collect::<Vec<_>>();
        RunPlan {
            target: target.as_str().into(),
            target_span: target.span,
            input,
            input_span,
            scopes: Grant::new(scopes(uses), scopes(delegates)),
            scope_spans,
            timeout_ms: said.timeout_ms.map(|timeout| timeout.value),
            retry: said.retry.map(|retry| self.retry(&retry)),
            budget: said.budget.map(|said| budget(&said)).unwrap_or_default(),
            priority: match said.priority {
                Some(spec::Priority::High) => Priority::High,
                Some(spec::Priority::Medium) | None => Priority::Medium,
                Some(spec::Priority::Low) => Priority::Low,
            },
            parent_close: match said.parent_close {
                Some(spec::ParentClose::Cancel) | None => ParentClose::Cancel,
                Some(spec::ParentClose::Wait) => ParentClose::Wait,
                Some(spec::ParentClose::Abandon) => ParentClose::Abandon,
            },
            parent_close_span: target.span,
            fallbacks: said.fallbacks.iter().map(|at| (Arc::from(at.as_str()), at.span)).collect(),
            input_schema,
            output_schema: self.schema(said.output_schema.as_ref()),
        }
    }

    fn scopes(&mut self, scopes: &[At<String>]) -> Vec<(Scope, Span)> {
        if let Some(first) = scopes.get(MAX_SCOPES) {
            let message = format!("a list has at most {MAX_SCOPES} scopes, not {}", scopes.len());
            self.found.push(Diagnostic::error("invalid_value", first.span, message).hint("use a wildcard"));
        }
        let mut parsed = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let hint = "name what the run may use; `*` in its place stands for any";
            as_it_stands("a scope", hint, scope, scope.span, self.found);
            match scope.value.parse::<Scope>() {
                Ok(parsed_scope) => parsed.push((parsed_scope, scope.span)),
                Err(why) => self.found.push(Diagnostic::error("scope_invalid", scope.span, why.to_string())),
            }
        }
        parsed
    }

    fn retry(&mut self, retry: &At<spec::RetrySpec>) -> Retry {
        let At { value: said, .. } = retry;
        let mut refuse = |span: Span, message: &str| {
            self.found.push(Diagnostic::error("invalid_value", span, message));
        };
        if said.max_attempts.value > MAX_ATTEMPTS {
            refuse(said.max_attempts.span, "a run is tried at most 1000 times");
        }
        if said.max_attempts.value == 0 {
            refuse(said.max_attempts.span, "`max_attempts` counts the first try: it is at least 1");
        }
        if let Some(jitter) = &said.jitter
            && !(0.0..=1.0).contains(&jitter.value)
        {
            refuse(jitter.span, "`jitter` is a part of the wait: it is from 0 to 1");
        }
        Retry {
            max_attempts: said.max_attempts.value.max(1),
            backoff: match said.backoff {
                spec::Backoff::Fixed => Backoff::Fixed,
                spec::Backoff::Exponential => Backoff::Exponential,
            },
            initial_ms: said.initial_ms,
            max_ms: said.max_ms,
            jitter: said.jitter.as_ref().map_or(0.0, |jitter| jitter.value.clamp(0.0, 1.0)),
        }
    }
}

pub(super) fn budget(said: &spec::BudgetSpec) -> Budget {
    let spec::BudgetSpec { tokens, cost_microusd, wall_ms, cpu_ms, host_calls } = *said;
    Budget { tokens, cost_microusd, wall_ms, cpu_ms, host_calls }
}
