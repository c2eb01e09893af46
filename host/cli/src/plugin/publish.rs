//! `pleach plugin publish` and `unpublish`; and the plugins that a run brings
//! along, which are published on its way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::{Host, Plugin};
use semver::{BuildMetadata, Version};
use serde_json::json;

use super::Candidate;
use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};
use crate::place::Place;
use crate::{stderr, text};

/// Publish components and graphs, so that runs can name them.
///
/// Name and version come out of the file: `pleach plugin build` has put them into a
/// component, and a graph says its own. A version that is published never changes.
#[derive(Args, Debug)]
pub struct Publish {
    /// Component files, and graphs: FILE.yaml, FILE.yml or FILE.json.
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// The plugin's name, instead of the one in the file.
    #[arg(long)]
    name: Option<String>,

    /// The plugin's version, instead of the one in the file.
    #[arg(long)]
    version: Option<String>,

    /// How the answer is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Publish {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        if self.files.len() > 1 && (self.name.is_some() || self.version.is_some()) {
            let message = "publishing several files: --name and --version are for one file alone";
            return Err(Mistake::new(message).hint("publish that file with a command of its own").into());
        }
        let candidates: Vec<Candidate> = self.files.into_iter().map(Candidate::read).collect::<Result<_, _>>()?;
        let host = place.open().await?;
        let mut published = Vec::new();
        for candidate in candidates {
            let asked = pleach_engine::Publish { name: self.name.clone(), version: self.version.clone() };
            published.push(candidate.publish(&host, asked).await?);
        }
        let mut output = Output::stdout();
        match self.format {
            Format::Text => {
                for Plugin { name, version, role, digest, .. } in &published {
                    output.line(&format!("published {role} {name}@{version} ({digest})"))?;
                }
            }
            Format::Json | Format::Ndjson => {
                let rows: Vec<_> = published.iter().map(machine).collect();
                output.list(&rows, self.format == Format::Ndjson)?;
            }
        }
        Ok(Exit::Completed)
    }
}

/// Withdraw a version: new runs no longer find it, running ones keep it.
#[derive(Args, Debug)]
pub struct Unpublish {
    /// NAME@VERSION.
    plugin: String,
}

impl Unpublish {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let Some((name, version)) = self.plugin.split_once('@') else {
            let message = format!("withdrawing `{}`: which version is not said", self.plugin);
            return Err(Mistake::new(message)
                .hint("write NAME@VERSION, such as `echo@0.1.0`; `pleach plugin list` shows them")
                .into());
        };
        place.open().await?.unpublish(name, version).await?;
        Output::stdout().line(&format!("withdrew {name}@{version}"))?;
        Ok(Exit::Completed)
    }
}

/// A plugin as it is written in JSON.
pub fn machine(plugin: &Plugin) -> serde_json::Value {
    json!({
        "name": plugin.name,
        "version": plugin.version,
        "role": plugin.role,
        "description": plugin.description,
        "digest": plugin.digest,
        "size": plugin.size,
        "published": plugin.published,
        "published_at": text::rfc3339(plugin.published_at),
    })
}

/// The component files one folder below `folder`, in order.
pub fn folder(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let wrong = |why: String| {
        Mistake::new(format!("looking for plugins in `{}`: {why}", folder.display()))
            .hint("name the folder that holds one folder for each plugin, such as `plugins`")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| wrong(error.to_string()))? {
        let below = entry.map_err(|error| wrong(error.to_string()))?.path();
        // What is no folder, or cannot be read, has no plugins to offer.
        let Ok(inside) = fs::read_dir(below) else { continue };
        let paths = inside.filter_map(|file| Some(file.ok()?.path()));
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "wasm")));
    }
    if files.is_empty() {
        return Err(wrong("there is no `*/*.wasm`".to_owned()));
    }
    files.sort();
    Ok(files)
}

