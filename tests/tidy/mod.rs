//! Holds the rooms of the house to their rules: what each may use, that every
//! file says what it is, and that none grows without being noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::scene::repository;

/// What each room may depend on. A new line here is a decision: see
/// `host/ARCHITECTURE.md`.
const ROOMS: &[(&str, &[&str])] = &[
    ("kernel", &["serde", "serde_json", "serde_json_canonicalizer", "sha2", "thiserror"]),
    (
        "graph",
        &[
            "cel",
            "jsonschema",
            "percent-encoding",
            "pleach-kernel",
            "regex",
            "schemars",
            "semver",
            "serde",
            "serde-saphyr",
            "serde_json",
            "strsim",
        ],
    ),
    (
        "store",
        &[
            "crc32fast",
            "pleach-kernel",
            "refinery",
            "rusqlite",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    (
        "sandbox",
        &[
            "cap-std",
            "pleach-kernel",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tokio",
            "tracing",
            "wasmparser",
            "wasmtime",
            "wasmtime-wasi",
            "wit-parser",
        ],
    ),
    (
        "engine",
        &[
            "cap-std",
            "pleach-graph",
            "pleach-kernel",
            "pleach-sandbox",
            "pleach-store",
            "semver",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ],
    ),
];

/// What must not be named in a room's sources.
const NEVER: &[(&str, &[&str])] = &[
    (
        "kernel",
        &[
            "std::fs",
            "std::io",
            "std::net",
            "std::env",
            "SystemTime",
            "Instant",
            "HashMap",
            "HashSet",
            "async ",
            "tokio",
            "rand",
        ],
    ),
    ("graph", &["std::fs", "std::net", "std::env", "SystemTime", "Instant::now", "async ", "tokio"]),
    ("store", &["wasmtime", "Fact::", "pleach_sandbox"]),
    ("sandbox", &["rusqlite", "pleach_store"]),
    ("engine", &["wasmtime", "rusqlite"]),
    ("cli", &["wasmtime::", "rusqlite"]),
];

/// A file that is longer has to be split at its second noun.
const LINES: usize = 500;

/// Longer all the same, with the length that they may not go beyond. Lower a
/// number when you shorten a file; never raise one.
const LONGER: &[(&str, usize)] = &[("host/kernel/tests/kernel/join.rs", 535)];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources below {}", folder.display());
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]\n"));
    let lines = section.unwrap_or_default().lines().map(str::trim);
    let named = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    named.filter_map(|line| line.split(['.', ' ', '=']).next().map(str::to_owned)).collect()
}

#[test]
fn each_room_depends_on_what_it_may_and_nothing_else() {
    for (room, allowed) in ROOMS {
        let path = repository().join(format!("host/{room}/Cargo.toml"));
        let found = dependencies(&std::fs::read_to_string(&path).unwrap());
        assert!(!found.is_empty(), "no dependencies were read from {}", shown(&path));
        let surplus: Vec<_> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(surplus.is_empty(), "{} may not depend on {surplus:?}", shown(&path));
    }
}

#[test]
fn each_room_names_only_what_is_its_business() {
    let mut broken = Vec::new();
    for (room, never) in NEVER {
        for path in sources(&repository().join(format!("host/{room}/src"))) {
            let text = std::fs::read_to_string(&path).unwrap();
            // Comments may speak of anything, and tests may use anything.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(word) = never.iter().find(|word| code.contains(**word)) {
                    broken.push(format!("{}:{}: {word}", shown(&path), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "not in this room:\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_lives_there() {
    let mut silent = Vec::new();
    for folder in ["host", "plugins", "tests", "examples"] {
        for path in sources(&repository().join(folder)) {
            if !std::fs::read_to_string(&path).unwrap().starts_with("//!") {
                silent.push(shown(&path));
            }
        }
    }
    assert!(silent.is_empty(), "without a module doc on the first line: {silent:#?}");
}

#[test]
fn no_file_grows_beyond_what_a_reader_holds() {
    let longer: BTreeMap<&str, usize> = LONGER.iter().copied().collect();
    let mut grown = Vec::new();
    for folder in ["host", "plugins", "tests"] {
        for path in sources(&repository().join(folder)) {
            let (name, lines) = (shown(&path), std::fs::read_to_string(&path).unwrap().lines().count());
            let most = longer.get(name.as_str()).copied().unwrap_or(LINES);
            if lines > most {
                grown.push(format!("{name} has {lines} lines and may have {most}"));
            }
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
}

#[test]
fn names_do_not_hide_what_a_file_is_for() {
    for folder in ["host", "plugins", "tests"] {
        for path in sources(&repository().join(folder)) {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!["utils", "helpers", "common", "misc"].contains(&stem.as_str()), "{}", shown(&path));
        }
    }
}
