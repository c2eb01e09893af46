//! `pleach plugin build` on the command line. The building is in `build`, the
//! record of what was built in `lock`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::build::{BuildRequest, Built, build};
use super::lock;
use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};

/// Build a plugin from a cargo package: compile it, and make it a component.
///
/// The component is written beside its sources, as DIR/NAME.wasm.
#[derive(Args, Debug)]
pub struct Build {
    /// The folder with the package's Cargo.toml.
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Where the component goes.
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    out: Option<PathBuf>,

    /// Write nothing; fail unless what is there is what would be built.
    #[arg(long)]
    check: bool,

    /// Build every plugin that the lock file of the repository DIR records, and
    /// bring that file up to date.
    #[arg(long)]
    all: bool,

    /// How the answer is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Build {
    pub fn execute(self) -> anyhow::Result<Exit> {
        if !self.dir.is_dir() {
            let message = format!("building the plugin in `{}`: there is no such folder", self.dir.display());
            return Err(Mistake::new(message).hint("name the folder that holds the plugin's Cargo.toml").into());
        }
        let built = match self.all {
            true => lock::rebuild_all(&self.dir, self.check)?,
            false => vec![build(&BuildRequest { dir: self.dir, out: self.out, check: self.check })?],
        };
        let mut output = Output::stdout();
        match self.format {
            Format::Text => {
                let done = if self.check { "checked" } else { "built" };
                for Built { name, version, world, path, bytes, digest, .. } in &built {
                    let (world, size) = (world.as_str(), bytes.len());
                    let path = path.display();
                    output.line(&format!("{done} {world} {name}@{version}: {path}, {size} bytes, {digest}"))?;
                }
            }
            Format::Json | Format::Ndjson => {
                let rows: Vec<_> = built.iter().map(machine).collect();
                output.list(&rows, self.format == Format::Ndjson)?;
            }
        }
        Ok(Exit::Completed)
    }
}

fn machine(built: &Built) -> serde_json::Value {
    json!({
        "name": built.name,
        "version": built.version,
        "role": built.world.as_str(),
        "path": built.path,
        "size": built.bytes.len(),
        "digest": built.digest,
    })
}
