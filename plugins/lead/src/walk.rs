//! Listing the tree that is to be reviewed: the calls to the host.

use pleach_sdk::files::{self, EntryKind};
use pleach_sdk::{CallError, Error};

use crate::exclude::Exclude;
use crate::tree::{self, Tree};

/// The most folders that are listed; past them the tree is taken as too large
/// to see all of.
const MAX_FOLDERS: usize = 50_000;

/// The folder to review: the one that was named, or the only root there is.
pub fn root(asked: Option<&str>) -> Result<String, Error> {
    if let Some(asked) = asked {
        return Ok(asked.trim_end_matches('/').to_owned());
    }
    let roots = files::roots();
    match roots.as_slice() {
        [root] => Ok(root.clone()),
        [] => Err(Error::new(
            "nothing_to_review",
            "this run may read no root: open one with `--root repo=DIR` and grant `fs.read:repo/*`",
        )),
        several => {
            let message = format!("say which `root` to review: this run may read {}", several.join(", "));
            Err(Error::new("invalid_input", message))
        }
    }
}

/// Lists everything below `root` that is not excluded, up to `max_files` files.
/// What cannot be listed is left out, and said to be; only a root that cannot be
/// listed is an error.
pub fn list(root: &str, exclude: &Exclude, max_files: usize) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let mut listed = 0;
    // A list and not a recursion: how deep a tree is must not end the run.
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if listed == MAX_FOLDERS || tree.files().len() >= max_files {
            tree.leave_out(&format!("{folder}/"), tree::OVER_LIMIT);
            continue;
        }
        listed += 1;
        let entries = match files::list(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == root || error.is_cancelled() => {
                return Err(Error::from(error).while_doing(format!("listing `{root}`")));
            }
            Err(error) => {
                tree.leave_out(&format!("{folder}/"), &reason(&error));
                continue;
            }
        };
        for entry in entries {
            let path = format!("{folder}/{}", entry.name);
            let below = path.get(root.len() + 1..).unwrap_or_default();
            if exclude.covers(below, &entry.name) {
                tree.leave_out(&path, "excluded");
            } else if let Some(why) = tree::unnameable(&path) {
                tree.leave_out(&path, why);
            } else {
                match entry.kind {
                    EntryKind::Folder => folders.push(path),
                    EntryKind::File if tree.files().len() < max_files => tree.add(path, entry.size),
                    EntryKind::File => tree.leave_out(&path, tree::OVER_LIMIT),
                    EntryKind::Link => tree.leave_out(&path, "link"),
                    EntryKind::Other => tree.leave_out(&path, "neither file nor folder"),
                }
            }
        }
    }
    tree.finish();
    Ok(tree)
}

fn reason(error: &CallError) -> String {
    match error {
        CallError::Denied(denial) => format!("denied ({})", denial.code),
        CallError::Failed(failure) => format!("not listed ({})", failure.code),
    }
}
