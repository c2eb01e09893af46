//! Allocates and touches memory until the host refuses more. Then it dies of it,
//! or, where `polite`, says how much it got.

use pleach_sdk::Error;
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    polite: bool,
    /// Bytes at a time; 1 MiB unless said otherwise.
    chunk_bytes: Option<usize>,
}

#[derive(Serialize)]
struct Output {
    refused_after_bytes: usize,
}

fn run(input: Input) -> Result<Output, Error> {
    let chunk_bytes = input.chunk_bytes.unwrap_or(1 << 20).max(1);
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut chunk = Vec::new();
        let refused = chunk.try_reserve_exact(chunk_bytes).is_err() || eaten.try_reserve(1).is_err();
        if refused {
            let refused_after_bytes = eaten.len() * chunk_bytes;
            assert!(input.polite, "refused after {refused_after_bytes} bytes");
            return Ok(Output { refused_after_bytes });
        }
        chunk.resize(chunk_bytes, 0xa5);
        eaten.push(chunk);
    }
}
