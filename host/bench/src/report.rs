//! What is shown of a measurement: a line of the table, an object of the JSON.

use std::path::Path;

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::rounds::{Pairs, Spread};

/// What a case is held to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// So many times the floor at most.
    TimesFloor(f64),
    /// So much at most, in the case's unit.
    AtMost(f64),
    /// So much at least, in the case's unit.
    AtLeast(f64),
}

/// One case of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub workload: &'static str,
    pub case: String,
    pub unit: &'static str,
    /// Bare wasmtime; none where there is nothing to compare with.
    pub floor: Option<Spread>,
    /// None where the floor alone was measured.
    pub pleach: Option<Spread>,
    /// Round by round.
    pub ratio: Option<Spread>,
    pub goal: Goal,
    /// How many times its goal it is known to be off, where that is not met:
    /// `docs/performance.md` says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_off: Option<f64>,
    /// What stands in the floor's place, where it is not bare wasmtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<&'static str>,
}

impl Row {
    /// A goal that is known to be missed: a check holds the case to that.
    pub fn known_off(self, times: f64) -> Self {
        Self { known_off: Some(times), ..self }
    }

    /// Names what Pleach was compared with in place of bare wasmtime.
    pub fn against(self, what: &'static str) -> Self {
        Self { against: Some(what), ..self }
    }

    /// Of rounds that measured both sides.
    pub fn compared(
        workload: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        pairs: &Pairs,
        goal: Goal,
    ) -> anyhow::Result<Self> {
        let (floor, pleach) = (Spread::of(&pairs.floor), Spread::of(&pairs.pleach));
        let ratio = Spread::of(&pairs.ratios());
        Ok(Self { workload, case: case.into(), unit, floor, pleach, ratio, goal, known_off: None, against: None })
    }

    /// Of Pleach by itself.
    pub fn alone(
        workload: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        goal: Goal,
    ) -> anyhow::Result<Self> {
        let pleach = Some(Spread::of(values).context("nothing was measured")?);
        Ok(Self {
            workload,
            case: case.into(),
            unit,
            floor: None,
            pleach,
            ratio: None,
            goal,
            known_off: None,
            against: None,
        })
    }

    /// How many times its goal the case is off: 1 and less is met.
    pub fn off_by(&self) -> f64 {
        let off = match (self.goal, &self.ratio, &self.pleach) {
            (Goal::TimesFloor(most), Some(ratio), _) => Some(ratio.median / most),
            (Goal::AtMost(most), _, Some(pleach)) => Some(pleach.median / most),
            (Goal::AtLeast(least), _, Some(pleach)) => Some(least / pleach.median),
            (Goal::TimesFloor(_), None, _) | (_, _, None) => None,
        };
        off.unwrap_or(f64::INFINITY)
    }

    /// What to say of a case that is off its goal by more than `factor`.
    fn beyond(&self, factor: f64) -> Option<String> {
        let off = self.off_by();
        let bound = factor * self.known_off.unwrap_or(1.0);
        // A ratio to a floor of 0 is no number, and no success either.
        let seen = if off.is_finite() { format!("{off:.2} times off") } else { "not seen".into() };
        (!off.is_finite() || off > bound).then(|| {
            format!("  {} {}: {seen} ({bound} at most), its goal is {}", self.workload, self.case, self.goal_text())
        })
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::TimesFloor(most) => format!("≤ {most} × {}", self.against.unwrap_or("floor")),
            Goal::AtMost(most) => format!("≤ {most} {}", self.unit),
            Goal::AtLeast(least) => format!("≥ {least} {}", self.unit),
        }
    }
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["", "case", "unit", "floor", "Pleach", "ratio", "goal", "met"]);
    for row in rows {
        table.add_row([
            row.workload.to_owned(),
            row.case.clone(),
            row.unit.to_owned(),
            row.floor.as_ref().map_or_else(String::new, spread),
            row.pleach.as_ref().map_or_else(String::new, spread),
            row.ratio.as_ref().map_or_else(String::new, spread),
            row.goal_text(),
            match row.off_by() {
                met if met <= 1.0 => "yes".into(),
                off if off.is_finite() => format!("no, {off:.2} ×"),
                _ => "not seen".into(),
            },
        ]);
    }
    for column in 3..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Fails if a case is off its goal by more than `factor`, or as many times what it is
