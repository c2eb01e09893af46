//! The command line of Pleach: one file for each command, and what they share.
//!
//! It wires a host together, asks it, and shows the answer. Nothing is decided
//! here; what a command may do is the host's business.

mod amounts;
mod artifacts;
mod board;
mod cancel;
mod check;
mod events;
mod exit;
mod file_limit;
mod gc;
mod graph;
mod input;
mod interrupt;
mod logging;
mod narrate;
mod output;
mod place;
pub mod plugin;
mod policy;
mod progress;
mod report;
mod resume;
mod run;
mod runs;
mod select;
mod stderr;
mod store;
mod text;
mod tree;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::place::Place;

/// Run multi-agent work as sandboxed WebAssembly components.
#[derive(Parser, Debug)]
#[command(name = "pleach", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 completed, 1 the run failed, 2 wrong usage or input, 3 denied by policy, \
    4 cancelled, 5 timed out.\nLogs go to standard error; PLEACH_LOG chooses them, such as PLEACH_LOG=debug.")]
struct Cli {
    #[command(flatten)]
    place: Place,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(Box<run::Run>),
    Resume(resume::Resume),
    Tree(tree::Tree),
    Events(events::Show),
    Runs(runs::Runs),
    Check(check::Check),
    Graph(graph::Command),
    Cancel(cancel::Cancel),
    Gc(gc::Gc),
    Store(store::Command),
    Plugin(plugin::Command),
    Policy(policy::Command),
}

/// Does what the program's arguments say and returns how it went.
pub fn main() -> ExitCode {
    // Before anything is written, help included.
    let outlives = file_limit::outlive();
    // Wrong usage ends here, with clap's message and exit code 2.
    let cli = Cli::parse();
    match outlives.and_then(|()| execute(cli)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            stderr::line(&exit::told(&error));
            Exit::of_error(&error).into()
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<Exit> {
    logging::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("pleach")
        .enable_all()
        .build()
        .context("starting the runtime's threads")?;
    let Cli { place, command } = cli;
    let done = runtime.block_on(async {
        match command {
            Command::Run(run) => run.execute(&place).await,
            Command::Resume(resume) => resume.execute(&place).await,
            Command::Tree(tree) => tree.execute(&place).await,
            Command::Events(events) => events.execute(&place).await,
            Command::Check(check) => check.execute(&place).await,
            Command::Graph(graph) => graph.execute(&place).await,
            Command::Runs(runs) => runs.execute(&place).await,
            Command::Cancel(cancel) => cancel.execute(&place).await,
            Command::Gc(gc) => gc.execute(&place).await,
            Command::Store(store) => store.execute(&place).await,
            Command::Plugin(plugin) => plugin.execute(&place).await,
            Command::Policy(policy) => policy.execute(&place).await,
        }
    });
    // What still reads standard input, say, must not hold up the end.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }
}
