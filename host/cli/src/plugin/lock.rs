//! The record of what this repository's components were built from:
//! `plugins/plugins.lock`.
//!
//! Components are committed beside their sources, so that running and testing
//! need no WebAssembly toolchain. The lock file is what keeps the two honest:
//! [`verify`] compares digests and needs no toolchain, [`rebuild_all`] builds
//! everything from source again. What is part of the sources is in `sources`.

mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::build::{self, Builder, Built, Toolchain};

/// Where the record is, from the repository's top.
const LOCK: &str = "plugins/plugins.lock";

/// What somebody whose components are out of date should do.
const REBUILD: &str = "run `pleach plugin build --all`";

/// The lock file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lock {
    /// Of this format.
    version: u32,
    /// By name.
    plugins: BTreeMap<String, Locked>,
}

/// What is recorded of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Locked {
    /// The package's folder, from the repository's top.
    path: String,
    /// The digest of what it was built from.
    sources: String,
    /// The digest of the component itself.
    component: String,
    /// What built it.
    builder: Builder,
}

/// A disagreement between sources, components and the record of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub plugin: String,
    pub kind: MismatchKind,
}

/// What disagrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MismatchKind {
    /// There are sources, and the lock file does not mention them.
    NotRecorded,
    /// The lock file mentions a plugin that has no sources there.
    NoSources,
    /// The sources are not those that the component was built from.
    SourcesChanged,
    /// There is no component.
    NoComponent,
    /// The component is not the one that was built.
    ComponentChanged,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            MismatchKind::NotRecorded => "is not in the lock file",
            MismatchKind::NoSources => "is in the lock file and has no sources where that says",
            MismatchKind::SourcesChanged => "has other sources than its component was built from",
            MismatchKind::NoComponent => "has no component beside its sources",
            MismatchKind::ComponentChanged => "has another component than the one that was built",
        };
        write!(f, "the plugin `{}` {what}: {REBUILD}", self.plugin)
    }
}

/// Compare sources, components and the lock file. Fast, and needs no toolchain.
pub fn verify(repo_root: &Path) -> anyhow::Result<Vec<Mismatch>> {
    let lock = Lock::read(repo_root)?;
    let packages = sources::packages(repo_root)?;
    let mut mismatches = Vec::new();
    for (name, path) in &packages {
        let kind = match lock.plugins.get(name) {
            Some(locked) if locked.path == *path => compare(repo_root, name, locked)?,
            Some(_) | None => Some(MismatchKind::NotRecorded),
        };
        mismatches.extend(kind.map(|kind| Mismatch { plugin: name.clone(), kind }));
    }
    let gone = lock.plugins.keys().filter(|name| !packages.contains_key(*name));
    mismatches.extend(gone.map(|name| Mismatch { plugin: name.clone(), kind: MismatchKind::NoSources }));
    Ok(mismatches)
}

fn compare(repo_root: &Path, name: &str, locked: &Locked) -> anyhow::Result<Option<MismatchKind>> {
    if sources::digest(repo_root, &locked.path)? != locked.sources {
        return Ok(Some(MismatchKind::SourcesChanged));
    }
    let component = component_path(repo_root, name, &locked.path);
    let Ok(bytes) = fs::read(&component) else {
        return Ok(Some(MismatchKind::NoComponent));
    };
    Ok((build::digest(&bytes) != locked.component).then_some(MismatchKind::ComponentChanged))
}

/// Build every plugin of the repository from source.
///
/// Components and lock file are written; with `check` nothing is, and what was
/// built is compared with what is there. Equal builders have to agree on every
/// byte. Where the builder that is recorded is not here, another one has to
/// agree on imports and exports, and the log says so.
pub fn rebuild_all(repo_root: &Path, check: bool) -> anyhow::Result<Vec<Built>> {
    let before = match check || repo_root.join(LOCK).exists() {
        true => Lock::read(repo_root)?,
        false => Lock::empty(),
    };
    if check {
        let mismatches = verify(repo_root)?;
        let told: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
        ensure!(told.is_empty(), "{}", told.join("\n"));
    }
    let mut after = Lock::empty();
    let mut all = Vec::new();
    for (name, path) in sources::packages(repo_root)? {
        let dir = build::package_folder(&repo_root.join(&path))?;
        let recorded = before.plugins.get(&name);
        let toolchain = match recorded {
            Some(locked) => Toolchain::like(&dir, &locked.builder)?,
            None => Toolchain::find(&dir)?,
        };
        let built = build::compile(&dir, Some(&component_path(repo_root, &name, &path)), &toolchain)?;
        ensure!(
            built.name == name,
            "the package in `{path}` is called `{}`: name folder and package alike",
            built.name
        );
        if let Some(locked) = recorded.filter(|_| check) {
            agree(&built, locked)?;
        }
        let locked = Locked {
            sources: sources::digest(repo_root, &path)?,
            component: built.digest.clone(),
            builder: built.builder.clone(),
            path,
        };
        after.plugins.insert(name, locked);
        all.push(built);
    }
    // Only now, so that a plugin that does not build leaves all of them as they
    // were, in agreement with the record.
    if !check {
        for built in &all {
            build::write(&built.path, &built.bytes)?;
        }
        after.write(repo_root)?;
    }
    Ok(all)
}

