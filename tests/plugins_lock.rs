//! The committed components are what their sources say. No WebAssembly
//! toolchain is needed to know: the lock has the digests of both.

use crate::scene::repository;

#[test]
fn components_and_sources_agree_with_the_lock() {
    let mismatches = pleach_cli::plugin::lock::verify(&repository()).unwrap_or_else(|e| panic!("{e:#}"));
    let shown: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "run `cargo run -- plugin build --all` and commit what changes:\n{}", shown.join("\n"));
}
