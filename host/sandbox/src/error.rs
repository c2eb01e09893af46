//! What can go wrong between the host and this crate.
//!
//! How a guest fails is no error of the host's: it is the outcome of its run,
//! see `outcome.rs`. What a guest is refused is in `call.rs`.

use std::path::PathBuf;
use std::sync::Arc;

/// What could not be done, with what, and what to do next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The machine, or the limits that it was given, cannot run guests at all.
    #[error("cannot set up the sandbox: {what}: {why}")]
    Setup { what: &'static str, why: String },

    #[error("the code cache `{}` cannot be used: {why}; name a folder that this user alone can write", path.display())]
    Cache { path: PathBuf, why: String },

    /// The bytes are not WebAssembly, or not valid.
    #[error("not a component: expected a WebAssembly component, found {found}")]
    NotAComponent { found: String },

    #[error(
        "the component has {bytes} bytes and at most {limit} are accepted; strip it, or raise the limit `component_bytes`"
    )]
    TooLarge { bytes: usize, limit: usize },

    /// A component, but of no world of `pleach:plugin`.
    #[error("the component targets no world of pleach:plugin@0.1.0: {why}; expected {expected}, found {found}")]
    WrongWorld { why: String, expected: String, found: String },

    /// It wants something from the host that there is not.
    #[error("the component imports what this host does not offer to a plugin of the role `{role}`: {}; it offers {offered}", imports.join(", "))]
    UnknownImports { role: &'static str, imports: Vec<String>, offered: String },

    /// The section that names the plugin is there and cannot be read.
    #[error("the custom section `pleach:plugin` is not what `pleach plugin build` writes: {why}")]
    Metadata { why: String },

    #[error("the component {digest} does not compile: {why}")]
    Compile { digest: Arc<str>, why: String },

    #[error(
        "compiling the component {digest} takes longer than {seconds} s; it goes on in the background, so try again later, or make the component smaller"
    )]
    CompileTime { digest: Arc<str>, seconds: u64 },

    #[error("the component does not fit the limits of a guest: {why}")]
    Unfit { why: String },

    /// What was handed over under a digest is something else.
    #[error(
        "the bytes of the component {expected} have the digest {found}: they were changed since they were published; publish the plugin again"
    )]
    Digest { expected: Arc<str>, found: Arc<str> },

    /// Whoever holds the component's bytes could not hand them over.
    #[error("the bytes of the component {digest} could not be read: {why}")]
    Bytes { digest: Arc<str>, why: String },

    #[error("the sandbox has been shut down")]
    ShutDown,
}