/// Whether what was built is as good as what is there.
fn agree(built: &Built, locked: &Locked) -> anyhow::Result<()> {
    if built.builder == locked.builder {
        ensure!(
            built.digest == locked.component,
            "the plugin `{}` was built as {} and is recorded as {}, by the same builder: the committed component does \
             not come from these sources, or building it depends on something else; {REBUILD}",
            built.name,
            built.digest,
            locked.component,
        );
        return Ok(());
    }
    let there = fs::read(&built.path).with_context(|| format!("reading `{}`", built.path.display()))?;
    if !build::same_contract(&there, &built.bytes)? {
        bail!("the plugin `{}` imports or exports something else than its committed component: {REBUILD}", built.name);
    }
    tracing::warn!(
        plugin = built.name,
        recorded = ?locked.builder,
        here = ?built.builder,
        "built by another builder than the recorded one: compared imports and exports, not bytes",
    );
    Ok(())
}

fn component_path(repo_root: &Path, name: &str, path: &str) -> PathBuf {
    repo_root.join(path).join(format!("{name}.wasm"))
}

impl Lock {
    const VERSION: u32 = 1;

    fn empty() -> Self {
        Self { version: Self::VERSION, plugins: BTreeMap::new() }
    }

    fn read(repo_root: &Path) -> anyhow::Result<Self> {
        let path = repo_root.join(LOCK);
        let doing = || format!("reading the record of built plugins `{}`", path.display());
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}; name the top of the repository, or {REBUILD}", doing()))?;
        let lock: Self = serde_json::from_str(&text).with_context(doing)?;
        ensure!(
            lock.version == Self::VERSION,
            "{}: it has version {}, and this program reads version {}",
            doing(),
            lock.version,
            Self::VERSION
        );
        Ok(lock)
    }

    fn write(&self, repo_root: &Path) -> anyhow::Result<()> {
        let path = repo_root.join(LOCK);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing the record of built plugins `{}`", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"one\"\n[lib]\ncrate-type = [\"cdylib\"]\n";

    /// A repository with one plugin whose record is right.
    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("wit/plugin.wit", "package a:b;"),
            ("plugins/Cargo.toml", "[workspace]"),
            ("plugins/Cargo.lock", ""),
            ("plugins/sdk/src/lib.rs", "//! sdk"),
            ("plugins/one/Cargo.toml", MANIFEST),
            ("plugins/one/src/lib.rs", "//! one"),
            ("plugins/one/one.wasm", "component"),
        ] {
            put(root.path(), path, text);
        }
        let locked = Locked {
            path: "plugins/one".into(),
            sources: sources::digest(root.path(), "plugins/one").unwrap(),
            component: build::digest(b"component"),
            builder: Builder {
                rustc: "rustc 1".into(),
                linker: "lld 1".into(),
                std_from_source: false,
                wit_component: "0.1.0".into(),
            },
        };
        let mut lock = Lock::empty();
        lock.plugins.insert("one".into(), locked);
        lock.write(root.path()).unwrap();
        root
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn check(change: impl FnOnce(&Path), expected: &[(&str, MismatchKind)]) {
        let root = repository();
        change(root.path());
        let found = verify(root.path()).unwrap();
        let found: Vec<_> = found.iter().map(|found| (found.plugin.as_str(), found.kind)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_built_and_not_touched_agrees() {
        check(|_| (), &[]);
    }

    #[test]
    fn whatever_goes_into_a_component_is_part_of_its_sources() {
        for path in [
            "wit/plugin.wit",
            "plugins/Cargo.toml",
            "plugins/Cargo.lock",
            "plugins/sdk/src/lib.rs",
            "plugins/sdk/src/new.rs",
            "plugins/one/src/lib.rs",
            "plugins/one/src/deep/er.rs",
        ] {
            check(|root| put(root, path, "changed"), &[("one", MismatchKind::SourcesChanged)]);
        }
    }

    #[test]
    fn line_ends_and_what_builds_leave_behind_are_not_sources() {
        check(|root| put(root, "plugins/one/target/x.rs", "built"), &[]);
        check(|root| put(root, "plugins/one/other.wasm", "built"), &[]);
        check(|root| put(root, "plugins/one/Cargo.toml", &MANIFEST.replace('\n', "\r\n")), &[]);
    }

    #[test]
    fn another_component_and_none_are_told_apart() {
        check(|root| put(root, "plugins/one/one.wasm", "other"), &[("one", MismatchKind::ComponentChanged)]);
        check(
            |root| fs::remove_file(root.join("plugins/one/one.wasm")).unwrap(),
            &[("one", MismatchKind::NoComponent)],
        );
    }

    #[test]
    fn a_plugin_that_came_or_went_is_noticed() {
        check(|root| put(root, "tests/guests/two/Cargo.toml", MANIFEST), &[("two", MismatchKind::NotRecorded)]);
        check(|root| fs::remove_dir_all(root.join("plugins/one")).unwrap(), &[("one", MismatchKind::NoSources)]);
    }

    #[test]
    fn a_newer_record_is_refused() {
        let root = repository();
        put(root.path(), LOCK, "{\"version\": 2, \"plugins\": {}}");
        let error = verify(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("it has version 2, and this program reads version 1"), "{error}");
    }
}
