//! Agents: JSON in, JSON out.

use pleach_kernel::Payload;
use tracing::Instrument as _;
use wasmtime::Store;

use super::{Answer, output, plugin_error};
use crate::bindings::agent::{AgentError, AgentPre};
use crate::guest::Guest;
use crate::stage;

pub(super) async fn call(pre: &AgentPre<Guest>, store: &mut Store<Guest>, input: &Payload) -> wasmtime::Result<Answer> {
    // Apart, or it would take up more room than the call, for as long as that waits.
    let agent = Box::pin(pre.instantiate_async(&mut *store)).instrument(stage::instantiate()).await?;
    Ok(match agent.call_run(store, &input.as_str().to_owned()).instrument(stage::call()).await? {
        Ok(text) => output(text),
        Err(AgentError { code, message, retryable, details }) => Err(plugin_error(code, message, retryable, details)),
    })
}
