//! `pleach resume`: take up what a host that is gone has left unfinished, and
//! watch it to its end.

mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::kernel::{RunId, RunStatus};
use pleach_engine::{Error, Host};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::interrupt::{Interrupt, Interrupts};
use crate::narrate::Written;
use crate::output::{Format, Output};
use crate::place::{self, Place, Root};
use crate::{artifacts, exit, graph, report, select, stderr, text};
use watch::{End, News, Tree};

/// Between two looks at which plugins are missing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// How long the host waits, once all trees have ended, for what is still going
/// on; then there is nothing.
const CLOSING: Duration = Duration::from_secs(1);

/// What is known and not told yet, in all trees together; then they wait.
const NEWS: usize = 1_024;

/// Take up what a host that is gone has left unfinished, and wait for its end.
///
/// Without RUN that is every such run in the store, of every tenant. What runs
/// in another process is left to it.
#[derive(Args, Debug)]
pub struct Resume {
    /// Only the trees of these runs: their ids, or at least the first 8
    /// characters of them.
    #[arg(value_name = "RUN")]
    runs: Vec<String>,

    /// A folder that `fs.` scopes can name, as it was given to `pleach run`.
    #[arg(long, value_name = "NAME=DIR", help_heading = "Authority")]
    root: Vec<Root>,

    /// Drop a guest from memory that has waited so long, until it can go on.
    #[arg(long, value_name = "S", default_value = "30", value_parser = place::wait, help_heading = "Limits")]
    park_after: Duration,

    /// Try plugins however often they have failed of late. Else, after 5 failures in
    /// 300 s, runs of a plugin fail at once for 60 s, or its fallbacks take over.
    #[arg(long, help_heading = "Limits")]
    no_circuit_breaker: bool,

    /// How ends are written; `ndjson` has every event from here on, too.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,

    /// Save the artifacts of the outputs as files: in this folder where one RUN
    /// is named, else in a folder below it for each run, of the run's id.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    artifacts: Option<PathBuf>,

    /// Say nothing but how it ends.
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

impl Resume {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::listen()?;
        place::check_names(&self.root)?;
        if let Some(folder) = &self.artifacts {
            artifacts::prepare(folder)?;
        }
        let taken_up = tokio::select! {
            biased;
            interrupt = interrupts.next() => {
                stderr::line(&format!("{}: stopped before anything had ended", interrupt.name));
                return Ok(interrupt.exit);
            }
            taken_up = self.take_up(place) => taken_up?,
        };
        let (host, trees) = taken_up;
        // By what was asked and not by what was found, so that a script knows.
        let saving = self.artifacts.clone().map(|folder| Saving { folder, apart: self.runs.len() != 1 });
        let mut course = Course::new(self.format, self.quiet, saving);
        let watched = self.watch(&host, trees, &mut course, &mut interrupts).await;
        let exit = match watched? {
            None => {
                host.shutdown(CLOSING).await.context("closing the store")?;
                course.worst
            }
            Some(first) => stop(&host, first, &mut interrupts, course.left()).await?,
        };
        course.finish()?;
        Ok(exit)
    }

    /// Opens the host, and gives every tree that is to be watched.
    async fn take_up(&self, place: &Place) -> anyhow::Result<(Host, Vec<Tree>)> {
        let host = place.open_existing_with(|builder| {
            let builder = place::roots(builder, &self.root).park_after(self.park_after);
            if self.no_circuit_breaker { builder.circuit_breaker(None) } else { builder }
        });
        let host = host.await?;
        let trees = match self.runs.is_empty() {
            true => self.take_up_all(&host).await?,
            false => self.take_up_these(&host).await?,
        };
        Ok((host, trees))
    }

    async fn take_up_all(&self, host: &Host) -> anyhow::Result<Vec<Tree>> {
        let taken_up = host.recover().await.context("taking up what is unfinished")?;
        let tree = |tree: pleach_engine::TreeSummary| Tree {
            root: tree.root.run(),
            host: host.for_tenant(tree.tenant),
            from_seq: tree.last_seq + 1,
            is_taken_up: true,
            unseen: None,
        };
        Ok(taken_up.into_iter().map(tree).collect())
    }

