//! Open: admit a root run, which begins a tree.

use std::sync::Arc;

use super::admission::{RESERVED_KEYS, check_request, found, tightest};
use super::fallback::fallbacks;
use crate::command::{Submit, Surface};
use crate::denial::{Code, Denial};
use crate::event::Fact;
use crate::fact::{RunSpec, SpawnDecision, TreeSpec};
use crate::id::{RootId, Tenant, Timestamp};
use crate::policy::Policy;
use crate::scope::covered;
use crate::tree::Tree;

const ACTION: &str = "submit";

impl Tree {
    /// Decides on a root run. Whoever submits is bound by the tenant's policy,
    /// not by an allowlist; a refusal opens no tree and so is in no log.
    pub fn open(
        now: Timestamp,
        id: RootId,
        tenant: Tenant,
        policy: Arc<Policy>,
        surface: Surface,
        submit: Submit,
    ) -> Result<Self, Box<Denial>> {
        let target = submit.spawn.request.target.clone();
        let version = policy.version;
        Self::admit_root(now, id, tenant, policy, surface, submit).map_err(|mut denial| {
            denial.policy_version = version;
            Box::new(denial.of_target(&target))
        })
    }

    fn admit_root(
        now: Timestamp,
        id: RootId,
        tenant: Tenant,
        policy: Arc<Policy>,
        surface: Surface,
        submit: Submit,
    ) -> Result<Self, Denial> {
        let mut tree = Self::blank(id, tenant, policy);
        let policy = tree.policy.clone();
        tree.open_surface(ACTION, surface)?;
        let Submit { spawn, limits, fairness } = submit;
        check_request(ACTION, &spawn.request)?;
        let plugin = found(ACTION, &spawn.request.target, &spawn.resolution)?;
        let fallbacks = fallbacks(ACTION, &spawn, &plugin)?;
        for scope in spawn.request.scopes.scopes() {
            if !covered(&policy.scopes, scope) {
                let message = format!("the policy of tenant {} does not allow {scope}", tree.tenant);
                return Err(Denial::new(Code::ScopeExceedsPolicy, ACTION, message));
            }
        }
        let limits = tightest(&policy, &plugin, &fallbacks, &policy.limits.tightest(&limits));
        if limits.max_concurrency == 0 {
            let message = "max_concurrency is 0, so that no run could ever start";
            return Err(Denial::new(Code::QuotaExceeded, ACTION, message).counted(0, 1, 0));
        }
        let mut budget = policy.budget;
        for (ours, theirs) in [
            (&mut budget.tokens, spawn.request.budget.tokens),
            (&mut budget.cost_microusd, spawn.request.budget.cost_microusd),
            (&mut budget.wall_ms, spawn.request.budget.wall_ms),
            (&mut budget.cpu_ms, spawn.request.budget.cpu_ms),
            (&mut budget.host_calls, spawn.request.budget.host_calls),
        ] {
            if let Some((limit, wanted)) = ours.zip(theirs).filter(|(limit, wanted)| wanted > limit) {
                let message = format!("a budget of {wanted} was asked for and policy gives {limit}");
                return Err(Denial::new(Code::BudgetExhausted, ACTION, message).counted(limit, wanted, 0));
            }
            *ours = theirs.or(*ours);
        }
        let decision = SpawnDecision {
            target: vec![spawn.request.target.clone()],
            spawned_run_ids: vec![id.run()],
            group_id: None,
            idempotent: false,
            effective_scopes: vec![spawn.request.scopes.clone()],
            runs: vec![RunSpec {
                plugin,
                spawn_key: format!("{RESERVED_KEYS}root").into(),
                key_derived: true,
                limits,
                request: spawn.request,
                fallbacks,
            }],
            group: None,
            agent_call: false,
            replans: None,
            tree: Some(TreeSpec { tenant: tree.tenant.clone(), policy, budget, fairness }),
        };
        tree.emit_from(now, 0, spawn.node_id, surface, None, Fact::SpawnDecision(Box::new(decision)));
        Ok(tree)
    }
}
