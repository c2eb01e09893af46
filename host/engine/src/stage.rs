//! Spans for what a driver's time goes into, under the target `pleach::stage`. They
//! cost nothing unless somebody listens; `pleach-bench stages` does.

use tracing::Span;

/// Admitting and deciding what guests ask for, and what is due by itself.
pub(crate) fn decide() -> Span {
    tracing::trace_span!(target: "pleach::stage", "decide")
}

/// Taking in how a guest ended.
pub(crate) fn settle() -> Span {
    tracing::trace_span!(target: "pleach::stage", "settle")
}

/// Writing events as the log has them.
pub(crate) fn serialise() -> Span {
    tracing::trace_span!(target: "pleach::stage", "serialise")
}

/// Handing them to the store.
pub(crate) fn append() -> Span {
    tracing::trace_span!(target: "pleach::stage", "append")
}

/// Finding places for ready runs, and starting their guests.
pub(crate) fn dispatch() -> Span {
    tracing::trace_span!(target: "pleach::stage", "dispatch")
}
