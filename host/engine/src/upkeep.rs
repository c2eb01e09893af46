//! Upkeep of a store: what it takes up, what may go, a copy of it, and whether
//! all of it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use pleach_kernel::{RestoreError, RootId, RunId, Timestamp, Tree};
use pleach_sandbox::journal;
use pleach_store::{Owner, Problem, TreeSize, TreeSummary};
use serde::Serialize;

use crate::append::summary;
use crate::error::Error;
use crate::host::Host;
use crate::program::is_program;
use crate::recover;

/// Trees looked at in one step.
const PAGE: usize = 1_000;

/// Which ended trees may go; what is left out does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Garbage {
    /// Only what ended longer ago.
    pub older_than: Option<Duration>,
    /// Of each tenant, not the so many that ended last.
    pub keep: usize,
}

/// An ended tree that was removed, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Collected {
    pub run_id: RunId,
    pub tenant: String,
    pub plugin: String,
    pub status: String,
    /// Unix milliseconds.
    pub finished_at: Option<Timestamp>,
    pub events: u64,
    /// Of its log, journals, snapshot and what only they mention.
    pub bytes: u64,
    /// Why it could not be read, where it went for that.
    pub damage: Option<String>,
}

/// What is wrong with a store, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    pub run_id: Option<RunId>,
    pub what: String,
    pub detail: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// What to do about damage that concerns no single tree.
const RESTORE: &str = "restore the store from a backup";
/// What to do about damage to a tree that has not ended.
const GIVE_UP: &str = "restore the store from a backup, or give the run up: `pleach cancel RUN` ends it, and where it \
    cannot be read, `pleach gc --damaged RUN` removes it";
/// What to do about damage to a tree that has ended.
const REMOVE: &str = "restore the store from a backup to read that run, or have `pleach gc` remove it";
const LEAVE: &str = "nothing is lost: the log says all that it said, and is folded instead";
const PUBLISH: &str = "publish the component with this digest, and the runs that wait for it go on";
const PROVIDE: &str = "start the embedder's host, which provides its programs; the run goes on there";

/// What a store holds, of every tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub trees: u64,
    /// Those that have not ended.
    pub unfinished: u64,
    pub events: u64,
}

impl Host {
    /// What a run's tree takes up in the store.
    pub async fn size(&self, run: RunId) -> Result<TreeSize, Error> {
        self.run(run).await?;
        self.store().tree_size(run.root).await?.ok_or_else(|| self.no_such_run(run))
    }

    /// Removes ended trees, of every tenant; `told` hears of each when it is
    /// gone. With `dry_run` nothing is removed, and `told` hears of each that
    /// would be.
    pub async fn collect(&self, garbage: Garbage, dry_run: bool, mut told: impl FnMut(Collected)) -> Result<(), Error> {
        let before = garbage.older_than.map(|age| {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Timestamp(self.now().0.saturating_sub(age))
        });
        let limit = if dry_run { usize::MAX } else { PAGE };
        loop {
            let page = self.store().ended(before, garbage.keep, limit).await?;
            if page.is_empty() {
                return Ok(());
            }
            for tree in page {
                let size = self.store().tree_size(tree.root).await?;
                if !dry_run {
                    match self.store().remove(tree.root).await {
                        Ok(_) => {}
                        // Another process collects, too, and was faster.
                        Err(pleach_store::Error::NoSuchTree { .. }) => continue,
                        Err(error) => return Err(error.into()),
                    }
                }
                told(collected(tree, size));
            }
            if dry_run {
                return Ok(());
            }
        }
    }

