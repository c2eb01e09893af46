//! Graphs as guests: a compiled graph is a native program that walks its plan
//! through the calls that every guest has, with its nodes' ids as spawn keys.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use pleach_graph::plan::{NodeIx, Plan};
use pleach_graph::source::Source;
use pleach_graph::walk::{Ask, Walk};
use pleach_kernel::{Payload, PluginRef, RunError, RunId, SpawnRequest};
use pleach_sandbox::{
    CallError, Evaluating, HostCalls, Live, LivePermit, NodeGroup, NodeQuestion, Plugin, Program, Running,
};
use pleach_store::Store;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::error::Error;

/// Graphs that run at once on one host.
const MOST: usize = 1 << 20;

/// Compiled graphs that are kept; one that is dropped is compiled again when it is
/// needed.
const KEPT: usize = 1_024;

/// Runs that are asked for in one call.
const AT_ONCE: usize = 256;

/// What every component begins with.
const WASM: &[u8] = b"\0asm";

/// The graphs of a host.
pub(crate) struct Graphs {
    compiled: RwLock<HashMap<Arc<str>, Arc<Plugin>>>,
    places: Live,
}

impl Default for Graphs {
    fn default() -> Self {
        Self { compiled: RwLock::default(), places: Live::new(MOST) }
    }
}

impl Graphs {
    /// A place for one more graph.
    pub(crate) fn permit(&self) -> Option<LivePermit> {
        self.places.try_acquire()
    }

    /// A graph that is compiled already.
    pub(crate) fn cached(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.compiled.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Keeps a compiled graph.
    pub(crate) fn keep(&self, digest: &Arc<str>, plan: Plan) -> Arc<Plugin> {
        let plugin = Plugin::graph(digest.clone(), Arc::new(Graph(Arc::new(plan))));
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= KEPT {
            // Whichever; what is running holds its own.
            compiled.clear();
        }
        compiled.insert(digest.clone(), plugin.clone());
        plugin
    }

    /// Compiles a graph that the store has, and keeps it.
    pub(crate) fn compile(&self, digest: &Arc<str>, text: Vec<u8>) -> Result<Arc<Plugin>, Error> {
        let doing = "compiling the graph of a run";
        let text = String::from_utf8(text).map_err(|error| Error::invalid(doing, format!("{digest}: {error}")))?;
        // It was whole when it was stored: a host that refuses it reads the language otherwise.
        let plan = pleach_graph::compile_stored(&Source::new(&**digest, text)).into_plan().map_err(|problems| {
            let why = problems.first().map_or(String::new(), |problem| problem.message.clone());
            Error::invalid(doing, format!("{digest}: {why}"))
        })?;
        Ok(self.keep(digest, plan))
    }
}

/// Whether what the store has by a digest is a graph's text.
pub(crate) fn is_graph(bytes: &[u8]) -> bool {
    !bytes.starts_with(WASM)
}

/// The graph that a run is pinned to, from the store; none where that has a
/// component by its digest, or nothing.
pub(crate) async fn read(store: &dyn Store, plugin: &PluginRef) -> Result<Option<Source>, Error> {
    let bytes = store.component(&plugin.digest).await?.filter(|bytes| is_graph(bytes));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.map(|text| Source::new(&*plugin.name, text)))
}

/// A graph as a program.
struct Graph(Arc<Plan>);

impl Program for Graph {
    /// What its expressions compute is its author's to pay.
    fn is_measured(&self) -> bool {
        true
    }

    fn accepts(&self, node: &str, ordinal: Option<u32>, output: &Payload) -> Result<(), RunError> {
        self.0.accepts(node, ordinal, output)
    }

    fn run(&self, calls: HostCalls, input: Payload) -> Running {
        Box::pin(walk(self.0.clone(), calls, input))
    }
}

async fn walk(plan: Arc<Plan>, mut calls: HostCalls, input: Payload) -> Result<Payload, RunError> {
    let lineage = calls.lineage();
    let run = json!({
        "run_id": lineage.run_id.to_string(),
        "tenant": lineage.tenant.to_string(),
        "trace_id": &*lineage.trace_id,
        "depth": lineage.depth,
        "seed": plan.settings.seed.unwrap_or_else(|| calls.seed()),
    });
    let mut walk = Walk::new(plan.clone(), input, run)?;
    let mut heard = 0;
    loop {
        ask_all(&plan, &mut walk, &mut calls).await?;
        if let Some(end) = walk.end() {
            return end;
        }
        let notices = calls.next(heard).await.map_err(|error| told(&error))?;
        heard += notices.len() as u32;
        for notice in notices {
            aside(plan.may_take_long(), || walk.hear(notice)).await;
        }
    }
}

