//! `pleach graph schema`: the JSON Schema of the language, for editors.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::graph::language;

use crate::exit::{Exit, Mistake};
use crate::output::Output;
use crate::text;

/// Print the JSON Schema of graphs, by which editors complete and check them.
///
/// An editor with a YAML language server uses it for a graph whose first line is
/// `# yaml-language-server: $schema=graph.schema.json`.
#[derive(Args, Debug)]
pub struct Schema {
    /// Write it to a file, which is replaced.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Schema {
    pub fn execute(self) -> anyhow::Result<Exit> {
        let schema = language::json_schema();
        let mut output = Output::stdout();
        let Some(path) = self.output else {
            output.json(&schema)?;
            return Ok(Exit::Completed);
        };
        let json = serde_json::to_string_pretty(&schema).context("writing the schema as JSON")?;
        std::fs::write(&path, json + "\n").map_err(|error| {
            Mistake::new(format!("writing the schema to `{}`: {error}", path.display()))
                .hint("name a file in a folder that is there")
        })?;
        output.line(&format!("wrote {}", text::line(&path.to_string_lossy())))?;
        Ok(Exit::Completed)
    }
}
