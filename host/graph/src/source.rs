//! Source: the text of a graph file, and places in it.

use std::ops::Range;
use std::sync::Arc;

/// The longest file that is read: 8 MiB, some 50,000 nodes.
pub const MAX_BYTES: usize = 8 << 20;

/// A stretch of a file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    pub(crate) fn new(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// A graph file.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins, in bytes.
    lines: Arc<[u32]>,
    /// Lines at the beginning that nobody wrote, and nobody counts.
    head_lines: usize,
}

impl Source {
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { name: name.into(), text, lines, head_lines: 0 }
    }

    /// What somebody wrote, made into a graph by whole lines before it and by what comes
    /// after it: lines are counted from what was written.
    pub fn within(name: impl Into<Arc<str>>, before: &str, written: &str, after: &str) -> Self {
        debug_assert!(before.ends_with('\n'), "whole lines");
        let head_lines = before.matches('\n').count();
        Self { head_lines, ..Self::new(name, format!("{before}{written}{after}")) }
    }

    /// What it is called in messages; usually its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a stretch; empty where that is not in the file.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Where a stretch begins.
    pub fn position(&self, span: Span) -> Position {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1) - 1;
        let before = self.text.get(self.lines[line] as usize..span.start as usize).unwrap_or_default();
        Position { line: (line + 1).saturating_sub(self.head_lines).max(1), column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let source = Source::new("g.yaml", "a\nöö: x\n");
        let at = |start| source.position(Span { start, len: 1 });
        assert_eq!(at(0), Position { line: 1, column: 1 });
        assert_eq!(at(2), Position { line: 2, column: 1 });
        assert_eq!(at(8), Position { line: 2, column: 5 });
        let within = Source::within("@list", "tasks:\n", "- a\n- öb\n", "");
        let at = |start| within.position(Span { start, len: 1 });
        assert_eq!([at(7), at(9), at(15)].map(|at| (at.line, at.column)), [(1, 1), (1, 3), (2, 4)]);
        assert_eq!(source.slice(Span { start: 8, len: 1 }), "x");
        assert_eq!(source.slice(Span { start: 80, len: 1 }), "");
    }
}
