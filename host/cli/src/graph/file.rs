//! Graph files: reading one, and telling what is wrong with it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use pleach_engine::graph::diagnostic::Diagnostic;
use pleach_engine::graph::source::{MAX_BYTES, Source};

use crate::check::pictures;
use crate::exit::Mistake;

/// Whether a path names a graph: no component ends so.
pub fn is_graph(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Reads a graph file.
pub fn read(path: &str) -> Result<Source, Mistake> {
    let doing = format!("reading the graph `{path}`");
    let wrong = |error: std::io::Error| Mistake::new(format!("{doing}: {error}")).hint("name a readable file");
    let mut bytes = Vec::new();
    // One byte more than there may be, so that a longer file is seen to be one.
    File::open(path).map_err(wrong)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Mistake::new(format!("{doing}: it is not UTF-8 text (at byte {at})")).hint("save it as UTF-8")
    })?;
    Ok(Source::new(path, text))
}

/// A graph of nothing but tasks, from the command line or a file.
pub fn of_tasks(tasks: &str) -> Result<Source, Mistake> {
    let (name, listed) = match tasks.strip_prefix('@') {
        Some(path) => (path, read(path)?.text().to_owned()),
        None => ("--tasks", tasks.to_owned()),
    };
    let is_list = listed.trim_start().starts_with(['[', '-', '#']);
    if !is_list {
        let wrong = Mistake::new(format!("reading the tasks of `{name}`: they are no list"));
        return Err(wrong.hint("write a list, such as `[{id: a, agent: NAME}]`; a graph file is run as AGENT"));
    }
    // A list in JSON stands anywhere; one in YAML has to begin a line.
    let (before, after) = match listed.trim_start().starts_with('[') {
        true => ("{\"spec_version\": \"2.0\", \"name\": \"tasks\", \"tasks\":\n", "\n}"),
        false => ("spec_version: \"2.0\"\nname: tasks\ntasks:\n", ""),
    };
    Ok(Source::within(name, before, &listed, after))
}

/// What is doubtful about a graph that is run nonetheless.
pub fn doubts(source: &Source, problems: &[Diagnostic]) -> Option<String> {
    (!problems.is_empty()).then(|| pictures(source, problems))
}

/// What is wrong with a graph, as an error of the command.
pub fn mistake(source: &Source, problems: &[Diagnostic]) -> Mistake {
    Mistake::new(format!("the graph `{}` cannot be run\n\n{}", source.name(), pictures(source, problems)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_known_by_its_extension() {
        assert!(is_graph("a.yaml") && is_graph("x/b.yml") && is_graph("c.json"));
        assert!(!is_graph("a.wasm") && !is_graph("lead") && !is_graph("lead@^1.2"));
    }

    #[test]
    fn tasks_are_a_list_in_either_spelling() {
        for tasks in ["[{id: a, agent: x}]", "- id: a\n  agent: x\n"] {
            let source = of_tasks(tasks).unwrap();
            let plan = pleach_engine::graph::compile(&source).into_plan().unwrap_or_else(|p| panic!("{p:?}"));
            assert_eq!((&*plan.name, plan.nodes.len()), ("tasks", 1));
        }
    }
}
