//! `docs/graphs.md`: its tables are made from the types of the language, and every
//! graph on it compiles. `UPDATE_EXPECT=1` writes the tables anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pleach_graph::compile;
use pleach_graph::source::Source;
use pleach_graph::spec::{self, Member};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

fn page() -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/graphs.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (path, text)
}

/// One type as a table: what it is for, and its fields but those that `without` has.
fn table<T: JsonSchema>(without: &[String]) -> String {
    let schema: Value = schema_for!(T).into();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (mut first, mut rest) = (String::new(), String::new());
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if without.contains(name) {
            continue;
        }
        let is_required = required.contains(&name.as_str());
        let told = if is_required { format!("**`{name}`**") } else { format!("`{name}`") };
        let (kind, told_of) = (kind(field, &schema), description(field));
        let line = format!("| {told} | {} | {} |\n", kind.replace('|', "\\|"), told_of.replace('|', "\\|"));
        if is_required { first.push_str(&line) } else { rest.push_str(&line) }
    }
    assert!(!first.is_empty() || !rest.is_empty(), "a table without a field");
    let about = description(&schema);
    format!("{about}\n\n| field | | |\n|---|---|---|\n{first}{rest}")
}

/// The values of one type, and what each means.
fn values<T: JsonSchema>() -> String {
    let schema: Value = schema_for!(T).into();
    let values = schema["oneOf"].as_array().expect("values that are described");
    let lines = values.iter().map(|value| format!("| {} | {} |\n", kind(value, &schema), description(value)));
    format!("| | |\n|---|---|\n{}", lines.collect::<String>())
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn names<T: JsonSchema>() -> Vec<String> {
    let schema: Value = schema_for!(T).into();
    schema["properties"].as_object().expect("fields").keys().cloned().collect()
}

/// What a field takes, in the words of the page.
fn kind(field: &Value, root: &Value) -> String {
    if let Some(path) = field["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap_or_default();
        return match name {
            "Template" => "any JSON, with `${{ }}`".into(),
            "Expression" => "expression".into(),
            "Json" => "any JSON".into(),
            _ => kind(&root["$defs"][name], root),
        };
    }
    if let Some(one) = field["const"].as_str() {
        return format!("`{one}`");
    }
    for several in ["oneOf", "anyOf", "enum"] {
        let Some(several) = field[several].as_array() else { continue };
        let kinds = several.iter().filter(|one| one["type"] != "null").map(|one| match one {
            Value::String(one) => format!("`{one}`"),
            one => match one["enum"].as_array() {
                Some(values) => {
                    values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ")
                }
                None => kind(one, root),
            },
        });
        return kinds.collect::<Vec<_>>().join(", ");
    }
    let types: Vec<&str> = match &field["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    match types.as_slice() {
        ["string"] => "text".into(),
        ["integer"] => "whole number".into(),
        ["number"] => "number".into(),
        ["boolean"] => "`true`, `false`".into(),
        ["array"] => format!("list: {}", kind(&field["items"], root)),
        ["object"] => "map".into(),
        other => panic!("what a field of {other:?} takes has no words yet: {field}"),
    }
}

fn tables() -> BTreeMap<&'static str, String> {
    let target = "target".to_owned();
    // What every run can say stands in a table of its own.
    let of_runs: Vec<String> = names::<Member>().into_iter().filter(|name| *name != target).collect();
    BTreeMap::from([
        ("graph", table::<spec::Settings>(&[])),
        ("policy", table::<spec::LimitsSpec>(&[])),
        ("budget", table::<spec::BudgetSpec>(&[])),
        ("run", table::<Member>(&[target])),
        ("spawn_run", table::<spec::SpawnRun>(&of_runs)),
        ("agent_call", table::<spec::AgentCall>(&of_runs)),
        ("spawn_group", table::<spec::SpawnGroup>(&[])),
        ("map", table::<spec::MapOver>(&of_runs)),
        ("join", table::<spec::Join>(&[])),
        ("router", table::<spec::Router>(&[])),
        ("route", table::<spec::Route>(&[])),
        ("judge", table::<spec::Judge>(&[])),
        ("replan", table::<spec::Replan>(&[])),
        ("cancel_subtree", table::<spec::CancelSubtree>(&[])),
        ("output", table::<spec::Output>(&[])),
        ("error", table::<spec::Failing>(&[])),
        ("edge", table::<spec::Edge>(&[])),
        ("retry", table::<spec::RetrySpec>(&[])),
        ("modes", values::<spec::JoinMode>()),
        ("fairness", values::<spec::Fairness>()),
        ("parent_close", values::<spec::ParentClose>()),
        ("backoff", values::<spec::Backoff>()),
        ("task", table::<spec::Task>(&of_runs)),
    ])
}

#[test]
fn the_tables_of_the_page_say_what_the_types_say() {
    let (path, text) = page();
    let mut tables = tables();
    let mut fresh = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<!-- fields: ") {
        let (name, after) = after.split_once(" -->\n").expect("the mark of a table ends its line");
        let (_, after) = after.split_once("<!-- end -->").expect("a table has an end");
        let table = tables.remove(name).unwrap_or_else(|| panic!("there is no table `{name}`, or it is there twice"));
        fresh.push_str(&format!("{before}<!-- fields: {name} -->\n{table}<!-- end -->"));
        rest = after;
    }
    fresh.push_str(rest);
    assert!(tables.is_empty(), "the page has no place for {:?}", tables.keys());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, fresh).expect("writing the page");
    } else {
        assert!(text == fresh, "docs/graphs.md is not what the types say: run this test with UPDATE_EXPECT=1");
    }
}

/// Kinds of nodes are told apart by their names in the schema of `Node`.
#[test]
fn every_kind_of_node_has_a_section() {
    let (_, text) = page();
    let schema: Value = schema_for!(spec::Node).into();
    let kinds = schema["oneOf"].as_array().expect("kinds");
    let names: Vec<&String> =
        kinds.iter().flat_map(|kind| kind["properties"].as_object().expect("one").keys()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("\n### {name}\n")), "docs/graphs.md has no section `{name}`");
    }
}

#[test]
fn every_graph_of_the_page_compiles_but_the_broken_one() {
    let (_, text) = page();
    let mut compiled = 0;
    for block in text.split("```yaml\n").skip(1) {
        let graph = block.split("```").next().unwrap_or_default();
        let name = graph.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a block says its file");
        if name.ends_with("policy.yaml") {
            continue;
        }
        let text = match name {
            // What `--tasks` takes is a list, to which the command adds the rest.
            "tasks.yaml" => format!("spec_version: \"2.0\"\ntasks:\n{graph}"),
            _ => graph.to_owned(),
        };
        let problems = compile(&Source::new(name, text)).into_plan().err();
        assert_eq!(problems.is_none(), name != "broken.yaml", "{name}: {problems:#?}");
        compiled += 1;
    }
    assert!(compiled >= 8, "{compiled} graphs were found on the page");
}
