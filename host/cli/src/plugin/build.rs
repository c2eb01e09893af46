//! Building a plugin: from a cargo package to a component that names itself.
//!
//! What is here is the order of things and the settings that make two builds
//! agree byte for byte. Which cargo does the work is in `toolchain`, what
//! keeps folders' names out of the bytes in `identity`, and what makes a
//! component of a module in `component`. Nothing here decides
//! whether a component is trusted: whoever publishes it does.

mod component;
mod identity;
mod toolchain;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

pub use component::{World, digest, same_contract};
pub use toolchain::{Builder, Toolchain};

/// The target of every plugin: no system interface of any kind.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The compiler settings that decide the bytes, apart from where things lie.
///
/// The stack is small, and the memory that a module starts with holds the stack,
/// a typical plugin's static data and a first heap, so that a small run never
/// calls `memory.grow` (`plugins/sdk/src/allocator.rs` has the other half).
pub const FLAGS: [&str; 2] = ["-Clink-arg=-zstack-size=131072", "-Clink-arg=--initial-memory=393216"];

/// The profile settings that decide the bytes, as cargo reads them from the
/// environment. They outrank the package's own, whose `opt-level` is left alone.
pub const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The folder with the package's `Cargo.toml`.
    pub dir: PathBuf,
    /// Where the component goes; none for `DIR/NAME.wasm`.
    pub out: Option<PathBuf>,
    /// Write nothing, and fail unless the component that is there has the bytes
    /// that were built.
    pub check: bool,
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    pub name: String,
    pub version: String,
    /// The contract's world that the component targets.
    pub world: World,
    /// Where the component is.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// `sha256:` and 64 hexadecimal digits, over `bytes`.
    pub digest: String,
    /// What turned the sources into these bytes.
    pub builder: Builder,
}

/// Build one plugin with whichever toolchain is there.
pub fn build(request: &BuildRequest) -> anyhow::Result<Built> {
    let dir = package_folder(&request.dir)?;
    let toolchain = Toolchain::find(&dir)?;
    let built = compile(&dir, request.out.as_deref(), &toolchain)?;
    if request.check {
        let there = fs::read(&built.path).with_context(|| {
            format!("reading the component `{}` to compare it; build it once without --check", built.path.display())
        })?;
        ensure!(
            there == built.bytes,
            "`{}` has the digest {} and building it gives {}: build it again without --check{}",
            built.path.display(),
            digest(&there),
            built.digest,
            if same_contract(&there, &built.bytes)? { "" } else { ", and mind that its imports or exports change" },
        );
    } else {
        write(&built.path, &built.bytes)?;
    }
    Ok(built)
}

/// A package's folder by its real name, which is how cargo speaks of it.
pub fn package_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| format!("opening the plugin's folder `{}`", dir.display()))?;
    ensure!(
        dir.join("Cargo.toml").is_file(),
        "`{}` has no Cargo.toml: name the folder of a Rust package with `crate-type = [\"cdylib\"]`",
        dir.display()
    );
    Ok(dir)
}

/// Compile the plugin in a [`package_folder`], and hand back the component
/// without writing it.
pub fn compile(dir: &Path, out: Option<&Path>, toolchain: &Toolchain) -> anyhow::Result<Built> {
    let metadata = Metadata::read(dir, toolchain)?;
    let package = metadata.package(dir)?;
    let library = package.library()?;

    let mut cargo = toolchain.cargo(dir);
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--package", &package.name]);
    cargo.args(toolchain.std_arguments());
    cargo.args(metadata.lock_arguments());
    let target = metadata.target_directory.join("pleach");
    identity::stabilise(&mut cargo, &metadata.beside_workspace(), &target)?;
    // A folder of its own: other builds in the usual one would be undone by
    // these settings, and these by theirs.
    cargo.env("CARGO_TARGET_DIR", &target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&metadata, toolchain)?);
    cargo.envs(PROFILE);
    run(&mut cargo, || format!("compiling the plugin `{}` for {TARGET}", package.name))?;

    let file = format!("{}.wasm", library.name.replace('-', "_"));
    let module_path = target.join(TARGET).join("release").join(file);
    let module = fs::read(&module_path)
        .with_context(|| format!("reading the module `{}` that cargo built", module_path.display()))?;
    let about = component::About {
        name: &package.name,
        version: &package.version,
        description: package.description.as_deref(),
    };
    let (bytes, world) = component::from_module(&module, &about)
        .with_context(|| format!("making a component of `{}`", module_path.display()))?;
    Ok(Built {
        path: out.map_or_else(|| dir.join(format!("{}.wasm", package.name)), Path::to_path_buf),
        digest: digest(&bytes),
        builder: toolchain.builder()?,
        name: package.name.clone(),
        version: package.version.clone(),
        world,
        bytes,
    })
}

