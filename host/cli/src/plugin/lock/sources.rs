//! What a component is built from: which folders are plugins, and the digest of
//! everything that goes into one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::plugin::build::{self, Memory, PROFILE, TARGET};

/// Folders with one folder for each plugin, from the repository's top.
const HOMES: [&str; 2] = ["plugins", "tests/guests"];

/// What every plugin is built from, besides its own folder.
const SHARED: [&str; 4] = ["plugins/Cargo.lock", "plugins/Cargo.toml", "plugins/sdk", "wit"];

/// The folder of each plugin, by name. Folder and package are named alike.
pub fn packages(repo_root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut packages = BTreeMap::new();
    for home in HOMES {
        if !repo_root.join(home).is_dir() {
            continue;
        }
        for name in names(&repo_root.join(home))? {
            let path = format!("{home}/{name}");
            let manifest = fs::read_to_string(repo_root.join(&path).join("Cargo.toml")).unwrap_or_default();
            if !manifest.contains("cdylib") {
                continue;
            }
            if let Some(other) = packages.insert(name, path.clone()) {
                bail!("`{path}` and `{other}` are plugins of one name: rename one");
            }
        }
    }
    Ok(packages)
}

/// The digest of all that goes into a component, names included.
pub fn digest(repo_root: &Path, path: &str) -> anyhow::Result<String> {
    let mut everything = Vec::new();
    let settings = PROFILE.map(|(name, value)| format!("{name}={value}"));
    let flags = Memory::default().flags();
    for setting in settings.iter().chain(&flags).chain([&TARGET.to_owned()]) {
        add(&mut everything, "", setting.as_bytes());
    }
    for source in SHARED.iter().chain([&path]) {
        collect(repo_root, source, &mut everything)?;
    }
    Ok(build::digest(&everything))
}

fn collect(repo_root: &Path, path: &str, everything: &mut Vec<u8>) -> anyhow::Result<()> {
    let full = repo_root.join(path);
    if full.is_dir() {
        for name in names(&full)? {
            collect(repo_root, &format!("{path}/{name}"), everything)?;
        }
    } else {
        let bytes = fs::read(&full).with_context(|| format!("reading the source `{}`", full.display()))?;
        // A checkout may have other line ends, which no compiler minds.
        let text = String::from_utf8(bytes).map(|text| text.replace("\r\n", "\n").into_bytes());
        add(everything, path, &text.unwrap_or_else(|error| error.into_bytes()));
    }
    Ok(())
}

/// Each part comes after its length, so that no two lists read the same.
fn add(everything: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    for part in [name.as_bytes(), bytes] {
        everything.extend((part.len() as u64).to_le_bytes());
        everything.extend(part);
    }
}

/// What a folder holds, sorted, without what builds and editors leave behind.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let listing = || format!("listing `{}`", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let name = entry.with_context(listing)?.file_name().to_string_lossy().into_owned();
        let left_behind = name.starts_with('.') || name == "target";
        let built = name.ends_with(".wasm") || name.ends_with(".part");
        if !left_behind && !built {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
