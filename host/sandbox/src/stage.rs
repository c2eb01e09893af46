//! Spans for what a guest's time goes into, under the target `pleach::stage`. They
//! cost nothing unless somebody listens; `pleach-bench stages` does.

use tracing::Span;

/// Making the store and the instance.
pub(crate) fn instantiate() -> Span {
    tracing::trace_span!(target: "pleach::stage", "instantiate")
}

/// The guest's own code, and the host's side of its calls.
pub(crate) fn call() -> Span {
    tracing::trace_span!(target: "pleach::stage", "call")
}

/// Taking the store apart, and clearing what the guest has left.
pub(crate) fn drop() -> Span {
    tracing::trace_span!(target: "pleach::stage", "drop")
}