/// Asks for everything that can be asked for now. Runs that nothing stands between go
/// in one call: each would wake the tree's driver and wait for it.
async fn ask_all(plan: &Plan, walk: &mut Walk, calls: &mut HostCalls) -> Result<(), RunError> {
    let mut runs: Vec<(NodeIx, Arc<SpawnRequest>)> = Vec::new();
    loop {
        let next = aside(plan.may_take_long(), || walk.ask()).await;
        for (node, verdict) in walk.take_verdicts() {
            calls.verdict(&plan.nodes[node].id, verdict);
        }
        let other = match next {
            Some(Ask::Run { node, request }) => {
                runs.push((node, request));
                if runs.len() < AT_ONCE {
                    continue;
                }
                None
            }
            // What is asked for in one go does not depend on when others have a turn.
            Some(pause @ Ask::Pause) => {
                carry_out(plan, walk, calls, pause).await?;
                continue;
            }
            other => other,
        };
        // A graph that fails starts nothing more.
        if runs.is_empty() && other.is_none() || walk.is_failing() {
            return Ok(());
        }
        spawn_runs(plan, walk, calls, std::mem::take(&mut runs)).await?;
        if let Some(other) = other {
            carry_out(plan, walk, calls, other).await?;
        }
    }
}

/// Graphs that compute at once beside the threads of the guests: each takes one of the
/// threads that the guests' files are read with, and each worker has twice as many.
const ASIDE: usize = 4;

/// Computes something, on a thread of its own where that may take long: nothing
/// interrupts an expression.
async fn aside<T>(may_take_long: bool, compute: impl FnOnce() -> T) -> T {
    static PLACES: Semaphore = Semaphore::const_new(ASIDE);
    if !may_take_long {
        return compute();
    }
    // It is never closed, so there is a place for everyone in the end.
    let _place = PLACES.acquire().await;
    // Where nobody runs but this graph, there is nobody to hold up.
    pleach_sandbox::apart().await;
    compute()
}

async fn spawn_runs(
    plan: &Plan,
    walk: &mut Walk,
    calls: &mut HostCalls,
    runs: Vec<(NodeIx, Arc<SpawnRequest>)>,
) -> Result<(), RunError> {
    let nodes: Vec<NodeIx> = runs.iter().map(|(node, _)| *node).collect();
    let asked = runs.into_iter().map(|(node, request)| (plan.nodes[node].id.clone(), request)).collect();
    for (node, answer) in nodes.into_iter().zip(calls.node_runs(asked).await) {
        match answer {
            Ok(spawned) => walk.spawned(node, spawned.run_id),
            Err(error) => refuse(walk, node, error)?,
        }
    }
    Ok(())
}

async fn carry_out(plan: &Plan, walk: &mut Walk, calls: &mut HostCalls, ask: Ask) -> Result<(), RunError> {
    let id = |node: NodeIx| &plan.nodes[node].id;
    match ask {
        Ask::Run { node, request } => spawn_runs(plan, walk, calls, vec![(node, request)]).await?,
        Ask::Group { node, group } => {
            let pleach_graph::walk::Group { members, key_prefix, join, size, agent_call } = *group;
            let group = NodeGroup { members, key_prefix, join, size, agent_call };
            match calls.node_group(id(node), group).await {
                Ok(spawned) => {
                    let runs: Vec<RunId> = spawned.members.iter().map(|member| member.run_id).collect();
                    walk.grouped(node, spawned.group_id, runs);
                }
                Err(error) => refuse(walk, node, error)?,
            }
        }
        Ask::Extend { node, group, first, members } => {
            match calls.extend_group(id(node), group, first, members).await {
                Ok(runs) => walk.extended(node, runs),
                Err(error) => refuse(walk, node, error)?,
            }
        }
        Ask::Cancel { node, requests } => {
            let mut count = 0;
            for request in requests {
                match calls.node_cancel(id(node), request).await {
                    Ok(cancelled) => count += cancelled.cancelled_count,
                    Err(error) => return refuse(walk, node, error),
                }
            }
            walk.cancelled(node, count);
        }
        Ask::Pause => pleach_sandbox::give_way().await,
        // It is the graph's own: where that may not, it has ended.
        Ask::GiveUp { node, group } => calls.give_up_group(id(node), group).await.map_err(|error| told(&error))?,
        Ask::Evaluate { node, about, replanner, config } => {
            let question = NodeQuestion { about: about.clone(), replanner, config };
            match calls.node_evaluate(question).await {
                Ok(Evaluating::Answered(evaluation)) => walk.evaluated(node, *evaluation),
                Ok(Evaluating::Asked(planner)) => walk.planning(node, planner, about),
                Err(error) => refuse(walk, node, error)?,
            }
        }
        Ask::TakePlan { node, planner, about } => match calls.take_plan(planner, about).await {
            Ok(evaluation) => walk.evaluated(node, evaluation),
            Err(error) => refuse(walk, node, error)?,
        },
    }
    Ok(())
}

/// A node was refused what it asked for. That the graph itself is being cancelled,
/// or that the host fails, is no failure of the node's.
fn refuse(walk: &mut Walk, node: NodeIx, error: CallError) -> Result<(), RunError> {
    match error {
        CallError::Denied(denial) => {
            let mut error = RunError::new(denial.code.as_str(), denial.message.clone());
            error.details = Payload::of(&*denial).ok();
            walk.refused(node, error);
            Ok(())
        }
        failed @ CallError::Failed { .. } => Err(told(&failed)),
    }
}

fn told(error: &CallError) -> RunError {
    match error {
        CallError::Denied(denial) => RunError::new(denial.code.as_str(), denial.message.clone()),
        CallError::Failed { code, message, retryable } => {
            RunError { retryable: *retryable, ..RunError::new(code.as_str(), message.clone()) }
        }
    }
}
