//! Recover: the state of a tree from what the store has of it.
//!
//! The log is the truth. A snapshot only saves folding the part of it that came
//! before; one that cannot be read is left aside.

use pleach_kernel::{Event, FoldError, RootId, Tree};
use pleach_store::Store;

use crate::error::Error;

/// Events read from the store at once.
const PAGE: usize = 4_096;

/// A tree as its log on disk says; none where there is no such log.
pub(crate) async fn tree(store: &dyn Store, root: RootId) -> Result<Option<Tree>, Error> {
    Ok(tree_and_snapshot(store, root).await?.map(|(tree, _)| tree))
}

/// As [`tree`], with the seq of the snapshot that it began with; 0 for none.
pub(crate) async fn tree_and_snapshot(store: &dyn Store, root: RootId) -> Result<Option<(Tree, u64)>, Error> {
    let mut tree = snapshot(store, root).await;
    let snapshot_seq = tree.as_ref().map_or(0, Tree::seq);
    loop {
        let from = tree.as_ref().map_or(1, |tree| tree.seq() + 1);
        let page = store.events(root, from, PAGE).await?;
        if page.is_empty() {
            return Ok(tree.map(|tree| (tree, snapshot_seq)));
        }
        let events = page.iter().map(|stored| read(root, stored.seq, &stored.body)).collect::<Result<Vec<_>, _>>()?;
        match &mut tree {
            Some(tree) => tree.fold_on(events)?,
            None => tree = Some(Tree::fold(root, events)?),
        }
    }
}

/// A tree as the whole of its log says, whatever its snapshot does.
pub(crate) async fn whole_log(store: &dyn Store, root: RootId) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    loop {
        let page = store.events(root, events.len() as u64 + 1, PAGE).await?;
        if page.is_empty() {
            return Ok(events);
        }
        for stored in page {
            events.push(read(root, stored.seq, &stored.body)?);
        }
    }
}

async fn snapshot(store: &dyn Store, root: RootId) -> Option<Tree> {
    let stored = store.snapshot(root).await;
    let restored = match stored {
        Ok(None) => return None,
        Ok(Some((_, body))) => Tree::restore(root, &body).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    restored.inspect_err(|why| tracing::warn!(run_id = %root, why, "a snapshot is left aside; the log is folded")).ok()
}

fn read(root: RootId, seq: u64, body: &[u8]) -> Result<Event, FoldError> {
    serde_json::from_slice(body).map_err(|error| FoldError { root, seq, why: error.to_string() })
}
