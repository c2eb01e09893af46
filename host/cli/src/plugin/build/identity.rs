//! Giving packages an identity that does not depend on where they lie.
//!
//! Cargo has rustc mix a hash of each package's origin into its symbols. For a
//! folder that is the path from the workspace's root, but for one beside the
//! workspace it is the whole path on this machine, and the order of functions in
//! the module follows it. So those packages get their name and version for an
//! identity, by way of a wrapper around rustc.
//!
//! The wrapper is a shell script. Elsewhere than on Unix there is none, and
//! packages beside their workspace are built all the same: only not to the same
//! bytes in two folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Called as `SCRIPT RUSTC ARGUMENT…`; cargo's hash is an argument of its own.
const WRAPPER: &str = r#"#!/bin/sh
case "$PLEACH_BESIDE_WORKSPACE" in
*"|$CARGO_MANIFEST_DIR|"*) ;;
*) exec "$@" ;;
esac
for argument; do
    shift
    case "$argument" in
    metadata=*) argument="metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION" ;;
    esac
    set -- "$@" "$argument"
done
exec "$@"
"#;

/// Have `cargo` give the packages in these folders a stable identity. The
/// wrapper is kept in `target`.
pub fn stabilise(cargo: &mut Command, beside_workspace: &[&Path], target: &Path) -> anyhow::Result<()> {
    if beside_workspace.is_empty() || !cfg!(unix) {
        return Ok(());
    }
    let folders = beside_workspace.iter().map(|folder| folder.display().to_string());
    cargo.env("PLEACH_BESIDE_WORKSPACE", format!("|{}|", folders.collect::<Vec<_>>().join("|")));
    cargo.env("RUSTC_WRAPPER", wrapper(target)?);
    Ok(())
}

fn wrapper(target: &Path) -> anyhow::Result<PathBuf> {
    let path = target.join("rustc-wrapper");
    let doing = || format!("writing the compiler's wrapper `{}`", path.display());
    // Cargo looks at the file's time: the same script is not written again.
    if fs::read_to_string(&path).is_ok_and(|script| script == WRAPPER) {
        return Ok(path);
    }
    fs::create_dir_all(target).with_context(doing)?;
    fs::write(&path, WRAPPER).with_context(doing)?;
    make_executable(&path).with_context(doing)?;
    Ok(path)
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wrapped(manifest_dir: &str) -> String {
        let target = tempfile::tempdir().unwrap();
        let mut cargo = Command::new("unused");
        stabilise(&mut cargo, &[Path::new("/a b/one"), Path::new("/two")], target.path()).unwrap();
        let settings = cargo.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
        let script = target.path().join("rustc-wrapper");
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0o111, "cargo can run it");
        // By way of a shell: to run what this process has just written fails
        // while a child that another test forked still has it open for writing.
        let output = Command::new("sh")
            .arg(script)
            .args(["printf", "%s;", "-C", "metadata=123", "x y"])
            .envs(settings.collect::<Vec<_>>())
            .envs([("CARGO_MANIFEST_DIR", manifest_dir), ("CARGO_PKG_NAME", "one"), ("CARGO_PKG_VERSION", "0.1.0")])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_package_beside_the_workspace_is_known_by_its_name() {
        assert_eq!(wrapped("/a b/one"), "-C;metadata=one-0.1.0;x y;");
    }

    #[test]
    fn any_other_package_keeps_what_cargo_gave_it() {
        assert_eq!(wrapped("/two/inner"), "-C;metadata=123;x y;");
        assert_eq!(wrapped("/registry/serde"), "-C;metadata=123;x y;");
    }
}
