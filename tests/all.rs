//! Every test that crosses crates, in one binary.

#[path = "engine/mod.rs"]
mod engine;
#[path = "scene.rs"]
mod scene;
