//! Draw: a plan as a picture, and what became of it when it ran.
//!
//! `links.rs` says who follows whom, `sketch.rs` what every picture shows of a node
//! and of a link, and then each format has one file. Only the SVG is laid out here
//! (`place.rs`); the others leave that to whoever shows them. `observe.rs` reads off
//! a run's tree and its log what happened, `critical.rs` what the run waited for.
//!
//! Nothing here reads a file or a store.

mod critical;
mod dot;
mod happened;
pub(crate) mod links;
mod mermaid;
pub(crate) mod observe;
mod place;
mod shape;
mod sketch;
mod svg;
mod text;
mod words;

pub use critical::CriticalPath;
pub use happened::{Happened, NodeHappened, NodeStatus};

use crate::plan::Plan;
use sketch::Sketch;

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for a terminal.
    Text,
    /// For Markdown: a `flowchart` of Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A picture that needs nothing else, for light and dark pages.
    Svg,
}

/// Draws a graph, with what happened where something has. The text ends without a
/// line break.
///
/// Whatever the file says is only ever shown: no target, handle or description can
/// become a part of the picture's own language.
pub fn draw(plan: &Plan, what: Option<&Happened>, format: Format) -> String {
    let sketch = Sketch::of(plan, what);
    match format {
        Format::Text => text::write(&sketch),
        Format::Mermaid => mermaid::write(&sketch),
        Format::Dot => dot::write(&sketch),
        Format::Svg => svg::write(&sketch),
    }
}

#[cfg(test)]
pub(crate) mod scene;
#[cfg(test)]
mod tests;
