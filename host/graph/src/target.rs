//! Target: the plugin that a node names, and the versions of it that it takes.

use semver::VersionReq;

/// Its name, and what is required of its version.
pub(crate) fn parts(target: &str) -> (&str, &str) {
    target.split_once('@').unwrap_or((target, "*"))
}

/// Why there can be no such target, whatever plugins there are: a code, what is wrong,
/// and what to write.
pub(crate) fn wrong(target: &str) -> Option<(&'static str, String, &'static str)> {
    let (name, version) = parts(target);
    let is_name = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_name || version.trim().is_empty() {
        let hint = "`name` or `name@requirement`; a name is 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter";
        return Some(("invalid_name", format!("`{target}` is no target"), hint));
    }
    let why = VersionReq::parse(version).err()?;
    let message = format!("`{version}` is no requirement of a version: {why}");
    Some(("invalid_version", message, "write it as `1.2.3`, `^1`, `>=1.2, <3` or `*`"))
}
