//! `pleach plugin inspect`: what a component is, without publishing it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::{Host, Inspection};
use serde_json::json;

use super::Component;
use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};
use crate::{graph, text};

/// Say what a component is: its role, what it imports, its digest.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A component file.
    file: PathBuf,

    /// How the answer is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Inspect {
    pub async fn execute(self) -> anyhow::Result<Exit> {
        if self.file.to_str().is_some_and(graph::is_graph) {
            let message = format!("inspecting `{}`: it is a graph, and no component", self.file.display());
            return Err(Mistake::new(message).hint("`pleach graph show FILE` draws it").into());
        }
        let Component { path, bytes } = Component::read(self.file)?;
        // Looking at a file needs no store, and should not create one.
        let host = Host::builder().store("memory:").build().await?;
        let inspection = host.inspect(&bytes).with_context(|| format!("inspecting `{}`", path.display()))?;
        let mut output = Output::stdout();
        match self.format {
            Format::Text => output.line(&describe(&inspection))?,
            Format::Json => output.json(&machine(&inspection))?,
            Format::Ndjson => output.json_line(&machine(&inspection))?,
        }
        Ok(Exit::Completed)
    }
}

fn machine(inspection: &Inspection) -> serde_json::Value {
    let metadata = inspection.metadata.as_ref();
    json!({
        "name": metadata.map(|said| &said.name),
        "version": metadata.map(|said| &said.version),
        "description": metadata.map(|said| &said.description),
        "role": inspection.role.as_str(),
        "size": inspection.size,
        "digest": inspection.digest,
        "imports": inspection.imports,
        "exports": inspection.exports,
    })
}

fn describe(inspection: &Inspection) -> String {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| lines.push(format!("{name:<12} {}", text::line(value)));
    match &inspection.metadata {
        None => field("name", "(none: give --name and --version to publish it)"),
        Some(said) => {
            field("name", &said.name);
            field("version", &said.version);
            field("description", &said.description);
        }
    }
    field("role", inspection.role.as_str());
    field("size", &format!("{} bytes", text::thousands(inspection.size as u64)));
    field("digest", &inspection.digest);
    for (name, list) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        for (at, item) in list.iter().enumerate() {
            field(if at == 0 { name } else { "" }, item);
        }
        if list.is_empty() {
            field(name, "(nothing)");
        }
    }
    lines.join("\n")
}
