//! What the kernel answers. Of spawns, agent calls and joins only errors are
//! recorded: what they made, and what was decided, the kernel knows by itself.

use std::sync::Arc;

use pleach_kernel::{
    Budget, CallSite, Cancel, Cancelled, Evaluation, GroupId, JoinPolicy, JoinResult, MemberOutcome, Payload, Query,
    RunId, SpawnRequest, Spawned, SpawnedGroup,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Begun, HostCalls};
use crate::call::{Call, CallError, Reply};
use crate::journal::{self, Asked, NO_ARGUMENTS, bytes_of, what};

impl HostCalls {
    /// Spawns one run and goes on.
    pub async fn spawn_run(&mut self, request: SpawnRequest) -> Result<Spawned, CallError> {
        let begun = self.begin(what::SPAWN_RUN, || Asked::spawn_run(0, &request).hash).await?;
        let site = self.site(begun.call, request.spawn_key.is_some());
        self.made(begun, what::SPAWN_RUN, |reply| Call::SpawnRun { request: request.into(), site, reply }).await
    }

    /// Spawns several runs, all or none.
    pub async fn spawn_group(
        &mut self,
        members: Vec<impl Into<Arc<SpawnRequest>>>,
        key_prefix: Option<Arc<str>>,
        join: JoinPolicy,
    ) -> Result<SpawnedGroup, CallError> {
        let members: Vec<Arc<SpawnRequest>> = members.into_iter().map(Into::into).collect();
        let hash = || Asked::spawn_group(0, &members, key_prefix.as_deref(), &join).hash;
        let begun = self.begin(what::SPAWN_GROUP, hash).await?;
        let site = self.site(begun.call, key_prefix.is_some());
        let call = |reply| Call::SpawnGroup { members, key_prefix, join, site, reply };
        self.made(begun, what::SPAWN_GROUP, call).await
    }

    /// Spawns one run and waits for it.
    pub async fn agent_call(&mut self, request: SpawnRequest) -> Result<MemberOutcome, CallError> {
        let begun = self.begin(what::AGENT_CALL, || Asked::agent_call(0, &request).hash).await?;
        let site = self.site(begun.call, request.spawn_key.is_some());
        self.made(begun, what::AGENT_CALL, |reply| Call::AgentCall { request, site, reply }).await
    }

    /// Waits until a group is decided.
    pub async fn join(&mut self, group: GroupId) -> Result<JoinResult, CallError> {
        let begun = self.begin(what::JOIN, || Asked::join(0, group).hash).await?;
        let call = begun.call;
        self.made(begun, what::JOIN, |reply| Call::Join { group, call, reply }).await
    }

    /// Stops a run and everything that it caused.
    pub async fn cancel(&mut self, request: Cancel) -> Result<Cancelled, CallError> {
        let (begun, asked) = self.begin_recorded(what::CANCEL, &request).await?;
        match begun.answer {
            Some(answer) => self.recall(answer).await,
            None => self.answered(asked, |reply| Call::Cancel { request, asked, reply }).await,
        }
    }

    /// Looks at what failed among the children of a run, this one where none is
    /// named, and has a replanner mend it where one is named.
    pub async fn evaluate(
        &mut self,
        run_id: Option<RunId>,
        replanner: Option<Arc<str>>,
        config: Option<Payload>,
    ) -> Result<Evaluation, CallError> {
        let (begun, asked) = self.begin_recorded(what::EVALUATE, &(run_id, &replanner, &config)).await?;
        if let Some(answer) = begun.answer {
            return self.recall(answer).await;
        }
        let site = CallSite { call: begun.call, keyless: self.keyless };
        self.answered(asked, |reply| Call::Evaluate { run_id, replanner, config, site, asked, reply }).await
    }

    /// The tree from a run down, as JSON.
    pub async fn query(&mut self, query: Query) -> Result<Payload, CallError> {
        let (begun, asked) = self.begin_recorded(what::QUERY, &query).await?;
        match begun.answer {
            // A tree may be longer than what a guest may hand over.
            Some(answer) => self.recall::<Box<RawValue>>(answer).await.map(Payload::from_log),
            None => self.answered(asked, |reply| Call::Query { query, asked, reply }).await,
        }
    }

    /// What is left of the budget that this run draws on: never refused, and
    /// nothing for a run that is being cancelled.
    pub async fn remaining_budget(&mut self) -> Budget {
        const WHAT: &str = what::REMAINING_BUDGET;
        let nothing = Budget::from_limits(|_| Some(0));
        if self.is_gone() {
            return nothing;
        }
        self.charged();
        let begun = self.begin_unrefused(WHAT, || NO_ARGUMENTS).await;
        let asked = Asked { call: begun.call, what: WHAT, hash: NO_ARGUMENTS };
        let budget = match begun.answer {
            Some(answer) => self.recall(answer).await,
            None => self.answered(asked, |reply| Call::RemainingBudget { asked, reply }).await,
        };
        budget.unwrap_or(nothing)
    }

    /// Begins a call of which every answer is recorded.
    pub(super) async fn begin_recorded<T: Serialize>(
        &mut self,
        what: &'static str,
        arguments: &T,
    ) -> Result<(Begun, Asked), CallError> {
        let hash = journal::hash(arguments);
        let begun = self.begin(what, || hash).await?;
        let asked = Asked { call: begun.call, what, hash };
        Ok((begun, asked))
    }

    /// The place of a spawn among all calls, and among those without a key of
    /// their own.
    pub(super) fn site(&mut self, call: u32, has_key: bool) -> CallSite {
        let keyless = self.keyless;
        if !has_key {
            self.keyless = keyless.saturating_add(1);
        }
        CallSite { call, keyless }
    }

    /// Asks what only an error is recorded of.
    pub(super) async fn made<T>(
        &mut self,
        begun: Begun,
        what: &'static str,
        call: impl FnOnce(Reply<T>) -> Call,
    ) -> Result<T, CallError> {
        if let Some(answer) = begun.answer {
            return Err(self.recall_error(answer).await);
        }
        let answer = self.ask(begun.is_past, call).await;
        if let Err(error) = &answer {
            self.count(bytes_of::<()>(what, &Err(error.clone())));
        }
        answer
    }

    /// Asks what the engine records the answer of.
    pub(super) async fn answered<T: Serialize>(
        &mut self,
        asked: Asked,
        call: impl FnOnce(Reply<T>) -> Call,
    ) -> Result<T, CallError> {
        // Of a call that is known to be past, the answer is known too.
        let answer = self.ask(false, call).await;
        self.count(bytes_of(asked.what, &answer));
        answer
    }
}