    /// Removes one tree, of any tenant, whose log cannot be read, so that it can
    /// neither go on nor be cancelled; with `dry_run` nothing is removed.
    ///
    /// [`Error::Undamaged`] where it can be read, and [`Error::Owned`] where a host
    /// is alive that has it.
    pub async fn discard(&self, run: RunId, dry_run: bool) -> Result<Collected, Error> {
        let (root, store) = (run.root, self.store());
        let owned = || Error::Owned { run_id: root.run() };
        let summary = store.tree(root).await?.ok_or_else(|| self.no_such_run(run))?;
        // Nobody takes it up here meanwhile.
        let _occupied = self.occupy(root)?.ok_or_else(owned)?;
        let has_ended = summary.finished_at.is_some();
        if !has_ended && store.owner(root).await? == Owner::Live {
            return Err(owned());
        }
        let damage = match recover::tree(store.as_ref(), root).await {
            Ok(Some(_)) => return Err(Error::Undamaged { run_id: root.run() }),
            Ok(None) => format!("the log of tree {root} is empty"),
            // Its advice is for whoever wants to keep the tree.
            Err(Error::Store(pleach_store::Error::Corrupt { what, detail })) => format!("{what} is damaged: {detail}"),
            Err(error) if error.is_damage() => error.to_string(),
            Err(error) => return Err(error),
        };
        let size = store.tree_size(root).await?;
        match (dry_run, has_ended) {
            (true, _) => {}
            (false, true) => drop(store.remove(root).await?),
            (false, false) if store.adopt(root).await? => drop(store.discard(root).await?),
            (false, false) => return Err(owned()),
        }
        Ok(Collected { damage: Some(damage), ..collected(summary, size) })
    }

    /// Unfinished trees, of every tenant, that cannot be read, and why.
    pub async fn unreadable(&self) -> Result<Vec<(RunId, Error)>, Error> {
        let mut found = Vec::new();
        for tree in self.store().unfinished().await? {
            match recover::tree(self.store().as_ref(), tree.root).await {
                Err(error) if error.is_damage() => found.push((tree.root.run(), error)),
                read => drop(read?),
            }
        }
        Ok(found)
    }

    /// Gives the room of what was removed back to the file system; writes wait
    /// for it.
    pub async fn vacuum(&self) -> Result<(), Error> {
        Ok(self.store().vacuum().await?)
    }

    /// Copies the store to a new file, while it is being written to; its size in
    /// bytes. Trees that had not ended go on where the copy is recovered, too.
    pub async fn backup(&self, file: &Path) -> Result<u64, Error> {
        Ok(self.store().backup(file).await?)
    }

    /// Verifies everything in the store, of every tenant, and says all that is
    /// wrong: what the store can see by itself, and for each tree that its log
    /// folds, to what its row and its snapshot say, that its journals can be
    /// read and that the plugins are there that it needs to go on.
    pub async fn check(&self) -> Result<Vec<Fault>, Error> {
        let problems = self.store().check().await?;
        let told: BTreeSet<RootId> = problems.iter().filter_map(|problem| problem.tree).collect();
        let unfinished = self.store().unfinished().await?;
        let ended = self.store().ended(None, 0, usize::MAX).await?;
        let goes_on: BTreeSet<RootId> = unfinished.iter().map(|tree| tree.root).collect();
        let mut faults: Vec<Fault> = problems.into_iter().map(|problem| fault_of(problem, &goes_on)).collect();
        for tree in unfinished.into_iter().chain(ended).filter(|tree| !told.contains(&tree.root)) {
            self.check_tree(&tree, &mut faults).await?;
        }
        Ok(faults)
    }

    /// How much the store holds.
    pub async fn totals(&self) -> Result<Totals, Error> {
        let unfinished = self.store().unfinished().await?;
        let ended = self.store().ended(None, 0, usize::MAX).await?;
        let mut totals = Totals { unfinished: unfinished.len() as u64, ..Totals::default() };
        for tree in unfinished.iter().chain(&ended) {
            totals.trees += 1;
            totals.events += tree.last_seq;
        }
        Ok(totals)
    }

