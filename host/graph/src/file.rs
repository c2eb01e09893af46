//! File: a graph as its file says it, node by node, before anything is linked.

use std::collections::HashSet;

use crate::at::At;
use crate::diagnostic::{Diagnostic, Diagnostics, most_alike};
use crate::read::read;
use crate::source::{Source, Span};
use crate::spec::{Edge, Node, SPEC_VERSION, Settings, SpawnRun, Task};
use crate::tree::{Entry, Tree, Value, parse};

/// The most nodes of a graph.
pub const MAX_NODES: usize = 100_000;

/// A graph as it was written.
#[derive(Default)]
pub(crate) struct File {
    pub settings: Settings,
    pub nodes: Vec<Named>,
    pub edges: Vec<Edge>,
    /// Whether it is in the short form.
    pub is_tasks: bool,
    /// Nodes that are there and could not be read.
    pub unread: HashSet<String>,
    /// Whether there is an edge that could not be read.
    pub has_unread_edges: bool,
}

/// A node and its name.
pub(crate) struct Named {
    pub id: At<String>,
    pub node: Node,
    /// Whether some of it could not be read: nothing is said of what it lacks.
    pub is_torn: bool,
}

/// The parts that are read one by one.
const PARTS: [&str; 3] = ["nodes", "edges", "tasks"];

/// Reads a file; none where nothing can be made of it. Nodes and edges that cannot
/// be read are told and left out.
pub(crate) fn read_file(source: &Source, found: &mut Diagnostics) -> Option<File> {
    let tree = parse(source, found)?;
    let Value::Map(entries) = tree.value else {
        let message = format!("expected a graph, found {}", tree.value.kind());
        found.push(
            Diagnostic::error("wrong_type", tree.span, message)
                .hint("a graph is a map with `spec_version: \"2.0\"` and `nodes`, or `tasks`"),
        );
        return None;
    };
    let (parts, settings) = split(entries, found);
    let top = Span { len: 0, ..tree.span };
    let settings: Option<Settings> = read(&Tree { span: tree.span, value: Value::Map(settings) }, top, found);
    let part = |name: &str| parts.iter().find(|entry| entry.key == name);
    if let Some(settings) = &settings
        && *settings.spec_version.value != *SPEC_VERSION
    {
        let (span, version) = (settings.spec_version.span, &settings.spec_version.value);
        let problem =
            Diagnostic::error("spec_version", span, format!("there is no version `{version}` of the language"));
        found.push(problem.hint(format!("write `spec_version: \"{SPEC_VERSION}\"`")));
    }
    let settings = settings.unwrap_or_default();
    let mut file = File { settings, ..File::default() };
    match (part("nodes"), part("tasks")) {
        (Some(nodes), None) => read_nodes(nodes, &mut file, found),
        (None, Some(tasks)) => read_tasks(tasks, &mut file, found),
        (None, None) => {
            let problem = Diagnostic::error("missing_field", top, "`nodes` is missing");
            found.push(problem.hint("say what the graph does, under `nodes` or, in the short form, under `tasks`"));
        }
        (Some(_), Some(tasks)) => {
            let problem = Diagnostic::error("two_kinds", tasks.key_span, "`nodes` and `tasks` cannot both be here");
            found.push(problem.hint("make each task a `spawn_run` node, and each of its `needs` an edge"));
        }
    }
    if let Some(edges) = part("edges") {
        if file.is_tasks {
            let problem = Diagnostic::error("two_kinds", edges.key_span, "tasks have no `edges`");
            found.push(problem.hint("say what a task waits for under its `needs`"));
        } else {
            read_edges(edges, &mut file, found);
        }
    }
    if file.nodes.len() > MAX_NODES {
        let message = format!("the graph has {} nodes; it has at most {MAX_NODES}", file.nodes.len());
        found.push(Diagnostic::error("too_large", top, message).hint("have a `map` make the runs"));
        return None;
    }
    Some(file)
}

