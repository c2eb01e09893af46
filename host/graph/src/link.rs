//! Linking: from a file to a plan. Names become places, and everything that can be
//! said of one node by itself is said here.

mod edges;
mod joins;
mod routers;
mod runs;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use pleach_kernel::Tightening;
use semver::Version;

use crate::at::At;
use crate::diagnostic::{Diagnostic, Diagnostics, most_alike};
use crate::file::{File, Named};
use crate::plan::{
    Failing, GroupJoin, JOIN_HANDLES, JUDGE_HANDLES, Judge, Kind, Lost, Node, NodeIx, Output, Plan, Plugin,
    REPLAN_HANDLES, Replan, Settings,
};
use crate::schema::{Schema, Wrong};
use crate::source::{Source, Span};
use crate::spec;
use crate::template::{Template, as_it_stands, compile_expression};
use crate::text::{Cel, Json};

/// The longest id of a node: it is part of spawn keys.
const MAX_ID: usize = 64;

/// The most replans of one graph: each knows all that comes before it.
const MAX_REPLANS: usize = 256;

/// Items of a `map` in flight at once, unless it says otherwise.
const WINDOW: u32 = 64;

/// The most that may be.
const MAX_WINDOW: u32 = 10_000;

/// For so many wrong names it is looked for what was meant: that takes as long as
/// the graph is large.
const MOST_GUESSES: usize = 20;

pub(crate) fn link(file: File, source: &Source, found: &mut Diagnostics) -> Plan {
    let by_id = HashMap::with_capacity(file.nodes.len());
    let mut linker =
        Linker { source, found, by_id, joinings: Vec::new(), unread: file.unread, is_torn: false, guesses: 0 };
    let File { settings, nodes, edges, is_tasks, has_unread_edges, .. } = file;
    let name = linker.name(&settings);
    let description = settings.description.clone();
    let settings = linker.settings(settings);
    let nodes = linker.index(nodes);
    let mut nodes: Vec<Node> = nodes.into_iter().map(|named| linker.node(named)).collect();
    let edges = linker.edges(edges, &mut nodes);
    if has_unread_edges {
        nodes.iter_mut().for_each(|node| node.lost = Lost { incoming: true, outgoing: true });
    }
    let (by_id, unread) = (std::mem::take(&mut linker.by_id), std::mem::take(&mut linker.unread));
    let mut plan = Plan {
        name,
        description,
        settings,
        nodes,
        edges,
        by_id,
        is_tasks,
        unread,
        loops: OnceLock::new(),
        may_take_long: OnceLock::new(),
    };
    linker.replans(&plan);
    linker.joins(&mut plan);
    plan
}

/// A join on its way to its group.
struct Joining {
    place: NodeIx,
    said: spec::Join,
    is_torn: bool,
}

struct Linker<'a> {
    source: &'a Source,
    found: &'a mut Diagnostics,
    by_id: HashMap<Arc<str>, NodeIx>,
    /// What each join says of its group, by the join's place.
    joinings: Vec<Joining>,
    /// Nodes that could not be read: nothing is said of whoever names them.
    unread: HashSet<String>,
    /// Whether some of the node that is being linked could not be read.
    is_torn: bool,
    /// Names of nodes that were wrong so far.
    guesses: usize,
}

