//! `orchestration`: the primitives, each handed to the kernel as one call.
//!
//! Only form is checked here; `wire.rs` has the shapes.

use pleach_kernel::{Payload, Query, SpawnRequest};

use super::wire;
use crate::bindings::orchestration::SpawnRequest as WireSpawn;
use crate::bindings::orchestration::{
    CallRequest, CallResult, CancelRequest, CancelResult, EvaluateRequest, Evaluation, GroupRequest, Host, JoinResult,
    QueryRequest, Spawned, SpawnedGroup,
};
use crate::bindings::types::CallError;
use crate::call::Call;
use crate::guest::Guest;

impl Guest {
    /// Takes a part of a request that has the wrong form as refused.
    fn formed<T>(&mut self, action: &'static str, parsed: Result<T, wire::Malformed>) -> Result<T, CallError> {
        parsed.map_err(|malformed| match malformed {
            wire::Malformed::Denied(code, message) => self.deny(pleach_kernel::Denial::new(code, action, message)),
            wire::Malformed::Failed(code, message) => crate::call::CallError::failed(code, message).into(),
        })
    }
}

impl Host for Guest {
    async fn spawn_run(&mut self, request: WireSpawn) -> Result<Spawned, CallError> {
        const ACTION: &str = "spawn_run";
        self.enter(ACTION)?;
        let call_index = self.call_index(request.spawn_key.is_some());
        let request = self.formed(ACTION, wire::spawn_request(request))?;
        let spawned = self.ask(|reply| Call::SpawnRun { request, call_index, reply }).await?;
        Ok(wire::spawned(&spawned))
    }

    async fn spawn_group(&mut self, request: GroupRequest) -> Result<SpawnedGroup, CallError> {
        const ACTION: &str = "spawn_group";
        self.enter(ACTION)?;
        let call_index = self.call_index(request.key_prefix.is_some());
        let members: Result<Vec<_>, _> = request.members.into_iter().map(wire::spawn_request).collect();
        let members = self.formed(ACTION, members)?;
        let key_prefix = self.formed(ACTION, wire::name_option("key-prefix", request.key_prefix))?;
        let join = wire::join_policy(request.join);
        let spawned = self.ask(|reply| Call::SpawnGroup { members, key_prefix, join, call_index, reply }).await?;
        Ok(wire::spawned_group(spawned))
    }

    async fn join(&mut self, group: String) -> Result<JoinResult, CallError> {
        const ACTION: &str = "join";
        self.enter(ACTION)?;
        let group = self.formed(ACTION, wire::group_id(&group))?;
        Ok(wire::join_result(&self.ask(|reply| Call::Join { group, reply }).await?))
    }

    async fn cancel_subtree(&mut self, request: CancelRequest) -> Result<CancelResult, CallError> {
        const ACTION: &str = "cancel_subtree";
        self.enter(ACTION)?;
        let request = self.formed(ACTION, wire::cancel(request))?;
        Ok(wire::cancelled(&self.ask(|reply| Call::Cancel { request, reply }).await?))
    }

    async fn evaluate_and_replan(&mut self, request: EvaluateRequest) -> Result<Evaluation, CallError> {
        const ACTION: &str = "evaluate_and_replan";
        self.enter(ACTION)?;
        let run_id = self.formed(ACTION, wire::run_id_option(request.run_id))?;
        let replanner = self.formed(ACTION, wire::name_option("replanner", request.replanner))?;
        let config = request.config.map(|config| wire::payload("config", config)).transpose();
        let config = self.formed(ACTION, config)?;
        let evaluation = self.ask(|reply| Call::Evaluate { run_id, replanner, config, reply }).await?;
        Ok(wire::evaluation(evaluation))
    }

    async fn query_tree(&mut self, request: QueryRequest) -> Result<String, CallError> {
        const ACTION: &str = "query_tree";
        self.enter(ACTION)?;
        let run_id = self.formed(ACTION, wire::run_id_option(request.run_id))?;
        let QueryRequest { max_depth, max_nodes, skip_children, .. } = request;
        let query = Query { run_id, max_depth, max_nodes, skip_children: skip_children.unwrap_or(0) };
        let tree: Payload = self.ask(|reply| Call::Query { query, reply }).await?;
        Ok(tree.as_str().to_owned())
    }

    async fn agent_call(&mut self, request: CallRequest) -> Result<CallResult, CallError> {
        const ACTION: &str = "agent_call";
        self.enter(ACTION)?;
        let call_index = self.call_index(request.spawn_key.is_some());
        let request = self.formed(ACTION, agent_call_request(request))?;
        let target = request.target.to_string();
        let outcome = self.ask(|reply| Call::AgentCall { request, call_index, reply }).await?;
        Ok(wire::call_result(target, &outcome))
    }
}

/// What an agent call waits for a child that names no timeout.
const AGENT_CALL_TIMEOUT_MS: u64 = 60_000;

fn agent_call_request(request: CallRequest) -> Result<SpawnRequest, wire::Malformed> {
    wire::spawn_request(WireSpawn {
        target: request.target,
        input: request.input,
        spawn_key: request.spawn_key,
        scopes: request.scopes,
        timeout_ms: Some(request.timeout_ms.unwrap_or(AGENT_CALL_TIMEOUT_MS)),
        retry: request.retry,
        budget: request.budget,
        parent_close: None,
        priority: None,
    })
}
