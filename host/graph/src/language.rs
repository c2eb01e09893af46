//! The JSON Schema of the language, made from the types that files are read with.
//! Editors complete and check graphs by it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::spec::{Edge, Node, SPEC_VERSION, Settings, Task};

/// The schema, in draft 2020-12.
pub fn json_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let settings = Settings::json_schema(&mut generator).to_value();
    let (node, edge, task) =
        (generator.subschema_for::<Node>(), generator.subschema_for::<Edge>(), generator.subschema_for::<Task>());
    let mut definitions = generator.take_definitions(true);
    leave_out_empty(&mut definitions);
    let mut properties = settings.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(version) = properties.get_mut("spec_version").and_then(Value::as_object_mut) {
        version.insert("const".into(), SPEC_VERSION.into());
    }
    let id = json!({"pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"});
    let parts = [
        (
            "nodes",
            json!({"description": "The nodes, by their ids.", "type": "object", "propertyNames": id, "additionalProperties": node}),
        ),
        ("edges", json!({"description": "The ways between nodes.", "type": "array", "items": edge})),
        (
            "tasks",
            json!({"description": "In place of nodes and edges: agents, each with the tasks that it needs.", "type": "array", "items": task}),
        ),
    ];
    properties.extend(parts.map(|(name, part)| (name.to_owned(), part)));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:pleach:graph:{SPEC_VERSION}"),
        "title": format!("Pleach graph {SPEC_VERSION}"),
        "description": "Agents, and in which order they run: nodes and the edges between them, or tasks.",
        "type": "object",
        "properties": properties,
        "required": ["spec_version"],
        "oneOf": [
            {"required": ["nodes"], "not": {"required": ["tasks"]}},
            {"required": ["tasks"], "not": {"anyOf": [{"required": ["nodes"]}, {"required": ["edges"]}]}},
        ],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// `join:` with nothing below it is a join of which everything is left out.
fn leave_out_empty(definitions: &mut Map<String, Value>) {
    let may_be_empty = |definitions: &Map<String, Value>, reference: &str| {
        let name = reference.rsplit('/').next().unwrap_or_default();
        definitions.get(name).is_some_and(|kind| kind.get("required").is_none())
    };
    let known = definitions.clone();
    let kinds = definitions.get_mut("Node").and_then(|node| node.get_mut("oneOf")).and_then(Value::as_array_mut);
    let bodies = kinds.into_iter().flatten().filter_map(|kind| kind.get_mut("properties")?.as_object_mut());
    for body in bodies.flat_map(|properties| properties.values_mut()) {
        if body.get("$ref").and_then(Value::as_str).is_some_and(|reference| may_be_empty(&known, reference)) {
            *body = json!({"anyOf": [body, {"type": "null"}]});
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::schema::Schema;
    use crate::source::Source;

    use super::*;

    /// What stands in a file, as the schema sees it.
    fn json_of(text: &str) -> Value {
        crate::tree::parse(&Source::new("g", text), &mut crate::diagnostic::Diagnostics::default())
            .expect("it parses")
            .json()
    }

    fn fits(text: &str) -> Result<(), String> {
        static SCHEMA: std::sync::LazyLock<Schema> =
            std::sync::LazyLock::new(|| Schema::compile(&json_schema()).expect("a schema"));
        SCHEMA.check(&json_of(text))
    }

    const GRAPHS: [&str; 3] = [
        "spec_version: \"2.0\"\ntasks:\n- {id: a, agent: x, retry: {max_attempts: 3, backoff: exponential}}\n- {id: b, agent: y, needs: [a]}\n",
        "spec_version: \"2.0\"\nname: g\npolicy: {max_fanout: 3}\nnodes:\n  g: {spawn_group: {targets: [{target: a, scopes: ['fs.read:x']}]}}\n  j:\n    join:\n  o: {output: {value: [\"${{ nodes.j.output }}\"]}}\nedges:\n- {from: g, to: j}\n- {from: j, to: o}\n",
        "spec_version: \"2.0\"\nnodes:\n  m: {map: {over: input.l, target: a, window: 3}}\n  j: {join: {mode: first_success, timeout_ms: 5}}\n  k: {judge: {score: nodes.j.output.success_count, threshold: 0.5}}\n  r: {router: {route_key: input.k, routes: [{name: x, equals: 1}]}}\n  p: {replan: {when: failed > 1, max_replans: 2}}\n  c: {cancel_subtree: {node: m}}\n  e: {output: {error: {code: bad, message: no}}}\nedges:\n- {from: m, to: j}\n- {from: j, to: k}\n- {from: k.pass, to: r}\n- {from: k.fail, to: p}\n- {from: p.replan, to: m}\n- {from: p.continue, to: e}\n- {from: r, to: c}\n",
    ];

    #[test]
    fn a_graph_that_compiles_fits_the_schema() {
        for text in GRAPHS {
            let compiled = crate::compile(&Source::new("g", text));
            assert_eq!(compiled.into_plan().map(drop).map_err(|wrong| format!("{wrong:?}")), Ok(()), "{text}");
            assert_eq!(fits(text), Ok(()), "{text}");
        }
    }

    /// Every file in a folder that says which version of the language it is in.
    fn graphs(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                graphs(&path, into);
            } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "json") {
                let text = std::fs::read_to_string(&path).expect("a file");
                into.extend(text.contains("spec_version").then_some(text));
            }
        }
    }

    #[test]
    fn every_example_fits_the_schema() {
        let mut all: Vec<String> = GRAPHS.map(str::to_owned).into();
        graphs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"), &mut all);
        for text in all {
            assert_eq!(fits(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_misshapen_does_not_fit_and_does_not_compile() {
        for text in [
            "nodes: {}",
            "spec_version: 2.0\nnodes: {}",
            "spec_version: \"2.1\"\nnodes: {}",
            "spec_version: \"2.0\"",
            "spec_version: \"2.0\"\nnodes: {}\ntasks: []",
            "spec_version: \"2.0\"\ntasks: []\nedges: []",
            "spec_version: \"2.0\"\nnodes: {a: {spawnrun: {target: x}}}",
            "spec_version: \"2.0\"\nnodes: {a: {spawn_run: {}}}",
            "spec_version: \"2.0\"\nnodes: {a: {spawn_run: {target: x}, join: {}}}",
            "spec_version: \"2.0\"\nnodes: {a: {spawn_run: {target: x, tiemout_ms: 3}}}",
            "spec_version: \"2.0\"\nnodes: {a: {join: {mode: most}}}",
            "spec_version: \"2.0\"\nnodes: {'a b': {join: {}}}",
            "spec_version: \"2.0\"\nnodes: {}\nedges: [{from: a}]",
            "spec_version: \"2.0\"\ntasks: [{agent: a}]",
            "spec_version: \"2.0\"\ntasks: [{id: a, agent: b, retry: {max_attempts: -1}}]",
        ] {
            assert!(fits(text).is_err(), "{text}");
            assert!(crate::compile(&Source::new("g", text)).into_plan().is_err(), "{text}");
        }
    }

    #[test]
    fn the_schema_that_is_shipped_is_the_one_of_this_version() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/graph.schema.json");
        let shipped = std::fs::read_to_string(path).expect("the schema is shipped");
        let made = serde_json::to_string_pretty(&json_schema()).expect("JSON");
        assert!(shipped.trim_end() == made, "`pleach graph schema --output docs/graph.schema.json` makes it anew");
    }
}
