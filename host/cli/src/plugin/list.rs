//! `pleach plugin list`: the plugins of a tenant.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use pleach_engine::Plugin;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::text;

/// Characters of a digest that tell two apart well enough for a table.
const SHORT_DIGEST: usize = "sha256:".len() + 12;

/// List the plugins of the tenant.
#[derive(Args, Debug)]
pub struct List {
    /// How the list is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl List {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let plugins = place.look_or_make().await?.plugins().await?;
        let mut output = Output::stdout();
        match self.format {
            Format::Text if plugins.is_empty() => {
                output.line("no plugins: add one with `pleach plugin publish FILE`")?;
            }
            Format::Text => output.line(&table(&plugins))?,
            Format::Json | Format::Ndjson => {
                let rows: Vec<_> = plugins.iter().map(super::publish::machine).collect();
                output.list(&rows, self.format == Format::Ndjson)?;
            }
        }
        Ok(Exit::Completed)
    }
}

fn table(plugins: &[Plugin]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["plugin", "role", "published (UTC)", "digest", "description"]);
    for plugin in plugins {
        let published = match plugin.published {
            true => text::date_and_time(plugin.published_at),
            false => "withdrawn".to_owned(),
        };
        table.add_row([
            text::line(&format!("{}@{}", plugin.name, plugin.version)).into_owned(),
            plugin.role.clone(),
            published,
            plugin.digest.chars().take(SHORT_DIGEST).collect(),
            text::cut(&text::line(&plugin.description), 60).into_owned(),
        ]);
    }
    table.trim_fmt()
}
