//! `pleach run`: submit a run, watch its tree to the end, and show the result.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Budget, Code, Grant, Scope, Surface, Tightening, Usage};
use pleach_engine::{Ended, Error, GraphReport, Host, Plugin, Submission};

use crate::amounts::Amount;
use crate::board::Counts;
use crate::exit::{Exit, Mistake};
use crate::interrupt::Interrupts;
use crate::narrate::{Shown, Written};
use crate::output::{Format, Output};
use crate::place::{self, Place, Root};
use crate::plugin::Candidate;
use crate::progress::{Progress, Show};
use crate::report::{self, Report};
use crate::{amounts, artifacts, exit, graph, input, plugin, policy, stderr};

/// How long the host waits, once the run has ended, for what is still going on;
/// after a run that ended there is nothing.
const CLOSING: Duration = Duration::from_secs(1);

/// Run an agent or a graph, and whatever it spawns, to the end.
///
/// AGENT is the name of a published plugin, with a requirement on its version
/// if need be (`lead@^1.2`), a component file, which is published first, or a
/// graph file.
#[derive(Args, Debug)]
pub struct Run {
    /// A plugin: NAME, NAME@REQUIREMENT or FILE.wasm. Or a graph: FILE.yaml, FILE.yml or FILE.json.
    #[arg(required_unless_present = "tasks")]
    agent: Option<String>,

    /// Run these tasks in place of AGENT: a list as a graph's `tasks` has, in YAML or JSON.
    #[arg(long, value_name = "LIST|@FILE", conflicts_with = "agent")]
    tasks: Option<String>,

    /// What the agent is given: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    input: String,

    /// A scope that the run may use and delegate, such as `fs.read:repo/*`.
    #[arg(long, value_name = "SCOPE", help_heading = "Authority")]
    grant: Vec<Scope>,

    /// A scope that the run may delegate and not use itself.
    #[arg(long, value_name = "SCOPE", help_heading = "Authority")]
    delegate: Vec<Scope>,

    /// A folder that `fs.` scopes can name; granting is up to --grant.
    #[arg(long, value_name = "NAME=DIR", help_heading = "Authority")]
    root: Vec<Root>,

    /// A policy in YAML or JSON, for this run instead of the tenant's.
    #[arg(long, value_name = "FILE", help_heading = "Authority")]
    policy: Option<PathBuf>,

    /// A component or a graph to publish before the run.
    #[arg(long, value_name = "FILE", help_heading = "Plugins")]
    plugin: Vec<PathBuf>,

    /// A folder of which every `*/*.wasm` is published before the run.
    #[arg(long, value_name = "DIR", help_heading = "Plugins")]
    plugins: Vec<PathBuf>,

    /// End the run with `timed_out` after so many seconds.
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = "Limits")]
    timeout: Option<Duration>,

    /// Tighten a limit, such as `max_children_total=50`.
    #[arg(long, value_name = "NAME=N", help_heading = "Limits")]
    limit: Vec<Amount>,

    /// The most runs that run at once; short for `--limit max_concurrency=N`.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_concurrency: Option<u32>,

    /// The most that the whole tree may spend, such as `cpu_ms=60000`.
    #[arg(long, value_name = "NAME=N", help_heading = "Limits")]
    budget: Vec<Amount>,

    /// Drop a guest from memory that has waited so long, until it can go on.
    #[arg(long, value_name = "S", default_value = "30", value_parser = place::wait, help_heading = "Limits")]
    park_after: Duration,

    /// Try plugins however often they have failed of late. Else, after 5 failures in
    /// 300 s, runs of a plugin fail at once for 60 s, or its fallbacks take over.
    #[arg(long, help_heading = "Limits")]
    no_circuit_breaker: bool,

    /// How the result is written; `ndjson` has every event before it.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,

    /// Save the artifacts of the output as files in this folder.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    artifacts: Option<PathBuf>,

    /// Show no progress.
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

