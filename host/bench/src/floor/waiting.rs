//! The floor of guests that wait: for the clock, for another guest, or to tell
//! somebody something. Each has a stack of its own, as in Pleach.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::sync::mpsc;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use super::bindings::agent::pleach::plugin::orchestration::{CallRequest, CallResult, Lineage, RunStatus};
use super::bindings::agent::pleach::plugin::types::CallError;
use super::bindings::waiting::AgentPre;

/// What one guest of the floor knows.
pub struct State {
    depth: u32,
    floor: Arc<Waiting>,
    told: Option<mpsc::UnboundedSender<Instant>>,
    /// When it last wrote to the log: right before it reports.
    wrote_at: Instant,
}

/// A component whose guests may wait.
pub struct Waiting {
    engine: Engine,
    pre: OnceLock<AgentPre<State>>,
}

impl Waiting {
    /// `slots` guests can wait at once.
    pub fn new(component: &[u8], slots: u32) -> anyhow::Result<Arc<Self>> {
        Self::on(super::engine(slots)?, component)
    }

    fn on(engine: Engine, component: &[u8]) -> anyhow::Result<Arc<Self>> {
        let component = Component::new(&engine, component)?;
        let floor = Arc::new(Self { engine: engine.clone(), pre: OnceLock::new() });
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        linker.allow_shadowing(true);
        add_to_linker(&mut linker)?;
        let pre = AgentPre::new(linker.instantiate_pre(&component)?)?;
        let _ = floor.pre.set(pre);
        Ok(floor)
    }

    /// A whole life of one guest.
    pub async fn run(
        self: &Arc<Self>,
        depth: u32,
        input: &str,
        told: Option<mpsc::UnboundedSender<Instant>>,
    ) -> anyhow::Result<String> {
        let Some(pre) = self.pre.get() else { bail!("the floor is not ready") };
        let state = State { depth, floor: self.clone(), told, wrote_at: Instant::now() };
        let mut store = Store::new(&self.engine, state);
        let agent = pre.instantiate_async(&mut store).await?;
        match agent.call_run(&mut store, &input.to_owned()).await? {
            Ok(output) => Ok(output),
            Err(error) => bail!("the guest failed: {}", error.message),
        }
    }
}

type Answer<'a, T> = Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>;

fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut clock = linker.instance("pleach:plugin/clock@0.1.0")?;
    clock.func_wrap_async("sleep-ms", |_, (ms,): (u64,)| -> Answer<'_, (Result<(), CallError>,)> {
        Box::new(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok((Ok(()),))
        })
    })?;
    let mut context = linker.instance("pleach:plugin/context@0.1.0")?;
    context.func_wrap("lineage", |store, (): ()| Ok((lineage(store.data().depth),)))?;
    let mut log = linker.instance("pleach:plugin/log@0.1.0")?;
    log.func_wrap("write", |mut store, (_, _): (super::bindings::agent::pleach::plugin::log::Level, String)| {
        store.data_mut().wrote_at = Instant::now();
        Ok(())
    })?;
    let mut progress = linker.instance("pleach:plugin/progress@0.1.0")?;
    progress.func_wrap("report", |store, (_, _, _): (String, Option<f64>, Option<String>)| {
        if let Some(told) = &store.data().told {
            let _ = told.send(store.data().wrote_at);
        }
        Ok(())
    })?;
    let mut orchestration = linker.instance("pleach:plugin/orchestration@0.1.0")?;
    orchestration.func_wrap_async(
        "agent-call",
        |store, (request,): (CallRequest,)| -> Answer<'_, (Result<CallResult, CallError>,)> {
            Box::new(async move {
                let (depth, floor) = (store.data().depth + 1, store.data().floor.clone());
                // A task of its own, so that it could run beside its caller and be
                // interrupted without it.
                let child: Pin<Box<dyn Future<Output = _> + Send>> =
                    Box::pin(async move { floor.run(depth, &request.input, None).await });
                let output = tokio::spawn(child).await?.map_err(wasmtime::Error::from_anyhow)?;
                let (target, run_id) = (request.target, format!("{depth}"));
                let status = RunStatus::Completed;
                Ok((Ok(CallResult { target, run_id, status, output: Some(output), error: None }),))
            })
        },
    )?;
    Ok(())
}

fn lineage(depth: u32) -> Lineage {
    Lineage {
        run_id: depth.to_string(),
        root_run_id: "0".into(),
        parent_run_id: None,
        parent_node_id: None,
        depth,
        spawn_key: None,
        group_id: None,
        ordinal: None,
        attempt: 1,
        tenant: "default".into(),
        trace_id: String::new(),
    }
}
