//! Svg: a graph as a picture that needs nothing else: no script, no font, no file.
//!
//! Colours are classes, set once for light pages and once for dark ones; how a node
//! stands is also written on it, so that nobody needs to tell the colours apart.

use std::fmt::Write as _;

use super::links::Link;
use super::place::{Placed, Point, Size, place};
use super::shape::Shape;
use super::sketch::{Line, Mark, Sketch};
use super::words::{cut, duration};

const MARGIN: f64 = 20.0;
const LINE: f64 = 15.0;
const NARROWEST: f64 = 96.0;
/// The most characters of a line in a node; all of it is in its title.
const TEXT: usize = 36;
/// How far what leads back keeps from the nodes that it passes, from the next one, and
/// how round its corners are.
const SWING: f64 = 26.0;
const APART: f64 = 9.0;
const ROUND: f64 = 10.0;
/// How far slanted sides lean.
const LEAN: f64 = 12.0;

const STYLE: &str = "\
.paper{fill:#fff}\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1f2328;text-anchor:middle}\
.head{font-weight:600;font-size:14px;text-anchor:start}\
.note{fill:#59636e;text-anchor:start}\
.id{font-weight:600}.more{fill:#59636e;font-size:11px}\
.shape{fill:#f6f8fa;stroke:#59636e;stroke-width:1.2}\
.way{fill:none;stroke:#818b98;stroke-width:1.2;marker-end:url(#pleach-tip)}\
.tip{fill:#818b98}.tip.on{fill:#1f2328}.label{font-size:11px;fill:#59636e;stroke:#fff;stroke-width:4px;paint-order:stroke}\
.taken{stroke:#1f2328;marker-end:url(#pleach-tip-on)}\
.back{stroke-dasharray:6 4}.implied{stroke-dasharray:2 3;marker-end:none}\
.running .shape{stroke:#0969da;fill:#ddf4ff}.completed .shape{stroke:#1a7f37;fill:#dafbe1}\
.failed .shape{stroke:#d1242f;fill:#ffebe9}.cancelled .shape{stroke:#9a6700;fill:#fff8c5}\
.timed_out .shape{stroke:#bc4c00;fill:#fff1e5}\
.waiting .shape{stroke-dasharray:2 3}.skipped .shape{stroke-dasharray:6 4}\
.skipped text,.skipped .more{fill:#818b98}\
.critical .shape,.way.critical{stroke-width:3}\
@media(prefers-color-scheme:dark){\
.paper{fill:#0d1117}text{fill:#f0f6fc}.note,.more{fill:#9198a1}\
.shape{fill:#151b23;stroke:#9198a1}.way{stroke:#656c76}.tip{fill:#656c76}.tip.on{fill:#f0f6fc}\
.label{fill:#9198a1;stroke:#0d1117}.taken{stroke:#f0f6fc}\
.running .shape{stroke:#4493f8;fill:#12233a}.completed .shape{stroke:#3fb950;fill:#12261e}\
.failed .shape{stroke:#f85149;fill:#2d1517}.cancelled .shape{stroke:#d29922;fill:#2a2111}\
.timed_out .shape{stroke:#db6d28;fill:#2b1d13}.skipped text,.skipped .more{fill:#656c76}}";

pub(super) fn write(sketch: &Sketch) -> String {
    let texts: Vec<Vec<String>> = sketch.marks.iter().map(texts).collect();
    let rows = texts.iter().map(Vec::len).max().unwrap_or(0);
    let height = rows as f64 * LINE + 16.0;
    let size = |texts: &Vec<String>| Size {
        width: texts.iter().map(|text| width(text) + 2.0 * LEAN + 12.0).fold(NARROWEST, f64::max),
        height,
    };
    let sizes: Vec<Size> = texts.iter().map(size).collect();
    let links = |line: &Line| Link { from: line.from, to: line.to, edges: Vec::new(), back: line.back };
    let placed = place(&sizes, &sketch.lines.iter().map(links).collect::<Vec<_>>());
    let head = head(sketch);
    let top = MARGIN * 1.5 + LINE * head.len() as f64;
    let swings = swings(sketch, &sizes, &placed);
    Picture { sketch, sizes, placed, swings, top }.write(&head, &texts)
}

