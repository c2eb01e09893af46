//! The criteria as they are written, and the thresholds that they amount to.

use std::collections::BTreeMap;

use pleach_sdk::Error;
use serde::Deserialize;
use serde_json::Value;

use crate::threshold::{Bound, Threshold};

/// What the caller wrote.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criteria {
    metric: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    max_findings: Option<BTreeMap<String, u64>>,
    counts: Option<String>,
    #[serde(default)]
    checks: Vec<Check>,
}

/// One more value to look at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    metric: String,
    min: Option<f64>,
    max: Option<f64>,
    equals: Option<Value>,
}

const DEFAULT_METRIC: &str = "/score";
const DEFAULT_COUNTS: &str = "/counts/by_severity";
const EXPECTED: &str = "expected at least one threshold, such as {\"min\": 0.8} for the value at \"metric\" \
     (by default \"/score\"), {\"max_findings\": {\"critical\": 0}}, or \
     {\"checks\": [{\"metric\": \"/errors\", \"max\": 0}]}";

impl Criteria {
    /// The thresholds, of which there is at least one: a judge that was told
    /// nothing has nothing to pass by.
    pub fn thresholds(self) -> Result<Vec<Threshold>, Error> {
        let mut thresholds = Vec::new();
        if self.min.is_some() || self.max.is_some() {
            let metric = self.metric.unwrap_or_else(|| DEFAULT_METRIC.to_owned());
            add(&mut thresholds, Check { metric, min: self.min, max: self.max, equals: None })?;
        }
        if let Some(bounds) = self.max_findings {
            let counts = self.counts.unwrap_or_else(|| DEFAULT_COUNTS.to_owned());
            check_pointer(&counts)?;
            let below = |(name, most)| Threshold::count(&counts, name, most);
            thresholds.extend(bounds.into_iter().map(below));
        }
        for check in self.checks {
            add(&mut thresholds, check)?;
        }
        if thresholds.is_empty() {
            return Err(invalid(format!("the criteria ask for nothing: {EXPECTED}")));
        }
        Ok(thresholds)
    }
}

fn add(thresholds: &mut Vec<Threshold>, check: Check) -> Result<(), Error> {
    let Check { metric, min, max, equals } = check;
    check_pointer(&metric)?;
    if let (Some(min), Some(max)) = (min, max) {
        if min > max {
            return Err(invalid(format!("for `{metric}`, `min` ({min}) is above `max` ({max})")));
        }
    }
    let bounds = [min.map(Bound::AtLeast), max.map(Bound::AtMost), equals.map(Bound::Equal)];
    let before = thresholds.len();
    thresholds.extend(bounds.into_iter().flatten().map(|bound| Threshold::of(&metric, bound)));
    if thresholds.len() == before {
        return Err(invalid(format!("the check of `{metric}` has neither `min`, `max` nor `equals`")));
    }
    Ok(())
}

fn check_pointer(pointer: &str) -> Result<(), Error> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(invalid(format!("`{pointer}` is no JSON pointer: it does not begin with `/`, as in `/score`")))
}

fn invalid(message: String) -> Error {
    Error::new("invalid_criteria", message)
}
