//! Spawning one run: a request put together step by step, and sent.

use serde::Serialize;

use crate::bindings::agent::pleach::plugin::orchestration as host;
use crate::{
    Backoff, Budget, CallError, CallResult, Error, Grant, ParentClose, Priority, RetryPolicy, SpawnRequest, Spawned,
    json,
};

/// A run to spawn. Nothing is granted, and nothing limited, unless said.
///
/// ```no_run
/// # fn main() -> Result<(), pleach_sdk::Error> {
/// use pleach_sdk::Spawn;
/// let child = Spawn::of("reviewer")
///     .input(&serde_json::json!({"paths": ["repo/src/"]}))?
///     .can_use(["fs.read:repo/src/*"])
///     .timeout_ms(30_000)
///     .start()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is started, called or put into a group"]
pub struct Spawn {
    request: SpawnRequest,
}

impl Spawn {
    /// A run of `target`, which is `name` or `name@requirement`; its input is
    /// `null` until said otherwise.
    pub fn of(target: impl Into<String>) -> Self {
        Self {
            request: SpawnRequest {
                target: target.into(),
                input: "null".to_owned(),
                spawn_key: None,
                scopes: None,
                timeout_ms: None,
                retry: None,
                budget: None,
                parent_close: None,
                priority: None,
            },
        }
    }

    /// What the child is called with. Fails where that has no JSON form or is
    /// over the size limit.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Result<Self, Error> {
        self.request.input = json::text("the input of a child", input)?;
        Ok(self)
    }

    /// What the child is called with, as the text that is sent.
    pub fn input_text(mut self, input: impl Into<String>) -> Self {
        self.request.input = input.into();
        self
    }

    /// Make the spawn idempotent: the same key and request give the same run.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.request.spawn_key = Some(key.into());
        self
    }

    /// Scopes that the child may use, added to those said before.
    pub fn can_use<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.grant().can_use.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Scopes that the child may hand on, added to those said before.
    pub fn can_delegate<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.grant().can_delegate.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// How long the child has, over all its tries.
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.request.timeout_ms = Some(timeout_ms);
        self
    }

    /// How often a failed try is repeated.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.request.retry = Some(retry);
        self
    }

    /// What the child may spend at most.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.request.budget = Some(budget);
        self
    }

    /// What becomes of the child where it outlives this run.
    pub fn parent_close(mut self, parent_close: ParentClose) -> Self {
        self.request.parent_close = Some(parent_close);
        self
    }

    /// Which ready run goes first.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.request.priority = Some(priority);
        self
    }

    /// Spawn the run and go on. The answer says which run it is.
    pub fn start(&self) -> Result<Spawned, CallError> {
        host::spawn_run(&self.request)
    }

    /// Spawn the run and wait for it. A child that failed is not an error of
    /// this call: see [`CallResult::completed`].
    ///
    /// Fails with `invalid_argument` where the request says something that a
    /// synchronous call has no place for: how the child is closed, which goes
    /// with a parent that does not wait, or its priority.
    pub fn call(self) -> Result<CallResult, CallError> {
        let request = self.request;
        if request.parent_close.is_some() || request.priority.is_some() {
            return Err(CallError::Failed(crate::Failure {
                code: "invalid_argument".to_owned(),
                message: "a call that waits takes neither `parent_close` nor `priority`: \
                          leave them out, or spawn and join"
                    .to_owned(),
                retryable: false,
            }));
        }
        host::agent_call(&crate::CallRequest {
            target: request.target,
            input: request.input,
            spawn_key: request.spawn_key,
            scopes: request.scopes,
            timeout_ms: request.timeout_ms,
            retry: request.retry,
            budget: request.budget,
        })
    }

    /// The request as the contract has it.
    pub fn into_request(self) -> SpawnRequest {
        self.request
    }

    fn grant(&mut self) -> &mut Grant {
        self.request.scopes.get_or_insert_with(|| Grant { can_use: Vec::new(), can_delegate: Vec::new() })
    }
}

impl From<SpawnRequest> for Spawn {
    fn from(request: SpawnRequest) -> Self {
        Self { request }
    }
}

impl RetryPolicy {
    /// Up to `max_attempts` tries, `wait_ms` apart.
    pub fn fixed(max_attempts: u32, wait_ms: u64) -> Self {
        Self { max_attempts, backoff: Backoff::Fixed, initial_ms: wait_ms, max_ms: wait_ms, jitter: 0.0 }
    }

    /// Up to `max_attempts` tries, the waits between them doubling from
    /// `initial_ms` to `max_ms`, with some jitter.
    pub fn exponential(max_attempts: u32, initial_ms: u64, max_ms: u64) -> Self {
        Self { max_attempts, backoff: Backoff::Exponential, initial_ms, max_ms, jitter: 0.2 }
    }
}

impl Budget {
    /// A budget that limits nothing; set the amounts that matter.
    pub fn unlimited() -> Self {
        Self { tokens: None, cost_microusd: None, wall_ms: None, cpu_ms: None, host_calls: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_grants_and_limits_nothing() {
        let request = Spawn::of("echo").into_request();
        assert_eq!(request.target, "echo");
        assert_eq!(request.input, "null");
        assert_eq!(request.scopes, None);
        assert_eq!(request.timeout_ms, None);
    }

    #[test]
    fn scopes_add_up_and_use_stays_apart_from_delegation() {
        let request = Spawn::of("lead")
            .can_use(["fs.read:a/*"])
            .can_delegate(["fs.read:b/*"])
            .can_use(["spawn:reviewer".to_owned()])
            .into_request();
        let grant = request.scopes.unwrap();
        assert_eq!(grant.can_use, ["fs.read:a/*", "spawn:reviewer"]);
        assert_eq!(grant.can_delegate, ["fs.read:b/*"]);
    }

    #[test]
    fn a_call_refuses_what_only_a_spawn_can_do() {
        let error = Spawn::of("echo").parent_close(ParentClose::Wait).call().unwrap_err();
        assert_eq!(error.code(), "invalid_argument");
    }

    #[test]
    fn an_input_that_is_too_large_is_refused_before_it_is_sent() {
        let error = Spawn::of("echo").input(&"x".repeat(json::MAX_BYTES)).unwrap_err();
        assert_eq!(error.code, "payload_too_large");
    }
}