/// What stands above the picture.
fn head(sketch: &Sketch) -> Vec<String> {
    let mut head = vec![sketch.name.clone()];
    head.extend(sketch.description.as_deref().map(|text| cut(text, 120).into_owned()));
    head.push(sketch.summary.clone());
    if let Some(path) = &sketch.critical {
        let ms = if path.ms < 1_000 { String::new() } else { format!(" ({})", duration(path.ms)) };
        head.push(format!("critical path, drawn bold: {} ms{ms}", path.ms));
    }
    head
}

fn texts(mark: &Mark) -> Vec<String> {
    let star = if mark.critical { "* " } else { "" };
    let id = format!("{star}{}", mark.id);
    let parts = [Some(id.as_str()), Some(mark.kind), Some(mark.detail.as_str()), mark.story.as_deref()];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).map(|part| cut(part, TEXT).into_owned()).collect()
}

/// About how wide a text is: fonts differ.
fn width(text: &str) -> f64 {
    text.chars().map(|c| if c.is_ascii() { 6.8 } else { 12.0 }).sum()
}

struct Picture<'a> {
    sketch: &'a Sketch,
    sizes: Vec<Size>,
    placed: Placed,
    /// For each line that leads back, how far out it goes; 0 for others.
    swings: Vec<f64>,
    /// Where the picture begins, below its head.
    top: f64,
}

