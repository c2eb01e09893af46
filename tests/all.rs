//! Every test that crosses crates, in one binary.

#[path = "engine/mod.rs"]
mod engine;
mod lasting;
#[path = "parity/mod.rs"]
mod parity;
mod plugins_lock;
mod scene;
#[path = "tidy/mod.rs"]
mod tidy;
