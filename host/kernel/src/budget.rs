//! Amounts: what may be spent and what was.
//!
//! Who holds which amount, and how it is reserved and settled, is in
//! `run/budget.rs`.

use serde::{Deserialize, Serialize};

/// The five amounts, in the order in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Tokens,
    CostMicrousd,
    WallMs,
    CpuUs,
    HostCalls,
}

impl Dimension {
    pub const ALL: [Self; 5] = [Self::Tokens, Self::CostMicrousd, Self::WallMs, Self::CpuUs, Self::HostCalls];

    /// As a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::CostMicrousd => "cost_microusd",
            Self::WallMs => "wall_ms",
            Self::CpuUs => "cpu_ms",
            Self::HostCalls => "host_calls",
        }
    }
}

/// What may be spent. An amount left out has no limit of its own: it is drawn
/// from whoever above has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_microusd: Option<u64>,
    /// Wall-clock time from each start of a run to its stop, summed over runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
}

impl Budget {
    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limit on one amount, in the unit of [`Usage`].
    pub fn limit(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Tokens => self.tokens,
            Dimension::CostMicrousd => self.cost_microusd,
            Dimension::WallMs => self.wall_ms,
            Dimension::CpuUs => self.cpu_ms.map(|ms| ms.saturating_mul(1000)),
            Dimension::HostCalls => self.host_calls,
        }
    }

    /// The budget with these limits, in the units of [`Usage`]; a part of a
    /// millisecond of processor time that is left counts as none.
    pub fn from_limits(limit: impl Fn(Dimension) -> Option<u64>) -> Self {
        Self {
            tokens: limit(Dimension::Tokens),
            cost_microusd: limit(Dimension::CostMicrousd),
            wall_ms: limit(Dimension::WallMs),
            cpu_ms: limit(Dimension::CpuUs).map(|us| us / 1000),
            host_calls: limit(Dimension::HostCalls),
        }
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cost_microusd: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wall_ms: u64,
    /// Microseconds, because most runs take less than a millisecond.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub host_calls: u64,
}

fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

impl Usage {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub fn get(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Tokens => self.tokens,
            Dimension::CostMicrousd => self.cost_microusd,
            Dimension::WallMs => self.wall_ms,
            Dimension::CpuUs => self.cpu_us,
            Dimension::HostCalls => self.host_calls,
        }
    }

    pub fn get_mut(&mut self, dimension: Dimension) -> &mut u64 {
        match dimension {
            Dimension::Tokens => &mut self.tokens,
            Dimension::CostMicrousd => &mut self.cost_microusd,
            Dimension::WallMs => &mut self.wall_ms,
            Dimension::CpuUs => &mut self.cpu_us,
            Dimension::HostCalls => &mut self.host_calls,
        }
    }

    /// Adds `other`, amount by amount.
    pub fn add(&mut self, other: &Self) {
        for dimension in Dimension::ALL {
            let sum = self.get(dimension).saturating_add(other.get(dimension));
            *self.get_mut(dimension) = sum;
        }
    }
}
