//! Rounds: two things measured in turn, so that whatever else the machine does
//! falls on both.

use clap::ValueEnum;
use serde::Serialize;

/// What one side showed, round by round.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// Figures of the same rounds, of the floor and of Pleach.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub floor: Vec<f64>,
    pub pleach: Vec<f64>,
}

impl Pairs {
    /// Pleach over the floor, round by round.
    pub fn ratios(&self) -> Vec<f64> {
        self.pleach.iter().zip(&self.floor).map(|(pleach, floor)| pleach / floor).collect()
    }
}

/// How often each case is measured, and which sides of it.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    pub count: usize,
    /// One side alone, to be looked at with a profiler; there is no ratio then.
    pub only: Option<Side>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    Floor,
    Pleach,
}

/// Measures both sides so many times, each first in turn, after one of each that
/// does not count.
pub async fn interleaved(
    rounds: Rounds,
    mut floor: impl AsyncFnMut() -> anyhow::Result<f64>,
    mut pleach: impl AsyncFnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Pairs> {
    let mut pairs = Pairs::default();
    if let Some(side) = rounds.only {
        for _ in 0..=rounds.count {
            match side {
                Side::Floor => pairs.floor.push(floor().await?),
                Side::Pleach => pairs.pleach.push(pleach().await?),
            }
        }
        return Ok(pairs);
    }
    floor().await?;
    pleach().await?;
    for round in 0..rounds.count {
        if round % 2 == 0 {
            pairs.floor.push(floor().await?);
            pairs.pleach.push(pleach().await?);
        } else {
            pairs.pleach.push(pleach().await?);
            pairs.floor.push(floor().await?);
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert!(Spread::of(&[]).is_none());
    }

    #[tokio::test]
    async fn each_side_goes_first_in_turn_and_the_first_of_each_does_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let note = async |side: char, value: f64| {
            order.borrow_mut().push(side);
            Ok(value)
        };
        let both = Rounds { count: 2, only: None };
        let pairs = interleaved(both, async || note('f', 2.0).await, async || note('p', 3.0).await).await.unwrap();
        assert_eq!(*order.borrow(), "fpfppf");
        assert_eq!(pairs.ratios(), [1.5, 1.5]);
        let alone = Rounds { count: 1, only: Some(Side::Pleach) };
        let pairs = interleaved(alone, async || note('f', 2.0).await, async || note('p', 3.0).await).await.unwrap();
        assert_eq!((pairs.floor, pairs.pleach), (vec![], vec![3.0, 3.0]));
    }
}
