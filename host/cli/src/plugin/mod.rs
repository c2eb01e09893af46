//! `pleach plugin`: from a folder with sources to a published plugin.
//!
//! Reading component files is here; one file for each command beside it, and one
//! for what can be published.

mod candidate;
mod inspect;
mod list;
mod make;
mod publish;

pub mod build;
pub mod lock;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::exit::{Exit, Mistake};
use crate::place::Place;

pub use candidate::Candidate;
pub use publish::{add, folder};

/// The largest file that is taken for a component, in bytes. The host has a
/// lower limit of its own; this one keeps a wrong file out of memory.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Build, inspect, publish and list plugins.
#[derive(Args, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Build(make::Build),
    Inspect(inspect::Inspect),
    Publish(publish::Publish),
    Unpublish(publish::Unpublish),
    List(list::List),
}

impl Command {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        match self.action {
            Action::Build(build) => build.execute(),
            Action::Inspect(inspect) => inspect.execute().await,
            Action::Publish(publish) => publish.execute(place).await,
            Action::Unpublish(unpublish) => unpublish.execute(place).await,
            Action::List(list) => list.execute(place).await,
        }
    }
}

/// A component file, read.
pub struct Component {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl Component {
    pub fn read(path: PathBuf) -> Result<Self, Mistake> {
        match bytes(&path) {
            Ok(bytes) => Ok(Self { path, bytes }),
            Err(why) => Err(Mistake::new(format!("reading the plugin `{}`: {why}", path.display()))
                .hint("name a component, such as `plugins/lead/lead.wasm`; `pleach plugin build DIR` makes one")),
        }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if found.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if found.len() > MAX_FILE_BYTES {
        return Err(format!("{} bytes are too many for a component", found.len()));
    }
    fs::read(path).map_err(|error| error.to_string())
}
