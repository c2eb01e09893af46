//! What cargo knows of a package and its workspace, as far as building needs it,
//! and what the package says about its memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{TARGET, Toolchain};

/// The stack of compiled code, unless the package says otherwise, in KiB. Rust's
/// own choice of 1 MiB would be most of a small run's memory.
const STACK_KIB: u32 = 128;

/// The memory that a module starts with, unless the package says otherwise, in
/// KiB: the stack, a typical plugin's static data and a first heap, so that a
/// small run never calls `memory.grow` (`plugins/sdk/src/allocator.rs` has the
/// other half).
const INITIAL_KIB: u32 = 384;

/// What cargo says about a workspace; the part of it that matters here.
#[derive(Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    pub target_directory: PathBuf,
    pub workspace_root: PathBuf,
}

/// A package that the workspace builds, or builds from.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// None for a folder, as against a registry or a repository.
    source: Option<String>,
    manifest_path: PathBuf,
    /// `[package.metadata]`, whatever it holds.
    metadata: Option<serde_json::Value>,
    targets: Vec<Target>,
}

/// `[package.metadata.pleach]` of a package that needs more memory, or less.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    stack_kib: u32,
    initial_kib: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self { stack_kib: STACK_KIB, initial_kib: INITIAL_KIB }
    }
}

impl Memory {
    /// What the linker is told.
    pub fn flags(&self) -> [String; 2] {
        let bytes = |kib: u32| u64::from(kib) << 10;
        [
            format!("-Clink-arg=-zstack-size={}", bytes(self.stack_kib)),
            format!("-Clink-arg=--initial-memory={}", bytes(self.initial_kib)),
        ]
    }
}

/// Something that a package builds.
#[derive(Deserialize)]
pub struct Target {
    pub name: String,
    crate_types: Vec<String>,
}

impl Metadata {
    /// Ask about the package in a folder, and all that it is built from.
    pub fn read(dir: &Path, toolchain: &Toolchain) -> anyhow::Result<Self> {
        let doing = || format!("asking cargo about the package in `{}`", dir.display());
        let locate = ["locate-project", "--workspace", "--message-format", "plain"];
        let manifest = said(toolchain.cargo(dir).args(locate)).with_context(doing)?;
        let manifest = PathBuf::from(String::from_utf8_lossy(&manifest).trim());
        let mut cargo = toolchain.cargo(dir);
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", TARGET]);
        cargo.args(manifest.parent().map_or(&[][..], lock_arguments));
        serde_json::from_slice(&said(&mut cargo).with_context(doing)?).with_context(doing)
    }

    /// What is built from a folder here.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.packages.iter().filter(|package| package.source.is_none()).map(Package::folder)
    }

    /// The folders of packages that are not below the workspace's.
    pub fn beside_workspace(&self) -> Vec<&Path> {
        self.folders().filter(|folder| !folder.starts_with(&self.workspace_root)).collect()
    }

    /// The innermost folder that holds the workspace and every package beside
    /// it. One for all packages, so that they share what was compiled for them.
    pub fn common_folder(&self) -> PathBuf {
        self.folders().fold(self.workspace_root.clone(), |common, folder| {
            let holds_both = common.ancestors().find(|above| folder.starts_with(above));
            holds_both.unwrap_or(&common).to_path_buf()
        })
    }

    /// The package in a folder, by the folder's real name.
    pub fn package(&self, dir: &Path) -> anyhow::Result<&Package> {
        let manifest = dir.join("Cargo.toml");
        let found = self.packages.iter().find(|package| package.manifest_path == manifest);
        found.with_context(|| format!("`{}` is a workspace and not a package: name a member's folder", dir.display()))
    }
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// How much memory it asks for.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let ours = self.metadata.as_ref().and_then(|metadata| metadata.get("pleach"));
        let memory = ours.map_or(Ok(Memory::default()), Memory::deserialize);
        let memory = memory.with_context(|| {
            format!(
                "reading `[package.metadata.pleach]` in `{}`: it has `stack_kib` and `initial_kib`",
                self.manifest()
            )
        })?;
        ensure!(
            memory.initial_kib % 64 == 0 && memory.stack_kib < memory.initial_kib,
            "`[package.metadata.pleach]` in `{}`: `initial_kib` is a multiple of 64 and more than `stack_kib`",
            self.manifest()
        );
        Ok(memory)
    }

    fn manifest(&self) -> std::path::Display<'_> {
        self.manifest_path.display()
    }

    /// The target that a plugin is made of.
    pub fn library(&self) -> anyhow::Result<&Target> {
        let mut targets = self.targets.iter();
        let found = targets.find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
        found.with_context(|| {
            format!(
                "the package `{}` builds no module: put `[lib]` with `crate-type = [\"cdylib\"]` into `{}`",
                self.name,
                self.manifest()
            )
        })
    }
}

/// With a lock file in the workspace's folder, exactly what it says is built.
pub fn lock_arguments(workspace_root: &Path) -> &'static [&'static str] {
    if workspace_root.join("Cargo.lock").is_file() { &["--locked"] } else { &[] }
}

/// What cargo writes, or what it has against it.
fn said(cargo: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = cargo.output().context("starting cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(metadata: &str) -> Package {
        let text = format!(
            r#"{{"name": "p", "version": "0.1.0", "manifest_path": "/w/p/Cargo.toml", "metadata": {metadata},
                "targets": [{{"name": "p", "crate_types": ["lib"]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn folders(workspace: &str, packages: &[&str]) -> Metadata {
        let package = |path: &&str| {
            let path = format!("{path}/Cargo.toml");
            serde_json::json!({"name": "p", "version": "0.1.0", "manifest_path": path, "targets": []})
        };
        let packages: Vec<_> = packages.iter().map(package).collect();
        let metadata = serde_json::json!({"packages": packages, "target_directory": "/t", "workspace_root": workspace});
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn a_package_that_says_nothing_gets_the_usual_memory() {
        let flags = ["-Clink-arg=-zstack-size=131072", "-Clink-arg=--initial-memory=393216"];
        assert_eq!(package("null").memory().unwrap().flags(), flags);
        assert_eq!(package("{\"other\": {}}").memory().unwrap().flags(), flags);
    }

    #[test]
    fn a_package_may_ask_for_more_memory_but_not_for_nonsense() {
        let flags = package("{\"pleach\": {\"initial_kib\": 2048}}").memory().unwrap().flags();
        assert_eq!(flags[1], "-Clink-arg=--initial-memory=2097152");
        for wrong in ["{\"initial_kib\": 100}", "{\"stack_kib\": 384}", "{\"heap_kib\": 64}"] {
            let metadata = format!("{{\"pleach\": {wrong}}}");
            assert!(package(&metadata).memory().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_package_without_a_module_is_told_what_to_write() {
        let error = package("null").library().err().unwrap().to_string();
        assert!(error.contains("crate-type = [\"cdylib\"]") && error.contains("/w/p/Cargo.toml"), "{error}");
    }

    #[test]
    fn members_beside_the_workspace_share_one_folder_with_it() {
        let metadata = folders("/r/plugins", &["/r/plugins/sdk", "/r/tests/guests/echo"]);
        assert_eq!(metadata.beside_workspace(), [Path::new("/r/tests/guests/echo")]);
        assert_eq!(metadata.common_folder(), Path::new("/r"));
        let metadata = folders("/r/plugins", &["/r/plugins/sdk"]);
        assert_eq!(metadata.common_folder(), Path::new("/r/plugins"));
    }
}
