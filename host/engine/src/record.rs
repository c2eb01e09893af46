//! Events as they are shown: the envelope of the log, whole.

use pleach_kernel::{Payload, RunId, Surface, Tenant, Timestamp, Visibility};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One event of a tree's log.
#[derive(Clone, Debug, Serialize)]
pub struct EventRecord {
    /// From 1, without a gap.
    pub seq: u64,
    /// Unix milliseconds.
    pub at: Timestamp,
    pub tenant: Tenant,
    pub root_run_id: RunId,
    pub run_id: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// `orchestration.spawn_decision` and its like.
    pub event: String,
    pub data: Payload,
    pub surface: Surface,
    pub visibility: Visibility,
}

impl EventRecord {
    pub(crate) fn read(tenant: &Tenant, body: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Stored {
            seq: u64,
            at: Timestamp,
            run_id: RunId,
            #[serde(default)]
            node_id: Option<String>,
            event: String,
            surface: Surface,
            visibility: Visibility,
            data: Box<serde_json::value::RawValue>,
        }
        let unreadable = |why: String| Error::invalid("reading an event from the log", why);
        let stored: Stored = serde_json::from_slice(body).map_err(|e| unreadable(e.to_string()))?;
        // An event may be larger than what travels inline: a group of many.
        let data = Payload::from_log(stored.data);
        Ok(Self {
            seq: stored.seq,
            at: stored.at,
            tenant: tenant.clone(),
            root_run_id: stored.run_id.root.run(),
            run_id: stored.run_id,
            node_id: stored.node_id,
            event: stored.event,
            data,
            surface: stored.surface,
            visibility: stored.visibility,
        })
    }
}
