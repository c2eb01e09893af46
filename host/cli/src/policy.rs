//! `pleach policy`: what the tenant allows. And how a policy file is read,
//! which `run --policy` does too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pleach_engine::kernel::Policy;

use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};
use crate::place::Place;

/// The longest policy file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Show or set what the tenant allows.
#[derive(Args, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print the policy that new runs are admitted under.
    ///
    /// What is printed can be edited and given to `pleach policy set`.
    Show {
        /// `text` is YAML.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Replace the policy. Runs that have been admitted keep the one they had.
    Set {
        /// A policy in YAML or JSON.
        file: PathBuf,

        /// How the answer is written.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

impl Command {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let mut output = Output::stdout();
        match self.action {
            Action::Show { format } => {
                let policy = place.look_or_make().await?.policy().await?;
                match format {
                    Format::Text => {
                        let yaml = serde_saphyr::to_string(&policy).context("writing the policy as YAML")?;
                        output.line(yaml.trim_end())?;
                    }
                    Format::Json => output.json(&policy)?,
                    Format::Ndjson => output.json_line(&policy)?,
                }
            }
            Action::Set { file, format } => {
                let policy = read(&file)?;
                let version = place.open().await?.set_policy(policy).await?;
                let answer = serde_json::json!({ "tenant": place.tenant, "version": version });
                match format {
                    Format::Text => {
                        let tenant = &place.tenant;
                        output.line(&format!("the policy of tenant `{tenant}` is now version {version}"))?;
                    }
                    Format::Json => output.json(&answer)?,
                    Format::Ndjson => output.json_line(&answer)?,
                }
            }
        }
        Ok(Exit::Completed)
    }
}

/// The policy in a file; JSON is read as the YAML that it also is.
pub fn read(path: &Path) -> anyhow::Result<Policy> {
    let name = path.display();
    let wrong = |why: String| Mistake::new(format!("reading the policy file `{name}`: {why}"));
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()).hint("name a file in YAML or JSON"))?.len();
    if size > MAX_FILE_BYTES {
        return Err(wrong(format!("{size} bytes; a policy has at most {MAX_FILE_BYTES}")).into());
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(|why| {
        wrong(why.replace("<input>", &name.to_string()))
            .hint("`pleach policy show` prints a policy in full; docs/cli.md says what each word means")
            .into()
    })
}

/// The policy in a text; the error shows the line that is wrong.
fn parse(text: &str) -> Result<Policy, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let told = error.to_string();
        told.strip_prefix("error: ").unwrap_or(&told).to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_yaml_or_json() {
        let yaml = parse("targets: [reviewer]\nscopes:\n  - fs.read:repo/*\nlimits:\n  max_fanout: 64\n").unwrap();
        let json =
            parse(r#"{"targets": ["reviewer"], "scopes": ["fs.read:repo/*"], "limits": {"max_fanout": 64}}"#).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(yaml.limits.max_fanout, 64);
    }

    #[test]
    fn a_mistake_in_a_policy_says_where_it_is() {
        for (text, line, word) in [
            ("targets: [a]\nlimit:\n  max_depth: 1\n", "2", "limit"),
            ("limits:\n  max_depth: many\n", "2", "max_depth"),
            ("scopes:\n  - fs.read:a\n  - everything\n", "3", "is not a scope"),
            ("{\n \"targets\": [\"a\",\n \"scopes\": 1}", "2", ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line} column ")), "{error}");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let policy = parse("targets: ['a*']\nscopes: ['fs.read:r/*']\norchestrators: {lead: {targets: [b]}}").unwrap();
        assert_eq!(parse(&serde_saphyr::to_string(&policy).unwrap()).unwrap(), policy);
    }
}