/// Publishes a file that a run brings along, unless it is there already.
///
/// A published version never changes, but whoever works on a plugin rebuilds it
/// many times under one version. So other bytes under a version that is taken
/// become a build of it, `0.1.0+TIME.DIGEST`, which is newer than those before.
pub async fn add(host: &Host, candidate: &Candidate) -> anyhow::Result<Plugin> {
    let doing = || format!("publishing `{}`", candidate.told());
    let said = candidate.said(host).with_context(doing)?;
    let name = said.name.or_else(|| candidate.stem()).unwrap_or_default();
    let stated = said.version.as_deref().unwrap_or("0.0.0");
    let version = Version::parse(stated).map_err(|error| {
        Mistake::new(format!("{}: its version `{}` is not a version: {error}", doing(), text::line(stated)))
            .hint("a version is MAJOR.MINOR.PATCH, such as 0.1.0")
    })?;

    let mut known = host.plugins().await?;
    known.retain(|plugin| plugin.name == name);
    let version = match choose(&version, &said.digest, &known) {
        Choice::There(plugin) => return Ok(plugin.clone()),
        Choice::As(version) => version,
    };
    let asked = pleach_engine::Publish { name: Some(name), version: Some(version.to_string()) };
    let plugin = candidate.publish(host, asked).await?;
    let newer = known.iter().filter(|other| other.published).filter_map(|other| Version::parse(&other.version).ok());
    if let Some(newest) = newer.max().filter(|newest| *newest > version) {
        stderr::line(&format!(
            "warning: `{}` is {}@{version}; whoever asks for `{}` without a version gets {newest} out of the store",
            candidate.told(),
            plugin.name,
            plugin.name,
        ));
    }
    Ok(plugin)
}

/// What to do with a file that claims a version.
#[derive(Debug)]
enum Choice<'a> {
    There(&'a Plugin),
    As(Version),
}

fn choose<'a>(version: &Version, digest: &str, known: &'a [Plugin]) -> Choice<'a> {
    let plain = |version: &Version| Version { build: BuildMetadata::EMPTY, ..version.clone() };
    let builds = known.iter().filter_map(|plugin| Some((Version::parse(&plugin.version).ok()?, plugin)));
    let mine = builds.filter(|(other, _)| plain(other) == plain(version));
    match mine.max_by(|(a, _), (b, _)| a.cmp(b)) {
        None => Choice::As(version.clone()),
        Some((_, newest)) if newest.digest == digest && newest.published => Choice::There(newest),
        Some(_) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            let short = digest.trim_start_matches("sha256:").get(..12).unwrap_or("0");
            let build = BuildMetadata::new(&format!("{now}.{short}")).unwrap_or(BuildMetadata::EMPTY);
            Choice::As(Version { build, ..plain(version) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_engine::kernel::Timestamp;

    fn plugin(version: &str, digest: &str, published: bool) -> Plugin {
        Plugin {
            name: "a".into(),
            version: version.into(),
            digest: digest.into(),
            role: "agent".into(),
            description: String::new(),
            size: 1,
            published,
            published_at: Timestamp(0),
        }
    }

    #[track_caller]
    fn check(known: &[Plugin], digest: &str, expected: &str) {
        let said = match choose(&Version::new(0, 1, 0), digest, known) {
            Choice::There(plugin) => format!("there as {}", plugin.version),
            // The first part of a build is the time.
            Choice::As(version) if version.build.is_empty() => format!("as {version}"),
            Choice::As(version) => format!("build {}", version.build.split('.').next_back().unwrap_or_default()),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn other_bytes_under_a_version_that_is_taken_become_a_newer_build_of_it() {
        let other = plugin("0.2.0", "sha256:aaaaaaaaaaaaaa", true);
        check(std::slice::from_ref(&other), "sha256:aaaaaaaaaaaaaa", "as 0.1.0");
        let first = plugin("0.1.0", "sha256:aaaaaaaaaaaaaa", true);
        check(&[other, first.clone()], "sha256:aaaaaaaaaaaaaa", "there as 0.1.0");
        check(std::slice::from_ref(&first), "sha256:bbbbbbbbbbbbbb", "build bbbbbbbbbbbb");
        let build = plugin("0.1.0+1.bbbbbbbbbbbb", "sha256:bbbbbbbbbbbbbb", true);
        check(&[first.clone(), build.clone()], "sha256:bbbbbbbbbbbbbb", "there as 0.1.0+1.bbbbbbbbbbbb");
        check(&[first, build], "sha256:aaaaaaaaaaaaaa", "build aaaaaaaaaaaa");
        check(&[plugin("0.1.0", "sha256:aaaaaaaaaaaaaa", false)], "sha256:aaaaaaaaaaaaaa", "build aaaaaaaaaaaa");
    }

    #[test]
    fn a_later_build_is_the_newer_version() {
        let versions = ["0.1.0", "0.1.0+999.b", "0.1.0+1000.a"].map(|text| Version::parse(text).unwrap());
        assert!(versions.is_sorted());
    }
}
