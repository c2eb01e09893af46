//! Artifacts: the files that a run's output carries, saved in a folder.
//!
//! Their names come out of a plugin. So a name is one plain segment, and a file
//! that is already there is replaced only where this program wrote it and
//! nobody has changed it since: the folder keeps a list of what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::exit::Mistake;
use crate::{stderr, text};

/// The list of what was written, with the digest of each file.
const LEDGER: &str = ".pleach-artifacts.json";

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// One file that a run gave back.
#[derive(Debug, PartialEq, Eq)]
pub struct Artifact {
    pub name: String,
    pub content: String,
}

/// The artifacts of an output: those entries of its list `artifacts` that have
/// a name and a content. A content that is no text is written as JSON.
pub fn of_output(output: &Value) -> Vec<Artifact> {
    let list = output.get("artifacts").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(of_entry).collect()
}

fn of_entry(entry: &Value) -> Option<Artifact> {
    let name = entry.get("name")?.as_str()?.to_owned();
    let content = match entry.get("content")? {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).ok()?,
    };
    Some(Artifact { name, content })
}

/// Makes sure that `folder` is there before a run is started for it.
pub fn prepare(folder: &Path) -> Result<(), Mistake> {
    fs::create_dir_all(folder).map_err(|error| {
        Mistake::new(format!("creating the artifacts folder `{}`: {error}", folder.display()))
            .hint("name a folder that can be written to")
    })
}

/// Saves all that can be saved and returns their paths; the error names the
/// rest.
fn save(folder: &Path, artifacts: &[Artifact]) -> anyhow::Result<Vec<PathBuf>> {
    prepare(folder)?;
    let mut ledger = read_ledger(folder)?;
    let mut seen = BTreeSet::new();
    let mut saved = Vec::new();
    let mut refused = Vec::new();
    for artifact in artifacts {
        let checked = check_name(&artifact.name).and_then(|()| match seen.insert(artifact.name.as_str()) {
            true => Ok(()),
            false => Err("the output has two artifacts of this name".to_owned()),
        });
        let written = checked.and_then(|()| write(folder, artifact, &ledger));
        match written {
            Ok((path, digest)) => {
                ledger.insert(artifact.name.clone(), digest);
                saved.push(path);
            }
            Err(why) => refused.push(format!("`{}`: {why}", text::line(&text::cut(&artifact.name, 80)))),
        }
    }
    let list = serde_json::to_vec_pretty(&ledger).context("writing the list of artifacts")?;
    replace(&folder.join(LEDGER), &list).with_context(|| format!("writing `{}/{LEDGER}`", folder.display()))?;
    if refused.is_empty() {
        return Ok(saved);
    }
    let message = format!("saving artifacts in `{}`: {}", folder.display(), refused.join("; "));
    Err(Mistake::new(message).hint("move what is in the way, or name another folder with --artifacts").into())
}

/// Saves the artifacts of an output and says where each is.
pub fn save_told(folder: &Path, output: &Value) -> anyhow::Result<()> {
    let saved = save(folder, &of_output(output))?;
    saved.iter().for_each(|path| stderr::line(&format!("saved {}", path.display())));
    Ok(())
}

fn read_ledger(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let path = folder.join(LEDGER);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            Mistake::new(format!("reading `{}`: {error}", path.display()))
                .hint("remove that file; what it listed will then not be replaced")
                .into()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let why = if name.is_empty() {
        "a name cannot be empty"
    } else if name.len() > MAX_NAME_BYTES {
        "a name has at most 255 bytes"
    } else if name.contains(['/', '\\', ':']) {
        "a name is one segment, without `/`, `\\` and `:`"
    } else if name.starts_with('.') {
        "a name cannot begin with a dot"
    } else if *text::line(name) != *name {
        "a name has no control characters"
    } else {
        return Ok(());
    };
    Err(why.to_owned())
}

fn write(folder: &Path, artifact: &Artifact, ledger: &BTreeMap<String, String>) -> Result<(PathBuf, String), String> {
    let path = folder.join(&artifact.name);
    let failed = |error: io::Error| error.to_string();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(there) if !there.is_file() => return Err("something that is no plain file is in the way".to_owned()),
        Ok(_) => {
            let ours = ledger.get(&artifact.name);
            let now = digest(&fs::read(&path).map_err(failed)?);
            if ours != Some(&now) {
                return Err("a file that `pleach` did not write, or that was changed since, is in the way".to_owned());
            }
        }
    }
    replace(&path, artifact.content.as_bytes()).map_err(failed)?;
    Ok((path, digest(artifact.content.as_bytes())))
}

/// Writes a file whole or not at all, never through a link.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written =
        fs::File::create_new(&part).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        fs::remove_file(&part).ok();
    }
    written
}

fn digest(bytes: &[u8]) -> String {
    let hex: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn artifact(name: &str, content: &str) -> Artifact {
        Artifact { name: name.into(), content: content.into() }
    }

    #[test]
    fn artifacts_are_what_the_output_lists() {
        let output = json!({"artifacts": [
            {"name": "a.md", "media_type": "text/markdown", "content": "x"},
            {"name": "b.json", "content": {"k": 1}},
            {"content": "nameless"}, 7,
        ]});
        assert_eq!(of_output(&output), [artifact("a.md", "x"), artifact("b.json", "{\n  \"k\": 1\n}")]);
        assert_eq!(of_output(&json!("text")), []);
    }

    #[test]
    fn saving_again_replaces_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let saved = save(folder.path(), &[artifact("a.md", "one")]).unwrap();
        assert_eq!(saved, [folder.path().join("a.md")]);
        save(folder.path(), &[artifact("a.md", "two")]).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a.md")).unwrap(), "two");
    }

    #[test]
    fn a_file_of_somebody_else_stays_and_the_others_are_saved() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), "mine").unwrap();
        let error = save(folder.path(), &[artifact("Cargo.toml", "theirs"), artifact("b", "x")]).unwrap_err();
        assert!(error.is::<Mistake>() && error.to_string().contains("`Cargo.toml`"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("Cargo.toml")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(folder.path().join("b")).unwrap(), "x");

        fs::write(folder.path().join("b"), "edited").unwrap();
        assert!(save(folder.path(), &[artifact("b", "again")]).is_err(), "an edited file is somebody's work");
        assert_eq!(fs::read_to_string(folder.path().join("b")).unwrap(), "edited");
    }

    #[test]
    fn a_name_is_one_plain_segment() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", ".", "..", ".hidden", "a/b", "/etc/x", "a\\b", "C:x", "a\nb", &"x".repeat(256)] {
            assert!(save(folder.path(), &[artifact(bad, "x")]).is_err(), "{bad:?}");
        }
        assert!(save(folder.path(), &[artifact("a", "1"), artifact("a", "2")]).is_err());
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "1");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("a")).unwrap();
        assert!(save(folder.path(), &[artifact("a", "x")]).is_err());
        assert_eq!(fs::read(outside.path()).unwrap(), b"");
    }
}
