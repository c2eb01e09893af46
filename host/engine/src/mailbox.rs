//! The mailbox of a tree: the one way to the task that owns it.

use std::sync::Arc;

use pleach_kernel::{Cancel, Cancelled, Finish, Query, RootId, RunId, Tenant, TreeView};
use pleach_sandbox::{Call, Kernel, Parked, Plugin};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::dispatch::Granted;
use crate::ended::Ended;
use crate::error::Error;
use crate::events::Feed;
use crate::missing::NoCode;

/// Everything that can happen to a tree from outside. The queue has no bound of
/// its own: a guest has at most one call in flight and reports at a bounded
/// rate, and whoever operates the host waits for each answer.
pub(crate) enum Input {
    Call {
        run: RunId,
        call: Call,
    },
    Finished(Finish),
    /// A guest was dropped from memory.
    Parked(Parked),
    Ask(Ask),
    /// The store has answered for everything up to this append and this seq.
    Durable {
        append: u64,
        seq: u64,
        result: Result<(), pleach_store::Error>,
    },
    /// A place for another guest.
    Room(Granted),
    /// Others need the places of guests that wait.
    GiveWay,
    /// Stop here, and leave the tree to whoever opens the store next.
    Detach,
    /// A snapshot of the tree at this seq is in the store, or could not be made.
    Snapshot {
        seq: u64,
    },
    /// What a run's guest was answered before, to be run again.
    Journal {
        run: RunId,
        result: Result<Vec<Vec<u8>>, pleach_store::Error>,
    },
    /// Code for ready runs was loaded, or cannot be.
    Loaded {
        digest: Arc<str>,
        result: Result<Arc<Plugin>, NoCode>,
    },
}

/// What whoever operates the host asks.
pub(crate) enum Ask {
    Cancel {
        cancel: Cancel,
        reply: oneshot::Sender<Result<Cancelled, Error>>,
    },
    View {
        query: Query,
        reply: oneshot::Sender<Result<TreeView, Error>>,
    },
    /// Answered once the run has ended and that is on disk.
    Wait {
        run: RunId,
        reply: oneshot::Sender<Result<Ended, Error>>,
    },
}

/// What one host leaves for the host that owns a tree.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    Cancel(Cancel),
}

/// What others hold of a tree that runs here.
pub(crate) struct Mailbox {
    pub root: RootId,
    pub tenant: Tenant,
    pub feed: Arc<Feed>,
    to_driver: mpsc::UnboundedSender<Input>,
    clock: Clock,
}

impl Mailbox {
    pub(crate) fn new(root: RootId, tenant: Tenant, clock: Clock) -> (Arc<Self>, mpsc::UnboundedReceiver<Input>) {
        let (to_driver, inbox) = mpsc::unbounded_channel();
        (Arc::new(Self { root, tenant, feed: Arc::default(), to_driver, clock }), inbox)
    }

    /// To a tree that has ended, nothing more can happen: the input is dropped,
    /// and with it the reply that it may carry. Then this is false.
    pub(crate) fn send(&self, input: Input) -> bool {
        self.to_driver.send(input).is_ok()
    }

    /// Whether the driver has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.to_driver.is_closed()
    }

    /// Waits until the driver has left.
    pub(crate) async fn closed(&self) {
        self.to_driver.closed().await;
    }

    /// Asks the driver; none where the tree has left this host meanwhile.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Ask(ask(reply)));
        answer.await.ok()
    }
}

impl Kernel for Mailbox {
    fn call(&self, run: RunId, call: Call) {
        self.send(Input::Call { run, call });
    }

    fn finished(&self, finish: Finish) {
        self.send(Input::Finished(finish));
    }

    fn parked(&self, parked: Parked) {
        self.send(Input::Parked(parked));
    }

    fn now_nanos(&self) -> u64 {
        self.clock.now_nanos()
    }
}
