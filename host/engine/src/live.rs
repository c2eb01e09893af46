//! What all handles of a host share: the trees that run on it.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pleach_kernel::{Limits, RootId, Tenant};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::driver::{Driven, Driver, Place, Shared};
use crate::error::Error;
use crate::guests::BoxFuture;
use crate::mailbox::{Ask, Input, Mailbox, Message};

/// What a host is to all of its handles.
pub(crate) struct Inner {
    pub shared: Arc<Shared>,
    live: Mutex<HashMap<RootId, Arc<Mailbox>>>,
    /// Told each time a tree has left.
    left: Notify,
    /// Trees that could not be recovered or gone on with, and why.
    pub unrecovered: Mutex<BTreeMap<RootId, Error>>,
    pub ceilings: Limits,
    closing: AtomicBool,
    /// Dropped with the host: nobody need look after its trees any more.
    _gone: oneshot::Sender<Infallible>,
}

/// Stops a host's trees where they are when the runtime that it was started on ends:
/// what the host does there, such as reading journals, is not done any more, while
/// drivers and guests have threads of their own.
struct Guard(Weak<Inner>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.close();
            inner.detach_all();
        }
    }
}

/// Takes a tree off the list when its driver is gone, however it went.
pub(crate) struct Leaving {
    pub inner: Arc<Inner>,
    pub mailbox: Arc<Mailbox>,
}

impl Leaving {
    /// Gives the tree its task.
    pub(crate) fn drive(self, driver: Box<Driver>) {
        let (place, tenant, shared) = (driver.place(), self.mailbox.tenant.clone(), self.inner.shared.clone());
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            match driver.run().await {
                Driven::Ended(why) => self.inner.note_stopped(self.mailbox.root, why),
                Driven::Moves(driver) => self.drive(driver),
            }
        });
        match place {
            Place::BesideGuests => shared.guests.drive(&tenant, task),
            Place::Apart => drop(shared.runtime.spawn(task)),
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.mailbox.feed.end();
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.mailbox.root);
        self.inner.left.notify_waiters();
    }
}

impl Inner {
    /// To be called on the runtime that the host's own work is done on.
    pub(crate) fn new(shared: Arc<Shared>, ceilings: Limits) -> Arc<Self> {
        let (gone, dropped) = oneshot::channel();
        let inner = Arc::new(Self {
            shared,
            live: Mutex::default(),
            left: Notify::new(),
            unrecovered: Mutex::default(),
            ceilings,
            closing: AtomicBool::new(false),
            _gone: gone,
        });
        let guard = Guard(Arc::downgrade(&inner));
        inner.shared.runtime.spawn(async move {
            let _guard = guard;
            let _ = dropped.await;
        });
        inner
    }

    pub(crate) fn live(&self, root: RootId) -> Option<Arc<Mailbox>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&root).cloned()
    }

    /// Takes no new trees.
    pub(crate) fn close(&self) {
        let _live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has every tree stop where it is.
    pub(crate) fn detach_all(&self) {
        for mailbox in self.live.lock().unwrap_or_else(PoisonError::into_inner).values() {
            mailbox.send(Input::Detach);
        }
    }

    /// Waits until no tree runs here.
    pub(crate) async fn all_left(&self) {
        self.until(HashMap::is_empty).await;
    }

    /// Waits until the list of trees that run here is as wanted, which only a tree
    /// that leaves can make it.
    pub(crate) async fn until(&self, wanted: impl Fn(&HashMap<RootId, Arc<Mailbox>>) -> bool) {
        loop {
            let left = self.left.notified();
            let mut left = std::pin::pin!(left);
            // Listening begins before looking, so that no leave is missed.
            left.as_mut().enable();
            if wanted(&self.live.lock().unwrap_or_else(PoisonError::into_inner)) {
                return;
            }
            left.await;
        }
    }

    pub(crate) fn is_live(&self, root: RootId) -> bool {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&root)
    }

    /// A tree has left; keeps why, where it has not come to its end. To be called
    /// before it is off the list, so that whoever looks finds one or the other.
    pub(crate) fn note_stopped(&self, root: RootId, why: Option<Error>) {
        let mut all = self.unrecovered.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(all.insert(root, why)),
            None => drop(all.remove(&root)),
        }
    }

    /// Lists a tree as one that runs here; none where it is listed already.
    pub(crate) fn enlist(
        self: &Arc<Self>,
        root: RootId,
        tenant: Tenant,
    ) -> Result<Option<(Leaving, mpsc::UnboundedReceiver<Input>)>, Error> {
        let (mailbox, inbox) = Mailbox::new(root, tenant, self.shared.clock);
        // Under one lock with the look that `shutdown` takes: a tree is either
        // among those that it ends, or refused here.
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        if live.contains_key(&root) {
            return Ok(None);
        }
        live.insert(root, mailbox.clone());
        Ok(Some((Leaving { inner: self.clone(), mailbox }, inbox)))
    }

    /// A message that another process left for a tree of this host.
    pub(crate) fn deliver(&self, root: RootId, message: &[u8]) {
        let mailbox = self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&root).cloned();
        match (mailbox, serde_json::from_slice(message)) {
            (Some(mailbox), Ok(Message::Cancel(cancel))) => {
                // Whoever asked looks for the decision in the log.
                let (reply, _) = oneshot::channel();
                mailbox.send(Input::Ask(Ask::Cancel { cancel, reply }));
            }
            (None, _) => {}
            (_, Err(error)) => tracing::warn!(%root, %error, "a message of another host could not be read"),
        }
    }
}
