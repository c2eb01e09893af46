//! The record: how many instructions each kind of work took when somebody last
//! looked, and how the present compares.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};

/// How far a figure may lie from the recorded one. Counting one program again gives
/// the same figure, within a third of a percent whatever its path and environment;
/// this leaves room for changes that are not worth a new record.
const TOLERANCE: f64 = 0.05;

/// Instructions for each child, by the work's name.
pub type Counts = BTreeMap<String, u64>;

/// Reads what was recorded.
pub fn read(file: &Path) -> anyhow::Result<Counts> {
    let doing = || format!("reading the recorded counts, `{}`; `counts --update` writes it anew", file.display());
    let text = std::fs::read_to_string(file).with_context(doing)?;
    serde_json::from_str(&text).with_context(doing)
}

/// Records `counts`.
pub fn write(file: &Path, counts: &Counts) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(counts)? + "\n";
    std::fs::write(file, text).with_context(|| format!("recording the counts in `{}`", file.display()))
}

/// How one kind of work stands to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    AsRecorded,
    More,
    Fewer,
    NotRecorded,
    /// It is in the record, and there is no such work any more.
    Gone,
}

impl Verdict {
    fn of(recorded: Option<u64>, present: Option<u64>) -> Self {
        let (recorded, present) = match (recorded, present) {
            (Some(recorded), Some(present)) => (recorded as f64, present as f64),
            (None, _) => return Self::NotRecorded,
            (_, None) => return Self::Gone,
        };
        if present > recorded * (1.0 + TOLERANCE) {
            Self::More
        } else if present < recorded * (1.0 - TOLERANCE) {
            Self::Fewer
        } else {
            Self::AsRecorded
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::AsRecorded => "as recorded",
            Self::More => "MORE",
            Self::Fewer => "FEWER",
            Self::NotRecorded => "NOT RECORDED",
            Self::Gone => "GONE",
        }
    }
}

/// Recorded and present figures, side by side.
pub struct Comparison {
    lines: Vec<(String, Option<u64>, Option<u64>, Verdict)>,
}

impl Comparison {
    pub fn of(recorded: &Counts, present: &Counts) -> Self {
        let names: std::collections::BTreeSet<&String> = recorded.keys().chain(present.keys()).collect();
        let line = |name: &String| {
            let (recorded, present) = (recorded.get(name).copied(), present.get(name).copied());
            (name.clone(), recorded, present, Verdict::of(recorded, present))
        };
        Self { lines: names.into_iter().map(line).collect() }
    }

    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["instructions a child", "recorded", "now", "change", ""]);
        let shown = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
        for (name, recorded, present, verdict) in &self.lines {
            let change = match (recorded, present) {
                (Some(recorded), Some(present)) => {
                    format!("{:+.1} %", (*present as f64 / *recorded as f64 - 1.0) * 100.0)
                }
                (None, _) | (_, None) => String::new(),
            };
            table.add_row([name.clone(), shown(*recorded), shown(*present), change, verdict.text().to_owned()]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }

    /// Fails unless every figure is as recorded, and says what to do.
    pub fn check(&self) -> anyhow::Result<()> {
        let any = |wanted| self.lines.iter().any(|(.., verdict)| *verdict == wanted);
        let mut found = Vec::new();
        if any(Verdict::More) {
            found.push("some work takes more instructions than recorded; is this meant?");
        }
        if any(Verdict::Fewer) {
            found.push("some work takes fewer instructions than recorded; record the better figure.");
        }
        if any(Verdict::NotRecorded) || any(Verdict::Gone) {
            found.push("the record does not name the same work.");
        }
        if found.is_empty() {
            return Ok(());
        }
        anyhow::bail!(
            "comparing the kernel's instructions with the record: {}\nIf this is meant, run `cargo run --release -p \
             pleach-bench -- counts --update` and say why in the commit.\n(The record is of Rust 1.95 on x86-64: \
             another compiler or C library counts otherwise.)",
            found.join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    /// Every line's verdict, and what the check says of them all.
    fn check(recorded: Counts, present: Counts, verdicts: &[Verdict], says: Option<&str>) {
        let comparison = Comparison::of(&recorded, &present);
        let found: Vec<Verdict> = comparison.lines.iter().map(|(.., verdict)| *verdict).collect();
        assert_eq!(found, verdicts);
        let error = comparison.check().err().map(|error| error.to_string());
        match says {
            Some(says) => assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{error:?}"),
            None => assert_eq!(error, None),
        }
    }

    #[test]
    fn within_the_tolerance_either_way_all_is_as_recorded() {
        let recorded = counts([("fold", 1_000), ("join", 1_000), ("start", 1_000)]);
        let present = counts([("fold", 1_050), ("join", 950), ("start", 1_000)]);
        check(recorded, present, &[Verdict::AsRecorded; 3], None);
    }

    #[test]
    fn more_fails_and_names_the_way_to_record_it() {
        let (recorded, present) = (counts([("fold", 1_000), ("join", 7)]), counts([("fold", 1_051), ("join", 7)]));
        check(recorded.clone(), present.clone(), &[Verdict::More, Verdict::AsRecorded], Some("If this is meant"));
        let table = Comparison::of(&recorded, &present).table();
        let line = table.lines().find(|line| line.contains("fold")).unwrap();
        assert!(["1000", "1051", "+5.1 %", "MORE"].iter().all(|part| line.contains(part)), "{line}");
    }

    #[test]
    fn fewer_fails_too_so_that_the_record_stays_true() {
        check(counts([("fold", 1_000)]), counts([("fold", 949)]), &[Verdict::Fewer], Some("record the better figure"));
    }

    #[test]
    fn work_that_is_only_on_one_side_fails() {
        let verdicts = [Verdict::NotRecorded, Verdict::Gone];
        check(counts([("join", 1)]), counts([("fold", 1)]), &verdicts, Some("does not name the same work"));
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, counts) = (folder.path().join("counts.json"), counts([("fold", 1_000)]));
        let error = format!("{:#}", read(&file).unwrap_err());
        assert!(error.contains("counts --update"), "{error}");
        write(&file, &counts).unwrap();
        assert_eq!(read(&file).unwrap(), counts);
    }
}
