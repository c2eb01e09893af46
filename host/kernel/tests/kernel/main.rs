//! What holds the kernel to `docs/semantics.md`, one module per behaviour.
//!
//! Nothing here reaches into the kernel: it is asked as the engine asks it, and
//! judged by its answers and by its log.

mod admission;
mod budget;
mod cancel;
mod fallback;
mod fold;
mod golden;
mod group;
mod idempotency;
mod join;
mod late;
mod limits;
mod node;
mod notice;
mod parent_close;
mod plan;
mod properties;
mod query;
mod ready;
mod recovery;
mod replan;
mod replay;
mod retry;
mod scene;
mod scopes;
mod simulated;
mod simulation;
mod snapshot;
mod telling;
mod timeouts;
mod verdicts;
