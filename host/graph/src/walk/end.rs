//! End: what a graph gives when nothing is left to do.

use pleach_kernel::{Payload, RunError};

use super::{End, Status, Walk};
use crate::plan::Kind;

impl Walk {
    pub(super) fn output(&mut self) -> End {
        let wrong =
            |why: String| RunError::new("output_schema", format!("the output of graph {}: {why}", self.plan.name));
        let output = match self.outputs.as_slice() {
            [(_, output)] => output.clone(),
            [] if self.has_output() => {
                let message = format!("graph {} has reached none of its outputs", self.plan.name);
                return Err(self.failure.take().unwrap_or_else(|| RunError::new("no_output", message)));
            }
            [] => self.of_last_nodes()?,
            several => {
                let several = several.iter().map(|(node, output)| (&*self.plan.nodes[*node].id, output));
                Payload::of(&several.collect::<std::collections::BTreeMap<_, _>>()).map_err(|e| wrong(e.to_string()))?
            }
        };
        if let Some(schema) = &self.plan.settings.output_schema {
            let json = serde_json::from_str(output.as_str()).map_err(|e| wrong(e.to_string()))?;
            schema.check(&json).map_err(wrong)?;
        }
        Ok(output)
    }

    fn has_output(&self) -> bool {
        self.plan.nodes.iter().any(|node| matches!(node.kind, Kind::Output(_)))
    }

    /// Without an output of its own, a graph gives what the nodes gave that nothing
    /// comes after.
    fn of_last_nodes(&self) -> End {
        let last = (0..self.states.len()).filter(|node| self.plan.nodes[*node].outgoing.is_empty());
        let done = last.filter(|node| self.states[*node].status == Status::Completed);
        let outputs = done.filter_map(|node| Some((&*self.plan.nodes[node].id, self.values.output(node)?)));
        let outputs: std::collections::BTreeMap<&str, &Payload> = outputs.collect();
        Payload::of(&outputs).map_err(|error| RunError::new("output_too_large", error.to_string()))
    }
}