impl Linker<'_> {
    fn name(&mut self, settings: &spec::Settings) -> Arc<str> {
        let legal = |name: &str| {
            (1..=64).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if let Some(name) = &settings.name {
            if legal(name) {
                return name.value.as_str().into();
            }
            let message = format!("`{}` is no name of a graph", name.value);
            let hint = "1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter";
            self.found.push(Diagnostic::error("invalid_name", name.span, message).hint(hint));
        }
        name_of_file(self.source.name()).into()
    }

    fn settings(&mut self, settings: spec::Settings) -> Settings {
        if let Some(timeout) = settings.timeout_ms.as_ref().filter(|timeout| timeout.value == 0) {
            let problem = Diagnostic::error("invalid_value", timeout.span, "a graph of 0 ms cannot be");
            self.found.push(problem.hint("leave it out for a graph without a deadline"));
        }
        if let Some(version) = &settings.version
            && let Err(why) = Version::parse(version)
        {
            let message = format!("`{}` is no version: {why}", version.value);
            let problem = Diagnostic::warning("invalid_version", version.span, message);
            self.found.push(problem.hint("write it as `1.0.0`: a graph is published under nothing else"));
        }
        if let Some(most) = settings.max_concurrency.as_ref().filter(|most| most.value == 0) {
            let problem = Diagnostic::error("invalid_value", most.span, "at most 0 at once would start nothing");
            self.found.push(problem.hint("leave it out for what the policy allows"));
        }
        let limits = settings.policy.as_ref().map(|policy| policy.value.clone()).unwrap_or_default();
        let number = |limit: &Option<At<u32>>| limit.as_ref().map(|limit| limit.value);
        Settings {
            version: settings.version.as_ref().map(|version| version.as_str().into()),
            limits: Tightening {
                max_depth: number(&limits.max_depth),
                max_fanout: number(&limits.max_fanout),
                max_children_total: number(&limits.max_children_total),
                max_concurrency: number(&settings.max_concurrency),
                join_timeout_ms: limits.join_timeout_ms.map(|limit| limit.value),
                max_replans: number(&limits.max_replans),
                max_stalls: number(&limits.max_stalls),
            },
            timeout_ms: settings.timeout_ms.map(|timeout| timeout.value),
            fairness: settings.fairness,
            budget: settings.budget.map(|budget| runs::budget(&budget)).unwrap_or_default(),
            seed: settings.seed,
            input_schema: self.schema(settings.input_schema.as_ref()),
            output_schema: self.schema(settings.output_schema.as_ref()),
        }
    }

    fn schema(&mut self, schema: Option<&At<Json>>) -> Option<Schema> {
        let schema = schema?;
        match Schema::compile(&schema.value.value()) {
            Ok(compiled) => Some(compiled),
            Err(Wrong { why, part }) => {
                let span = schema.value.0.at(&part).map_or(schema.span, |part| part.span);
                self.found.push(Diagnostic::error("invalid_schema", span, format!("no JSON Schema: {why}")));
                None
            }
        }
    }

    /// Gives every node its place; those whose id is taken are left out.
    fn index(&mut self, nodes: Vec<Named>) -> Vec<Named> {
        let mut kept: Vec<Named> = Vec::with_capacity(nodes.len());
        for named in nodes {
            let At { value: id, span } = &named.id;
            let legal = (1..=MAX_ID).contains(&id.len())
                && id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !legal {
                let hint = "1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`, beginning with a letter or `_`";
                let problem = Diagnostic::error("invalid_id", *span, format!("`{id}` is no id of a node"));
                self.found.push(problem.hint(hint));
            }
            if let Some(first) = self.by_id.get(id.as_str()) {
                let first = kept[*first].id.span;
                let problem = Diagnostic::error("duplicate_node", *span, format!("there are two nodes `{id}`"));
                self.found.push(problem.hint("give one of them another id").related(first, "the first one"));
                continue;
            }
            self.by_id.insert(id.as_str().into(), kept.len());
            kept.push(named);
        }
        kept
    }

    /// The node that a field names.
    fn named(&mut self, name: &At<String>) -> Option<NodeIx> {
        if let Some(node) = self.by_id.get(name.as_str()) {
            return Some(*node);
        }
        if self.unread.contains(name.as_str()) {
            return None;
        }
        let mut problem = Diagnostic::error("unknown_node", name.span, format!("there is no node `{}`", name.value));
        self.guesses += 1;
        if self.guesses <= MOST_GUESSES
            && let Some(other) = most_alike(name, self.by_id.keys().map(|id| &**id))
        {
            problem = problem.hint(format!("did you mean `{other}`?"));
        }
        self.found.push(problem);
        None
    }

    fn node(&mut self, Named { id, node, is_torn }: Named) -> Node {
        self.is_torn = is_torn;
        let place = self.by_id[id.as_str()];
        let (kind, handles, on_failure) = self.kind(place, &id, node);
        let (span, handles) = (id.span, handles.into_iter().map(Arc::from).collect());
        let id = id.value.into();
        // What could not be read may have said where it leads.
        let lost = Lost { incoming: false, outgoing: is_torn };
        Node { id, span, kind, on_failure, handles, incoming: Vec::new(), outgoing: Vec::new(), lost }
    }

    fn kind(&mut self, place: NodeIx, id: &At<String>, node: spec::Node) -> (Kind, Vec<String>, spec::OnFailure) {
        let text = |handles: &[&str]| handles.iter().map(|handle| (*handle).to_owned()).collect();
        match node {
            spec::Node::SpawnRun(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                let wait = node.wait.unwrap_or(true);
                (Kind::SpawnRun { run: runs::of_spawn_run(*node, self), wait }, Vec::new(), on_failure)
            }
            spec::Node::AgentCall(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                (Kind::AgentCall { run: runs::of_agent_call(*node, self) }, Vec::new(), on_failure)
            }
            spec::Node::SpawnGroup(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                let members = runs::of_group(*node, self);
                (Kind::SpawnGroup { members, join: GroupJoin::default() }, Vec::new(), on_failure)
            }
            spec::Node::Map(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                let over = self.expression(Some(&node.over));
                let window = self.window(node.window.as_ref());
                let run = runs::of_map(*node, self);
                (Kind::Map { over, run, window, join: GroupJoin::default() }, Vec::new(), on_failure)
            }
            spec::Node::Join(node) => {
                let group = node.group.as_ref().and_then(|group| self.named(group));
                let group_span = node.group.as_ref().map(|group| group.span);
                self.joinings.push(Joining { place, said: *node, is_torn: self.is_torn });
                (Kind::Join { group, group_span }, text(&JOIN_HANDLES), spec::OnFailure::default())
            }
            spec::Node::Router(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                let (router, handles) = self.router(id, *node);
                (Kind::Router(router), handles, on_failure)
            }
            spec::Node::Judge(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                (Kind::Judge(self.judge(id, *node)), text(&JUDGE_HANDLES), on_failure)
            }
            spec::Node::Replan(node) => {
                let on_failure = node.on_failure.unwrap_or_default();
                (Kind::Replan(self.replan(id, *node)), text(&REPLAN_HANDLES), on_failure)
            }
            spec::Node::CancelSubtree(node) => {
                if let Some(At { value: reason, span }) = &node.reason {
                    let hint = "say it in words that hold for each run";
                    as_it_stands("a `reason`", hint, reason, *span, self.found);
                }
                let reason = node.reason.map(|reason| reason.value.into());
                let kind = Kind::CancelSubtree { node: self.named(&node.node), node_span: node.node.span, reason };
                (kind, Vec::new(), spec::OnFailure::default())
            }
            spec::Node::Output(node) => (Kind::Output(self.output(id, *node)), Vec::new(), spec::OnFailure::default()),
        }
    }

    fn replans(&mut self, plan: &Plan) {
        let mut replans = plan.nodes.iter().filter(|node| matches!(node.kind, Kind::Replan(_)));
        if let Some(one) = replans.nth(MAX_REPLANS) {
            let problem =
                Diagnostic::error("too_large", one.span, format!("a graph has at most {MAX_REPLANS} replans"));
            self.found.push(problem.hint("make parts of it graphs of their own, and run those"));
        }
    }

    fn window(&mut self, window: Option<&At<u32>>) -> u32 {
        let Some(window) = window else { return WINDOW };
        if !(1..=MAX_WINDOW).contains(&window.value) {
            let message = format!("a window is from 1 to {MAX_WINDOW}, not {}", window.value);
            self.found.push(Diagnostic::error("invalid_value", window.span, message));
        }
        window.value.clamp(1, MAX_WINDOW)
    }

    fn expression(&mut self, cel: Option<&At<Cel>>) -> Option<(crate::expression::Expression, Span)> {
        let cel = cel?;
        compile_expression(&cel.value.0, cel.span, self.source, self.found)
    }

    fn template(&mut self, template: Option<&At<crate::text::Template>>) -> Option<Template> {
        Some(Template::compile(&template?.value.0, self.source, self.found))
    }

    /// A node takes one field or another, and not both.
    fn either(&mut self, id: &At<String>, kind: &str, one: (&str, Option<Span>), other: (&str, Option<Span>)) {
        match (one.1, other.1) {
            (Some(_), Some(second)) => {
                let message = format!("`{}` of the {kind} `{}` is here beside `{}`", other.0, id.value, one.0);
                self.found.push(Diagnostic::error("two_kinds", second, message).hint("keep one of them"));
            }
            (None, None) if self.is_torn => {}
            (None, None) => {
                let message = format!("the {kind} `{}` has neither `{}` nor `{}`", id.value, one.0, other.0);
                self.found.push(Diagnostic::error("missing_field", id.span, message).hint("give one of them"));
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
    }

    /// A field that means nothing without another.
    fn only_with(&mut self, with: &str, is_there: bool, fields: &[(&str, Option<Span>)]) {
        for (field, span) in fields.iter().filter(|_| !is_there && !self.is_torn) {
            if let Some(span) = span {
                let message = format!("`{field}` means nothing without `{with}`");
                self.found.push(Diagnostic::error("unused_field", *span, message).hint("leave it out"));
            }
        }
    }

    fn judge(&mut self, id: &At<String>, node: spec::Judge) -> Judge {
        let (score, target) = (node.score.as_ref().map(|at| at.span), node.target.as_ref().map(|at| at.span));
        self.either(id, "judge", ("score", score), ("target", target));
        self.only_with(
            "target",
            target.is_some(),
            &[
                ("input", node.input.as_ref().map(|at| at.span)),
                ("criteria", node.criteria.as_ref().map(|at| at.span)),
                ("timeout_ms", node.timeout_ms.as_ref().map(|at| at.span)),
                ("retry", node.retry.as_ref().map(|at| at.span)),
            ],
        );
        self.only_with("score", score.is_some(), &[("threshold", node.threshold.as_ref().map(|at| at.span))]);
        if let (Some(span), None, false) = (score, &node.threshold, self.is_torn) {
            let problem = Diagnostic::error("missing_field", span, "a `score` needs a `threshold` to be held against");
            self.found.push(problem.hint("write `threshold: 0.8`, or what it has to reach"));
        }
        let plugin = node.target.as_ref().map(|target| {
            let extra = [("criteria", node.criteria.as_ref())];
            Plugin {
                run: runs::of_plugin(target, node.input.as_ref(), &extra, None, node.timeout_ms, node.retry, self),
            }
        });
        let threshold = node.threshold.map_or(0.0, |threshold| threshold.value);
        Judge { score: self.expression(node.score.as_ref()), threshold, plugin }
    }

    fn replan(&mut self, id: &At<String>, node: spec::Replan) -> Replan {
        let target = node.target.as_ref().map(|at| at.span);
        self.only_with("target", target.is_some(), &[("config", node.config.as_ref().map(|at| at.span))]);
        node.target.iter().for_each(|target| self.check_target(target));
        let of = node.of.iter().filter_map(|name| Some((self.named(name)?, name.span))).collect();
        Replan {
            of,
            when: self.expression(node.when.as_ref()),
            target: node.target.map(|target| (target.value.into(), target.span)),
            config: self.template(node.config.as_ref()),
            max_replans_span: node.max_replans.as_ref().map_or(id.span, |at| at.span),
            max_replans: node.max_replans.map(|at| at.value),
            max_stalls: node.max_stalls.map(|at| at.value),
        }
    }

    fn output(&mut self, id: &At<String>, node: spec::Output) -> Output {
        let (value, error) = (node.value.as_ref().map(|at| at.span), node.error.as_ref().map(|at| at.span));
        if value.is_some() && error.is_some() {
            self.either(id, "output", ("value", value), ("error", error));
        }
        let null = || Template::plain(serde_json::Value::Null);
        let error = node.error.map(|error| {
            let At { value: spec::Failing { code, message, retryable }, .. } = error;
            if !is_code(&code) {
                let message = format!("`{}` is no code of an error", code.value);
                let hint =
                    "1 to 64 of `a-z`, `0-9` and `_`, beginning with a letter: what varies goes into the `message`";
                self.found.push(Diagnostic::error("invalid_name", code.span, message).hint(hint));
            }
            let message = self.template(message.as_ref());
            let message =
                message.unwrap_or_else(|| Template::plain(format!("the graph failed at `{}`", id.value).into()));
            Failing { code: code.value.into(), message, retryable }
        });
        Output { value: self.template(node.value.as_ref()).unwrap_or_else(null), error }
    }
}

/// Whether this may be an error's code.
fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What a graph is called whose file does not say: the file, as far as it can be a
/// name.
fn name_of_file(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = file.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(legal).skip_while(|c| !c.is_ascii_lowercase()).take(64).collect();
    if name.is_empty() { "graph".to_owned() } else { name }
}
