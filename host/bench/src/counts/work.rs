//! The kernel's work that is counted: a thousand children of one run, spawned,
//! started, finished, joined, cancelled, written down and read back. No chance, no
//! clock and no IO, so that two runs of one program take the same instructions.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use pleach_engine::kernel::{
    CallSite, Caller, Cancel, Event, Fairness, Finish, Grant, GroupId, JoinAnswer, JoinMode, JoinPolicy, Limits,
    Outcome, Payload, PluginRef, Policy, Resolution, Role, RootId, RunId, Scope, Spawn, SpawnGroup, SpawnRequest,
    Spawned, SpawnedGroup, Submit, Surface, Tenant, Timestamp, Tree, Usage,
};

use crate::guests;

/// How many children each kind of work is done with; what is compared is the part
/// of one.
pub const CHILDREN: u32 = 1_000;

/// When everything happens.
const NOW: Timestamp = Timestamp(1_000_000);

const ROOT: RootId = RootId(0xfeed << 64);

/// What most events take up, written out.
const USUAL_BYTES: usize = 1_024;

/// What callgrind counts: it begins and stops at this function, by its name. One
/// for all work and not generic, as a closure has the name of the function around
/// it in its own, and would stop the count half way.
#[inline(never)]
fn collected(work: &mut dyn FnMut()) {
    work();
    // Else the call is the function's last act and becomes a jump, which hides
    // where the function ends.
    std::hint::black_box(&work);
}

/// The functions of this name, as `--toggle-collect` of callgrind takes it,
/// whatever is before and after it in the way the compiler writes symbols.
pub const COLLECTED: &str = "*counts*work*collected*";

fn counted<T>(work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let (mut work, mut made) = (Some(work), None);
    collected(&mut || made = work.take().map(|work| work()));
    made.context("the work that was to be counted was not done")
}

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Admits and decides children, one call each
    SpawnRun,
    /// Admits and decides children as one group
    SpawnGroup,
    /// Starts the guests
    Start,
    /// Ends guests that give back 100 bytes, the last of which decides the group
    Finish,
    /// Answers a join over the group
    Join,
    /// Cancels the subtree of running guests
    CancelSubtree,
    /// Ends guests that were stopped because their runs were cancelled
    Stopped,
    /// Writes events down as the engine does
    Encode,
    /// Reads events back
    Decode,
    /// Folds a log to the state it leads to
    Fold,
}

impl Work {
    /// Does it once; what it needs is made, and looked at, outside of what is
    /// counted.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::SpawnRun => spawn_run(),
            Self::SpawnGroup => spawn_group(),
            Self::Start => start(),
            Self::Finish => finish(),
            Self::Join => join(),
            Self::CancelSubtree => cancel_subtree(),
            Self::Stopped => stopped(),
            Self::Encode => encode(),
            Self::Decode => decode(),
            Self::Fold => fold(),
        }
    }

    /// How it is called on the command line and in the record.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn spawn_run() -> anyhow::Result<()> {
    let mut tree = opened()?;
    let members = members()?;
    let spawned = counted(|| {
        let mut call = 0;
        let spawn = |member| {
            let site = CallSite { call, keyless: call };
            call += 1;
            tree.spawn_run(NOW, ROOT.run(), Surface::Guest, member, site)
        };
        members.into_iter().map(spawn).collect::<Result<Vec<Spawned>, _>>()
    })??;
    ensure!(spawned.len() == CHILDREN as usize && tree.ready_count() == spawned.len(), "not all were spawned");
    Ok(())
}

fn spawn_group() -> anyhow::Result<()> {
    let mut tree = opened()?;
    let group = group()?;
    let spawned = counted(|| spawn(&mut tree, group))??;
    ensure!(spawned.members.len() == CHILDREN as usize, "{} were spawned", spawned.members.len());
    Ok(())
}

fn start() -> anyhow::Result<()> {
    let mut tree = opened()?;
    spawn(&mut tree, group()?)?;
    let ready: Vec<RunId> = tree.ready().collect();
    let started = counted(|| ready.iter().filter(|run| tree.start(NOW, **run)).count())?;
    ensure!(started == CHILDREN as usize, "{started} were started");
    Ok(())
}

fn finish() -> anyhow::Result<()> {
    let mut tree = opened()?;
    let spawned = running(&mut tree)?;
    let outputs = completed(&spawned)?;
    counted(|| outputs.into_iter().for_each(|finish| tree.finish(NOW, finish)))?;
    ensure!(tree.join_result(spawned.group_id).is_some(), "the group is not decided");
    Ok(())
}

fn join() -> anyhow::Result<()> {
    let mut tree = opened()?;
    let group = finished(&mut tree)?;
    let answer = counted(|| tree.join(NOW, Caller::Run(ROOT.run()), Surface::Guest, group))??;
    let JoinAnswer::Decided(result) = answer else { anyhow::bail!("the group is not decided") };
    ensure!(result.success_count == CHILDREN, "{} completed", result.success_count);
    Ok(())
}

fn cancel_subtree() -> anyhow::Result<()> {
    let mut tree = opened()?;
    running(&mut tree)?;
    let ask = Cancel::of(ROOT.run());
    let cancelled = counted(|| tree.cancel_subtree(NOW, Caller::Operator, Surface::Api, &ask))??;
    ensure!(cancelled.cancelled_count == CHILDREN + 1, "{} were cancelled", cancelled.cancelled_count);
    Ok(())
}

