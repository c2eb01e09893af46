//! The plugin contract, `wit/plugin.wit`, held against a component: which world
//! it targets, and whether it wants anything that there is not.
//!
//! A component may import less than its world, and any WASI 0.2 but HTTP. What
//! it takes from `pleach:plugin` has to have the very types of the contract.

use std::sync::LazyLock;

use pleach_kernel::Role;
use wit_parser::{Function, Resolve, WorldId, WorldItem, WorldKey};

use crate::error::Error;
use crate::role::{ROLES, export_of};
use crate::shape::shape_of_function;

const CONTRACT: &str = include_str!("../../../wit/plugin.wit");
const PACKAGE: &str = "pleach:plugin/";

/// What an error shows of a component: so much of one name or type, and so many
/// names.
const SHOWN_BYTES: usize = 1 << 10;
const SHOWN_NAMES: usize = 16;

/// The interfaces of WASI 0.2 that are linked, without their versions.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The contract as it was parsed, or why it could not be.
static PARSED: LazyLock<Result<Resolve, String>> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    resolve.push_source("plugin.wit", CONTRACT).map_err(|error| format!("{error:#}"))?;
    Ok(resolve)
});

/// The role of a component, if it keeps to the contract.
pub(crate) fn check(found: &Resolve, world: WorldId) -> Result<Role, Error> {
    let contract = PARSED.as_ref().map_err(|why| Error::Setup { what: "reading wit/plugin.wit", why: why.clone() })?;
    let role = role_of(found, world)?;
    let worlds = contract.worlds.iter();
    let ours = worlds.into_iter().find(|(_, world)| world.name == role.as_str()).map(|(id, _)| id);
    let ours = ours.ok_or_else(|| Error::Setup { what: "reading wit/plugin.wit", why: "a world is missing".into() })?;
    check_export(contract, ours, found, world, role)?;
    check_imports(contract, ours, found, world, role)?;
    Ok(role)
}

/// The names of what a component imports and exports, sorted.
pub(crate) fn names(resolve: &Resolve, world: WorldId) -> (Vec<String>, Vec<String>) {
    let world = &resolve.worlds[world];
    let sorted = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| {
        let items = items.filter(|(_, item)| !matches!(item, WorldItem::Type { .. }));
        let mut names: Vec<String> = items.map(|(key, _)| name_of(resolve, key)).collect();
        names.sort();
        names
    };
    (sorted(&mut world.imports.iter()), sorted(&mut world.exports.iter()))
}

fn name_of(resolve: &Resolve, key: &WorldKey) -> String {
    match key {
        WorldKey::Name(name) => name.clone(),
        WorldKey::Interface(id) => resolve.id_of(*id).unwrap_or_else(|| "an interface without a name".into()),
    }
}

fn role_of(found: &Resolve, world: WorldId) -> Result<Role, Error> {
    let exports = &found.worlds[world].exports;
    let exported = |role: &Role| exports.contains_key(&WorldKey::Name(export_of(*role).into()));
    let roles: Vec<Role> = ROLES.into_iter().filter(exported).collect();
    let wrong = |why: &str| Error::WrongWorld {
        why: why.into(),
        expected: "one of the exports run (agent), judge, route (router), replan (replanner)".into(),
        found: match names(found, world).1 {
            exports if exports.is_empty() => "no exports".into(),
            exports => shown(exports.join(", ")),
        },
    };
    match roles[..] {
        [role] => Ok(role),
        [] => Err(wrong("it exports none of the functions that make a plugin")),
        _ => Err(wrong("it exports the functions of several worlds")),
    }
}

fn check_export(contract: &Resolve, ours: WorldId, found: &Resolve, world: WorldId, role: Role) -> Result<(), Error> {
    let key = WorldKey::Name(export_of(role).into());
    let shape = |resolve: &Resolve, world: WorldId| match resolve.worlds[world].exports.get(&key) {
        Some(WorldItem::Function(function)) => shape_of_function(resolve, function),
        _ => "no function".into(),
    };
    let (expected, got) = (shape(contract, ours), shape(found, world));
    if expected == got {
        return Ok(());
    }
    let why = format!("its export `{}` is not that of the world `{}`", export_of(role), role.as_str());
    Err(Error::WrongWorld { why, expected: shown(expected), found: shown(got) })
}

fn check_imports(contract: &Resolve, ours: WorldId, found: &Resolve, world: WorldId, role: Role) -> Result<(), Error> {
    let mut unknown = Vec::new();
    for (key, item) in &found.worlds[world].imports {
        let name = name_of(found, key);
        match item {
            WorldItem::Type { .. } => {}
            WorldItem::Function(_) => unknown.push(format!("the function `{}`", shown(name))),
            WorldItem::Interface { .. } if is_wasi(&name) => {}
            WorldItem::Interface { id, .. } => match interface_of(contract, ours, &name) {
                None => unknown.push(format!("`{}`", shown(name))),
                Some(offered) => {
                    for (function, wanted) in &found.interfaces[*id].functions {
                        check_function(contract, offered.get(function), found, wanted)
                            .map_err(|why| format!("`{name}` {why}"))
                            .unwrap_or_else(|why| unknown.push(why));
                    }
                }
            },
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let more = unknown.len().saturating_sub(SHOWN_NAMES);
    unknown.truncate(SHOWN_NAMES);
    if more > 0 {
        unknown.push(format!("and {more} more"));
    }
    let offered = names(contract, ours).0.join(", ");
    let offered = format!("{offered}, and WASI 0.2 without HTTP");
    Err(Error::UnknownImports { role: role.as_str(), imports: unknown, offered })
}

fn check_function(
    contract: &Resolve,
    offered: Option<&Function>,
    found: &Resolve,
    wanted: &Function,
) -> Result<(), String> {
    let wanted_shape = shape_of_function(found, wanted);
    match offered.map(|function| shape_of_function(contract, function)) {
        None => Err(format!("with a function `{}`", wanted.name)),
        Some(shape) if shape == wanted_shape => Ok(()),
        Some(shape) => Err(format!("with `{}` as {}, which is {}", wanted.name, shown(wanted_shape), shown(shape))),
    }
}

/// A name or a type as an error shows it: a component can make them very long.
fn shown(mut text: String) -> String {
    if text.len() > SHOWN_BYTES {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES));
        text.push('…');
    }
    text
}

/// An interface of `pleach:plugin`, in any version that 0.1.0 is compatible with.
fn interface_of<'a>(
    contract: &'a Resolve,
    world: WorldId,
    name: &str,
) -> Option<&'a wit_parser::IndexMap<String, Function>> {
    let (bare, version) = name.split_once('@')?;
    if !bare.starts_with(PACKAGE) || !version.starts_with("0.1.") {
        return None;
    }
    contract.worlds[world].imports.iter().find_map(|(key, item)| match item {
        WorldItem::Interface { id, .. } if name_of(contract, key).split('@').next() == Some(bare) => {
            Some(&contract.interfaces[*id].functions)
        }
        _ => None,
    })
}

fn is_wasi(name: &str) -> bool {
    name.split_once('@').is_some_and(|(bare, version)| WASI.contains(&bare) && version.starts_with("0.2."))
}
