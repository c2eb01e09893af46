//! The tree as it was listed: the files to review, and which folders can be
//! handed on whole. Listing it is in `walk`; nothing here calls the host.

use std::collections::BTreeSet;

use crate::left_out::LeftOut;

/// The longest scope, in bytes; the host refuses longer ones.
const MAX_SCOPE_BYTES: usize = 1_024;

/// Why a file is left out of a tree with too many of them.
pub const OVER_LIMIT: &str = "over the limit of files";

/// A file to review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the root on, and the root's name is its first segment.
    pub path: String,
    pub bytes: u64,
}

/// A tree as far as it is reviewed.
#[derive(Debug, Default)]
pub struct Tree {
    /// By path, byte for byte, so that a folder's files are neighbours.
    files: Vec<File>,
    /// Folders with something below them that is not reviewed. A scope for such
    /// a folder would allow more than the review needs.
    mixed: BTreeSet<String>,
    left_out: LeftOut,
}

impl Tree {
    pub fn add(&mut self, path: String, bytes: u64) {
        self.files.push(File { path, bytes });
    }

    /// Notes something that is not reviewed, and that its folder is for that
    /// reason not handed on whole.
    pub fn leave_out(&mut self, path: &str, reason: &str) {
        self.left_out.note(reason, path);
        let mut folder = path;
        while let Some(end) = folder.rfind('/') {
            folder = &folder[..end];
            // Whoever marked this folder has marked those above it, too.
            if !self.mixed.insert(folder.to_owned()) {
                break;
            }
        }
    }

    /// The listing is over: everything in its order.
    pub fn finish(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    pub fn files(&self) -> &[File] {
        &self.files
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What was not reviewed, by reason.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Whether a scope for everything in `folder` allows just what is reviewed.
    pub fn is_whole(&self, folder: &str) -> bool {
        !self.mixed.contains(folder)
    }

    /// The files below `folder`, which has no slash at its end.
    pub fn below(&self, folder: &str) -> &[File] {
        let prefix = format!("{folder}/");
        let from = self.files.partition_point(|file| file.path < prefix);
        let count = self.files[from..].partition_point(|file| file.path.starts_with(&prefix));
        &self.files[from..from + count]
    }
}

/// Why no scope can name `path`; none where one can.
pub fn unnameable(path: &str) -> Option<&'static str> {
    if "fs.read:".len() + path.len() + "/*".len() > MAX_SCOPE_BYTES {
        return Some("too long a path for a scope");
    }
    let odd = path.contains(['\\', '%', '*']) || path.chars().any(char::is_control);
    odd.then_some("a character that no scope can name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_files_are_found_and_not_its_namesakes() {
        let mut tree = Tree::default();
        for path in ["r/a/x", "r/a-b", "r/a.c", "r/a/b/y", "r/ab/z"] {
            tree.add(path.to_owned(), 1);
        }
        tree.finish();
        let below: Vec<&str> = tree.below("r/a").iter().map(|file| file.path.as_str()).collect();
        assert_eq!(below, ["r/a/b/y", "r/a/x"]);
        assert_eq!(tree.below("r").len(), 5);
        assert!(tree.below("r/none").is_empty());
    }

    #[test]
    fn a_folder_with_something_left_out_is_not_whole_and_neither_are_those_above() {
        let mut tree = Tree::default();
        tree.leave_out("r/a/b/link", "link");
        for (folder, whole) in [("r", false), ("r/a", false), ("r/a/b", false), ("r/a/c", true)] {
            assert_eq!(tree.is_whole(folder), whole, "{folder}");
        }
    }

    #[test]
    fn a_path_that_no_scope_can_name_is_known() {
        for bad in ["r/100%", "r/a\\b", "r/a*", "r/a\nb", &"x".repeat(1_020)] {
            assert!(unnameable(bad).is_some(), "{bad:?}");
        }
        assert_eq!(unnameable("r/ä b:c[1].rs"), None);
    }
}
