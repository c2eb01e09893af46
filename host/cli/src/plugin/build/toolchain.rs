//! Finding a cargo that can compile for WebAssembly: one that has the target's
//! standard library, or its sources to compile it from; and a linker for it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::TARGET;
use super::component::encoder_version;

/// Names a cargo to use before any other.
const CARGO_VARIABLE: &str = "PLEACH_WASM_CARGO";

/// Where distributions put theirs.
const SYSTEM_CARGO: &str = "/usr/bin/cargo";

/// What somebody without a toolchain should do.
const INSTALL: &str = "install one of\n  \
    rustup:  rustup target add wasm32-unknown-unknown\n  \
    Debian:  apt-get install rustc-web cargo-web rust-web-src lld\n\
    or name another cargo in PLEACH_WASM_CARGO";

/// What turned sources into a component. Equal builders give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// What `rustc --version` says.
    pub rustc: String,
    /// What the linker says its version is; `rustc's own` where it brought one.
    pub linker: String,
    /// Whether the standard library was compiled along.
    pub std_from_source: bool,
    /// The version of wit-component.
    pub wit_component: String,
}

/// A cargo that can compile plugins, with what it needs.
#[derive(Clone, Debug)]
pub struct Toolchain {
    cargo: PathBuf,
    /// The rustc beside that cargo; none leaves the choice to cargo.
    rustc: Option<PathBuf>,
    version: String,
    library_sources: PathBuf,
    std_from_source: bool,
    /// None where rustc brings its own.
    linker: Option<Linker>,
}

#[derive(Clone, Debug)]
struct Linker {
    path: PathBuf,
    version: String,
}

impl Toolchain {
    /// The first that works: the one that `PLEACH_WASM_CARGO` names, the one on
    /// the path, the system's. One that has the target's standard library goes
    /// before one that would have to compile it.
    pub fn find(dir: &Path) -> anyhow::Result<Self> {
        let (all, reasons) = Self::all(dir)?;
        let shipped = all.iter().find(|toolchain| !toolchain.std_from_source);
        let found = shipped.or(all.first()).cloned();
        found.with_context(|| format!("no Rust toolchain here can compile for {TARGET}\n{reasons}{INSTALL}"))
    }

    /// The one that built a component before, if it is here; else as `find`.
    pub fn like(dir: &Path, builder: &Builder) -> anyhow::Result<Self> {
        for toolchain in Self::all(dir)?.0 {
            if toolchain.builder()? == *builder {
                return Ok(toolchain);
            }
        }
        Self::find(dir)
    }

    /// All that can compile for the target, in order of preference, and why the
    /// others cannot.
    fn all(dir: &Path) -> anyhow::Result<(Vec<Self>, String)> {
        if let Some(cargo) = env::var_os(CARGO_VARIABLE) {
            let toolchain = Self::at(Path::new(&cargo), dir)
                .with_context(|| format!("{CARGO_VARIABLE} names `{}`, which cannot be used", cargo.display()))?;
            return Ok((vec![toolchain], String::new()));
        }
        let mut found = Vec::new();
        let mut reasons = String::new();
        for cargo in [Path::new("cargo"), Path::new(SYSTEM_CARGO)] {
            match Self::at(cargo, dir) {
                Ok(toolchain) => found.push(toolchain),
                Err(error) => reasons.push_str(&format!("  {}: {error:#}\n", cargo.display())),
            }
        }
        Ok((found, reasons))
    }

