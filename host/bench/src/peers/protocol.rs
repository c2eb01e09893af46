//! What is said between the benchmark and a peer's script: words on its command
//! line, and one JSON object on its stdout. `host/bench/peers/README.md` is the
//! other side's description of it.

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::rounds::Spread;

/// What the scripts can be asked to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    W1,
    W2,
    W3,
    W4,
    W5,
}

impl Workload {
    pub const ALL: [Self; 5] = [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5];

    /// As the scripts are asked for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
        }
    }

    /// The unit of its figures: as the scripts say it, and as it is shown.
    fn units(self) -> (&'static str, &'static str) {
        match self {
            Self::W1 | Self::W2 => ("us_per_child", "µs a child"),
            Self::W3 | Self::W4 => ("ms", "ms"),
            Self::W5 => ("ratio", "× serial"),
        }
    }

    /// The unit of its figures.
    pub fn unit(self) -> &'static str {
        self.units().1
    }

    /// The sizes to measure, the largest first: where a peer has a cap, that one
    /// measures the smaller ones too.
    pub fn sizes(self, short: bool) -> &'static [u32] {
        match self {
            Self::W1 | Self::W2 | Self::W4 if short => &[100],
            Self::W1 | Self::W2 | Self::W4 => &[10_000, 1_000],
            Self::W3 => &[50],
            Self::W5 => &[32],
        }
    }

    /// One case of it, for the table.
    pub fn case(self, n: u32) -> String {
        match self {
            Self::W1 => format!("fan-out of {n}"),
            Self::W2 => format!("durable, of {n}"),
            Self::W3 => format!("chain, {n} deep"),
            Self::W4 => format!("cancel {n} sleepers"),
            Self::W5 => format!("{n} waits, 8 at once"),
        }
    }
}

/// Whether a peer is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Probe {
    pub installed: bool,
    pub version: Option<String>,
    /// What is missing.
    pub why: Option<String>,
    /// What would install it.
    pub install: String,
}

impl Probe {
    pub fn read(text: &str) -> anyhow::Result<Self> {
        object(text)
    }
}

/// What became of a measurement that was asked for.
#[derive(Clone, Debug)]
pub enum Answer {
    /// `n` is less than was asked for where the peer has a cap.
    Measured { n: u32, spread: Spread, note: String },
    /// The peer cannot do this, and why.
    Lacking(String),
}

impl Answer {
    /// What a script said that was asked for `n` of `workload`.
    pub fn read(text: &str, workload: Workload, n: u32) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Said {
            workload: String,
            n: u32,
            unit: String,
            rounds: Option<Vec<f64>>,
            note: Option<String>,
            skipped: Option<String>,
        }
        let said: Said = object(text)?;
        ensure!(said.workload == workload.word(), "it answered for workload `{}`", said.workload);
        if let Some(why) = said.skipped {
            return Ok(Self::Lacking(why));
        }
        let (unit, _) = workload.units();
        ensure!(said.unit == unit, "its unit is `{}`, not `{unit}`", said.unit);
        ensure!((1..=n).contains(&said.n), "it measured {} where {n} were asked for", said.n);
        let rounds = said.rounds.context("it has neither `rounds` nor `skipped`")?;
        let spread = Spread::of(&rounds).context("it has no round")?;
        Ok(Self::Measured { n: said.n, spread, note: said.note.unwrap_or_default() })
    }
}

fn object<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let beginning: String = text.trim().chars().take(100).collect();
    serde_json::from_str(text).with_context(|| format!("it should have printed one JSON object and said `{beginning}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_what_is_missing_and_what_installs_it() {
        let text = r#"{"peer":"ray","installed":false,"version":null,"why":"no ray","install":"pip install ray"}"#;
        let probe = Probe::read(text).unwrap();
        assert!(!probe.installed && probe.version.is_none());
        assert_eq!((probe.why.as_deref(), &*probe.install), (Some("no ray"), "pip install ray"));
    }

    #[test]
    fn a_measurement_is_summed_up_and_keeps_its_note() {
        let text = r#"{"peer":"dbos","version":"1","workload":"w2","n":1000,"unit":"us_per_child",
            "rounds":[3.0,1.0,2.0],"note":"10000 asked, capped at 1000"}"#;
        let Answer::Measured { n, spread, note } = Answer::read(text, Workload::W2, 10_000).unwrap() else {
            panic!("it is measured");
        };
        assert_eq!((n, spread.median, spread.min, spread.max), (1_000, 2.0, 1.0, 3.0));
        assert_eq!(note, "10000 asked, capped at 1000");
    }

    #[test]
    fn a_workload_that_a_peer_lacks_is_no_failure() {
        let text =
            r#"{"peer":"ray","version":null,"workload":"w2","n":1000,"unit":"us_per_child","skipped":"no disk"}"#;
        let answer = Answer::read(text, Workload::W2, 1_000).unwrap();
        assert!(matches!(answer, Answer::Lacking(why) if why == "no disk"));
    }

    #[test]
    fn an_answer_that_cannot_be_one_says_why() {
        let answer = |workload: &str, n: u32, unit: &str, rest: &str| {
            format!(r#"{{"workload":"{workload}","n":{n},"unit":"{unit}"{rest}}}"#)
        };
        for (text, why) in [
            (String::new(), "one JSON object"),
            ("hello".to_owned(), "said `hello`"),
            (answer("w4", 50, "ms", r#","rounds":[1.0]"#), "workload `w4`"),
            (answer("w3", 50, "s", r#","rounds":[1.0]"#), "its unit is `s`"),
            (answer("w3", 51, "ms", r#","rounds":[1.0]"#), "measured 51 where 50"),
            (answer("w3", 50, "ms", ""), "neither `rounds` nor `skipped`"),
            (answer("w3", 50, "ms", r#","rounds":[]"#), "no round"),
        ] {
            let error = format!("{:#}", Answer::read(&text, Workload::W3, 50).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
