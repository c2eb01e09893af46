//! Looking at a component before anything of it runs: which plugin it is, and
//! whether this host could run it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pleach_kernel::Role;
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload as Part, Validator};
use wasmtime::Engine;
use wit_parser::decoding::{self, DecodedWasm};

use crate::config::GuestLimits;
use crate::contract;
use crate::error::Error;
use crate::load::digest_of;

/// The custom section that names a plugin.
const METADATA_SECTION: &str = "pleach:plugin";

/// The longest such section.
const METADATA_BYTES: usize = 64 << 10;

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub role: Role,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: Arc<str>,
    /// In bytes.
    pub size: usize,
    /// None where it was not built by `pleach plugin build`.
    pub metadata: Option<Metadata>,
    /// Interfaces and functions, sorted.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// What the custom section `pleach:plugin` holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub description: String,
}

/// Looks at a component. `engine` says which WebAssembly there is.
pub(crate) fn inspect(bytes: &[u8], engine: &Engine, limits: &GuestLimits) -> Result<Inspection, Error> {
    if bytes.len() > limits.component_bytes {
        return Err(Error::TooLarge { bytes: bytes.len(), limit: limits.component_bytes });
    }
    let metadata = read_metadata(bytes)?;
    Validator::new_with_features(engine.get_wasm_features())
        .validate_all(bytes)
        .map_err(|error| Error::NotAComponent { found: format!("one that is not valid here: {error}") })?;
    // The decoder is made for components that tools wrote. Whatever else is
    // valid and makes it panic is refused like the rest.
    let decoded = catch_unwind(AssertUnwindSafe(|| decoding::decode(bytes)))
        .map_err(|_| Error::NotAComponent { found: "one whose types cannot be told".into() })?
        .map_err(|error| Error::NotAComponent { found: format!("one whose types cannot be told: {error:#}") })?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(Error::NotAComponent { found: "a WIT package in binary form".into() });
    };
    let role = contract::check(&resolve, world)?;
    let (imports, exports) = contract::names(&resolve, world);
    Ok(Inspection { role, digest: digest_of(bytes), size: bytes.len(), metadata, imports, exports })
}

/// Makes sure that the bytes are a component, and finds the plugin's name.
fn read_metadata(bytes: &[u8]) -> Result<Option<Metadata>, Error> {
    let not_wasm = |what: String| Error::NotAComponent { found: what };
    if bytes.is_empty() {
        return Err(not_wasm("an empty file".into()));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(not_wasm("something that is no WebAssembly: it does not begin with `\\0asm`".into()));
    }
    let mut metadata = None;
    let mut depth = 0_u32;
    for part in Parser::new(0).parse_all(bytes) {
        match part.map_err(|error| not_wasm(format!("WebAssembly that is damaged: {error}")))? {
            Part::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(not_wasm(
                    "a core module; turn it into a component, which `pleach plugin build` does".into(),
                ));
            }
            Part::ModuleSection { .. } | Part::ComponentSection { .. } => depth += 1,
            Part::End(_) => depth = depth.saturating_sub(1),
            Part::CustomSection(section) if depth == 0 && section.name() == METADATA_SECTION => {
                metadata = Some(parse_metadata(section.data())?);
            }
            _ => {}
        }
    }
    Ok(metadata)
}

fn parse_metadata(json: &[u8]) -> Result<Metadata, Error> {
    if json.len() > METADATA_BYTES {
        let why = format!("it has {} bytes, and at most {METADATA_BYTES} are read", json.len());
        return Err(Error::Metadata { why });
    }
    serde_json::from_slice(json).map_err(|error| Error::Metadata { why: error.to_string() })
}