    fn at(cargo: &Path, dir: &Path) -> anyhow::Result<Self> {
        let rustc = cargo.is_absolute().then(|| cargo.with_file_name("rustc")).filter(|path| path.is_file());
        let ask = |argument: &[&str]| {
            let program = rustc.as_deref().unwrap_or(Path::new("rustc"));
            text(Command::new(program).args(argument).current_dir(dir))
        };
        let version = ask(&["--version"])?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        let host = ask(&["-vV"])?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        text(Command::new(cargo).arg("--version").current_dir(dir))?;

        let library_sources = sysroot.join("lib/rustlib/src/rust");
        let std_from_source = !sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
        if std_from_source && !library_sources.join("library/std/Cargo.toml").is_file() {
            bail!("{version} has neither the standard library of {TARGET} nor its sources");
        }
        let brings_linker = sysroot.join("lib/rustlib").join(&host).join("bin").join(lld()).is_file();
        let linker = if brings_linker { None } else { Some(Linker::find(cargo, dir)?) };
        Ok(Self { cargo: cargo.to_path_buf(), rustc, version, library_sources, std_from_source, linker })
    }

    /// A cargo command that uses this toolchain and nothing of another.
    pub fn cargo(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(dir);
        // What a cargo that runs us would hand on, or a user's settings for
        // other builds, must not decide the bytes.
        for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO"] {
            command.env_remove(name);
        }
        match &self.rustc {
            Some(rustc) => command.env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN"),
            None => command.env_remove("RUSTC"),
        };
        if self.std_from_source {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// What cargo has to be told so that there is a standard library.
    pub fn std_arguments(&self) -> &[&str] {
        if self.std_from_source { &["-Zbuild-std=std,panic_abort"] } else { &[] }
    }

    /// Where the sources of the standard library are, or would be.
    pub fn library_sources(&self) -> &Path {
        &self.library_sources
    }

    /// The flag that names the linker, where rustc has to be told.
    pub fn linker_flag(&self) -> Option<OsString> {
        let linker = self.linker.as_ref()?;
        let mut flag = OsString::from("-Clinker=");
        flag.push(&linker.path);
        Some(flag)
    }

    /// The folders that hold the sources of packages from elsewhere, and what to
    /// call them.
    pub fn downloads(&self) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
        let Some(home) = home else {
            return Ok(Vec::new());
        };
        let mut folders = vec![(home.join("git/checkouts"), "/git")];
        let registries = home.join("registry/src");
        let listing = || format!("listing cargo's sources in `{}`", registries.display());
        if registries.is_dir() {
            // Each registry's folder ends in a hash of its address.
            for entry in fs::read_dir(&registries).with_context(listing)? {
                folders.push((entry.with_context(listing)?.path(), "/registry"));
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// What to write down about what this toolchain builds.
    pub fn builder(&self) -> anyhow::Result<Builder> {
        Ok(Builder {
            rustc: self.version.clone(),
            linker: self.linker.as_ref().map_or("rustc's own", |linker| &linker.version).to_owned(),
            std_from_source: self.std_from_source,
            wit_component: encoder_version()?,
        })
    }
}

impl Linker {
    /// `wasm-ld` beside that cargo or on the path, else the linker that a rustup
    /// toolchain on the path brings.
    fn find(cargo: &Path, dir: &Path) -> anyhow::Result<Self> {
        let mut folders: Vec<PathBuf> = cargo.parent().map(Path::to_path_buf).into_iter().collect();
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let named = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        if let Some(path) = named("wasm-ld") {
            let version = text(Command::new(&path).arg("--version"))?;
            return Ok(Self { path, version });
        }
        let rustup = text(Command::new("rustc").args(["--print", "target-libdir"]).current_dir(dir))
            .ok()
            .map(|folder| Path::new(&folder).with_file_name("bin").join(lld()))
            .filter(|path| path.is_file());
        let Some(path) = named(lld()).or(rustup) else {
            bail!("there is no linker for WebAssembly (`wasm-ld` or `rust-lld`) on the path");
        };
        let version = text(Command::new(&path).args(["-flavor", "wasm", "--version"]))?;
        Ok(Self { path, version })
    }
}

fn lld() -> &'static str {
    if cfg!(windows) { "rust-lld.exe" } else { "rust-lld" }
}

/// What a command says, or why it said nothing.
fn text(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
