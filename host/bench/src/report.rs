//! What is shown of a measurement: a line of the table, an object of the JSON.

use anyhow::Context as _;
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
    /// What stands in the floor's place, where it is not bare wasmtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<&'static str>,
}

impl Row {
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
        Ok(Self { workload, case: case.into(), unit, floor, pleach, ratio, goal, against: None })
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
        Ok(Self { workload, case: case.into(), unit, floor: None, pleach, ratio: None, goal, against: None })
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
}
