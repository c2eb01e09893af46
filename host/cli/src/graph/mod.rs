//! `pleach graph`: what is done with a graph besides running it.

mod file;
mod show;

pub use file::{is_graph, mistake, of_tasks, read};

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::place::Place;

/// Look at graphs.
#[derive(Args, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Show(show::Show),
}

impl Command {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        match self.action {
            Action::Show(show) => show.execute(place).await,
        }
    }
}
