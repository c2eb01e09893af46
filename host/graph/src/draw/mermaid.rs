//! Mermaid: a graph as a `flowchart`, which Markdown on many sites shows as a
//! picture.
//!
//! Nodes go by their place, because an id such as `end` is a word of the language.
//! In a label only letters, digits and a few marks stand for themselves.

use std::fmt::Write as _;

use super::happened::NodeStatus;
use super::shape::Shape;
use super::sketch::{Line, Mark, Sketch};
use super::words::duration;

pub(super) fn write(sketch: &Sketch) -> String {
    let mut out = "flowchart TD".to_owned();
    for (ix, mark) in sketch.marks.iter().enumerate() {
        let (open, close) = brackets(mark.shape);
        write!(out, "\n  n{ix}{open}\"{}\"{close}", label(mark)).ok();
    }
    for line in &sketch.lines {
        let label = line.label.as_ref().map_or(String::new(), |label| format!("|\"{}\"|", quoted(label)));
        write!(out, "\n  n{} {}{label} n{}", line.from, arrow(line), line.to).ok();
    }
    if sketch.is_run {
        happened(sketch, &mut out);
    }
    out
}

/// The stroke alone tells how a node stands, so that the page's own colours stay.
fn happened(sketch: &Sketch, out: &mut String) {
    for status in NodeStatus::ALL {
        let of = sketch.marks.iter().enumerate().filter(|(_, mark)| mark.status == Some(status));
        let names: Vec<String> = of.map(|(ix, _)| format!("n{ix}")).collect();
        if !names.is_empty() {
            let word = status.as_str();
            write!(out, "\n  classDef {word} {}\n  class {} {word}", style(status), names.join(",")).ok();
        }
    }
    let Some(path) = &sketch.critical else { return };
    let names: Vec<String> = path.nodes.iter().map(|node| format!("n{node}")).collect();
    write!(out, "\n  classDef critical stroke-width:4px\n  class {} critical", names.join(",")).ok();
    let lines = sketch.lines.iter().enumerate().filter(|(_, line)| line.critical);
    let lines: Vec<String> = lines.map(|(ix, _)| ix.to_string()).collect();
    if !lines.is_empty() {
        write!(out, "\n  linkStyle {} stroke-width:4px", lines.join(",")).ok();
    }
    write!(out, "\n  %% critical path: {} ms ({})", path.ms, duration(path.ms)).ok();
}

fn brackets(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::Box => ("[", "]"),
        Shape::Rounded => ("(", ")"),
        Shape::Group => ("[[", "]]"),
        Shape::Many => ("[/", "/]"),
        Shape::Funnel => ("[\\", "/]"),
        Shape::Fan => ("[/", "\\]"),
        Shape::Hexagon => ("{{", "}}"),
        Shape::Again => ("[\\", "\\]"),
        Shape::Stop => (">", "]"),
        Shape::End => ("([", "])"),
    }
}

fn arrow(line: &Line) -> &'static str {
    match (line.back, line.implied) {
        (true, _) => "-.->",
        (false, true) => "-.-",
        (false, false) => "-->",
    }
}

fn style(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Waiting => "stroke:#8b949e,stroke-dasharray:2 3",
        NodeStatus::Running => "stroke:#1f6feb,stroke-width:2px",
        NodeStatus::Completed => "stroke:#2da44e,stroke-width:2px",
        NodeStatus::Failed => "stroke:#d1242f,stroke-width:2px",
        NodeStatus::Cancelled => "stroke:#9a6700,stroke-width:2px",
        NodeStatus::TimedOut => "stroke:#bc4c00,stroke-width:2px",
        NodeStatus::Skipped => "stroke:#8b949e,stroke-dasharray:6 4",
    }
}

fn label(mark: &Mark) -> String {
    let mut label = quoted(&mark.id);
    // Not `*`, with which a list would begin.
    let star = if mark.critical { "★ " } else { "" };
    let parts = [Some(mark.kind), Some(mark.detail.as_str()), mark.story.as_deref()];
    for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
        write!(label, "<br/>{}", quoted(part)).ok();
    }
    format!("{star}{label}")
}

/// Everything that could mean something, to Mermaid or to the page that it is in, as
/// the number of its character. A dash or a number with a dot begins a list, where it
/// comes first.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_plain = match c {
            ' ' | '_' | ',' => true,
            '-' => !out.is_empty(),
            '.' => chars.peek().is_some_and(char::is_ascii_alphanumeric),
            c => c.is_ascii_alphanumeric() || !c.is_ascii(),
        };
        match is_plain {
            true => out.push(c),
            false => {
                write!(out, "#{};", u32::from(c)).ok();
            }
        }
    }
    out
}
