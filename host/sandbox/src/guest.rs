//! A guest as its host functions see it: who it is, what it may do, and the way
//! to whoever decides. It is the data of a store and lives as long.

use std::sync::Arc;
use std::time::Instant;

use pleach_kernel::{Code, Denial, Grant, Lineage, RunId, Timestamp};
use tokio::sync::oneshot;

use crate::bindings::types;
use crate::call::{Call, CallError, FailureCode, Kernel, Meter, Reply};
use crate::capability::files::Roots;
use crate::capability::wasi::Wasi;
use crate::capability::{log, progress};
use crate::limiter::Limiter;
use crate::rate::Rate;
use crate::start::Grounds;
use crate::vitals::Vitals;

/// Refusals that one run can write into its log: at once, and a second. A guest
/// that asks in a loop for what it may not have fills no disk.
const DENIALS_BURST: u32 = 256;
const DENIALS_A_SECOND: u32 = 10;

/// The data of one guest's store.
pub(crate) struct Guest {
    pub(crate) identity: Identity,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) limiter: Limiter,
    pub(crate) roots: Arc<Roots>,
    /// Made when it is first asked for: most guests have no use for WASI.
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) progress_rate: Rate,
    pub(crate) log_rate: Rate,
    denial_rate: Rate,
    kernel: Arc<dyn Kernel>,
    accounts: Option<Arc<dyn Meter>>,
    /// Spawns so far that came without a key of their own.
    keyless_spawns: u32,
}

/// Who a guest is and what it may do.
pub(crate) struct Identity {
    pub(crate) lineage: Lineage,
    pub(crate) grant: Grant,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) seed: u64,
    pub(crate) policy_version: u64,
}

impl Guest {
    pub(crate) fn new(
        identity: Identity,
        grounds: &Grounds,
        kernel: Arc<dyn Kernel>,
        vitals: Arc<Vitals>,
        accounts: Option<Arc<dyn Meter>>,
    ) -> Self {
        Self {
            identity,
            vitals,
            limiter: Limiter::new(grounds.loader.limits),
            roots: grounds.roots.clone(),
            wasi: None,
            progress_rate: progress::rate(),
            log_rate: log::rate(),
            denial_rate: Rate::new(DENIALS_BURST, DENIALS_A_SECOND),
            kernel,
            accounts,
            keyless_spawns: 0,
        }
    }

    pub(crate) fn run_id(&self) -> RunId {
        self.identity.lineage.run_id
    }

    /// Counts a host call, unless nothing is left to pay for it.
    pub(crate) fn charged(&mut self) -> bool {
        let paid = self.accounts.as_ref().is_none_or(|accounts| accounts.host_call().is_ok());
        if paid {
            self.vitals.count_host_call();
        }
        paid
    }

    /// Begins a host call that can fail: a run on its way out is not given it
    /// any more, and nothing left of the budget refuses it.
    pub(crate) fn enter(&mut self, action: &'static str) -> Result<(), types::CallError> {
        if self.vitals.is_cancelled() {
            return Err(cancelled());
        }
        if self.charged() {
            return Ok(());
        }
        let message = "nothing is left of the budget `host_calls`; give the run, or the tree, a larger one";
        Err(self.deny(Denial::new(Code::BudgetExhausted, action, message)))
    }

    /// Refuses something here, in the sandbox, and has the log know it.
    pub(crate) fn deny(&mut self, mut denial: Denial) -> types::CallError {
        denial.caller_run_id = Some(self.run_id());
        denial.policy_version = self.identity.policy_version;
        if let Some(unlogged) = self.denial_rate.take(Instant::now()) {
            let mut logged = denial.clone();
            if unlogged > 0 {
                logged.message.push_str(&format!(" ({unlogged} refusals before it came too fast to be logged)"));
            }
            self.kernel.call(self.run_id(), Call::Deny { denial: logged });
        }
        types::CallError::Denied(denial.into())
    }

    /// Tells the kernel something that has no answer.
    pub(crate) fn tell(&self, call: Call) {
        self.kernel.call(self.run_id(), call);
    }

    /// Asks the kernel and waits for the answer, or for the run's cancellation.
    pub(crate) async fn ask<T>(&mut self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, types::CallError> {
        let (reply, answer) = oneshot::channel();
        self.kernel.call(self.run_id(), call(reply));
        let answered = tokio::select! {
            biased;
            answered = answer => answered,
            () = self.vitals.cancelled() => return Err(cancelled()),
        };
        self.vitals.catch_up();
        match answered {
            Ok(answer) => answer.map_err(types::CallError::from),
            Err(_) => Err(CallError::Failed {
                code: FailureCode::HostFailure,
                message: "the host is shutting down and gave no answer".into(),
                retryable: true,
            }
            .into()),
        }
    }

    /// The place of a spawn among those without a key of their own.
    pub(crate) fn call_index(&mut self, has_key: bool) -> u32 {
        let index = self.keyless_spawns;
        if !has_key {
            self.keyless_spawns = self.keyless_spawns.saturating_add(1);
        }
        index
    }
}

/// What every call answers once the run is being cancelled.
pub(crate) fn cancelled() -> types::CallError {
    CallError::failed(FailureCode::Cancelled, "this run is being cancelled: tidy up and return").into()
}