fn stopped() -> anyhow::Result<()> {
    let mut tree = opened()?;
    running(&mut tree)?;
    tree.cancel_subtree(NOW, Caller::Operator, Surface::Api, &Cancel::of(ROOT.run()))?;
    let stops: Vec<RunId> = tree.stops(0).collect();
    counted(|| stops.iter().for_each(|run| tree.finish(NOW, ended(*run, Outcome::Stopped))))?;
    ensure!(tree.is_ended(), "not every run has ended");
    Ok(())
}

fn encode() -> anyhow::Result<()> {
    let log = log()?;
    let written = counted(|| encoded(&log))??;
    ensure!(written.len() == log.len(), "{} events were written", written.len());
    Ok(())
}

fn decode() -> anyhow::Result<()> {
    let log = log()?;
    let written = encoded(&log)?;
    let read = counted(|| written.iter().map(|body| serde_json::from_slice(body)).collect::<Result<Vec<Event>, _>>())??;
    ensure!(read == log, "the events are not read back as they were written");
    Ok(())
}

fn fold() -> anyhow::Result<()> {
    let log = log()?;
    let tree = counted(|| Tree::fold(ROOT, log))??;
    ensure!(tree.runs().len() == CHILDREN as usize + 1, "{} runs were folded", tree.runs().len());
    Ok(())
}

/// A tree whose root runs and may spawn whatever it likes.
fn opened() -> anyhow::Result<Tree> {
    let scopes = vec!["spawn:*".parse::<Scope>()?];
    let mut root = SpawnRequest::new("fan-out", Payload::null());
    root.scopes = Grant::new(scopes.clone(), scopes.clone());
    let policy = Policy { targets: vec!["*".into()], scopes, limits: Limits::CEILING, ..Policy::default() };
    let submit =
        Submit { spawn: Spawn::new(root, found("fan-out")), limits: Limits::CEILING, fairness: Fairness::default() };
    let mut tree = Tree::open(NOW, ROOT, Tenant::default_tenant(), Arc::new(policy), Surface::Api, submit)?;
    ensure!(tree.start(NOW, ROOT.run()), "the root is not ready");
    Ok(tree)
}

fn found(name: &str) -> Resolution {
    let digest = format!("sha256:{}", "0".repeat(64));
    let plugin = PluginRef { name: name.into(), version: "1.0.0".into(), digest: digest.into(), role: Role::Agent };
    Resolution::Found(Arc::new(plugin))
}

/// Each with an input of its own, of 100 bytes.
fn members() -> anyhow::Result<Vec<Spawn>> {
    let (resolution, input) = (found("echo"), guests::hundred_bytes());
    let member = |_| Ok(Spawn::new(SpawnRequest::new("echo", Payload::of(&input)?), resolution.clone()));
    (0..CHILDREN).map(member).collect()
}

fn group() -> anyhow::Result<SpawnGroup> {
    let join = JoinPolicy { mode: JoinMode::All, ..JoinPolicy::default() };
    Ok(SpawnGroup { members: members()?, key_prefix: None, join, size: None, node_id: None, agent_call: false })
}

fn spawn(tree: &mut Tree, group: SpawnGroup) -> anyhow::Result<SpawnedGroup> {
    Ok(tree.spawn_group(NOW, ROOT.run(), Surface::Guest, group, CallSite { call: 0, keyless: 0 })?)
}

/// A group all of whose guests run.
fn running(tree: &mut Tree) -> anyhow::Result<SpawnedGroup> {
    let spawned = spawn(tree, group()?)?;
    ensure!(spawned.members.iter().all(|member| tree.start(NOW, member.run_id)), "not all were started");
    Ok(spawned)
}

fn ended(run_id: RunId, outcome: Outcome) -> Finish {
    Finish { run_id, attempt: 1, outcome, usage: Usage::default() }
}

/// What the guests of a group give back.
fn completed(spawned: &SpawnedGroup) -> anyhow::Result<Vec<Finish>> {
    let output = guests::hundred_bytes();
    let finish = |member: &Spawned| Ok(ended(member.run_id, Outcome::Completed(Payload::of(&output)?)));
    spawned.members.iter().map(finish).collect()
}

/// A group all of whose guests have finished.
fn finished(tree: &mut Tree) -> anyhow::Result<GroupId> {
    let spawned = running(tree)?;
    completed(&spawned)?.into_iter().for_each(|finish| tree.finish(NOW, finish));
    Ok(spawned.group_id)
}

/// Of a tree with a group that has finished.
fn log() -> anyhow::Result<Vec<Event>> {
    let mut tree = opened()?;
    finished(&mut tree)?;
    Ok(tree.take_events())
}

/// As the engine writes them (`append.rs` there): by way of one buffer, each in no
/// more memory than it needs.
fn encoded(log: &[Event]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut written = Vec::with_capacity(USUAL_BYTES);
    let encode = |event| {
        written.clear();
        serde_json::to_writer(&mut written, event)?;
        Ok(written.as_slice().to_vec())
    };
    log.iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_is_done() {
        for work in Work::value_variants() {
            work.run().unwrap_or_else(|error| panic!("{}: {error:#}", work.name()));
        }
    }
}
