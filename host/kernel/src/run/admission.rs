//! Admission: the eight checks of a spawn, in the order in which they answer.
//!
//! Nothing here changes anything; `spawn.rs` and `group.rs` write the decision.

use std::sync::Arc;

use super::fallback::fallbacks;
use crate::budget::Usage;
use crate::command::{MAX_FALLBACKS, ParentClose, Resolution, Spawn, SpawnRequest};
use crate::denial::{Code, Denial};
use crate::fact::RunSpec;
use crate::id::Timestamp;
use crate::lineage::PluginRef;
use crate::policy::{Limits, Policy, target_matches};
use crate::scope::{MAX_SCOPES, Scope};
use crate::tree::{RunIx, Tree};

/// What keys that the kernel derives begin with; nobody else's may.
pub(crate) const RESERVED_KEYS: &str = "~";

/// The longest spawn key or key prefix, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// The most tries of one run.
const MAX_ATTEMPTS: u32 = 1_000;

/// What earlier members of the same group will take once all are admitted.
#[derive(Default)]
pub(crate) struct Batch {
    pub runs: u32,
    pub reserved: Usage,
}

/// A key that the kernel derives from the order of the caller's calls. Tries do
/// not share keys: a second try asks anew.
pub(crate) fn derived_key(attempt: u32, call_index: u32) -> Arc<str> {
    format!("{RESERVED_KEYS}{attempt}.{call_index}").into()
}

/// Whether a key may be given.
pub(crate) fn check_key(action: &'static str, key: &str) -> Result<(), Denial> {
    let why = match key {
        "" => "is empty",
        _ if key.starts_with(RESERVED_KEYS) => "begins with `~`, which is the host's own",
        _ if key.len() > MAX_KEY_BYTES => "is longer than 256 bytes",
        _ => return Ok(()),
    };
    let key: String = key.chars().take(32).collect();
    Err(Denial::new(Code::InvalidRequest, action, format!("the key `{key}` {why}")))
}

/// Whether a request makes sense by itself.
pub(crate) fn check_request(action: &'static str, request: &SpawnRequest) -> Result<(), Denial> {
    let refuse = |why: &str| Err(Denial::new(Code::InvalidRequest, action, why));
    if let Some(retry) = &request.retry {
        if retry.max_attempts == 0 || retry.max_attempts > MAX_ATTEMPTS {
            return refuse("retry.max_attempts is from 1 to 1000");
        }
        if !(0.0..=1.0).contains(&retry.jitter) {
            return refuse("retry.jitter is from 0 to 1");
        }
    }
    if request.fallbacks.len() > MAX_FALLBACKS {
        return refuse("a run has at most 8 fallbacks");
    }
    if request.timeout_ms == Some(0) {
        return refuse("timeout_ms is at least 1");
    }
    if request.scopes.can_use().len() > MAX_SCOPES || request.scopes.can_delegate().len() > MAX_SCOPES {
        return refuse("a grant has at most 1,024 scopes in a list; use a wildcard");
    }
    Ok(())
}

/// The fourth check: the target exists in the tenant and is published.
pub(crate) fn found(
    action: &'static str,
    target: &Arc<str>,
    resolution: &Resolution,
) -> Result<Arc<PluginRef>, Denial> {
    match resolution {
        Resolution::Found(plugin) => Ok(plugin.clone()),
        Resolution::NotFound { hint } => {
            let message = format!("no plugin `{target}`; {hint}");
            Err(Denial::new(Code::TargetNotFound, action, message).of_target(target))
        }
        Resolution::NotPublished => {
            let message = format!("`{target}` is not published; publish it, or ask for another version");
            Err(Denial::new(Code::TargetNotPublished, action, message).of_target(target))
        }
    }
}

impl Tree {
    /// Checks four to eight, for a run that `caller` wants as a child.
    pub(crate) fn admit(
        &self,
        action: &'static str,
        now: Timestamp,
        caller: RunIx,
        spawn: &Spawn,
        batch: &Batch,
    ) -> Result<RunSpecDraft, Denial> {
        self.admit_checked(action, now, caller, spawn, batch).map_err(|denial| denial.of_target(&spawn.request.target))
    }

    fn admit_checked(
        &self,
        action: &'static str,
        now: Timestamp,
        caller: RunIx,
        spawn: &Spawn,
        batch: &Batch,
    ) -> Result<RunSpecDraft, Denial> {
        let plugin = found(action, &spawn.request.target, &spawn.resolution)?;
        let fallbacks = match spawn.request.fallbacks.is_empty() {
            true => Vec::new(),
            false => fallbacks(action, spawn, &plugin)?,
        };
        self.check_allowlist(action, caller, &plugin)?;
        let named = || spawn.request.fallbacks.iter().zip(&fallbacks);
        for (name, plugin) in named() {
            self.check_allowlist(action, caller, plugin).map_err(|denial| denial.of_target(name))?;
        }
        self.check_scopes(action, caller, spawn, &plugin)?;
        for (name, plugin) in named() {
            self.check_spawnable(action, caller, spawn, plugin).map_err(|denial| denial.of_target(name))?;
        }
        self.check_limits(action, caller, batch)?;
        self.check_budget(action, now, caller, &spawn.request.budget, &batch.reserved)?;
        let limits = tightest(&self.policy, &plugin, &fallbacks, &self.runs[caller].spec.limits);
        Ok(RunSpecDraft { plugin, limits, fallbacks })
    }