    async fn check_tree(&self, row: &TreeSummary, faults: &mut Vec<Fault>) -> Result<(), Error> {
        let root = row.root;
        let mut fault = |what: &str, detail: String| {
            let hint = match what {
                "plugin" => PUBLISH,
                "program" => PROVIDE,
                "snapshot" => LEAVE,
                _ if row.finished_at.is_some() => REMOVE,
                _ => GIVE_UP,
            };
            faults.push(Fault { run_id: Some(root.run()), what: what.to_owned(), detail, hint });
        };
        let mut events = match recover::whole_log(self.store().as_ref(), root).await {
            Ok(events) => events,
            Err(error) => {
                fault("log", error.to_string());
                return Ok(());
            }
        };
        // It may have grown since the row was read.
        events.truncate(usize::try_from(row.last_seq).unwrap_or(usize::MAX));
        let snapshot = self.store().snapshot(root).await;
        let tree = match Tree::fold(root, events.clone()) {
            Ok(tree) => tree,
            Err(error) => {
                fault("log", error.to_string());
                return Ok(());
            }
        };
        if summary(&tree) != *row {
            fault("row", format!("it says {row:?}, and the log {:?}", summary(&tree)));
        }
        match snapshot {
            Ok(Some((seq, body))) if seq <= row.last_seq => {
                let rest = events.split_off(usize::try_from(seq).unwrap_or(usize::MAX).min(events.len()));
                match Tree::restore(root, &body).map(|mut restored| restored.fold_on(rest).map(|()| restored)) {
                    Ok(Ok(restored)) if restored == tree => {}
                    Ok(Ok(_)) => fault("snapshot", format!("from seq {seq} it leads to another state than the log")),
                    Ok(Err(error)) => fault("snapshot", error.to_string()),
                    // Whole, and of a host before or after this one.
                    Err(RestoreError::OtherFormat { .. }) => {}
                    Err(error) => fault("snapshot", error.to_string()),
                }
            }
            Ok(_) => {}
            Err(error) => fault("snapshot", error.to_string()),
        }
        let unended = tree.runs().iter().filter(|run| !run.status.is_terminal());
        let pinned = unended.flat_map(|run| run.spec.fallbacks.iter().chain([run.plugin()]));
        let needed: BTreeMap<_, _> = pinned.map(|plugin| (plugin.digest.clone(), plugin.clone())).collect();
        for plugin in needed.into_values() {
            if is_program(&plugin.digest) {
                if self.programs().get(&plugin.digest).is_none() {
                    fault("program", format!("this host was not given {}@{}", plugin.name, plugin.version));
                }
                continue;
            }
            match self.store().component(&plugin.digest).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    fault("plugin", format!("{plugin} ({}) is not in the store", plugin.digest));
                }
                Err(error) => fault("plugin", error.to_string()),
            }
        }
        for run in tree.active_guests() {
            let unreadable = match self.store().journal(root, run.index).await {
                Ok(bodies) => bodies.iter().find_map(|body| journal::decode(body).err()).map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = unreadable {
                fault("journal", format!("of run {run}: {why}"));
            }
        }
        Ok(())
    }
}

fn fault_of(problem: Problem, goes_on: &BTreeSet<RootId>) -> Fault {
    let hint = match problem.tree {
        Some(_) if problem.what.starts_with("the snapshot ") => LEAVE,
        Some(root) if goes_on.contains(&root) => GIVE_UP,
        Some(_) => REMOVE,
        None => RESTORE,
    };
    Fault { run_id: problem.tree.map(RootId::run), what: problem.what, detail: problem.detail, hint }
}

fn collected(tree: TreeSummary, size: Option<TreeSize>) -> Collected {
    let size = size.unwrap_or_default();
    Collected {
        run_id: tree.root.run(),
        tenant: tree.tenant.as_str().to_owned(),
        plugin: tree.plugin,
        status: tree.status,
        finished_at: tree.finished_at,
        events: size.events,
        bytes: size.bytes(),
        damage: None,
    }
}
