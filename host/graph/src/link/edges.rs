//! Edges: the ways between nodes.

use std::collections::HashSet;

use super::Linker;
use crate::at::At;
use crate::diagnostic::{Diagnostic, most_alike};
use crate::plan::{Edge, Node, NodeIx};
use crate::source::Span;
use crate::spec;

impl Linker<'_> {
    pub(super) fn edges(&mut self, edges: Vec<spec::Edge>, nodes: &mut [Node]) -> Vec<Edge> {
        let mut linked = Vec::with_capacity(edges.len());
        let mut known = HashSet::with_capacity(edges.len());
        for edge in edges {
            let (from, to) = (self.beginning(&edge.from, nodes), self.named(&edge.to));
            let when = self.expression(edge.when.as_ref());
            let (Some((from, handle)), Some(to)) = (from, to) else {
                let id = edge.from.split('.').next().unwrap_or_default();
                if let Some(from) = self.by_id.get(id) {
                    nodes[*from].lost.outgoing = true;
                }
                if let Some(to) = to {
                    nodes[to].lost.incoming = true;
                }
                continue;
            };
            if let (Some(at), Some(_)) = (&edge.when, handle) {
                let message = "an edge from a handle has no `when`: the handle is the condition";
                self.found.push(Diagnostic::error("unused_field", at.span, message).hint("leave it out"));
            }
            if from == to {
                let message = format!("`{}` leads to itself", nodes[from].id);
                let hint = "a loop leads back through a `replan`";
                self.found.push(Diagnostic::error("cycle", edge.to.span, message).hint(hint));
                nodes[from].lost.outgoing = true;
                continue;
            }
            if !known.insert((from, handle, to)) {
                let message = format!("this edge is here twice: `{}` to `{}`", edge.from.value, edge.to.value);
                self.found.push(Diagnostic::error("duplicate_edge", edge.from.span, message).hint("leave one out"));
                continue;
            }
            let place = linked.len();
            nodes[from].outgoing.push(place);
            nodes[to].incoming.push(place);
            linked.push(Edge { from, handle, to, when, from_span: edge.from.span, to_span: edge.to.span });
        }
        linked
    }

    /// A node, and the handle that an edge leads from.
    fn beginning(&mut self, name: &At<String>, nodes: &[Node]) -> Option<(NodeIx, Option<usize>)> {
        let Some((id, handle)) = name.split_once('.') else { return Some((self.named(name)?, None)) };
        let within = |from: usize, len: usize| match self.source.slice(name.span).find(name.as_str()) {
            Some(at) => Span::new(name.span.start as usize + at + from, len),
            None => name.span,
        };
        let (id_span, handle_span) = (within(0, id.len()), within(id.len() + 1, handle.len()));
        let from = self.named(&At { value: id.to_owned(), span: id_span })?;
        let node = &nodes[from];
        if let Some(place) = node.handles.iter().position(|known| **known == *handle) {
            return Some((from, Some(place)));
        }
        let message = format!("the {} `{id}` has no handle `{handle}`", node.kind.name());
        let names: Vec<&str> = node.handles.iter().map(|known| &**known).collect();
        let hint = match (most_alike(handle, names.iter().copied()), names.is_empty()) {
            (Some(other), _) => format!("did you mean `{id}.{other}`?"),
            (None, true) => format!("write `{id}`: only a join, a judge, a router and a replan have handles"),
            (None, false) => format!("it has `{}`", names.join("`, `")),
        };
        self.found.push(Diagnostic::error("unknown_handle", handle_span, message).hint(hint));
        None
    }
}