impl Picture<'_> {
    fn write(&self, head: &[String], texts: &[Vec<String>]) -> String {
        let widest = head.iter().map(|text| width(text) * 1.2).fold(self.width(), f64::max);
        let (wide, high) = (widest + 2.0 * MARGIN, self.top + self.placed.height + MARGIN);
        let name = quoted(&self.sketch.name);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" \
             height=\"{high:.0}\" role=\"img\" aria-label=\"{name}\">\n<title>{name}</title>\n<style>{STYLE}</style>\n\
             <defs>{}{}</defs>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>",
            tip("pleach-tip", "tip"),
            tip("pleach-tip-on", "tip on"),
        );
        for (row, text) in head.iter().enumerate() {
            let class = if row == 0 { "head" } else { "note" };
            let y = MARGIN + LINE * (row as f64 + 0.5);
            write!(out, "\n<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>", quoted(text)).ok();
        }
        let mut siblings = vec![0; self.sketch.marks.len()];
        for (ix, line) in self.sketch.lines.iter().enumerate() {
            self.line(ix, line, siblings[line.from], &mut out);
            siblings[line.from] += usize::from(line.label.is_some() && !line.back);
        }
        for (ix, mark) in self.sketch.marks.iter().enumerate() {
            self.node(ix, mark, &texts[ix], &mut out);
        }
        out.push_str("\n</svg>");
        out
    }

    /// How wide the picture is, with lines that lead back and what they say.
    fn width(&self) -> f64 {
        let label = |line: &Line| line.label.as_ref().map_or(0.0, |label| width(&shown(label)) / 2.0);
        let out = self
            .swings
            .iter()
            .zip(&self.sketch.lines)
            .map(|(out, line)| out + label(line) * f64::from(u8::from(line.back)));
        out.fold(self.placed.width, f64::max)
    }

    fn at(&self, point: Point) -> Point {
        Point { x: point.x + MARGIN, y: point.y + self.top }
    }

    fn node(&self, ix: usize, mark: &Mark, texts: &[String], out: &mut String) {
        let at = self.at(self.placed.nodes[ix]);
        let mut class = "node".to_owned();
        if let Some(status) = mark.status {
            write!(class, " {}", status.as_str()).ok();
        }
        if mark.critical {
            class.push_str(" critical");
        }
        write!(
            out,
            "\n<g class=\"{class}\"><title>{}</title>{}",
            quoted(&mark.whole()),
            outline(mark.shape, at, self.sizes[ix])
        )
        .ok();
        let first = at.y - LINE * (texts.len() - 1) as f64 / 2.0 + 4.0;
        for (row, text) in texts.iter().enumerate() {
            let class = if row == 0 { "id" } else { "more" };
            let y = first + LINE * row as f64;
            write!(out, "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", at.x, quoted(text)).ok();
        }
        out.push_str("</g>");
    }

    /// `sibling` is how many lines with a label have left its node before.
    fn line(&self, ix: usize, line: &Line, sibling: usize, out: &mut String) {
        let mut class = "way".to_owned();
        for (is, word) in
            [(line.back, " back"), (line.implied, " implied"), (line.taken, " taken"), (line.critical, " critical")]
        {
            if is {
                class.push_str(word);
            }
        }
        let (path, middle) = if line.back { self.around(ix, line) } else { self.down(ix, line, sibling) };
        write!(out, "\n<path class=\"{class}\" d=\"{path}\"/>").ok();
        if let Some(label) = &line.label {
            let (x, y) = (middle.x, middle.y);
            write!(out, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", quoted(&shown(label))).ok();
        }
    }

    /// From below one node to above the other, straight down past each joint.
    fn down(&self, ix: usize, line: &Line, sibling: usize) -> (String, Point) {
        let half = self.sizes[line.from].height / 2.0;
        let (from, to) = (self.at(self.placed.nodes[line.from]), self.at(self.placed.nodes[line.to]));
        let (start, end) = (Point { y: from.y + half, ..from }, Point { y: to.y - half, ..to });
        let mut path = format!("M{:.1} {:.1}", start.x, start.y);
        let mut last = start;
        let mut first_end = None;
        for joint in self.placed.joints[ix].iter().map(|joint| self.at(*joint)) {
            let (above, below) = (Point { y: joint.y - half, ..joint }, Point { y: joint.y + half, ..joint });
            curve(last, above, &mut path);
            write!(path, "L{:.1} {:.1}", below.x, below.y).ok();
            first_end.get_or_insert(above);
            last = below;
        }
        curve(last, end, &mut path);
        // On the line, and at another height than those of its siblings.
        let next = first_end.unwrap_or(end);
        let t = [0.3, 0.55, 0.75][sibling % 3];
        let (along, down) = (t * t * (3.0 - 2.0 * t), 1.5 * t * (1.0 - t) + t * t * t);
        let middle = Point { x: start.x + (next.x - start.x) * along, y: start.y + (next.y - start.y) * down + 4.0 };
        (path, middle)
    }

    /// From the right of one node out, up past all between, and back to the right of the
    /// other.
    fn around(&self, ix: usize, line: &Line) -> (String, Point) {
        let right = |node: usize| {
            let at = self.at(self.placed.nodes[node]);
            // Where a side leans, the middle of it.
            Point { x: at.x + self.sizes[node].width / 2.0 - LEAN / 2.0, y: at.y }
        };
        let (from, to) = (right(line.from), right(line.to));
        let out = self.swings[ix] + MARGIN;
        let (before, low, high) = (out - ROUND, from.y - ROUND, to.y + ROUND);
        let path = format!(
            "M{:.1} {:.1}H{before:.1}Q{out:.1} {:.1} {out:.1} {low:.1}V{high:.1}Q{out:.1} {:.1} {before:.1} {:.1}H{:.1}",
            from.x, from.y, from.y, to.y, to.y, to.x
        );
        (path, Point { x: out, y: (from.y + to.y) / 2.0 })
    }
}

