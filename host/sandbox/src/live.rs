//! How many guests are live at once, so that the machine's limits are met by
//! waiting and never by a run that fails.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Places for live guests. A sandbox has its own; whoever runs natives without a
/// sandbox makes one. Cheap to clone; all clones are the same places.
#[derive(Clone)]
pub struct Live {
    places: Arc<Semaphore>,
    most: usize,
}

/// A place for one live guest; given back when it is dropped.
#[derive(Debug)]
pub struct LivePermit {
    _held: OwnedSemaphorePermit,
}

impl Live {
    /// `most` places, all of them free.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(most)), most }
    }

    /// How many places there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many places are taken.
    pub fn now(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// A place, if one is free.
    pub fn try_acquire(&self) -> Option<LivePermit> {
        self.places.clone().try_acquire_owned().ok().map(|held| LivePermit { _held: held })
    }

    /// Waits for a place.
    pub async fn acquire(&self) -> Result<LivePermit, Error> {
        let held = self.places.clone().acquire_owned().await.map_err(|_| Error::ShutDown)?;
        Ok(LivePermit { _held: held })
    }

    /// No more places are given; who waits for one is refused.
    pub fn close(&self) {
        self.places.close();
    }
}
