//! A guest's line to its host, without any type of WebAssembly's: what a
//! component reaches through `capability/`, and a native program directly.
//!
//! Every call that has an effect, or an answer that could not be computed again,
//! takes a number. A guest that is run again is answered from its journal while
//! its calls have been made before; from then on its calls are new, and what is
//! answered is recorded: by the engine where the kernel answers, here for the
//! rest. One call is under way at a time, which is what makes the numbers mean
//! the same in every life of a guest.

mod ask;
mod node;
mod outside;
mod time;

use std::future::pending;
use std::sync::Arc;

use pleach_kernel::{Code, Denial, Grant, Lineage, Payload, Progress, RunError, RunId, Timestamp};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::call::{Call, CallError, FailureCode, Kernel, Meter, Reply};
use crate::clock::Clock;
use crate::journal::{Answer, Asked, Encoded, NO_ARGUMENTS, Unreadable, what};
use crate::limiter::JournalLimit;
use crate::load::digest_of;
use crate::rate::{Rate, cut};
use crate::replay::Known;
use crate::vitals::Vitals;

/// Refusals that one run can write into its log: at once, and a second. A guest
/// that asks in a loop for what it may not have fills no disk.
const DENIALS_BURST: u32 = 256;
const DENIALS_A_SECOND: u32 = 10;

/// Reports of progress: the contract's own numbers, `wit/plugin.wit`.
const REPORTS_BURST: u32 = 16;
const REPORTS_A_SECOND: u32 = 10;

/// The longest message of a report; the rest is cut.
const MESSAGE_BYTES: usize = 8 << 10;

/// Who a guest is and what it may do.
pub(crate) struct Identity {
    pub(crate) lineage: Lineage,
    pub(crate) grant: Grant,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) seed: u64,
    pub(crate) policy_version: u64,
}

/// The calls of one guest to its host.
pub struct HostCalls {
    identity: Identity,
    vitals: Arc<Vitals>,
    kernel: Arc<dyn Kernel>,
    accounts: Option<Arc<dyn Meter>>,
    clock: Clock,
    /// The number of the next call.
    next: u32,
    /// Spawns so far that came without a key of their own.
    keyless: u32,
    journal: JournalLimit,
    report_rate: Rate,
    denial_rate: Rate,
}

/// A numbered call that was begun.
struct Begun {
    call: u32,
    /// What it was answered before. None: it is to be made.
    answer: Option<Answer>,
    /// Later calls are known: it was answered, and not because of a cancel.
    is_past: bool,
}

impl HostCalls {
    pub(crate) fn new(
        identity: Identity,
        started_at: Timestamp,
        kernel: Arc<dyn Kernel>,
        vitals: Arc<Vitals>,
        accounts: Option<Arc<dyn Meter>>,
        journal: JournalLimit,
    ) -> Self {
        Self {
            identity,
            vitals,
            kernel,
            accounts,
            clock: Clock::new(started_at.0),
            next: 0,
            keyless: 0,
            journal,
            report_rate: Rate::new(REPORTS_BURST, REPORTS_A_SECOND),
            denial_rate: Rate::new(DENIALS_BURST, DENIALS_A_SECOND),
        }
    }

    pub(crate) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    pub fn run_id(&self) -> RunId {
        self.identity.lineage.run_id
    }

    pub fn lineage(&self) -> &Lineage {
        &self.identity.lineage
    }

    /// What this run may use and delegate.
    pub fn grant(&self) -> &Grant {
        &self.identity.grant
    }