/// The parts, and all else.
fn split(entries: Vec<Entry>, found: &mut Diagnostics) -> (Vec<Entry>, Vec<Entry>) {
    let mut parts: Vec<Entry> = Vec::new();
    let mut settings = Vec::new();
    for entry in entries {
        if !PARTS.contains(&entry.key.as_str()) {
            match most_alike(&entry.key, PARTS) {
                Some(part) => found.push(
                    Diagnostic::error(
                        "unknown_field",
                        entry.key_span,
                        format!("there is no field `{}` here", entry.key),
                    )
                    .hint(format!("did you mean `{part}`?")),
                ),
                None => settings.push(entry),
            }
        } else if parts.iter().any(|part| part.key == entry.key) {
            let message = format!("`{}` is here twice", entry.key);
            found.push(Diagnostic::error("duplicate_field", entry.key_span, message).hint("put them together"));
        } else {
            parts.push(entry);
        }
    }
    (parts, settings)
}

fn read_nodes(part: &Entry, file: &mut File, found: &mut Diagnostics) {
    let Value::Map(entries) = &part.value.value else {
        let message = format!("expected a map from ids to nodes, found {}", part.value.value.kind());
        let problem = Diagnostic::error("wrong_type", part.key_span, message);
        found.push(problem.hint("write `ID:` and below it what kind of node it is, such as `spawn_run:`"));
        return;
    };
    file.nodes.reserve(entries.len());
    for entry in entries {
        let before = found.errors();
        match read::<Node>(&entry.value, entry.key_span, found) {
            Some(node) => {
                let id = At { value: entry.key.clone(), span: entry.key_span };
                file.nodes.push(Named { id, node, is_torn: found.errors() > before });
            }
            None => drop(file.unread.insert(entry.key.clone())),
        }
    }
}

fn read_edges(part: &Entry, file: &mut File, found: &mut Diagnostics) {
    let items = list(part, "edges", "write `- {from: ID, to: ID}` for each", found);
    file.edges = items.unwrap_or_default().iter().filter_map(|item| read::<Edge>(item, item.span, found)).collect();
    file.has_unread_edges = items.is_none_or(|items| file.edges.len() < items.len());
}

/// Each task is a node that runs an agent, and each need an edge.
fn read_tasks(part: &Entry, file: &mut File, found: &mut Diagnostics) {
    file.is_tasks = true;
    let Some(items) = list(part, "tasks", "write `- {id: ID, agent: NAME}` for each", found) else { return };
    for item in items {
        let Some(task) = read::<Task>(item, item.span, found) else {
            let Value::Map(entries) = &item.value else { continue };
            let id = entries.iter().find(|entry| entry.key == "id").map(|entry| &entry.value.value);
            file.unread.extend(id.and_then(|id| if let Value::Text(id) = id { Some(id.clone()) } else { None }));
            continue;
        };
        let Task { id, needs, .. } = &task;
        file.edges.extend(needs.iter().map(|need| Edge { from: need.clone(), to: id.clone(), when: None }));
        let id = id.clone();
        // What a run has to have, it has where it was read at all.
        file.nodes.push(Named { id, node: Node::SpawnRun(Box::new(spawn_run(task))), is_torn: false });
    }
}

fn list<'a>(part: &'a Entry, name: &str, hint: &str, found: &mut Diagnostics) -> Option<&'a [Tree]> {
    match &part.value.value {
        Value::List(items) => Some(items),
        other => {
            let message = format!("expected a list of {name}, found {}", other.kind());
            found.push(Diagnostic::error("wrong_type", part.key_span, message).hint(hint));
            None
        }
    }
}

