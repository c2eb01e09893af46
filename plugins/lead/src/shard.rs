//! Cutting the tree into shards: as many as are asked for, as even in bytes as
//! neighbours allow, each named by as few paths as will do.
//!
//! A shard is a run of neighbouring files, and not the best packing of all of
//! them: neighbours belong together, so duplicates and habits show within one
//! shard, and whole folders can be named as such.

use crate::tree::{File, Tree};

/// The most files of one shard. Each may need a scope of its own, and a grant
/// has at most 1,024.
const MAX_FILES: usize = 1_000;

/// The fewest shards by default, as long as there are that many files.
const MIN_DEFAULT: usize = 20;

/// The most shards by default. What the shards answer has to fit into this
/// run's memory at once.
const MAX_DEFAULT: usize = 40;

/// A default shard has about so many bytes.
const DEFAULT_BYTES: u64 = 512 << 10;

/// What a file costs besides its bytes: finding it, opening it, its scope.
const FILE_COST: u64 = 2 << 10;

/// A part of the tree for one reviewer.
#[derive(Debug, PartialEq, Eq)]
pub struct Shard {
    /// Files, and folders to be taken whole, which end in `/`.
    pub paths: Vec<String>,
    pub files: usize,
    pub bytes: u64,
}

impl Shard {
    /// What a reviewer of just this shard may read.
    pub fn scopes(&self) -> impl Iterator<Item = String> + '_ {
        self.paths.iter().map(|path| match path.ends_with('/') {
            true => format!("fs.read:{path}*"),
            false => format!("fs.read:{path}"),
        })
    }
}

/// Cuts the tree below `root`. There are fewer shards than asked for where there
/// are fewer files, and more where a shard would have too many.
pub fn cut(tree: &Tree, root: &str, asked: Option<usize>) -> Vec<Shard> {
    let files = tree.files();
    let usual = || usize::try_from(tree.bytes() / DEFAULT_BYTES).unwrap_or(MAX_DEFAULT).clamp(MIN_DEFAULT, MAX_DEFAULT);
    let count = asked.unwrap_or_else(usual).max(files.len().div_ceil(MAX_FILES)).min(files.len());
    let mut shards = Vec::with_capacity(count);
    let mut rest = files;
    for end in ends(files, count) {
        let (shard, after) = rest.split_at(end - (files.len() - rest.len()));
        rest = after;
        let mut paths = Vec::new();
        name(tree, root, shard, &mut paths);
        shards.push(Shard { paths, files: shard.len(), bytes: shard.iter().map(|file| file.bytes).sum() });
    }
    shards
}

/// Where each shard ends, with the costliest of them as cheap as can be.
fn ends(files: &[File], count: usize) -> Vec<usize> {
    let mut low = files.iter().map(cost).max().unwrap_or(0);
    let mut high = files.iter().map(cost).sum::<u64>().max(low);
    while low < high {
        let middle = low + (high - low) / 2;
        if fill(files, count, middle).len() <= count { high = middle } else { low = middle + 1 }
    }
    fill(files, count, low)
}

/// Fills shards in order up to `most`, leaving at least a file for each of the
/// `count` shards. With too low a `most` there are more than `count`.
fn fill(files: &[File], count: usize, most: u64) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        let still_to_open = count.saturating_sub(ends.len() + 1);
        let full = sum + cost(file) > most || at - start == MAX_FILES || files.len() - at <= still_to_open;
        if at > start && full {
            ends.push(at);
            (start, sum) = (at, 0);
        }
        sum += cost(file);
    }
    if !files.is_empty() {
        ends.push(files.len());
    }
    ends
}

fn cost(file: &File) -> u64 {
    file.bytes.saturating_add(FILE_COST).min(u64::MAX / (1 << 20))
}

