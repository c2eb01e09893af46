//! Text: a graph in lines, for a terminal.
//!
//! One line for each node, step by step: a node of a step follows at least one of the
//! step before. Where a node leads on is at the end of its line, or below it where
//! there is something to say of each way. Columns are as wide as most need, so that
//! one long id does not push all the rest off the screen.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::sketch::{Line, Mark, Sketch};
use super::words::duration;
use crate::plan::NodeIx;

/// The most nodes that are named after an arrow; where the others follow from is not
/// worth a line that goes on for screens.
const NAMED: usize = 8;

/// So many nodes are named at each end of a long critical path.
const END: usize = 8;

/// The widest that a column is made for what stands in it.
const COLUMN: usize = 40;

pub(super) fn write(sketch: &Sketch) -> String {
    let mut out = format!("{}: {}", sketch.name, sketch.summary);
    if let Some(description) = &sketch.description {
        write!(out, "\n{description}").ok();
    }
    if !sketch.marks.is_empty() {
        out.push('\n');
    }
    let mut ways: Vec<Vec<&Line>> = vec![Vec::new(); sketch.marks.len()];
    for line in &sketch.lines {
        ways[line.from].push(line);
    }
    let columns = Columns::of(sketch);
    let mut order: Vec<NodeIx> = (0..sketch.marks.len()).collect();
    order.sort_by_key(|node| sketch.layers[*node]);
    let mut step = None;
    for node in order {
        let layer = sketch.layers[node];
        let number = if step == Some(layer) { String::new() } else { (layer + 1).to_string() };
        step = Some(layer);
        columns.node(sketch, (&number, node), &ways[node], &mut out);
    }
    if let Some(path) = &sketch.critical {
        let ms = if path.ms < 1_000 { String::new() } else { format!(" ({})", duration(path.ms)) };
        write!(out, "\n\n* critical path, {} ms{ms}: {}", path.ms, chain(sketch, &path.nodes)).ok();
    }
    out
}

/// How wide the columns are, in characters.
struct Columns {
    step: usize,
    id: usize,
    kind: usize,
    story: usize,
}

impl Columns {
    fn of(sketch: &Sketch) -> Self {
        let widest = |width: &dyn Fn(&Mark) -> usize| sketch.marks.iter().map(width).max().unwrap_or(0).min(COLUMN);
        Self {
            step: sketch.layers.iter().max().map_or(0, |layer| (layer + 1).to_string().len()),
            id: widest(&|mark| mark.id.chars().count()),
            kind: widest(&|mark| mark.kind.len()),
            story: widest(&|mark| mark.story.as_ref().map_or(0, |story| story.chars().count())),
        }
    }

    fn node(&self, sketch: &Sketch, (number, node): (&str, NodeIx), ways: &[&Line], out: &mut String) {
        let mark = &sketch.marks[node];
        let star = if mark.critical { '*' } else { ' ' };
        let mut line = format!(
            "{number:>step$} {star} {:<id$}  {:<kind$}",
            mark.id,
            mark.kind,
            step = self.step,
            id = self.id,
            kind = self.kind
        );
        if let Some(story) = &mark.story {
            write!(line, "  {story:<width$}", width = self.story).ok();
        }
        if !mark.detail.is_empty() {
            write!(line, "  {}", mark.detail).ok();
        }
        let is_plain = ways.iter().all(|way| way.label.is_none() && !way.back);
        if is_plain && !ways.is_empty() {
            write!(line, "  → {}", named(sketch, ways)).ok();
        }
        write!(out, "\n{}", line.trim_end()).ok();
        if is_plain {
            return;
        }
        let groups = by_label(ways);
        let indent = " ".repeat(self.step + 3);
        for (at, group) in groups.iter().enumerate() {
            let branch = if at + 1 == groups.len() { '└' } else { '├' };
            let label = group[0].label.as_ref().map_or(String::new(), |label| format!("{label} "));
            let (arrow, note) = if group[0].back { ('↩', " (loop)") } else { ('→', "") };
            let taken = if group.iter().any(|way| way.taken) { "  ✓" } else { "" };
            write!(out, "\n{indent}{branch} {label}{arrow} {}{note}{taken}", named(sketch, group)).ok();
        }
    }
}

/// Ways that have the same said of them, in the order of the file.
fn by_label<'a>(ways: &[&'a Line]) -> Vec<Vec<&'a Line>> {
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    let mut known: HashMap<(&Option<String>, bool), usize> = HashMap::new();
    for way in ways {
        let place = *known.entry((&way.label, way.back)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(way);
    }
    groups
}

/// The nodes of a path; of a long one the two ends, since each node has its star.
fn chain(sketch: &Sketch, nodes: &[NodeIx]) -> String {
    let ids = |nodes: &[NodeIx]| {
        let ids: Vec<&str> = nodes.iter().map(|node| &*sketch.marks[*node].id).collect();
        ids.join(" → ")
    };
    match nodes.len().saturating_sub(2 * END) {
        0 => ids(nodes),
        between => format!("{} → … {between} more … → {}", ids(&nodes[..END]), ids(&nodes[nodes.len() - END..])),
    }
}

fn named(sketch: &Sketch, ways: &[&Line]) -> String {
    let ids: Vec<&str> = ways.iter().take(NAMED).map(|way| &*sketch.marks[way.to].id).collect();
    match ways.len().saturating_sub(NAMED) {
        0 => ids.join(", "),
        more => format!("{} and {more} more", ids.join(", ")),
    }
}