/// How far out each line goes that leads back: past all nodes of the layers that it
/// passes, and past those before it.
fn swings(sketch: &Sketch, sizes: &[Size], placed: &Placed) -> Vec<f64> {
    let mut rights: Vec<f64> = vec![0.0; sketch.layers.iter().max().map_or(0, |last| last + 1)];
    for (node, layer) in sketch.layers.iter().enumerate() {
        rights[*layer] = rights[*layer].max(placed.nodes[node].x + sizes[node].width / 2.0);
    }
    let mut backs = 0.0;
    let swing = |line: &Line| {
        if !line.back {
            return 0.0;
        }
        let passed = &rights[sketch.layers[line.to]..=sketch.layers[line.from]];
        backs += 1.0;
        passed.iter().copied().fold(0.0, f64::max) + SWING + APART * (backs - 1.0)
    };
    sketch.lines.iter().map(swing).collect()
}

fn curve(from: Point, to: Point, path: &mut String) {
    let middle = (from.y + to.y) / 2.0;
    write!(path, "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", from.x, to.x, to.x, to.y).ok();
}

/// The outline of a node around a point.
fn outline(shape: Shape, at: Point, size: Size) -> String {
    let (w, h) = (size.width / 2.0, size.height / 2.0);
    let (left, top) = (at.x - w, at.y - h);
    let rect = |round: f64| {
        let (width, height) = (size.width, size.height);
        format!(
            "<rect class=\"shape\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round:.1}\"/>"
        )
    };
    // Corners from the middle, in halves of the node, each moved in by so much.
    let polygon = |corners: &[(f64, f64, f64)]| {
        let point =
            |(x, y, lean): &(f64, f64, f64)| format!("{:.1},{:.1}", at.x + x * w - x.signum() * lean, at.y + y * h);
        let points: Vec<String> = corners.iter().map(point).collect();
        format!("<polygon class=\"shape\" points=\"{}\"/>", points.join(" "))
    };
    match shape {
        Shape::Box => rect(0.0),
        Shape::Rounded => rect(8.0),
        Shape::End => rect(h),
        Shape::Group => {
            let (one, other, bottom) = (left + 6.0, at.x + w - 6.0, at.y + h);
            let bars = format!("M{one:.1} {top:.1}V{bottom:.1}M{other:.1} {top:.1}V{bottom:.1}");
            format!("{}<path class=\"shape\" d=\"{bars}\"/>", rect(0.0))
        }
        Shape::Many => polygon(&[(-1.0, -1.0, LEAN), (1.0, -1.0, 0.0), (1.0, 1.0, LEAN), (-1.0, 1.0, 0.0)]),
        Shape::Again => polygon(&[(-1.0, -1.0, 0.0), (1.0, -1.0, LEAN), (1.0, 1.0, 0.0), (-1.0, 1.0, LEAN)]),
        Shape::Funnel => polygon(&[(-1.0, -1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, LEAN), (-1.0, 1.0, LEAN)]),
        Shape::Fan => polygon(&[(-1.0, -1.0, LEAN), (1.0, -1.0, LEAN), (1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)]),
        Shape::Hexagon => polygon(&[
            (-1.0, -1.0, LEAN),
            (1.0, -1.0, LEAN),
            (1.0, 0.0, 0.0),
            (1.0, 1.0, LEAN),
            (-1.0, 1.0, LEAN),
            (-1.0, 0.0, 0.0),
        ]),
        Shape::Stop => polygon(&[
            (-1.0, -1.0, LEAN),
            (1.0, -1.0, LEAN),
            (1.0, -0.5, 0.0),
            (1.0, 0.5, 0.0),
            (1.0, 1.0, LEAN),
            (-1.0, 1.0, LEAN),
            (-1.0, 0.5, 0.0),
            (-1.0, -0.5, 0.0),
        ]),
    }
}

/// The end of a line. One cannot take the line's colour everywhere, so there are two.
fn tip(id: &str, class: &str) -> String {
    format!(
        "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"{class}\" d=\"M0 0L8 4L0 8z\"/></marker>"
    )
}

fn shown(label: &str) -> String {
    cut(label, TEXT).into_owned()
}

/// For text and attributes alike.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