    fn check_allowlist(&self, action: &'static str, caller: RunIx, plugin: &PluginRef) -> Result<(), Denial> {
        let orchestrator = &self.runs[caller].plugin().name;
        let allowed = self.policy.targets_of(orchestrator);
        if allowed.is_empty() {
            let message = format!("policy lists no targets for {orchestrator}, and an empty list allows none");
            return Err(Denial::new(Code::AllowlistEmpty, action, message));
        }
        if !allowed.iter().any(|pattern| target_matches(pattern, &plugin.name)) {
            let message = format!("policy does not list {} among the targets of {orchestrator}", plugin.name);
            return Err(Denial::new(Code::TargetNotAllowlisted, action, message));
        }
        Ok(())
    }

    fn check_scopes(
        &self,
        action: &'static str,
        caller: RunIx,
        spawn: &Spawn,
        plugin: &PluginRef,
    ) -> Result<(), Denial> {
        self.check_spawnable(action, caller, spawn, plugin)?;
        let orchestrator = &self.runs[caller].plugin().name;
        let grant = &self.runs[caller].spec.request.scopes;
        for scope in spawn.request.scopes.scopes() {
            if !grant.hands_on(scope) {
                let message = format!("the caller may not delegate {scope}");
                return Err(Denial::new(Code::ScopeNotHeld, action, message));
            }
            if !self.policy.hands_on(orchestrator, scope) {
                let message = format!("policy does not let {orchestrator} hand on {scope}");
                return Err(Denial::new(Code::ScopeExceedsPolicy, action, message));
            }
        }
        Ok(())
    }

    /// The part of the scopes that is about which plugin it is.
    fn check_spawnable(
        &self,
        action: &'static str,
        caller: RunIx,
        spawn: &Spawn,
        plugin: &PluginRef,
    ) -> Result<(), Denial> {
        self.require(action, caller, "spawn", &plugin.name)?;
        match spawn.request.parent_close {
            ParentClose::Abandon => self.require(action, caller, "run.abandon", &plugin.name),
            ParentClose::Cancel | ParentClose::Wait => Ok(()),
        }
    }

    /// Whether the caller may itself use `capability` on `resource`.
    pub(crate) fn require(
        &self,
        action: &'static str,
        caller: RunIx,
        capability: &str,
        resource: &str,
    ) -> Result<(), Denial> {
        let wanted = Scope::exact(capability, resource)
            .map_err(|error| Denial::new(Code::ScopeInvalid, action, error.to_string()))?;
        if self.runs[caller].spec.request.scopes.allows(&wanted) {
            return Ok(());
        }
        let message = format!("the caller does not hold {wanted}; whoever spawned it can grant it");
        Err(Denial::new(Code::ScopeRequired, action, message))
    }

    fn check_limits(&self, action: &'static str, caller: RunIx, batch: &Batch) -> Result<(), Denial> {
        let run = &self.runs[caller];
        let limits = &run.spec.limits;
        let deny = |code: Code, limit: u32, requested: u64, current: u64| {
            let message = format!("{code} is {limit}, and {current} are in use");
            Err(Denial::new(code, action, message).counted(u64::from(limit), requested, current))
        };
        if run.depth + 1 > limits.max_depth {
            return deny(Code::MaxDepth, limits.max_depth, u64::from(run.depth) + 1, u64::from(run.depth));
        }
        let children = run.children.len() as u64 + u64::from(batch.runs);
        if children + 1 > u64::from(limits.max_fanout) {
            return deny(Code::MaxFanout, limits.max_fanout, 1, children);
        }
        let total = self.runs.len() as u64 - 1 + u64::from(batch.runs);
        if total + 1 > u64::from(limits.max_children_total) {
            return deny(Code::MaxChildrenTotal, limits.max_children_total, 1, total);
        }
        let queued = self.tenant_queued + u64::from(batch.runs);
        if let Some(limit) = self.policy.quotas.max_queued.filter(|limit| queued >= u64::from(*limit)) {
            return deny(Code::QuotaExceeded, limit, 1, queued);
        }
        Ok(())
    }
}

/// What admission found out about a run.
pub(crate) struct RunSpecDraft {
    plugin: Arc<PluginRef>,
    limits: Limits,
    fallbacks: Vec<Arc<PluginRef>>,
}

/// What holds for a run whichever of its plugins it has come to.
pub(super) fn tightest(policy: &Policy, plugin: &PluginRef, fallbacks: &[Arc<PluginRef>], limits: &Limits) -> Limits {
    let own = policy.tighten(&plugin.name, limits);
    fallbacks.iter().fold(own, |limits, plugin| policy.tighten(&plugin.name, &limits))
}

impl RunSpecDraft {
    pub(crate) fn spec(self, spawn: Spawn, spawn_key: Arc<str>, key_derived: bool) -> RunSpec {
        let Self { plugin, limits, fallbacks } = self;
        RunSpec { plugin, request: spawn.request, spawn_key, key_derived, limits, fallbacks }
    }
}
