//! `pleach graph`: what can be asked about graphs besides running them.

mod file;
mod result;
mod schema;
mod show;

pub use file::{doubts, is_graph, mistake, of_tasks, read};
pub use result::{json, told};

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::place::Place;

/// Look at graphs, and at their language.
#[derive(Args, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Show(show::Show),
    Schema(schema::Schema),
}

impl Command {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        match self.action {
            Action::Show(show) => show.execute(place).await,
            Action::Schema(schema) => schema.execute(),
        }
    }
}
