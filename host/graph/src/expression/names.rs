//! Names: what an expression looks at, handed to the interpreter as it is: nothing is
//! copied, however large it is.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::common::types::{CelMap, CelMapKey};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::{Reference, Scope};

const INPUT: &str = "input";
const RUN: &str = "run";

/// Before the id of a node.
const NODES: &str = "nodes";

pub(super) struct Names<'a> {
    /// A node's with `nodes.` before its id, which is how `nodes.ID` is looked for.
    known: Vec<(String, &'a (dyn Val + 'static))>,
    /// All nodes that the expression names, for `nodes["ID"]` and `has(nodes.ID)`.
    nodes: OnceLock<CelMap<'static>>,
}

impl<'a> Names<'a> {
    pub(super) fn of(references: &[Reference], scope: &'a dyn Scope) -> Self {
        let known = |reference: &Reference| {
            let (name, datum) = match reference {
                Reference::Input => (INPUT.to_owned(), scope.named(INPUT)),
                Reference::Run => (RUN.to_owned(), scope.named(RUN)),
                Reference::Local(name) => (name.clone(), scope.named(name)),
                Reference::Node { id, .. } => (format!("{NODES}.{id}"), scope.node(id)),
            };
            Some((name, datum?.cel()))
        };
        let known = references.iter().filter_map(known).collect();
        Self { known, nodes: OnceLock::new() }
    }

    fn nodes(&self) -> &CelMap<'static> {
        self.nodes.get_or_init(|| {
            let id = |name: &str| name.strip_prefix(NODES)?.strip_prefix('.').map(str::to_owned);
            let nodes = self.known.iter().filter_map(|(name, value)| Some((id(name)?, value.clone_as_boxed())));
            CelMap::from(nodes.map(|(id, value)| (CelMapKey::from(id), value)).collect::<HashMap<_, _>>())
        })
    }
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let known = self.known.iter().find(|(name, _)| name == variable);
        match known {
            Some((_, value)) => Some(CowVal::Borrowed(*value)),
            None if variable == NODES => Some(CowVal::Borrowed(self.nodes())),
            None => None,
        }
    }
}