impl Run {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::listen()?;
        // Everything that can be wrong with the arguments shows before a store
        // is opened or a plugin published.
        self.check_roots()?;
        let input = input::read(&self.input)?;
        let mut submission = match self.graph()? {
            Some(source) => Submission::of_graph(source, input),
            None => Submission::new(self.named(), input),
        };
        self.fill(&mut submission)?;
        let brought = self.brought()?;
        if let Some(folder) = &self.artifacts {
            artifacts::prepare(folder)?;
        }
        let opened = tokio::select! {
            biased;
            interrupt = interrupts.next() => {
                stderr::line(&format!("{}: nothing was started", interrupt.name));
                return Ok(Exit::Cancelled);
            }
            opened = self.open(place, &brought) => opened?,
        };
        let (host, agent) = opened;
        if let Some(agent) = agent {
            submission.agent = agent;
        }
        let done = self.carry_out(&host, submission, interrupts).await;
        let closed = host.shutdown(CLOSING).await.context("closing the store");
        match (done, closed) {
            (Ok(_), Err(error)) => Err(error),
            (done, _) => done,
        }
    }

    /// The graph that is to be run, if it is one.
    fn graph(&self) -> Result<Option<Source>, Mistake> {
        match &self.tasks {
            Some(tasks) => graph::of_tasks(tasks).map(Some),
            None if graph::is_graph(self.named()) => graph::read(self.named()).map(Some),
            None => Ok(None),
        }
    }

    /// What AGENT is; empty where there are tasks in its place.
    fn named(&self) -> &str {
        self.agent.as_deref().unwrap_or_default()
    }

    fn is_component(&self) -> bool {
        is_file(self.named()) && !graph::is_graph(self.named())
    }

    /// What is run, for messages.
    fn told(&self) -> &str {
        self.agent.as_deref().unwrap_or("--tasks")
    }

    fn fill(&self, submission: &mut Submission) -> anyhow::Result<()> {
        let delegated = self.grant.iter().chain(&self.delegate);
        submission.grant = Grant::new(self.grant.iter().cloned(), delegated.cloned());
        submission.limits = amounts::gather::<Tightening>("--limit", &self.limit)?;
        let asked = [submission.limits.max_concurrency, self.max_concurrency];
        submission.limits.max_concurrency = asked.into_iter().flatten().min();
        submission.budget = amounts::gather::<Budget>("--budget", &self.budget)?;
        submission.timeout_ms = self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        submission.policy = self.policy.as_deref().map(policy::read).transpose()?;
        Ok(())
    }

    /// The files that the run brings along; the agent's, where it is a component, is
    /// the last.
    fn brought(&self) -> Result<Vec<Candidate>, Mistake> {
        let mut files = self.plugin.clone();
        for folder in &self.plugins {
            files.extend(plugin::folder(folder)?);
        }
        files.extend(self.is_component().then(|| PathBuf::from(self.named())));
        files.into_iter().map(Candidate::read).collect()
    }

    /// Opens the host and publishes what the run brings along; names the agent
    /// if that is among it.
    async fn open(&self, place: &Place, brought: &[Candidate]) -> anyhow::Result<(Host, Option<String>)> {
        let host = place
            .open_with(|builder| {
                let builder = place::roots(builder, &self.root).park_after(self.park_after);
                if self.no_circuit_breaker { builder.circuit_breaker(None) } else { builder }
            })
            .await?;
        let mut last = None;
        for candidate in brought {
            last = Some(plugin::add(&host, candidate).await?);
        }
        let agent = last.filter(|_| self.is_component()).map(|agent| {
            // A requirement cannot name a build; the newest of them is meant.
            let version = agent.version.split('+').next().unwrap_or_default();
            format!("{}@={version}", agent.name)
        });
        Ok((host, agent))
    }

    /// A scope on a root that is not there allows nothing, which is hardly what
    /// was meant.
    fn check_roots(&self) -> Result<(), Mistake> {
        place::check_names(&self.root)?;
        let names: Vec<&str> = self.root.iter().map(|root| root.name.as_str()).collect();
        for scope in self.grant.iter().chain(&self.delegate).filter(|scope| scope.capability().starts_with("fs.")) {
            let root = scope.resource().split('/').next().unwrap_or_default();
            if !root.ends_with('*') && !names.contains(&root) {
                let message = format!("granting `{scope}`: there is no root `{root}`");
                return Err(Mistake::new(message).hint(format!("add --root {root}=DIR")));
            }
        }
        Ok(())
    }

    /// Whoever names a published graph is told all that is wrong with it here at once, as
    /// with a file, and not at the first node that is refused.
    async fn check_published(&self, host: &Host, submission: &Submission) -> anyhow::Result<()> {
        let compiled = host.compile_published(submission).await;
        let Some(compiled) = compiled.with_context(|| format!("checking `{}`", self.told()))? else { return Ok(()) };
        let source = compiled.source.clone();
        // What is merely doubtful is for its author to hear, who published it.
        match compiled.into_plan() {
            Ok(_) => Ok(()),
            Err(problems) => Err(graph::mistake(&source, &problems).into()),
        }
    }

    async fn carry_out(&self, host: &Host, submission: Submission, interrupts: Interrupts) -> anyhow::Result<Exit> {
        let mut output = Output::stdout();
        let source = submission.graph.clone();
        let mut is_graph = source.is_some();
        let name = submission.graph.as_ref().map_or(&*submission.agent, |graph| graph.name());
        let name = name.split('@').next().unwrap_or_default().to_owned();
        self.check_published(host, &submission).await?;
        let run = match host.submit(submission).await {
            Ok(run) => run,
            Err(error) => return self.refused(host, error, &mut output).await,
        };
        if let Some(doubts) = source.and_then(|source| graph::doubts(&source, run.warnings())) {
            stderr::line(&doubts);
        }
        let alone = self.format != Format::Ndjson || !std::io::stdout().is_terminal();
        let mut progress = Progress::start(Show::suited(self.quiet, alone), run.id(), &name);
        let stopper = tokio::spawn(interrupts.stop(run.clone()));
        let mut events = run.events(1);
        while let Some(record) = events.next().await {
            let record = record.context("reading the run's events")?;
            progress.event(&Shown::of(&record));
            // A graph may be published, and run by its name.
            is_graph |= record.surface == Surface::Graph && record.run_id == run.id();
            if self.format == Format::Ndjson {
                output.json_line(&Written::of(&record))?;
            }
        }
        let ended = run.wait().await.context("waiting for the run")?;
        stopper.abort();
        let totals = progress.totals();
        drop(progress);
        let graph = match is_graph {
            true => run.graph_report().await.context("reporting on the graph")?,
            false => None,
        };
        self.show(&ended, graph.as_ref(), totals, &mut output)
    }

    fn show(
        &self,
        ended: &Ended,
        graph: Option<&GraphReport>,
        (counts, spent): (Counts, Usage),
        output: &mut Output,
    ) -> anyhow::Result<Exit> {
        let body = report::body(ended);
        match self.format {
            Format::Text => {
                output.line(&report::summary(ended, &body, counts, &spent))?;
                if let Some(graph) = graph {
                    output.line(&format!("\n{}", graph::told(graph)))?;
                }
            }
            Format::Json => output.json(&Report::of(ended, &spent).with_graph(graph)?)?,
            Format::Ndjson => output.json_line(&Report::of(ended, &spent).with_graph(graph)?)?,
        }
        let exit = Exit::of_status(ended.status);
        if let Some(folder) = &self.artifacts {
            match artifacts::save_told(folder, &body) {
                Ok(()) => {}
                // How the run ended counts for more than where its files went.
                Err(error) if exit != Exit::Completed => stderr::line(&exit::told(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(exit)
    }

    /// Says why a run was not admitted, in the format that was asked for too.
    async fn refused(&self, host: &Host, error: Error, output: &mut Output) -> anyhow::Result<Exit> {
        let Error::Denied(denial) = &error else {
            if let Error::Graph { file, problems } = &error {
                return Err(graph::mistake(file, problems).into());
            }
            return Err(error).with_context(|| format!("running `{}`", self.told()));
        };
        match self.format {
            Format::Text => {}
            Format::Json => output.json(&Report::denied(denial))?,
            Format::Ndjson => output.json_line(&Report::denied(denial))?,
        }
        let unknown = denial.code == Code::TargetNotFound;
        let doing = format!("running `{}`", self.told());
        if !unknown {
            return Err(error).context(doing);
        }
        let mut names: Vec<String> = host.plugins().await?.into_iter().filter(|one| one.published).map(name).collect();
        names.dedup();
        let published = match names.is_empty() {
            true => "nothing is published here yet".to_owned(),
            false => format!("published here: {}", names.join(", ")),
        };
        let hint = format!("{published}; add to it with `pleach plugin publish FILE`, --plugin FILE or --plugins DIR");
        Err(Mistake::new(format!("{doing}: {}", denial.message)).hint(hint).into())
    }
}

fn name(plugin: Plugin) -> String {
    plugin.name
}

/// Whether AGENT is a file: no plugin's name looks like one.
fn is_file(agent: &str) -> bool {
    agent.ends_with(".wasm") || agent.contains(['/', std::path::MAIN_SEPARATOR])
}

fn seconds(text: &str) -> Result<Duration, String> {
    let why = "a number of seconds greater than 0, such as 90 or 0.5";
    let seconds: f64 = text.parse().map_err(|_| why.to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| why.to_owned())?;
    if duration.as_millis() == 0 { Err(why.to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1_500)));
        for bad in ["0", "-1", "x", "", "inf", "nan", "1e300", "0.0001"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_agent_is_a_name_or_a_file() {
        assert!(is_file("plugins/lead/lead.wasm") && is_file("lead.wasm") && is_file("./lead"));
        assert!(!is_file("lead") && !is_file("lead@^1.2"));
    }
}
