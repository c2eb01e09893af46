//! Sketch: what every picture shows of a graph, before it has a format.
//!
//! Texts of others are on one line here and not yet quoted: that is each format's
//! own business.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::critical::CriticalPath;
use super::happened::{Happened, NodeHappened, NodeStatus};
use super::links::{Link, layers, links};
use super::shape::Shape;
use super::words::{count, cut, duration, one_line};
use crate::plan::{GroupJoin, Judge, Kind, NodeIx, Plan, Replan, Router, RunPlan};

/// The most characters of an expression that are shown.
const EXPRESSION: usize = 48;

/// The most targets of a group that are named.
const TARGETS: usize = 4;

/// The most handles that one line names.
const HANDLES: usize = 6;

/// A graph, ready to be drawn.
pub(super) struct Sketch {
    pub name: String,
    pub description: Option<String>,
    /// `9 nodes, 10 edges, 1 loop`, and how the run stands.
    pub summary: String,
    pub marks: Vec<Mark>,
    pub lines: Vec<Line>,
    /// By a node's place.
    pub layers: Vec<usize>,
    pub critical: Option<CriticalPath>,
    /// Whether it was run.
    pub is_run: bool,
}

/// One node.
pub(super) struct Mark {
    pub id: Arc<str>,
    pub kind: &'static str,
    pub shape: Shape,
    /// What it does: its target, its rule.
    pub detail: String,
    /// None where the graph was not run.
    pub status: Option<NodeStatus>,
    /// What happened, such as `failed, 1.2 s, 2 attempts, trap`.
    pub story: Option<String>,
    pub critical: bool,
}

/// One link.
pub(super) struct Line {
    pub from: NodeIx,
    pub to: NodeIx,
    /// Handles and conditions; none for a plain edge.
    pub label: Option<String>,
    /// Whether it closes a loop.
    pub back: bool,
    /// Whether no edge says so: a join that names its group.
    pub implied: bool,
    /// Whether the run went along it.
    pub taken: bool,
    pub critical: bool,
}

impl Sketch {
    pub(super) fn of(plan: &Plan, what: Option<&Happened>) -> Self {
        let links = links(plan);
        let critical = what.and_then(|what| what.critical_among(plan, &links));
        // By a node's place: the one that it waited for.
        let mut before: Vec<Option<NodeIx>> = vec![None; plan.nodes.len()];
        let mut is_critical = vec![false; plan.nodes.len()];
        for path in critical.iter() {
            path.nodes.iter().for_each(|node| is_critical[*node] = true);
            path.nodes.windows(2).for_each(|pair| before[pair[1]] = Some(pair[0]));
        }
        let mark = |(ix, critical): (NodeIx, bool)| {
            let node = &plan.nodes[ix];
            let happened = what.map(|what| &what.nodes[ix]);
            Mark {
                id: one_line(&node.id).into(),
                kind: node.kind.name(),
                shape: Shape::of(&node.kind),
                detail: detail(plan, &node.kind),
                status: happened.map(|happened| happened.status),
                story: happened.map(|happened| story(happened, &node.handles)),
                critical,
            }
        };
        let line = |link: &Link| Line {
            from: link.from,
            to: link.to,
            label: label(plan, link),
            back: link.back,
            implied: link.edges.is_empty(),
            taken: what.is_some_and(|what| what.led_on(plan, link)),
            critical: !link.back && before[link.to] == Some(link.from),
        };
        let marks: Vec<Mark> = is_critical.iter().copied().enumerate().map(mark).collect();
        Self {
            name: one_line(&plan.name).into_owned(),
            description: plan.description.as_deref().map(|text| one_line(text.trim()).into_owned()),
            summary: summary(plan, &links, what),
            marks,
            lines: links.iter().map(line).collect(),
            layers: layers(plan.nodes.len(), &links),
            critical,
            is_run: what.is_some(),
        }
    }
}

impl Mark {
    /// Kind, detail and story, for whoever points at it.
    pub(super) fn whole(&self) -> String {
        let mut whole = format!("{}: {}", self.id, self.kind);
        for part in [Some(&self.detail), self.story.as_ref()].into_iter().flatten().filter(|part| !part.is_empty()) {
            write!(whole, "; {part}").ok();
        }
        if self.critical {
            whole.push_str("; on the critical path");
        }
        whole
    }
}

fn summary(plan: &Plan, links: &[Link], what: Option<&Happened>) -> String {
    let loops = links.iter().filter(|link| link.back).count();
    let mut summary = format!("{}, {}", count(plan.nodes.len(), "node"), count(plan.edges.len(), "edge"));
    if loops > 0 {
        write!(summary, ", {}", count(loops, "loop")).ok();
    }
    if let Some(what) = what {
        write!(summary, "; {}", what.status.as_str()).ok();
        if let (Some(start), Some(end)) = (what.started_at, what.finished_at) {
            write!(summary, " in {}", duration(end.since_ms(start))).ok();
        }
    }
    summary
}

