//! From a module to a component: encoding it, holding it to the contract, and
//! writing its name into it. Where the module came from is not known here.

use std::fmt;

use anyhow::{Context as _, bail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm, OutputToString, WitPrinter};
use wit_parser::{PackageId, Resolve};

/// The contract that this program was built with.
const CONTRACT: &str = include_str!("../../../../../wit/plugin.wit");

/// The custom section that says what a plugin calls itself. Whoever publishes a
/// component reads the same section.
const SECTION: &str = "pleach:plugin";

/// What a plugin says about itself.
#[derive(Serialize)]
pub struct About<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: Option<&'a str>,
}

/// A world of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Agent,
    Judge,
    Router,
    Replanner,
}

impl World {
    const ALL: [Self; 4] = [Self::Agent, Self::Judge, Self::Router, Self::Replanner];

    /// The world's name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Judge => "judge",
            Self::Router => "router",
            Self::Replanner => "replanner",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Make a component of a module, and find the world that it targets.
pub fn from_module(module: &[u8], about: &About<'_>) -> anyhow::Result<(Vec<u8>, World)> {
    let mut component = ComponentEncoder::default().validate(true).module(module)?.encode()?;
    append_section(&mut component, SECTION, &serde_json::to_vec(about)?);
    let world = world(&component)?;
    Ok((component, world))
}

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Whether two components import and export the same things.
pub fn same_contract(one: &[u8], other: &[u8]) -> anyhow::Result<bool> {
    Ok(contract_of(one)? == contract_of(other)?)
}

/// The version of wit-component in this program, which it writes into every
/// component that it encodes.
pub fn encoder_version() -> anyhow::Result<String> {
    // A component's list of producers holds pairs of length-prefixed text. An
    // empty module brings none of its own, so there is just one.
    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";
    const NAME: &[u8] = b"wit-component";
    let component = ComponentEncoder::default().module(EMPTY)?.encode()?;
    let version = || {
        let at = component.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
        let length = usize::from(*component.get(at)?);
        std::str::from_utf8(component.get(at + 1..at + 1 + length)?).ok()
    };
    Ok(version().context("wit-component no longer names itself in what it encodes")?.to_owned())
}

/// The world that a component targets: all it imports is in it, and all it has
/// to export is there.
fn world(component: &[u8]) -> anyhow::Result<World> {
    let (contract, package) = contract()?;
    let mut reasons = Vec::new();
    for world in World::ALL {
        let id = contract.select_world(&[package], Some(world.as_str()))?;
        match wit_component::targets(&contract, id, component) {
            Ok(()) => return Ok(world),
            Err(error) => reasons.push(format!("  {world}: {}", reason(&error))),
        }
    }
    bail!(
        "it targets none of the contract's worlds: export what one of them asks for, and import nothing that it \
         does not offer\n{}",
        reasons.join("\n")
    )
}

/// What the validator found, without what it calls our question and without a
/// place in a component that nobody sees.
fn reason(error: &anyhow::Error) -> String {
    let text = error.root_cause().to_string();
    let last = text.lines().last().unwrap_or_default();
    last.split(" (at offset").next().unwrap_or(last).to_owned()
}

fn contract() -> anyhow::Result<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", CONTRACT).context("reading the plugin contract")?;
    Ok((resolve, package))
}

/// A component's imports and exports as WIT text.
fn contract_of(component: &[u8]) -> anyhow::Result<String> {
    let decoded = wit_component::decode(component).context("reading the component's imports and exports")?;
    let package = match &decoded {
        DecodedWasm::Component(resolve, world) => {
            resolve.worlds[*world].package.context("the component's world has no package")?
        }
        DecodedWasm::WitPackage(_, package) => *package,
    };
    let mut printer = WitPrinter::new(OutputToString::default());
    printer.print(decoded.resolve(), package, &[])?;
    Ok(printer.output.to_string())
}

/// Append a custom section: its number, its size, its name and what it holds.
fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = leb128(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    component.push(0);
    component.extend(leb128(body.len()));
    component.extend(body);
}

/// An unsigned number as WebAssembly writes it: seven bits a byte, lowest first.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_seven_bits_a_byte() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [127]);
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), empty);
    }

    #[test]
    fn the_encoder_knows_its_version() {
        let version = encoder_version().unwrap();
        assert!(version.split('.').count() == 3 && version.starts_with("0."), "{version}");
    }

    #[test]
    fn every_world_is_in_the_contract() {
        let (contract, package) = contract().unwrap();
        for world in World::ALL {
            assert!(contract.select_world(&[package], Some(world.as_str())).is_ok(), "{world}");
        }
    }

    #[test]
    fn a_component_that_exports_nothing_targets_no_world() {
        let empty = b"\0asm\x0d\0\x01\0";
        let error = world(empty).unwrap_err().to_string();
        assert!(error.contains("targets none of the contract's worlds"), "{error}");
        assert!(error.ends_with("  replanner: missing export named `replan`"), "{error}");
    }
}
