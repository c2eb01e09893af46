//! The guests that both sides run: the repository's own, committed and pinned by
//! `plugins/plugins.lock`.

use std::path::Path;

use anyhow::Context as _;

/// The bytes of `tests/guests/NAME/NAME.wasm`.
pub fn component(name: &str) -> anyhow::Result<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/{name}/{name}.wasm"));
    std::fs::read(&file).with_context(|| format!("reading the guest `{}`", file.display()))
}

/// What a child of a fan-out is given and gives back: 100 bytes of JSON.
pub fn hundred_bytes() -> serde_json::Value {
    serde_json::json!({ "text": "x".repeat(89) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_childs_input_has_a_hundred_bytes() {
        assert_eq!(super::hundred_bytes().to_string().len(), 100);
    }
}
