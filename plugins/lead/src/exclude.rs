//! Which entries of a tree are left out of a review.

/// What is left out unless the input says otherwise: the records of version
/// control and of this host, and what tools have put there.
pub const USUAL: [&str; 14] = [
    ".git",
    ".hg",
    ".jj",
    ".svn",
    ".pleach",
    ".mypy_cache",
    ".next",
    ".tox",
    ".venv",
    "__pycache__",
    "dist",
    "node_modules",
    "target",
    "venv",
];

/// The entries to leave out.
pub struct Exclude {
    names: Vec<String>,
    endings: Vec<String>,
    /// Below the root, without a slash at either end.
    paths: Vec<String>,
}

impl Exclude {
    pub fn new(patterns: &[String], usual: bool) -> Self {
        let mut exclude = Self { names: Vec::new(), endings: Vec::new(), paths: Vec::new() };
        if usual {
            exclude.names.extend(USUAL.map(str::to_owned));
        }
        for pattern in patterns {
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if let Some(ending) = pattern.strip_prefix('*') {
                exclude.endings.push(ending.to_owned());
            } else if pattern.contains('/') {
                exclude.paths.push(pattern.to_owned());
            } else if !pattern.is_empty() {
                exclude.names.push(pattern.to_owned());
            }
        }
        exclude
    }

    /// Whether to leave out the entry `name` at `path`, which begins below the
    /// root.
    pub fn covers(&self, path: &str, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
            || self.endings.iter().any(|ending| name.ends_with(ending.as_str()))
            || self.paths.iter().any(|known| known == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Exclude::new(&patterns, true).covers(path, path.rsplit('/').next().unwrap())
    }

    #[test]
    fn a_name_is_left_out_wherever_it_is_and_only_as_a_whole() {
        assert!(covers(&[], "a/target") && covers(&["fixtures/"], "x/y/fixtures"));
        assert!(!covers(&["fixtures"], "x/fixtures2") && !covers(&[""], "x"));
    }

    #[test]
    fn a_path_is_left_out_only_there() {
        assert!(covers(&["./docs/old/"], "docs/old"));
        assert!(!covers(&["docs/old"], "x/docs/old"));
    }

    #[test]
    fn an_ending_is_left_out_everywhere() {
        assert!(covers(&["*.min.js"], "a/b.min.js") && !covers(&["*.min.js"], "a/b.js"));
    }

    #[test]
    fn what_is_usually_left_out_can_be_kept() {
        assert!(!Exclude::new(&[], false).covers("target", "target"));
    }
}
