//! Components that are no plugins: each is refused, and told what was expected
//! and what was found.

use pleach_kernel::Role;
use pleach_sandbox::{Error, GuestLimits};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::fake::{component, error, load, run, sandbox};

const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");

/// A component for a world in a package beside the contract's; what it exports
/// traps.
fn built(world: &str) -> Vec<u8> {
    built_with("", world)
}

fn built_with(interfaces: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("plugin.wit", CONTRACT).unwrap();
    let text = format!("package test:it;\n{interfaces}\nworld it {{ {world} }}");
    let package = resolve.push_str("it.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

const AGENT_ERROR: &str =
    "record agent-error { code: string, message: string, retryable: bool, details: option<string> }";
const RUN: &str = "export run: func(input: string) -> result<string, agent-error>;";

fn refused(bytes: &[u8]) -> (Error, String) {
    let error = sandbox(GuestLimits::default()).inspect(bytes).expect_err("it was taken for a plugin");
    let text = error.to_string();
    (error, text)
}

#[test]
fn what_is_no_component_is_refused() {
    let (_, text) = refused(b"");
    assert!(text.contains("an empty file"), "{text}");
    let (_, text) = refused(b"#!/bin/sh\n");
    assert!(text.contains("no WebAssembly"), "{text}");
    let (_, text) = refused(b"\0asm\x01\0\0\0");
    assert!(text.contains("core module") && text.contains("pleach plugin build"), "{text}");
    let mut damaged = component("echo");
    damaged.truncate(damaged.len() / 2);
    let (_, text) = refused(&damaged);
    assert!(text.contains("damaged") || text.contains("not valid"), "{text}");
}

#[test]
fn an_empty_component_targets_no_world() {
    let (error, text) = refused(b"\0asm\x0d\0\x01\0");
    assert!(matches!(error, Error::WrongWorld { .. }));
    assert!(text.contains("no exports") && text.contains("run (agent)"), "{text}");
}

#[test]
fn a_component_of_another_world_is_refused() {
    let (error, text) = refused(&built("export start: func();"));
    assert!(matches!(error, Error::WrongWorld { .. }));
    assert!(text.contains("found start"), "{text}");

    let (error, text) = refused(&built("export run: func(input: u32) -> string;"));
    assert!(matches!(error, Error::WrongWorld { .. }));
    assert!(text.contains("func(input: u32) -> string") && text.contains("func(input: string)"), "{text}");

    let (_, text) = refused(&built("export run: func(); export judge: func();"));
    assert!(text.contains("several worlds"), "{text}");
}

#[test]
fn what_the_host_does_not_offer_is_named() {
    let other = "interface other { go: func(); }";
    let (error, text) = refused(&built_with(other, &format!("import other; {AGENT_ERROR} {RUN}")));
    assert!(matches!(error, Error::UnknownImports { .. }));
    assert!(text.contains("`test:it/other`") && text.contains("pleach:plugin/files@0.1.0"), "{text}");

    let (_, text) = refused(&built(&format!("import go: func(); {AGENT_ERROR} {RUN}")));
    assert!(text.contains("the function `go`"), "{text}");
}

#[test]
fn a_judge_is_offered_less_than_an_agent() {
    let judge = "
        import pleach:plugin/files@0.1.0;
        record judge-request { subject: string, criteria: string, seed: u64 }
        enum outcome { pass, fail }
        record verdict { outcome: outcome, score: option<f64>, rationale: string }
        record judge-error { code: string, message: string, retryable: bool, details: option<string> }
        export judge: func(request: judge-request) -> result<verdict, judge-error>;";
    let (_, text) = refused(&built(judge));
    assert!(text.contains("`judge`") && text.contains("`pleach:plugin/files@0.1.0`"), "{text}");
    let plain = judge.replace("import pleach:plugin/files@0.1.0;", "import pleach:plugin/log@0.1.0;");
    let found = sandbox(GuestLimits::default()).inspect(&built(&plain)).unwrap();
    assert_eq!(found.role, Role::Judge);
}

#[test]
fn a_component_that_is_too_large_is_refused_before_it_is_read() {
    let sandbox = sandbox(GuestLimits { component_bytes: 100, ..GuestLimits::default() });
    let error = sandbox.inspect(&component("echo")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 100, .. }), "{error}");
}

#[tokio::test]
async fn an_agent_that_imports_everything_starts() {
    let world = format!(
        "
        import pleach:plugin/context@0.1.0; import pleach:plugin/clock@0.1.0; import pleach:plugin/log@0.1.0;
        import pleach:plugin/orchestration@0.1.0; import pleach:plugin/files@0.1.0;
        import pleach:plugin/progress@0.1.0; {AGENT_ERROR} {RUN}"
    );
    let sandbox = sandbox(GuestLimits::default());
    let bytes = built(&world);
    let found = sandbox.inspect(&bytes).unwrap();
    assert_eq!((found.role, found.size, &found.metadata), (Role::Agent, bytes.len(), &None));
    assert!(found.imports.contains(&"pleach:plugin/orchestration@0.1.0".to_owned()));
    assert_eq!(found.exports, ["run"]);
    let plugin = load(&sandbox, bytes).await;
    assert_eq!(&*error(run(&sandbox, &plugin, &serde_json::json!(1)).await).code, "trap");
}

#[test]
fn what_a_component_says_of_itself_is_read() {
    let sandbox = sandbox(GuestLimits::default());
    let found = sandbox.inspect(&component("echo")).unwrap();
    let metadata = found.metadata.expect("the section `pleach:plugin`");
    assert_eq!(metadata.name, "echo");
    assert!(!metadata.version.is_empty());
    assert!(found.digest.starts_with("sha256:") && found.digest.len() == 71);

    // A custom section: id 0, its size, the length of its name, the name.
    let section = |data: &[u8]| {
        let name = b"pleach:plugin";
        let size = u8::try_from(1 + name.len() + data.len()).unwrap();
        [b"\0asm\x0d\0\x01\0", &[0, size, 13][..], name, data].concat()
    };
    let error = sandbox.inspect(&section(b"{nope")).unwrap_err();
    assert!(matches!(error, Error::Metadata { .. }), "{error}");
}
