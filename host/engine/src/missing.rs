//! Missing: plugins that runs are pinned to and that cannot be had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// Why there is no code.
#[derive(Clone, Debug)]
pub(crate) enum NoCode {
    /// The store does not have the component.
    Missing,
    /// The store cannot read it, now.
    Unreadable(String),
    Unusable(Error),
}

/// What all trees of a host miss: by digest, the plugin as people know it and
/// how many trees wait for it.
#[derive(Default)]
pub(crate) struct Missing(Mutex<BTreeMap<Arc<str>, (String, usize)>>);

impl Missing {
    pub(crate) fn add(&self, digest: &Arc<str>, plugin: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(digest.clone()).or_insert((plugin, 0)).1 += 1;
    }

    pub(crate) fn take_off(&self, digest: &Arc<str>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, trees)) = all.get_mut(digest) {
            *trees -= 1;
            if *trees == 0 {
                all.remove(digest);
            }
        }
    }

    /// The plugin, `name@version`, and its digest.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(digest, (plugin, _))| (plugin.clone(), digest.to_string())).collect()
    }
}
