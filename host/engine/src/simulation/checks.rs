//! What has to be true of a world when everything in it has ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use pleach_kernel::{Event, Fact, RootId, Run, RunId, RunStatus, Tree, Usage};

use super::lives::{Left, root};
use super::program::AGENT;
use super::world::{OnDisk, World};
use crate::append::summary;

/// What somebody was told of how a tree ended has to be on disk.
pub(super) fn told(world: &Arc<World>, life: u32, root: RootId, said: &str) {
    if !world.lives(life) {
        return;
    }
    let on_disk = world.lock().disk.get(&root).map(|tree| fold(root, tree));
    let there = match on_disk {
        Some(Ok((tree, _))) => {
            let run = tree.root();
            format!("{:?} {:?}", run.status, run.output().map(|output| output.as_str().to_owned()))
        }
        Some(Err(why)) => why,
        None => "nothing".to_owned(),
    };
    if there != said {
        world.lock().faults.push(format!("{root}: {said} was told and {there} is on disk"));
    }
}

/// Every tree's end, and everything that is wrong.
pub(super) fn check(world: &Arc<World>, roots: usize, steps: Vec<u64>) -> (Left, Vec<String>) {
    let mut inner = world.lock();
    let mut faults = std::mem::take(&mut inner.faults);
    let mut left = Left { trees: Vec::new(), logs: Vec::new(), lied: inner.lied, said: inner.said, steps };
    for index in 0..roots {
        let id = root(index);
        // A root whose first append was refused never was.
        let Some(on_disk) = inner.disk.get(&id).filter(|tree| tree.summary.is_some()) else {
            left.trees.push(Vec::new());
            continue;
        };
        let bodies: Vec<String> =
            on_disk.events.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect();
        let (tree, events) = match fold(id, on_disk) {
            Ok(folded) => folded,
            Err(why) => {
                faults.push(why);
                continue;
            }
        };
        tree_faults(&tree, on_disk, &events, &mut faults);
        for (seq, shown) in (1..).zip(inner.shown.get(&id).into_iter().flatten()) {
            let there = events.get(seq - 1).map(|event| event.fact.name());
            if there.is_none_or(|name| !shown.starts_with(name)) {
                faults.push(format!("{id}: seq {seq} was shown as {shown} and is {there:?}"));
            }
        }
        left.trees.push(tree.runs().iter().map(|run| line(&tree, run)).collect());
        left.trees[index].sort_unstable();
        left.logs.push(bodies);
    }
    (left, faults)
}

fn fold(root: RootId, on_disk: &OnDisk) -> Result<(Tree, Vec<Event>), String> {
    let events: Result<Vec<Event>, _> = on_disk.events.iter().map(|body| serde_json::from_slice(body)).collect();
    let events = events.map_err(|error| format!("{root}: {error}"))?;
    let tree = Tree::fold(root, events.clone()).map_err(|error| error.to_string())?;
    Ok((tree, events))
}

fn tree_faults(tree: &Tree, on_disk: &OnDisk, events: &[Event], faults: &mut Vec<String>) {
    let id = tree.id();
    if !tree.is_ended() {
        let live = tree.runs().iter().filter(|run| !run.status.is_terminal());
        faults.push(format!("{id} has not ended: {:?}", live.map(|run| run.id.index).collect::<Vec<_>>()));
        let last = on_disk.events.iter().rev().take(6).rev().map(|body| String::from_utf8_lossy(body));
        faults.extend(last.map(|body| format!("  {}", body.chars().take(500).collect::<String>())));
    }
    if on_disk.summary.as_ref() != Some(&summary(tree)) {
        faults.push(format!("{id}: its row says {:?}, its log {:?}", on_disk.summary, summary(tree)));
    }
    for run in on_disk.journals.keys() {
        faults.push(format!("{id}: run {run} has ended and left its journal"));
    }
    if let Some((seq, body)) = &on_disk.snapshot {
        let restored = Tree::restore(id, body).map_err(|error| error.to_string()).and_then(|mut restored| {
            restored.fold_on(events[*seq as usize..].to_vec()).map_err(|error| error.to_string())?;
            Ok(restored)
        });
        match restored {
            Ok(restored) if restored == *tree => {}
            Ok(_) => faults.push(format!("{id}: the snapshot at seq {seq} leads elsewhere")),
            Err(why) => faults.push(format!("{id}: the snapshot at seq {seq}: {why}")),
        }
    }
    let mut keys = BTreeSet::new();
    let mut sum = Usage::default();
    for run in tree.runs() {
        sum.add(&run.usage);
        if !keys.insert(path(tree, run)) {
            faults.push(format!("{id}: {} was spawned twice", path(tree, run)));
        }
        let bad = ["nondeterminism", "journal_unreadable", "journal_limit", "host_failure", "clock_went_back"];
        if let Some(error) = run.error().filter(|error| bad.contains(&&*error.code)) {
            faults.push(format!("{}: {}", run.id, error.message));
        }
    }
    if sum != *tree.usage() {
        faults.push(format!("{id}: its runs have spent {sum:?}, and it {:?}", tree.usage()));
    }
    progress_faults(tree, events, faults);
}

/// Nothing is reported twice by one try of a run, neither progress nor what became of a
/// node of its graph.
fn progress_faults(tree: &Tree, events: &[Event], faults: &mut Vec<String>) {
    let mut attempts: std::collections::BTreeMap<RunId, u32> = std::collections::BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in events {
        match &event.fact {
            Fact::ChildLifecycle(life) => drop(attempts.insert(life.child_run_id, life.attempt)),
            // What a plugin has answered is no report of its caller's.
            Fact::RouteDecision(_) | Fact::JudgeVerdict(_) if event.call.is_none() => {}
            Fact::Progress(_)
            | Fact::NodeCompletion(_)
            | Fact::NodeFailure(_)
            | Fact::RouteDecision(_)
            | Fact::JudgeVerdict(_) => {
                let attempt = attempts.get(&event.run_id).copied().unwrap_or(0);
                if event.call.is_none() || !seen.insert((event.run_id, attempt, event.call)) {
                    faults.push(format!("{}: seq {} reports again", tree.id(), event.seq));
                }
            }
            _ => {}
        }
    }
}

/// The keys that lead to a run.
fn path(tree: &Tree, run: &Run) -> String {
    match tree.lineage(run).parent_run_id.and_then(|parent| tree.run(parent)) {
        Some(parent) => format!("{}/{}", path(tree, parent), run.spec.spawn_key),
        None => String::new(),
    }
}

/// A run without ids and times.
fn line(tree: &Tree, run: &Run) -> String {
    let said = match run.status {
        RunStatus::Completed => run.output().map_or(String::new(), |output| output.as_str().to_owned()),
        _ => run.error().map_or(String::new(), |error| error.code.to_string()),
    };
    // What a run that was made to end had done by then is another matter; so is how
    // often a graph has asked what had ended, which depends on what ended at once.
    let is_graph = !run.spec.plugin.name.starts_with(AGENT);
    let calls = match run.status {
        RunStatus::Completed | RunStatus::Failed if !is_graph => run.usage.host_calls,
        _ => 0,
    };
    format!("{} {} #{} after {calls} calls: {said}", path(tree, run), run.status.as_str(), run.attempt)
}