    /// All names are looked up before anything is taken up: a wrong one changes
    /// nothing.
    async fn take_up_these(&self, host: &Host) -> anyhow::Result<Vec<Tree>> {
        let mut roots = BTreeSet::new();
        for name in &self.runs {
            let run = select::run(host, name).await?;
            host.run(run).await?;
            roots.insert(run.root);
        }
        let mut trees = Vec::new();
        for root in roots.into_iter().map(|root| root.run()) {
            trees.push(Tree::named(host, root).await);
        }
        Ok(trees)
    }

    /// Tells of every tree as it ends; the interrupt that came before that, if
    /// one did.
    async fn watch(
        &self,
        host: &Host,
        trees: Vec<Tree>,
        course: &mut Course,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Option<Interrupt>> {
        let (to, mut news) = mpsc::channel(NEWS);
        for tree in trees {
            course.begin(&tree, &self.root).await;
            tokio::spawn(tree.watch(self.format == Format::Ndjson, to.clone()));
        }
        drop(to);
        let mut look = tokio::time::interval(BETWEEN_LOOKS);
        loop {
            tokio::select! {
                biased;
                interrupt = interrupts.next() => return Ok(Some(interrupt)),
                told = news.recv() => match told {
                    None => return Ok(None),
                    Some(told) => course.take(told, host)?,
                },
                _ = look.tick() => course.tell_missing(host),
            }
        }
    }
}

/// Ends the host and no run: all go on when they are resumed. A second interrupt
/// does not even wait for that.
async fn stop(host: &Host, first: Interrupt, interrupts: &mut Interrupts, left: usize) -> anyhow::Result<Exit> {
    let left = text::count(left as u64, "tree");
    stderr::line(&format!(
        "{}: stopping; {left} not ended: the next `pleach resume` goes on with what is left, and `pleach cancel RUN` \
         ends a run for good",
        first.name
    ));
    tokio::select! {
        closed = host.shutdown(Duration::ZERO) => closed.context("closing the store")?,
        second = interrupts.next() => {
            stderr::line(&format!("{}: stopped at once; nothing is lost by that", second.name));
            std::process::exit(second.exit as i32);
        }
    }
    Ok(first.exit)
}

/// Where artifacts go.
struct Saving {
    folder: PathBuf,
    /// Each run has a folder below it.
    apart: bool,
}

impl Saving {
    fn save(&self, run: RunId, output: &Value) -> anyhow::Result<()> {
        match self.apart {
            // A run that brings nothing leaves no folder behind.
            true if artifacts::of_output(output).is_empty() => Ok(()),
            true => artifacts::save_told(&self.folder.join(run.to_string()), output),
            false => artifacts::save_told(&self.folder, output),
        }
    }
}

/// What has been told, and what that is worth.
struct Course {
    format: Format,
    quiet: bool,
    saving: Option<Saving>,
    output: Output,
    trees: usize,
    /// How many trees ended how, by status.
    ends: BTreeMap<&'static str, u64>,
    /// Trees that cannot be gone on with.
    lost: u64,
    worst: Exit,
    listed: Vec<Value>,
    missing: BTreeSet<String>,
}

impl Course {
    fn new(format: Format, quiet: bool, saving: Option<Saving>) -> Self {
        Self {
            format,
            quiet,
            saving,
            output: Output::stdout(),
            trees: 0,
            ends: BTreeMap::new(),
            lost: 0,
            worst: Exit::Completed,
            listed: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    async fn begin(&mut self, tree: &Tree, roots: &[Root]) {
        self.trees += 1;
        if self.quiet {
            return;
        }
        if let Some(began) = tree.told().await {
            stderr::line(&began);
        }
        for name in tree.roots().await {
            if !roots.iter().any(|root| root.name == name) {
                let name = text::line(&name).into_owned();
                stderr::line(&format!(
                    "note: run {} was granted files below the root `{name}`, and there is no --root {name}=DIR: what \
                     it asks for from now on is not found",
                    tree.root
                ));
            }
        }
    }

    fn take(&mut self, news: News, host: &Host) -> anyhow::Result<()> {
        match news {
            News::Event(record) => self.output.json_line(&Written::of(&record)),
            News::TakenOver(_) if self.quiet => Ok(()),
            News::TakenOver(root) => {
                stderr::line(&format!("the process that ran {root} is gone; resuming it here"));
                Ok(())
            }
            News::Ended(end) => self.ended(&end),
            News::Lost(root, error) => {
                self.lost += 1;
                self.worst = worse(self.worst, Exit::Failed);
                let cause = host.unrecovered().into_iter().find(|(run, _)| *run == root).map(|(_, cause)| cause);
                let error = Error::unrecovered(root, cause.unwrap_or(error));
                stderr::line(&exit::told(&error.into()));
                Ok(())
            }
        }
    }

    fn ended(&mut self, end: &End) -> anyhow::Result<()> {
        *self.ends.entry(word(end.ended.status)).or_default() += 1;
        self.worst = worse(self.worst, Exit::of_status(end.ended.status));
        let body = report::body(&end.ended);
        match self.format {
            Format::Text => {
                self.output.line(&end.line())?;
                let told = report::told(&body);
                if !told.is_empty() {
                    self.output.line(&format!("\n{}", told.trim_end_matches('\n')))?;
                    self.output.line("")?;
                }
                if let Some(graph) = &end.graph {
                    self.output.line(&format!("{}\n", graph::told(graph)))?;
                }
            }
            Format::Json => self.listed.push(serde_json::to_value(end.row()?)?),
            Format::Ndjson => self.output.json_line(&end.row()?)?,
        }
        if let Some(saving) = &self.saving
            && let Err(error) = saving.save(end.ended.run_id, &body)
        {
            // The others are told of, and saved, all the same.
            stderr::line(&exit::told(&error));
            self.worst = worse(self.worst, Exit::of_error(&error));
        }
        Ok(())
    }

    fn tell_missing(&mut self, host: &Host) {
        for (plugin, digest) in host.missing_plugins() {
            if self.missing.insert(digest.clone()) {
                let plugin = text::line(&plugin);
                stderr::line(&format!("waits for {plugin} ({digest}): publish the component with this digest"));
            }
        }
    }

    /// Trees of which nothing has been told yet.
    fn left(&self) -> usize {
        let told = self.ends.values().sum::<u64>() + self.lost;
        self.trees.saturating_sub(usize::try_from(told).unwrap_or(usize::MAX))
    }

    /// What is written when nothing more will be told.
    fn finish(mut self) -> anyhow::Result<()> {
        match self.format {
            Format::Text if self.trees == 0 => self.output.line("nothing to resume"),
            Format::Text => {
                let mut parts: Vec<(u64, &str)> = self.ends.iter().map(|(word, count)| (*count, *word)).collect();
                parts.extend([(self.lost, "not recovered"), (self.left() as u64, "not ended")]);
                parts.retain(|(count, _)| *count > 0);
                let parts: Vec<String> =
                    parts.iter().map(|(count, word)| format!("{} {word}", text::thousands(*count))).collect();
                let trees = text::count(self.trees as u64, "tree");
                self.output.line(&format!("{trees}: {}", parts.join(", ")))
            }
            Format::Json => self.output.json(&self.listed),
            Format::Ndjson => Ok(()),
        }
    }
}

fn word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::TimedOut => "timed out",
        other => other.as_str(),
    }
}

/// Of how two trees ended, what says more about all of them.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit| match exit {
        Exit::Completed => 0,
        Exit::Cancelled => 1,
        Exit::TimedOut => 2,
        Exit::Failed | Exit::Usage | Exit::Denied | Exit::Interrupted | Exit::Terminated => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_decides() {
        let worst = |exits: &[Exit]| exits.iter().copied().fold(Exit::Completed, worse);
        assert_eq!(worst(&[]), Exit::Completed);
        assert_eq!(worst(&[Exit::Cancelled, Exit::Completed]), Exit::Cancelled);
        assert_eq!(worst(&[Exit::Cancelled, Exit::TimedOut, Exit::Completed]), Exit::TimedOut);
        assert_eq!(worst(&[Exit::Failed, Exit::TimedOut]), Exit::Failed);
    }
}
