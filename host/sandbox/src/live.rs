//! How many guests are live at once, so that the machine's limits are met by
//! waiting and never by a run that fails.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// The places for live guests of one sandbox.
#[derive(Clone)]
pub(crate) struct Live {
    places: Arc<Semaphore>,
    most: usize,
}

/// A place for one live guest; given back when it is dropped.
#[derive(Debug)]
pub struct LivePermit {
    _held: OwnedSemaphorePermit,
}

impl Live {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(most)), most }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    pub(crate) fn now(&self) -> usize {
        self.most - self.places.available_permits()
    }

    pub(crate) fn try_acquire(&self) -> Option<LivePermit> {
        self.places.clone().try_acquire_owned().ok().map(|held| LivePermit { _held: held })
    }

    pub(crate) async fn acquire(&self) -> Result<LivePermit, Error> {
        let held = self.places.clone().acquire_owned().await.map_err(|_| Error::ShutDown)?;
        Ok(LivePermit { _held: held })
    }

    /// No more places are given.
    pub(crate) fn close(&self) {
        self.places.close();
    }
}
