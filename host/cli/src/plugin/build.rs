//! Building a plugin: from a cargo package to a component that names itself.
//!
//! What is here is the order of things and the settings that make two builds
//! agree byte for byte. Which cargo does the work is in `toolchain`, what it knows
//! of the package in `package`, what keeps folders' names out of the bytes in
//! `identity`, and what makes a component of a module in `component`. Nothing here
//! decides whether a component is trusted: whoever publishes it does.

mod component;
mod identity;
mod package;
mod toolchain;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

pub use component::{World, digest, same_contract};
pub use package::Memory;
pub use toolchain::{Builder, Toolchain};

use package::{Metadata, lock_arguments};

/// The target of every plugin: no system interface of any kind.
pub const TARGET: &str = "wasm32-unknown-unknown";

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
    cargo.args(lock_arguments(&metadata.workspace_root));
    let target = metadata.target_directory.join("pleach");
    identity::stabilise(&mut cargo, &metadata.beside_workspace(), &target)?;
    // A folder of its own: other builds in the usual one would be undone by
    // these settings, and these by theirs.
    cargo.env("CARGO_TARGET_DIR", &target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&metadata, &package.memory()?, toolchain)?);
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

/// Put the whole file there or nothing: a reader never sees half a component, and
/// two who build at once do not undo each other's half.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension(format!("wasm.{}.part", std::process::id()));
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("writing the component `{}`", path.display()))
}

/// The compiler's flags, in cargo's encoding: every folder of this machine that
/// could end up in the bytes is given a name that is the same everywhere.
fn rustflags(metadata: &Metadata, memory: &Memory, toolchain: &Toolchain) -> anyhow::Result<OsString> {
    let mut flags: Vec<OsString> = memory.flags().map(OsString::from).into();
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
    for (folder, name) in toolchain.downloads()? {
        remap(&folder, name);
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