/// known to be off, or its goal could not be looked at; and names those cases.
pub fn check(rows: &[Row], factor: f64) -> anyhow::Result<()> {
    let lines: Vec<String> = rows.iter().filter_map(|row| row.beyond(factor)).collect();
    ensure!(
        lines.is_empty(),
        "checking the goals: {} of {} cases are off by more than {factor} times, or as many times what they are known to be off:\n{}\nMeasure them again while the \
         machine has nothing else to do (`run`); if it stays so, something has become slower.",
        lines.len(),
        rows.len(),
        lines.join("\n")
    );
    Ok(())
}

/// Writes figures to a file, as JSON.
pub fn write<T: Serialize>(file: &Path, figures: &[T]) -> anyhow::Result<()> {
    let doing = || format!("writing the figures to `{}`", file.display());
    std::fs::write(file, serde_json::to_vec_pretty(figures).with_context(doing)?).with_context(doing)
}

/// Median, and the smallest and largest of all rounds.
pub fn spread(spread: &Spread) -> String {
    let Spread { median, min, max } = *spread;
    format!("{} [{}–{}]", figure(median), figure(min), figure(max))
}

fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_by_a_factor_whichever_way_it_points() {
        let pairs = Pairs { floor: vec![2.0, 2.0], pleach: vec![6.0, 6.0] };
        let row = |goal| Row::compared("W1", "a case", "µs", &pairs, goal).unwrap().off_by();
        assert_eq!(row(Goal::TimesFloor(2.0)), 1.5);
        assert_eq!(row(Goal::AtMost(3.0)), 2.0);
        assert_eq!(row(Goal::AtLeast(3.0)), 0.5);
        let alone = Row::alone("W1", "a case", "µs", &[1.0], Goal::TimesFloor(2.0)).unwrap();
        assert!(alone.off_by().is_infinite(), "a goal that cannot be looked at is not met");
    }

    #[test]
    fn a_check_names_each_case_that_is_too_far_off_and_no_other() {
        let row = |case: &str, value: f64| Row::alone("W1", case, "ms", &[value], Goal::AtMost(10.0)).unwrap();
        let rows = [row("met", 9.0), row("missed", 29.0), row("at the edge", 30.0)];
        check(&rows, 3.0).unwrap();
        let rows = [row("met", 9.0), row("far off", 31.0), row("no number", f64::NAN)];
        let error = check(&rows, 3.0).unwrap_err().to_string();
        assert!(error.starts_with("checking the goals: 2 of 3 cases are off by more than 3 times, or "), "{error}");
        assert!(error.contains("  W1 far off: 3.10 times off (3 at most), its goal is ≤ 10 ms"), "{error}");
        assert!(error.contains("  W1 no number: not seen") && !error.contains("W1 met"), "{error}");
    }

    #[test]
    fn a_goal_that_is_known_to_be_missed_is_held_to_how_far() {
        let alone = Row::alone("W1", "a case", "µs", &[70.0], Goal::AtMost(10.0)).unwrap();
        check(std::slice::from_ref(&alone), 3.0).unwrap_err();
        check(&[alone.clone().known_off(2.5)], 3.0).unwrap();
        check(&[alone.known_off(2.0)], 3.0).unwrap_err();
    }

    #[test]
    fn a_goal_that_could_not_be_looked_at_fails_the_check() {
        let alone = Row::alone("W1", "a case", "µs", &[1.0], Goal::TimesFloor(2.0)).unwrap();
        let error = check(&[alone], 1_000.0).unwrap_err().to_string();
        assert!(error.contains("  W1 a case: not seen (1000 at most), its goal is ≤ 2 × floor"), "{error}");
    }
}