    /// When the run is ended with `timed_out`.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.identity.deadline
    }

    /// The same in every replay of the run.
    pub fn seed(&self) -> u64 {
        self.identity.seed
    }

    /// Whether the run is being cancelled: every new call answers so. A guest that
    /// does again what it did before does not hear of it yet.
    pub fn is_cancelled(&self) -> bool {
        self.is_gone()
    }

    /// Whether the guest does again what it did before its host died, or before
    /// it was parked. Nothing that it does now is told to anyone.
    pub fn is_replaying(&self) -> bool {
        self.vitals.is_replaying()
    }

    /// Tells whoever watches how far the run has come. What comes too fast is
    /// dropped, and counted in the next report that is not. Whether it was told.
    pub fn report(&mut self, message: &str, fraction: Option<f64>, data: Option<Payload>) -> bool {
        if self.is_gone() {
            return false;
        }
        let told_before = self.is_replaying();
        let paid = self.charged();
        let call = match self.number(what::REPORT, || NO_ARGUMENTS) {
            Ok(begun) => begun.call,
            Err(error) => {
                self.vitals.fail(error);
                return false;
            }
        };
        if told_before || !paid {
            return false;
        }
        let Some(dropped) = self.report_rate.take(self.kernel.now_nanos()) else {
            return false;
        };
        let progress = Progress {
            message: cut(message, MESSAGE_BYTES).into(),
            fraction: fraction.filter(|fraction| fraction.is_finite()).map(|fraction| fraction.clamp(0.0, 1.0)),
            data,
            dropped,
        };
        self.tell(Call::Progress { progress, call });
        true
    }

    /// The host's clock, for what is no business of the guest's.
    pub(crate) fn host_nanos(&self) -> u64 {
        self.kernel.now_nanos()
    }

    /// The run is being cancelled and the call would be a new one: it is not
    /// given to a run on its way out. A call that was made before is made again.
    pub(crate) fn is_gone(&self) -> bool {
        !self.is_replaying() && self.vitals.is_cancelled()
    }

    /// Counts a host call, unless nothing is left to pay for it. One that was
    /// paid for before is never refused.
    pub(crate) fn charged(&mut self) -> bool {
        let paid = match &self.accounts {
            Some(accounts) if self.is_replaying() => {
                accounts.host_call_replayed();
                true
            }
            Some(accounts) => accounts.host_call().is_ok(),
            None => true,
        };
        if paid {
            self.vitals.count_host_call();
        }
        paid
    }

    /// Refuses something here, in the sandbox, and has the log know it. That is
    /// not recorded: what depends on the grant alone is refused in every replay.
    pub(crate) fn deny(&mut self, mut denial: Denial) -> CallError {
        denial.caller_run_id = Some(self.run_id());
        denial.policy_version = self.identity.policy_version;
        if !self.is_replaying()
            && let Some(unlogged) = self.denial_rate.take(self.kernel.now_nanos())
        {
            let mut logged = denial.clone();
            if unlogged > 0 {
                logged.message.push_str(&format!(" ({unlogged} refusals before it came too fast to be logged)"));
            }
            self.tell(Call::Deny { denial: logged });
        }
        CallError::Denied(denial.into())
    }

    /// Begins a numbered call that can fail: a run on its way out is not given it
    /// any more, and nothing left of the budget refuses it.
    async fn begin(&mut self, what: &'static str, hash: impl Fn() -> u64) -> Result<Begun, CallError> {
        if self.is_gone() {
            return Err(cancelled());
        }
        let paid = self.charged();
        let begun = self.begin_unrefused(what, &hash).await;
        if paid {
            return Ok(begun);
        }
        let message = "nothing is left of the budget `host_calls`; give the run, or the tree, a larger one";
        let refused = self.deny(Denial::new(Code::BudgetExhausted, what, message));
        // By the next replay the budget may be a larger one.
        self.record(Asked { call: begun.call, what, hash: hash() }.failed(&refused));
        Err(refused)
    }

    /// Begins a numbered call that somebody waits for. The hash is only taken
    /// where there is something to compare it with.
    async fn begin_unrefused(&mut self, what: &'static str, hash: impl FnOnce() -> u64) -> Begun {
        if self.vitals.has_failed() {
            return pending().await;
        }
        self.clock.outdate();
        match self.number(what, hash) {
            Ok(begun) => begun,
            Err(error) => self.fail(error).await,
        }
    }

    /// Numbers a call, and finds what is known of it.
    fn number(&mut self, what: &'static str, hash: impl FnOnce() -> u64) -> Result<Begun, RunError> {
        let call = self.next;
        self.next = call.checked_add(1).ok_or_else(|| {
            let message = "the run made 4,294,967,295 numbered host calls, the most there can be; have other runs do parts of its work";
            RunError::new("journal_limit", message)
        })?;
        self.vitals.begin_call(self.next);
        if self.is_replaying()
            && let Some(known) = self.vitals.known(call, what, hash)
        {
            let Known { answer, last } = known?;
            return Ok(Begun { call, answer, is_past: !last });
        }
        Ok(Begun { call, answer: None, is_past: false })
    }

    /// Tells the kernel something that has no answer.
    fn tell(&self, call: Call) {
        // A run that has failed already says nothing more.
        if !self.vitals.has_failed() {
            self.kernel.call(self.run_id(), call);
        }
    }

    /// Hands on an entry, unless the journal is full.
    fn record(&mut self, entry: Encoded) {
        if self.count(entry.bytes()) {
            self.tell(Call::Record { entry });
        }
    }

    /// Counts an entry, whoever writes it; one too many fails the run.
    fn count(&mut self, bytes: u64) -> bool {
        match self.journal.count(bytes) {
            Ok(()) => true,
            Err(error) => {
                self.vitals.fail(error);
                false
            }
        }
    }

    /// Asks the kernel and waits for the answer, or for the run's cancellation
    /// where that can have been the answer.
    async fn ask<T>(&mut self, is_past: bool, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, CallError> {
        let (reply, answer) = oneshot::channel();
        self.tell(call(reply));
        self.vitals.set_waits(true);
        let answered = tokio::select! {
            biased;
            answered = answer => Some(answered),
            () = self.vitals.cancelled(), if !is_past => None,
        };
        self.vitals.set_waits(false);
        let Some(answered) = answered else { return Err(cancelled()) };
        // A guest that is about to be dropped is not answered any more.
        if self.vitals.is_interrupted() {
            return pending().await;
        }
        match answered {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Failed {
                code: FailureCode::HostFailure,
                message: "the host is shutting down and gave no answer".into(),
                retryable: true,
            }),
        }
    }

    /// A recorded answer as the bytes that it was.
    async fn recall_bytes(&mut self, answer: Answer) -> Result<Arc<[u8]>, CallError> {
        match answer {
            Answer::Given(bytes) => Ok(bytes),
            Answer::Failed(error) => Err(error),
            Answer::Intended { .. } => self.unreadable("there is an intent and no answer").await,
            Answer::Apart { digest, .. } => {
                let bytes = match self.ask(true, |reply| Call::Fetch { digest: digest.to_string(), reply }).await {
                    Ok(bytes) => bytes,
                    Err(error) => self.unfetched(&digest, &error).await,
                };
                if digest_of(&bytes) != digest {
                    self.unreadable(format!("what is stored as {digest} is something else")).await
                }
                Ok(bytes.into())
            }
        }
    }

    /// A recorded answer of the kernel's.
    async fn recall<T: DeserializeOwned>(&mut self, answer: Answer) -> Result<T, CallError> {
        let json = self.recall_bytes(answer).await?;
        match serde_json::from_slice(&json) {
            Ok(answer) => Ok(answer),
            Err(error) => self.unreadable(error.to_string()).await,
        }
    }

    /// A recorded error; of some calls nothing else is recorded.
    async fn recall_error(&mut self, answer: Answer) -> CallError {
        match answer {
            Answer::Failed(error) => error,
            Answer::Given(_) | Answer::Apart { .. } | Answer::Intended { .. } => {
                self.unreadable("it is no error, and nothing else is recorded of such a call").await
            }
        }
    }

    /// The answer is there and cannot be had. To give the guest an error in its
    /// place would have it do something else than before.
    async fn unfetched<T>(&self, digest: &str, error: &CallError) -> T {
        let mut failure = RunError::new("host_failure", format!("the recorded answer {digest}: {error}"));
        failure.retryable = true;
        self.fail(failure).await
    }

    async fn unreadable<T>(&self, why: impl Into<String>) -> T {
        self.fail(self.unreadable_error(why)).await
    }

    /// What is recorded of the call that was begun last makes no sense.
    fn unreadable_error(&self, why: impl Into<String>) -> RunError {
        let call = self.next.saturating_sub(1);
        let message = format!("host call {call}: {}", Unreadable(why.into()));
        RunError::new("journal_unreadable", message)
    }

    /// Fails the run. The guest does not go on: its task is dropped.
    async fn fail<T>(&self, error: RunError) -> T {
        self.vitals.fail(error);
        pending().await
    }
}

/// What every call answers once the run is being cancelled.
pub(crate) fn cancelled() -> CallError {
    CallError::failed(FailureCode::Cancelled, "this run is being cancelled: tidy up and return")
}
