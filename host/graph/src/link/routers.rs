//! Routers: the ways that a node chooses among.

use super::{Linker, runs};
use crate::at::At;
use crate::diagnostic::Diagnostic;
use crate::plan::{DEFAULT_ROUTE, Plugin, Router};
use crate::spec;
use crate::template::as_it_stands;
use crate::types::Type;

/// The most routes of one router.
const MAX_ROUTES: usize = 1_000;

impl Linker<'_> {
    pub(super) fn router(&mut self, id: &At<String>, node: spec::Router) -> (Router, Vec<String>) {
        let (key, target) = (node.route_key.as_ref().map(|at| at.span), node.target.as_ref().map(|at| at.span));
        self.either(id, "router", ("route_key", key), ("target", target));
        self.only_with(
            "target",
            target.is_some(),
            &[
                ("input", node.input.as_ref().map(|at| at.span)),
                ("config", node.config.as_ref().map(|at| at.span)),
                ("timeout_ms", node.timeout_ms.as_ref().map(|at| at.span)),
                ("retry", node.retry.as_ref().map(|at| at.span)),
            ],
        );
        let mut handles: Vec<String> = Vec::new();
        let mut equals = Vec::new();
        if let Some(one) = node.routes.get(MAX_ROUTES) {
            let message = format!("a router has at most {MAX_ROUTES} routes, and this has {}", node.routes.len());
            let problem = Diagnostic::error("too_large", one.span, message);
            self.found.push(problem.hint("route in steps, or by a router plugin"));
        }
        for route in node.routes.iter().take(MAX_ROUTES) {
            let name = &route.value.name;
            for (text, span) in route.equals.iter().flat_map(|equals| equals.value.0.texts()) {
                let hint = "compare in the `route_key`, such as `input.a == input.b`, with `equals: true`";
                as_it_stands("what a route `equals`", hint, text, span, self.found);
            }
            if let (Some(equals), None, Some(_)) = (&route.equals, key, target) {
                let message = "`equals` means nothing without `route_key`";
                self.found.push(Diagnostic::warning("unused_field", equals.span, message).hint("leave it out"));
            }
            let problem = if handles.contains(name) {
                Some(("duplicate_route", format!("there are two routes `{}`", name.value)))
            } else if name.value == DEFAULT_ROUTE {
                Some(("invalid_name", format!("there is always a route `{DEFAULT_ROUTE}`, for what equals no other")))
            } else if name.is_empty() || name.contains('.') {
                Some(("invalid_name", format!("`{}` is no name of a route: it is the handle of an edge", name.value)))
            } else {
                None
            };
            if let Some((code, message)) = problem {
                self.found.push(Diagnostic::error(code, name.span, message).hint("give it another name"));
                continue;
            }
            let value = route.equals.as_ref().map_or_else(|| name.as_str().into(), |equals| equals.value.value());
            if let Some(first) = equals.iter().position(|other| *other == value && target.is_none()) {
                let span = route.equals.as_ref().map_or(name.span, |equals| equals.span);
                let message =
                    format!("the route `{}` is never taken: `{}` equals the same", name.value, handles[first]);
                let problem = Diagnostic::warning("route_never_taken", span, message);
                self.found.push(problem.hint("the first that equals the key is taken: give it another `equals`"));
            }
            equals.push(value);
            handles.push(name.value.clone());
        }
        if node.routes.is_empty() && !self.is_torn {
            let problem =
                Diagnostic::error("missing_field", id.span, format!("the router `{}` has no routes", id.value));
            self.found.push(problem.hint("a router has at least one route besides `default`"));
        }
        let key = self.expression(node.route_key.as_ref());
        if let Some((key, _)) = &key {
            self.never_equal(key.kind(), &node.routes);
        }
        let plugin = node.target.as_ref().map(|target| {
            let extra = [("config", node.config.as_ref())];
            let routes = Some(handles.as_slice());
            Plugin {
                run: runs::of_plugin(target, node.input.as_ref(), &extra, routes, node.timeout_ms, node.retry, self),
            }
        });
        handles.push(DEFAULT_ROUTE.to_owned());
        (Router { key, equals, plugin }, handles)
    }

    /// Routes that a key of this type equals never.
    fn never_equal(&mut self, key: Type, routes: &[At<spec::Route>]) {
        for At { value: route, .. } in routes {
            let (value, span) = match &route.equals {
                Some(equals) => (equals.value.value(), equals.span),
                None => (route.name.as_str().into(), route.name.span),
            };
            let kind = Type::of(&value);
            // Numbers are compared as they are written: `1` is not `1.0`.
            let are_whole = matches!(key, Type::Int | Type::Uint) && kind == Type::Int;
            if !key.can_be(kind) && !are_whole {
                let message = format!(
                    "the route `{}` is never taken: the key is {}, and this is {}",
                    route.name.value,
                    key.name(),
                    kind.name()
                );
                let problem = Diagnostic::warning("route_never_taken", span, message);
                self.found.push(problem.hint("say with `equals` what the key is to be, of the same type"));
            }
        }
    }
}
