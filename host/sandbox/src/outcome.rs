//! Why a guest did not come back: the host's codes for what stopped it.

use pleach_kernel::{Outcome, RunError};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::rate::cut;
use crate::vitals::Vitals;

/// What is shown of a trap: the reason, and where it happened.
const MESSAGE_BYTES: usize = 2 << 10;
const MESSAGE_LINES: usize = 12;

/// The outcome of a guest that ended with an error of the runtime's.
pub(crate) fn of_error(error: &wasmtime::Error, refused_memory: bool, memory_bytes: usize) -> Outcome {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        let message = format!("the plugin exited with status {status} in place of returning a result");
        return Outcome::Failed(RunError::new("trap", message));
    }
    let code = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => "out_of_fuel",
        Some(Trap::StackOverflow) => "stack_overflow",
        _ if refused_memory => "out_of_memory",
        _ => "trap",
    };
    let mut message = shown(error);
    if code == "out_of_memory" {
        message = format!("the plugin wanted more than its {memory_bytes} bytes of memory: {message}");
    }
    Outcome::Failed(RunError::new(code, message))
}

/// What the host could not do for a guest; another try may go better.
pub(crate) fn host_failure(message: impl Into<String>) -> Outcome {
    let mut error = RunError::new("host_failure", message);
    error.retryable = true;
    Outcome::Failed(error)
}

/// What the outcome of a guest is once it is held to what it did before: one that
/// ends early did not do the same. Where the host's own limits ended it, or the
/// host failed, that is the reason.
pub(crate) fn of_replay(outcome: Outcome, vitals: &Vitals) -> Outcome {
    let how = match &outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Failed(error) if HOSTS_OWN.contains(&&*error.code) => return outcome,
        Outcome::Failed(_) => "failed",
        Outcome::Stopped => return outcome,
    };
    vitals.ended_early(how).map_or(outcome, Outcome::Failed)
}

const HOSTS_OWN: [&str; 5] = ["host_failure", "budget_exhausted", "out_of_fuel", "out_of_memory", "stack_overflow"];

pub(crate) fn out_of_cpu() -> Outcome {
    let message = "nothing is left of the budget `cpu_ms`; give the run, or the tree, a larger one";
    Outcome::Failed(RunError::new("budget_exhausted", message))
}

/// The reason first, then the innermost frames.
fn shown(error: &wasmtime::Error) -> String {
    let chain = error.chain().map(|cause| cause.to_string()).collect::<Vec<_>>();
    let text = chain.into_iter().rev().collect::<Vec<_>>().join("\n");
    let lines: Vec<&str> = text.lines().take(MESSAGE_LINES).collect();
    cut(&lines.join("\n"), MESSAGE_BYTES).to_owned()
}