/// What happened to a node, in a few words. Of one without runs, which is done at an
/// instant, the time from its first round to its last is left out.
fn story(happened: &NodeHappened, handles: &[Arc<str>]) -> String {
    let mut story = happened.status.as_str().to_owned();
    let handle = happened.handle.and_then(|handle| handles.get(handle));
    if let Some(handle) = handle.filter(|handle| ***handle != *happened.status.as_str()) {
        write!(story, " ({})", one_line(handle)).ok();
    }
    if let Some(ms) = happened.duration_ms().filter(|_| happened.runs > 0) {
        write!(story, ", {}", duration(ms)).ok();
    }
    if happened.runs > 1 {
        write!(story, ", {}", count(happened.runs as usize, "run")).ok();
    }
    if happened.attempts > 1 {
        write!(story, ", {}", count(happened.attempts as usize, "attempt")).ok();
    }
    if let Some(error) = &happened.error {
        write!(story, ", {}", one_line(error)).ok();
    }
    story
}

/// What leads along a link: handles and conditions, each once.
fn label(plan: &Plan, link: &Link) -> Option<String> {
    let from = &plan.nodes[link.from];
    let parts = link.edges.iter().filter_map(|edge| {
        let edge = &plan.edges[*edge];
        match (edge.handle, &edge.when) {
            (Some(handle), _) => Some(one_line(&from.handles[handle]).into_owned()),
            (None, Some((when, _))) => Some(format!("when {}", shown(when.text()))),
            // What is not led elsewhere, beside handles that are.
            (None, None) if link.edges.len() > 1 => Some("else".to_owned()),
            (None, None) => None,
        }
    });
    let mut parts: Vec<String> = parts.collect();
    let more = parts.len().saturating_sub(HANDLES);
    parts.truncate(HANDLES);
    match (parts.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(parts.join(", ")),
        (false, more) => Some(format!("{} and {more} more", parts.join(", "))),
    }
}

fn shown(expression: &str) -> String {
    cut(&one_line(expression.trim()), EXPRESSION).into_owned()
}

fn detail(plan: &Plan, kind: &Kind) -> String {
    let id = |node: NodeIx| one_line(&plan.nodes[node].id);
    match kind {
        Kind::SpawnRun { run, wait: true } | Kind::AgentCall { run } => target(run),
        Kind::SpawnRun { run, wait: false } => format!("{}, not waited for", target(run)),
        Kind::SpawnGroup { members, .. } => of_members(members),
        Kind::Map { over, run, .. } => match over {
            Some((over, _)) => format!("{} for each of {}", target(run), shown(over.text())),
            None => target(run),
        },
        Kind::Join { group: None, .. } => "of no group".to_owned(),
        Kind::Join { group: Some(group), .. } => match &plan.nodes[*group].kind {
            Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } => of_join(join, &id(*group)),
            Kind::SpawnRun { .. }
            | Kind::AgentCall { .. }
            | Kind::Join { .. }
            | Kind::Router(_)
            | Kind::Judge(_)
            | Kind::Replan(_)
            | Kind::CancelSubtree { .. }
            | Kind::Output(_) => format!("of {}", id(*group)),
        },
        Kind::Router(Router { key, plugin, .. }) => match (plugin, key) {
            (Some(plugin), _) => target(&plugin.run),
            (None, Some((key, _))) => format!("by {}", shown(key.text())),
            (None, None) => String::new(),
        },
        Kind::Judge(Judge { score, threshold, plugin }) => match (plugin, score) {
            (Some(plugin), _) => target(&plugin.run),
            (None, Some((score, _))) => format!("{} ≥ {threshold}", shown(score.text())),
            (None, None) => String::new(),
        },
        Kind::Replan(replan) => of_replan(replan, id),
        Kind::CancelSubtree { node, .. } => node.map(|node| format!("stops {}", id(node))).unwrap_or_default(),
        Kind::Output(output) => match &output.error {
            Some(failing) => format!("fails with {}", one_line(&failing.code)),
            None => String::new(),
        },
    }
}

fn target(run: &RunPlan) -> String {
    one_line(&run.target).into_owned()
}

/// The targets of a group, each once with how many there are of it.
fn of_members(members: &[RunPlan]) -> String {
    let mut known: Vec<(&str, usize)> = Vec::new();
    for member in members {
        match known.iter().position(|(target, _)| **target == *member.target) {
            Some(place) => known[place].1 += 1,
            None if known.len() < TARGETS => known.push((&member.target, 1)),
            None => {}
        }
    }
    let named: usize = known.iter().map(|(_, times)| times).sum();
    let mut parts: Vec<String> = known
        .iter()
        .map(|(target, times)| match times {
            1 => one_line(target).into_owned(),
            _ => format!("{times} × {}", one_line(target)),
        })
        .collect();
    if named < members.len() {
        parts.push(format!("{} more", members.len() - named));
    }
    parts.join(", ")
}

fn of_join(join: &GroupJoin, group: &str) -> String {
    let mode = join.policy.mode.as_str();
    match join.policy.quorum {
        Some(quorum) => format!("{mode} {quorum} of {group}"),
        None => format!("{mode} of {group}"),
    }
}

fn of_replan<'a>(replan: &Replan, id: impl Fn(NodeIx) -> Cow<'a, str>) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some((target, _)) = &replan.target {
        parts.push(one_line(target).into_owned());
    }
    if !replan.of.is_empty() {
        let of: Vec<Cow<'_, str>> = replan.of.iter().map(|(node, _)| id(*node)).collect();
        parts.push(format!("of {}", of.join(", ")));
    }
    if let Some((when, _)) = &replan.when {
        parts.push(format!("when {}", shown(when.text())));
    }
    if let Some(most) = replan.max_replans {
        parts.push(format!("at most {}", count(most as usize, "time")));
    }
    parts.join(", ")
}
