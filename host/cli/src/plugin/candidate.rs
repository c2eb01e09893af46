//! Files that can be published: components, and graphs, which are told apart by
//! their extension.

use std::path::PathBuf;

use anyhow::Context as _;
use pleach_engine::graph::compile;
use pleach_engine::graph::source::Source;
use pleach_engine::{Error, Host, Plugin, Publish};

use super::{Component, build};
use crate::exit::Mistake;
use crate::graph;

/// A file that can be published, read.
pub enum Candidate {
    Component(Component),
    Graph(Source),
}

/// What a file says of itself.
pub struct Said {
    pub name: Option<String>,
    pub version: Option<String>,
    pub digest: String,
}

impl Candidate {
    pub fn read(path: PathBuf) -> Result<Self, Mistake> {
        match path.to_str().filter(|path| graph::is_graph(path)) {
            Some(path) => graph::read(path).map(Self::Graph),
            None => Component::read(path).map(Self::Component),
        }
    }

    /// The file, for messages.
    pub fn told(&self) -> String {
        match self {
            Self::Component(component) => component.path.display().to_string(),
            Self::Graph(source) => source.name().to_owned(),
        }
    }

    pub fn stem(&self) -> Option<String> {
        match self {
            Self::Component(component) => component.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            // A graph is called after its file where it does not say otherwise.
            Self::Graph(_) => None,
        }
    }

    pub fn said(&self, host: &Host) -> anyhow::Result<Said> {
        match self {
            Self::Component(component) => {
                let found = host.inspect(&component.bytes)?;
                let (name, version) = found.metadata.map(|said| (said.name, said.version)).unzip();
                Ok(Said { name, version, digest: found.digest.to_string() })
            }
            Self::Graph(source) => {
                let plan = compile(source).into_plan().map_err(|problems| graph::mistake(source, &problems))?;
                let version = plan.settings.version.as_deref().map(str::to_owned);
                let digest = build::digest(source.text().as_bytes());
                Ok(Said { name: Some(plan.name.to_string()), version, digest })
            }
        }
    }

    pub async fn publish(&self, host: &Host, asked: Publish) -> anyhow::Result<Plugin> {
        let published = match self {
            Self::Component(component) => host.publish(component.bytes.clone(), asked).await,
            Self::Graph(source) => host.publish_graph(source.clone(), asked).await,
        };
        match published {
            Err(Error::Graph { file, problems }) => Err(graph::mistake(&file, &problems).into()),
            published => published.with_context(|| format!("publishing `{}`", self.told())),
        }
    }
}
