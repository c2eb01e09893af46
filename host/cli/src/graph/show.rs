//! `pleach graph show`: a graph as a picture, and what became of it in a run.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use pleach_engine::kernel::{Event, Query, RunId, RunView};
use pleach_engine::{EventRecord, Host};
use pleach_graph::Compiled;
use pleach_graph::diagnostic::OneLine;
use pleach_graph::draw::{self, Happened};
use pleach_graph::plan::Plan;
use pleach_graph::source::Source;

use crate::exit::{Exit, Mistake};
use crate::output::Output;
use crate::place::Place;
use crate::tree::abandoned_note;
use crate::{select, stderr, text};

/// Draw a graph, and with --run what became of it.
#[derive(Args, Debug)]
pub struct Show {
    /// The graph, in YAML or JSON. With --run, the one that was run unless given.
    #[arg(required_unless_present = "run")]
    file: Option<String>,

    /// A run of this graph: its id, or at least the first 8 characters of it. Each
    /// node then carries what happened, and the critical path is marked.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,

    /// What is drawn.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The pictures there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for a terminal.
    Text,
    /// A flowchart for Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A picture that needs nothing else.
    Svg,
}

impl Show {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let host = match &self.run {
            Some(run) => Some((place.look().await?, run)),
            None => None,
        };
        let compiled = match (&self.file, &host) {
            (Some(file), _) => pleach_graph::compile(&super::read(file)?),
            (None, Some((host, run))) => pleach_graph::compile_stored(&of_run(host, run).await?),
            (None, None) => return Err(Mistake::new("drawing a graph: neither a file nor a run is named").into()),
        };
        let Some(plan) = plan(compiled) else { return Ok(Exit::Usage) };
        let happened = match host {
            Some((host, run)) => Some(happened(&plan, &host, run).await?),
            None => None,
        };
        let format = match self.format {
            Format::Text => draw::Format::Text,
            Format::Mermaid => draw::Format::Mermaid,
            Format::Dot => draw::Format::Dot,
            Format::Svg => draw::Format::Svg,
        };
        Output::stdout().line(&draw::draw(&plan, happened.as_ref(), format))?;
        Ok(Exit::Completed)
    }
}

/// The graph that a run is of.
async fn of_run(host: &Host, run: &str) -> anyhow::Result<Source> {
    let id = select::run(host, run).await?;
    let graph = host.run(id).await?.graph().await?;
    let mistake =
        || Mistake::new(format!("drawing run {id}: it is no run of a graph")).hint("`pleach tree` shows any run");
    Ok(graph.ok_or_else(mistake)?)
}

/// The plan of a graph in which no error is. Everything that was found is told.
fn plan(compiled: Compiled) -> Option<Plan> {
    for problem in &compiled.problems {
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        stderr::line(&text::line(&format!("{}{hint}", OneLine(&compiled.source, problem))));
    }
    compiled.into_plan().ok()
}

/// What became of the plan in a run.
async fn happened(plan: &Plan, host: &Host, run: &str) -> anyhow::Result<Happened> {
    let id = select::run(host, run).await?;
    let run = host.run(id).await?;
    let view = run.tree(Query { max_depth: Some(1), ..Query::default() }).await?;
    check_same(plan, id, &view.tree)?;
    let mut log = run.events(1);
    let mut events = Vec::new();
    let mut seq = 0;
    // To where the tree was looked at.
    while seq < view.seq {
        let Some(record) = log.next().await.transpose()? else { break };
        seq = record.seq;
        if record.run_id == id || tells(&record) {
            events.push(event(&record)?);
        }
    }
    if run.is_abandoned().await? {
        stderr::line(&abandoned_note(id));
    }
    Ok(Happened::of(plan, &view.tree, &events))
}

/// Whether an event of another run may say what became of the graph's: that it has come
/// to its end, or was ended by somebody above it.
fn tells(record: &EventRecord) -> bool {
    matches!(record.event.as_str(), "orchestration.child_lifecycle" | "orchestration.cancellation_propagation")
}

fn event(record: &EventRecord) -> anyhow::Result<Event> {
    let text = serde_json::to_string(record).context("writing an event")?;
    serde_json::from_str(&text).with_context(|| format!("reading event {} of the log", record.seq))
}

/// A run that has spawned others, and none of them for a node of the graph, is not
/// of this graph.
fn check_same(plan: &Plan, id: RunId, run: &RunView) -> Result<(), Mistake> {
    let is_of_plan = |child: &RunView| child.parent_node_id.as_ref().is_some_and(|node| plan.find(node).is_some());
    if run.children.is_empty() || run.children.iter().any(is_of_plan) {
        return Ok(());
    }
    let message = format!("drawing run {id} on the graph `{}`: none of its runs is of a node of that graph", plan.name);
    Err(Mistake::new(message)
        .hint("name the file that was run, and the run of the graph itself; `pleach runs` lists them"))
}
