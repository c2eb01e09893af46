//! Where a run stands in its tree, and which plugin it runs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{GroupId, RunId, Tenant};

/// Where a run stands in its tree; handed to its guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lineage {
    pub run_id: RunId,
    pub root_run_id: RunId,
    pub parent_run_id: Option<RunId>,
    pub parent_node_id: Option<Arc<str>>,
    /// 0 for the root.
    pub depth: u32,
    pub spawn_key: Option<Arc<str>>,
    pub group_id: Option<GroupId>,
    /// The place in the group, from 0.
    pub ordinal: Option<u32>,
    /// 1 for the first try.
    pub attempt: u32,
    pub tenant: Tenant,
    /// 32 hexadecimal digits.
    pub trace_id: Arc<str>,
}

/// What a plugin is for: the world that its component targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Agent,
    Judge,
    Router,
    Replanner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Judge => "judge",
            Self::Router => "router",
            Self::Replanner => "replanner",
        }
    }
}

/// A plugin as a run is pinned to it; shown as `name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PluginRef {
    pub name: Arc<str>,
    pub version: Arc<str>,
    /// `sha256:` and 64 hexadecimal digits, over the component's bytes.
    pub digest: Arc<str>,
    pub role: Role,
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}
