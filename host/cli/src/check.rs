//! `pleach check`: everything that is wrong with graphs, all at once.
//!
//! What is wrong is found out elsewhere; here files are read, and problems shown.

mod file;
mod picture;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use pleach_engine::Host;
use pleach_engine::graph::diagnostic::{Diagnostic, Severity};
use pleach_engine::graph::source::Source;
use pleach_engine::graph::{Compiled, Surroundings, compile, compile_for};
use pleach_engine::kernel::{Limits, Policy, Resolution};

use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};
use crate::place::Place;
use crate::{policy, stderr, text};

use picture::Picture;
use report::Report;

/// Check graphs, and show all that is wrong with them.
///
/// Exit code 2 says that there are errors; warnings alone are none.
#[derive(Args, Debug)]
pub struct Check {
    /// Graphs in YAML or JSON; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The policy to check against. The tenant's unless given.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Check the graphs by themselves, without the plugins of the tenant; and
    /// without a policy, unless one is given.
    #[arg(long)]
    no_registry: bool,

    /// Take warnings for errors.
    #[arg(long)]
    deny_warnings: bool,

    /// How problems are written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Check {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        if self.files.iter().filter(|file| file::is_stdin(file)).count() > 1 {
            return Err(Mistake::new("standard input is there once: give `-` once").into());
        }
        let judge = self.judge(place).await?;
        let mut output = Output::stdout();
        let mut reports = Vec::new();
        for (place, path) in self.files.iter().enumerate() {
            let compiled = match file::read(path) {
                Ok(source) => judge.compile(&source).await?,
                Err(unread) => *unread,
            };
            if self.format == Format::Text {
                if place > 0 {
                    output.line("")?;
                }
                show(&compiled, &mut output)?;
            }
            reports.push(Report::of(&compiled));
        }
        match self.format {
            Format::Text => {}
            Format::Json => output.json(&serde_json::json!({ "files": reports }))?,
            Format::Ndjson => reports.iter().try_for_each(|report| output.json_line(report))?,
        }
        let is_bad = |report: &Report| !report.ok || self.deny_warnings && report.has_problems();
        Ok(if reports.iter().any(is_bad) { Exit::Usage } else { Exit::Completed })
    }

    /// What the graphs are held against.
    async fn judge(&self, place: &Place) -> anyhow::Result<Judge> {
        let policy = self.policy.as_deref().map(policy::read).transpose()?;
        let is_there = place.is_there();
        if !self.no_registry && is_there {
            return Ok(Judge::Host { host: place.look().await?, policy: policy.map(Box::new) });
        }
        if !self.no_registry {
            let store = text::line(&place.store);
            let unknown = match policy {
                Some(_) => "whether the plugins are there",
                None => "whether the plugins are there and what the tenant allows",
            };
            stderr::line(&format!(
                "note: there is no store `{store}`, so it is not checked {unknown}; name another with --store, or leave \
                 it at that with --no-registry"
            ));
        }
        Ok(match policy {
            Some(mut policy) => {
                policy.limits = policy.limits.tightest(&Limits::CEILING);
                Judge::Policy(Box::new(policy))
            }
            None => Judge::Nobody,
        })
    }
}

/// Who has a say about a graph besides its own sense.
enum Judge {
    Host {
        host: Host,
        policy: Option<Box<Policy>>,
    },
    /// A policy, where nobody knows of plugins.
    Policy(Box<Policy>),
    Nobody,
}

impl Judge {
    async fn compile(&self, source: &Source) -> anyhow::Result<Compiled> {
        Ok(match self {
            Self::Host { host, policy: Some(policy) } => host.compile_under(source, (**policy).clone()).await?,
            Self::Host { host, policy: None } => host.compile(source).await?,
            Self::Policy(policy) => compile_for(source, &Alone(policy)),
            Self::Nobody => compile(source),
        })
    }
}

/// A policy by itself.
struct Alone<'a>(&'a Policy);

impl Surroundings for Alone<'_> {
    fn policy(&self) -> &Policy {
        self.0
    }

    fn resolve(&self, _target: &str) -> Option<Resolution> {
        None
    }
}

/// What is wrong with a graph that is to be run, for standard error.
pub(crate) fn pictures(source: &Source, problems: &[Diagnostic]) -> String {
    let picture = Picture::plain();
    let drawn = problems.iter().take(MOST_DRAWN).map(|problem| picture.draw(source, problem));
    drawn.collect::<Vec<_>>().join("\n\n")
}

/// So many problems of one file are drawn; JSON has them all.
const MOST_DRAWN: usize = 100;

/// The problems of a file, and how many they are.
fn show(compiled: &Compiled, output: &mut Output) -> anyhow::Result<()> {
    let picture = Picture::for_stdout();
    for problem in compiled.problems.iter().take(MOST_DRAWN) {
        output.line(&picture.draw(&compiled.source, problem))?;
        output.line("")?;
    }
    let count = |severity: Severity| compiled.problems.iter().filter(|one| one.severity == severity).count() as u64;
    let name = text::line(compiled.source.name()).into_owned();
    let told = match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "no problems".to_owned(),
        (0, warnings) => text::count(warnings, "warning"),
        (errors, 0) => text::count(errors, "error"),
        (errors, warnings) => format!("{}, {}", text::count(errors, "error"), text::count(warnings, "warning")),
    };
    let more = match compiled.problems.len().checked_sub(MOST_DRAWN) {
        Some(more @ 1..) => {
            format!("; {} more are not shown: --format json has them all", text::thousands(more as u64))
        }
        Some(0) | None => String::new(),
    };
    output.line(&format!("{name}: {told}{more}"))
}

/// How a file is called.
fn name_of(path: &Path) -> String {
    if file::is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() }
}