/// Names the files of a shard, which all are below `folder`: the folder, where
/// the shard has all of it, and what is in it one by one where not.
fn name(tree: &Tree, folder: &str, files: &[File], paths: &mut Vec<String>) {
    if files.len() > 1 && tree.is_whole(folder) && tree.below(folder).len() == files.len() {
        paths.push(format!("{folder}/"));
        return;
    }
    let mut rest = files;
    while let Some(file) = rest.first() {
        let below = &file.path[folder.len() + 1..];
        match below.find('/') {
            None => {
                paths.push(file.path.clone());
                rest = &rest[1..];
            }
            Some(end) => {
                let inner = &file.path[..folder.len() + 1 + end];
                let inside = |file: &File| file.path.strip_prefix(inner).is_some_and(|after| after.starts_with('/'));
                let count = rest.iter().take_while(|file| inside(file)).count();
                name(tree, inner, &rest[..count], paths);
                rest = &rest[count..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u64)]) -> Tree {
        let mut tree = Tree::default();
        for (path, bytes) in files {
            tree.add((*path).to_owned(), *bytes);
        }
        tree.finish();
        tree
    }

    fn many(count: usize, bytes: impl Fn(usize) -> u64) -> Tree {
        let mut tree = Tree::default();
        for number in 0..count {
            tree.add(format!("r/d{}/f{number:05}", number % 7), bytes(number));
        }
        tree.finish();
        tree
    }

    /// Every file is in exactly one shard: covered by one of its paths, and by
    /// none of another's.
    fn check(tree: &Tree, shards: &[Shard]) {
        assert_eq!(shards.iter().map(|shard| shard.files).sum::<usize>(), tree.files().len());
        let covers = |path: &String, file: &File| match path.ends_with('/') {
            true => file.path.starts_with(path.as_str()),
            false => file.path == *path,
        };
        for file in tree.files() {
            let times = shards.iter().flat_map(|shard| &shard.paths).filter(|path| covers(path, file)).count();
            assert_eq!(times, 1, "{}", file.path);
        }
    }

    #[test]
    fn a_small_tree_still_has_twenty_shards() {
        let tree = many(23, |_| 10);
        let shards = cut(&tree, "r", None);
        assert_eq!(shards.len(), 20);
        check(&tree, &shards);
    }

    #[test]
    fn there_are_no_more_shards_than_files() {
        let tree = many(5, |_| 10);
        assert_eq!(cut(&tree, "r", None).len(), 5);
        assert!(cut(&Tree::default(), "r", None).is_empty());
    }

    #[test]
    fn a_large_tree_has_more_shards_up_to_a_point() {
        assert_eq!(cut(&many(100, |_| 150 << 10), "r", None).len(), 29);
        assert_eq!(cut(&many(100, |_| 10 << 20), "r", None).len(), MAX_DEFAULT);
    }

    #[test]
    fn shards_are_even() {
        let tree = many(2_000, |number| (number as u64 * 7_919) % 60_000);
        let shards = cut(&tree, "r", Some(25));
        assert_eq!(shards.len(), 25);
        check(&tree, &shards);
        let mean = tree.bytes() / 25;
        for shard in &shards {
            assert!(shard.bytes < mean + mean / 10, "{} of {mean}", shard.bytes);
        }
    }

    #[test]
    fn one_giant_is_alone_and_does_not_use_up_the_other_shards() {
        let tree = many(100, |number| if number == 50 { 1 << 40 } else { 1_000 });
        let shards = cut(&tree, "r", Some(20));
        assert_eq!(shards.len(), 20);
        check(&tree, &shards);
        assert!(shards.iter().any(|shard| shard.bytes >= 1 << 40));
    }

    #[test]
    fn a_shard_never_needs_more_scopes_than_a_grant_has() {
        let tree = many(4_500, |_| 1);
        let shards = cut(&tree, "r", Some(1));
        assert_eq!(shards.len(), 5);
        check(&tree, &shards);
        assert!(shards.iter().all(|shard| shard.scopes().count() <= 1_024));
    }

    #[test]
    fn a_folder_is_named_whole_only_where_all_of_it_is_in_the_shard() {
        let tree = tree(&[("r/a/x", 1), ("r/a/y", 1), ("r/b/c/p", 1), ("r/b/c/q", 1), ("r/b/z", 1)]);
        let paths = |count| cut(&tree, "r", Some(count)).into_iter().map(|shard| shard.paths).collect::<Vec<_>>();
        assert_eq!(paths(1), [["r/"]]);
        assert_eq!(paths(2), [vec!["r/a/", "r/b/c/p"], vec!["r/b/c/q", "r/b/z"]]);
        assert_eq!(cut(&tree, "r", Some(1))[0].scopes().collect::<Vec<_>>(), ["fs.read:r/*"]);
    }

    #[test]
    fn a_folder_with_something_left_out_is_never_handed_on_whole() {
        let mut tree = tree(&[("r/a/x", 1), ("r/a/y", 1), ("r/b/p", 1), ("r/b/q", 1)]);
        tree.leave_out("r/a/secret", "excluded");
        let shards = cut(&tree, "r", Some(1));
        assert_eq!(shards[0].paths, ["r/a/x", "r/a/y", "r/b/"]);
        let scopes: Vec<String> = shards[0].scopes().collect();
        assert_eq!(scopes, ["fs.read:r/a/x", "fs.read:r/a/y", "fs.read:r/b/*"]);
    }
}