fn spawn_run(task: Task) -> SpawnRun {
    SpawnRun {
        target: task.agent,
        wait: None,
        on_failure: task.on_failure,
        input: task.input,
        scopes: task.scopes,
        delegate: task.delegate,
        timeout_ms: task.timeout_ms,
        retry: task.retry,
        budget: task.budget,
        priority: task.priority,
        parent_close: task.parent_close,
        fallbacks: task.fallbacks,
        input_schema: task.input_schema,
        output_schema: task.output_schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::OneLine;

    fn problems(text: &str) -> Vec<String> {
        let source = Source::new("g", text);
        let mut found = Diagnostics::default();
        let _ = read_file(&source, &mut found);
        found
            .sorted()
            .iter()
            .map(|one| {
                let hint = one.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                format!("{}{hint}", OneLine(&source, one))
            })
            .collect()
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let text = r#"
spec_version: 2.0
nane: x
policy: {max_depth: many}
nodes:
  a:
    spawn_run:
      tagret: worker
      timeout_ms: soon
      retry: {max_attempts: -1, backof: fixed}
  b:
    spawnrun: {target: x}
  c:
    join: {mode: most}
    judge: {}
  d: spawn_group
edges:
  - {from: a, too: b}
  - a -> b
"#;
        expect_test::expect![[r#"
            g:2:15: error[wrong_type]: expected text, found a number (write it in quotes)
            g:3:1: error[unknown_field]: there is no field `nane` here (did you mean `name`?)
            g:4:21: error[wrong_type]: expected an integer, found text
            g:8:7: error[unknown_field]: there is no field `tagret` here (did you mean `target`?)
            g:9:19: error[wrong_type]: expected an integer, found text
            g:10:29: error[invalid_value]: expected an integer from 0 to 4294967295, found -1
            g:10:33: error[unknown_field]: there is no field `backof` here (did you mean `backoff`?)
            g:12:5: error[unknown_name]: there is no `spawnrun` here (did you mean `spawn_run`?)
            g:14:18: error[unknown_name]: there is no `most` here (it is one of `best_effort`, `all`, `fail_fast`, `quorum`, `first_success`)
            g:15:5: error[two_kinds]: `join` and `judge` cannot both be here (it takes exactly one of `spawn_run`, `spawn_group`, `join`, `agent_call`, `router`, `judge`, `replan`, `cancel_subtree`, `map`, `output`; what belongs to it is indented below)
            g:16:6: error[wrong_type]: what belongs to `spawn_group` is missing (write `spawn_group:` and its fields below)
            g:18:15: error[unknown_field]: there is no field `too` here (did you mean `to`?)
            g:19:5: error[wrong_type]: expected a map with `from`, `to`, `when`, found text"#]]
        .assert_eq(&problems(text).join("\n"));
    }

    #[test]
    fn what_is_no_graph_is_told_so() {
        for (text, expected) in [
            ("", "found nothing"),
            ("[]", "found a list"),
            ("just text", "found text"),
            ("spec_version: \"2.0\"", "`nodes` is missing"),
            ("{\"spec_version\": \"2.0\", \"nodes\": {}, \"tasks\": []}", "cannot both"),
            ("spec_version: \"2.0\"\ntasks: []\nedges: []", "tasks have no `edges`"),
            ("spec_version: \"2.0\"\nnodes: []", "expected a map from ids to nodes"),
            ("spec_version: \"2.0\"\nnode: {}", "did you mean `nodes`"),
        ] {
            let found = problems(text);
            assert!(found.iter().any(|one| one.contains(expected)), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_task_is_a_run_and_its_needs_are_edges() {
        let text = "spec_version: \"2.0\"\ntasks:\n- {id: a, agent: x}\n- {id: b, agent: y, needs: [a], on_failure: isolated}\n";
        let mut found = Diagnostics::default();
        let file = read_file(&Source::new("g", text), &mut found).unwrap();
        assert_eq!(found.sorted(), []);
        assert_eq!(file.nodes.len(), 2);
        assert_eq!((&*file.edges[0].from.value, &*file.edges[0].to.value), ("a", "b"));
    }
}