/// Put the whole file there or nothing: a reader never sees half a component.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("wasm.part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("writing the component `{}`", path.display()))
}

/// The compiler's flags, in cargo's encoding: every folder of this machine that
/// could end up in the bytes is given a name that is the same everywhere.
fn rustflags(metadata: &Metadata, toolchain: &Toolchain) -> anyhow::Result<OsString> {
    let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    if let Some(linker) = toolchain.linker_flag() {
        flags.push(linker);
    }
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(&metadata.common_folder(), "/plugins");
    for registry in toolchain.registries()? {
        remap(&registry, "/registry");
    }
    remap(toolchain.library_sources(), "/rust");
    Ok(flags.join("\x1f".as_ref()))
}

/// Run a command to its end; what it says goes to whoever called us.
fn run(command: &mut Command, doing: impl Fn() -> String) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{}: starting {:?}", doing(), command.get_program()))?;
    ensure!(status.success(), "{}: cargo ended with {status}; what it said is above", doing());
    Ok(())
}

/// What cargo knows of the package; the part of it that matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    description: Option<String>,
    /// None for a folder, as against a registry or a repository.
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Metadata {
    fn read(dir: &Path, toolchain: &Toolchain) -> anyhow::Result<Self> {
        let doing = || format!("asking cargo about the package in `{}`", dir.display());
        let mut cargo = toolchain.cargo(dir);
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", TARGET]);
        let output = cargo.output().with_context(doing)?;
        if !output.status.success() {
            bail!("{}: {}", doing(), String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).with_context(doing)
    }

    /// What is built from a folder here.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.packages.iter().filter(|package| package.source.is_none()).map(Package::folder)
    }

    /// The folders of packages that are not below the workspace's.
    fn beside_workspace(&self) -> Vec<&Path> {
        self.folders().filter(|folder| !folder.starts_with(&self.workspace_root)).collect()
    }

    /// The innermost folder that holds the workspace and every package beside
    /// it. One for all packages, so that they share what was compiled for them.
    fn common_folder(&self) -> PathBuf {
        self.folders().fold(self.workspace_root.clone(), |common, folder| {
            let holds_both = common.ancestors().find(|above| folder.starts_with(above));
            holds_both.unwrap_or(&common).to_path_buf()
        })
    }

    /// With a lock file, exactly what it says is built.
    fn lock_arguments(&self) -> &[&str] {
        if self.workspace_root.join("Cargo.lock").is_file() { &["--locked"] } else { &[] }
    }

    fn package(&self, dir: &Path) -> anyhow::Result<&Package> {
        let manifest = dir.join("Cargo.toml");
        let found = self.packages.iter().find(|package| package.manifest_path == manifest);
        found.with_context(|| format!("`{}` is a workspace and not a package: name a member's folder", dir.display()))
    }
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    fn library(&self) -> anyhow::Result<&Target> {
        let mut targets = self.targets.iter();
        let found = targets.find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
        found.with_context(|| {
            format!(
                "the package `{}` builds no module: put `[lib]` with `crate-type = [\"cdylib\"]` into `{}`",
                self.name,
                self.manifest_path.display()
            )
        })
    }
}
