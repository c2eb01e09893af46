//! Dot: a graph for Graphviz.

use std::fmt::Write as _;

use super::happened::NodeStatus;
use super::shape::Shape;
use super::sketch::{Line, Mark, Sketch};

pub(super) fn write(sketch: &Sketch) -> String {
    let mut out = format!("digraph \"{}\" {{", quoted(&sketch.name));
    let mut title = format!("{}: {}", sketch.name, sketch.summary);
    if let Some(path) = &sketch.critical {
        write!(title, "; critical path {} ms", path.ms).ok();
    }
    write!(out, "\n  label=\"{}\" labelloc=t fontname=\"sans-serif\"", quoted(&title)).ok();
    out.push_str("\n  node [shape=box fontname=\"sans-serif\" fontsize=11]");
    out.push_str("\n  edge [fontname=\"sans-serif\" fontsize=10]");
    for (ix, mark) in sketch.marks.iter().enumerate() {
        write!(out, "\n  n{ix} [label=\"{}\"{}]", label(mark), look(mark)).ok();
    }
    for line in &sketch.lines {
        write!(out, "\n  n{} -> n{}{}", line.from, line.to, way(line, sketch.is_run)).ok();
    }
    out.push_str("\n}");
    out
}

fn look(mark: &Mark) -> String {
    let mut styles: Vec<&str> = Vec::new();
    let shape = match mark.shape {
        Shape::Box => "",
        Shape::Rounded => {
            styles.push("rounded");
            ""
        }
        Shape::Group => " peripheries=2",
        Shape::Many => " shape=parallelogram",
        Shape::Funnel => " shape=invtrapezium",
        Shape::Fan => " shape=trapezium",
        Shape::Hexagon => " shape=hexagon",
        Shape::Again => " shape=cds",
        Shape::Stop => " shape=octagon",
        Shape::End => " shape=oval",
    };
    let mut look = shape.to_owned();
    if let Some(status) = mark.status {
        let (color, style) = color(status);
        styles.extend(style);
        write!(look, " color=\"{color}\"").ok();
    }
    if mark.critical {
        styles.push("bold");
        look.push_str(" penwidth=3");
    }
    if !styles.is_empty() {
        write!(look, " style=\"{}\"", styles.join(",")).ok();
    }
    write!(look, " tooltip=\"{}\"", quoted(&mark.whole())).ok();
    look
}

fn color(status: NodeStatus) -> (&'static str, Option<&'static str>) {
    match status {
        NodeStatus::Waiting => ("#8b949e", Some("dotted")),
        NodeStatus::Running => ("#1f6feb", None),
        NodeStatus::Completed => ("#2da44e", None),
        NodeStatus::Failed => ("#d1242f", None),
        NodeStatus::Cancelled => ("#9a6700", None),
        NodeStatus::TimedOut => ("#bc4c00", None),
        NodeStatus::Skipped => ("#8b949e", Some("dashed")),
    }
}

fn way(line: &Line, is_run: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(label) = &line.label {
        parts.push(format!("label=\"{}\"", quoted(label)));
    }
    // What leads back does not say which is above which.
    if line.back {
        parts.push("style=dashed constraint=false".to_owned());
    }
    if line.implied {
        parts.push("style=dotted arrowhead=none".to_owned());
    }
    match line.critical {
        true => parts.push("penwidth=3".to_owned()),
        false if is_run && !line.taken => parts.push("color=\"#8b949e\"".to_owned()),
        false => {}
    }
    if parts.is_empty() { String::new() } else { format!(" [{}]", parts.join(" ")) }
}

fn label(mark: &Mark) -> String {
    let star = if mark.critical { "* " } else { "" };
    let mut label = format!("{star}{}", quoted(&mark.id));
    let parts = [Some(mark.kind), Some(mark.detail.as_str()), mark.story.as_deref()];
    for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
        write!(label, "\\n{}", quoted(part)).ok();
    }
    label
}

/// Within quotes a backslash begins an escape, and `&` an entity of HTML.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}
