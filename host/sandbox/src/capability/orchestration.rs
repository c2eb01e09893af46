//! `orchestration`: the primitives, each handed to the kernel as one call. What
//! has the wrong form is refused here, and is no numbered call: it has the wrong
//! form in every replay.
//!
//! Only form is checked here; `wire.rs` has the shapes.

use std::sync::Arc;

use pleach_kernel::{Denial, Query, SpawnRequest};

use super::wire;
use crate::bindings::orchestration::SpawnRequest as WireSpawn;
use crate::bindings::orchestration::{
    CallRequest, CallResult, CancelRequest, CancelResult, EvaluateRequest, Evaluation, GroupRequest, Host, JoinResult,
    QueryRequest, Spawned, SpawnedGroup,
};
use crate::bindings::types::CallError;
use crate::guest::Guest;
use crate::hostcalls::cancelled;

impl Guest {
    /// Takes a part of a request that has the wrong form as refused.
    fn formed<T>(&mut self, action: &'static str, parsed: Result<T, wire::Malformed>) -> Result<T, CallError> {
        parsed.map_err(|malformed| {
            if self.calls.is_gone() {
                return cancelled().into();
            }
            self.calls.charged();
            match malformed {
                wire::Malformed::Denied(code, message) => self.calls.deny(Denial::new(code, action, message)).into(),
                wire::Malformed::Failed(code, message) => crate::call::CallError::failed(code, message).into(),
            }
        })
    }
}

impl Host for Guest {
    async fn spawn_run(&mut self, request: WireSpawn) -> Result<Spawned, CallError> {
        let request = self.formed("spawn_run", wire::spawn_request(request))?;
        Ok(wire::spawned(&self.calls.off_stack(move |calls| Box::pin(calls.spawn_run(request))).await?))
    }

    async fn spawn_group(&mut self, request: GroupRequest) -> Result<SpawnedGroup, CallError> {
        const ACTION: &str = "spawn_group";
        let members: Result<Vec<_>, _> =
            request.members.into_iter().map(|member| wire::spawn_request(member).map(Arc::new)).collect();
        let members = self.formed(ACTION, members)?;
        let key_prefix = self.formed(ACTION, wire::name_option("key-prefix", request.key_prefix))?;
        let join = wire::join_policy(request.join);
        let spawned = self.calls.off_stack(move |calls| Box::pin(calls.spawn_group(members, key_prefix, join))).await?;
        Ok(wire::spawned_group(spawned))
    }

    async fn join(&mut self, group: String) -> Result<JoinResult, CallError> {
        let group = self.formed("join", wire::group_id(&group))?;
        Ok(wire::join_result(&self.calls.off_stack(move |calls| Box::pin(calls.join(group))).await?))
    }

    async fn cancel_subtree(&mut self, request: CancelRequest) -> Result<CancelResult, CallError> {
        let request = self.formed("cancel_subtree", wire::cancel(request))?;
        Ok(wire::cancelled(&self.calls.off_stack(move |calls| Box::pin(calls.cancel(request))).await?))
    }

    async fn evaluate_and_replan(&mut self, request: EvaluateRequest) -> Result<Evaluation, CallError> {
        const ACTION: &str = "evaluate_and_replan";
        let run_id = self.formed(ACTION, wire::run_id_option(request.run_id))?;
        let replanner = self.formed(ACTION, wire::name_option("replanner", request.replanner))?;
        let config = request.config.map(|config| wire::payload("config", config)).transpose();
        let config = self.formed(ACTION, config)?;
        let evaluated = self.calls.off_stack(move |calls| Box::pin(calls.evaluate(run_id, replanner, config)));
        Ok(wire::evaluation(evaluated.await?))
    }

    async fn query_tree(&mut self, request: QueryRequest) -> Result<String, CallError> {
        let run_id = self.formed("query_tree", wire::run_id_option(request.run_id))?;
        let QueryRequest { max_depth, max_nodes, skip_children, .. } = request;
        let query = Query { run_id, max_depth, max_nodes, skip_children: skip_children.unwrap_or(0) };
        Ok(self.calls.off_stack(move |calls| Box::pin(calls.query(query))).await?.as_str().to_owned())
    }

    async fn agent_call(&mut self, request: CallRequest) -> Result<CallResult, CallError> {
        let request = self.formed("agent_call", agent_call_request(request))?;
        let target = request.target.to_string();
        let answer = self.calls.off_stack(move |calls| Box::pin(calls.agent_call(request))).await?;
        Ok(wire::call_result(target, &answer))
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
