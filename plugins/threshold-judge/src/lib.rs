//! Passes what stays within thresholds, and says which it did not.
//!
//! The criteria, all of which have to hold:
//!
//! | criterion | meaning |
//! |---|---|
//! | `min`, `max` | bounds on the value at `metric`, by default `/score` |
//! | `max_findings` | `{"critical": 0, "error": 5}`: bounds on the counts below `counts`, by default `/counts/by_severity`; a count that is not there is 0 |
//! | `checks` | a list of `{"metric", "min"?, "max"?, "equals"?}`, for more than one value |
//!
//! Places are JSON pointers (RFC 6901) into the subject. A list counts as the
//! number of its items. The score is the share of thresholds that hold.
//!
//! What the criteria mean is in `criteria`, how a subject fares in `threshold`.

mod criteria;
mod threshold;

use pleach_sdk::Error;
use pleach_sdk::judge::{Case, Verdict};

use criteria::Criteria;

pleach_sdk::judge!(judge);

/// The most thresholds that a rationale tells of.
const MAX_TOLD: usize = 20;

fn judge(case: Case) -> Result<Verdict, Error> {
    let thresholds = case.criteria::<Criteria>()?.thresholds()?;
    let all = thresholds.len();
    let mut missed = Vec::new();
    for threshold in &thresholds {
        if let Err(why) = threshold.hold(&case.subject)? {
            missed.push(why);
        }
    }
    if missed.is_empty() {
        let told: Vec<String> = thresholds.iter().take(MAX_TOLD).map(ToString::to_string).collect();
        return Ok(Verdict::pass(Some(1.0), format!("within every threshold: {}", told.join("; "))));
    }
    let score = (all - missed.len()) as f64 / all as f64;
    let told = missed.iter().take(MAX_TOLD).cloned().collect::<Vec<_>>().join("; ");
    let rest = match missed.len().saturating_sub(MAX_TOLD) {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    Ok(Verdict::fail(Some(score), format!("{} of {all} thresholds missed: {told}{rest}", missed.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_sdk::judge::Outcome;
    use serde_json::{Value, json};

    fn ask(criteria: Value) -> Result<(bool, f64, String), Error> {
        let subject = json!({
            "score": 0.8,
            "status": "done",
            "counts": {"by_severity": {"critical": 1, "error": 5, "odd": "many"}},
            "notes": ["a", "b", "c"],
        });
        let verdict = judge(Case { subject, criteria, seed: 0 })?;
        Ok((verdict.outcome == Outcome::Pass, verdict.score.unwrap(), verdict.rationale))
    }

    fn passes(criteria: Value) -> bool {
        ask(criteria).unwrap().0
    }

    #[test]
    fn bounds_include_their_ends() {
        assert!(passes(json!({"min": 0.8})) && passes(json!({"max": 0.8})) && passes(json!({"min": 0.8, "max": 0.8})));
        assert!(!passes(json!({"min": 0.81})) && !passes(json!({"max": 0.79})));
    }

    #[test]
    fn counts_are_bounded_by_severity_and_a_missing_count_is_none() {
        assert!(passes(json!({"max_findings": {"critical": 1, "error": 5, "warning": 0}})));
        let (pass, score, why) = ask(json!({"max_findings": {"critical": 0, "error": 5}})).unwrap();
        assert!(!pass && score == 0.5);
        assert_eq!(why, "1 of 2 thresholds missed: `/counts/by_severity/critical` is 1, above 0");
    }

    #[test]
    fn checks_look_anywhere_and_a_list_counts_its_items() {
        assert!(passes(json!({"checks": [
            {"metric": "/notes", "max": 3}, {"metric": "/status", "equals": "done"}, {"metric": "/notes/0", "equals": "a"},
        ]})));
        let (pass, _, why) = ask(json!({"checks": [{"metric": "/status", "equals": "ok"}]})).unwrap();
        assert!(!pass && why.contains("`/status` is \"done\", not \"ok\""), "{why}");
    }

    #[test]
    fn a_pass_says_what_held() {
        let (_, score, why) = ask(json!({"min": 0.5, "max_findings": {"error": 5}})).unwrap();
        assert_eq!(score, 1.0);
        assert_eq!(why, "within every threshold: `/score` at least 0.5; `/counts/by_severity/error` at most 5");
    }

    #[test]
    fn a_long_list_of_misses_is_cut() {
        let checks = vec![json!({"metric": "/score", "min": 1}); 25];
        assert!(ask(json!({"checks": checks})).unwrap().2.ends_with("; and 5 more"));
    }

    #[test]
    fn nothing_to_judge_by_is_not_a_pass() {
        for criteria in [json!({}), json!({"max_findings": {}}), json!({"metric": "/score"}), json!({"checks": []})] {
            let error = ask(criteria).unwrap_err();
            assert_eq!(error.code, "invalid_criteria");
            assert!(error.message.contains("max_findings"), "{error}");
        }
    }

    #[test]
    fn wrong_criteria_say_what_is_expected() {
        for (criteria, says) in [
            (json!({"minimum": 1}), "unknown field"),
            (json!({"min": 2, "max": 1}), "above `max`"),
            (json!({"metric": "score", "min": 1}), "does not begin with `/`"),
            (json!({"checks": [{"metric": "/score"}]}), "neither `min`, `max` nor `equals`"),
            (json!({"max_findings": {"critical": -1}}), "invalid value"),
            (json!([]), "cannot read the criteria"),
        ] {
            let error = ask(criteria).unwrap_err();
            assert_eq!(error.code, "invalid_criteria");
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn a_subject_without_the_metric_is_no_failure_but_an_error_that_names_what_there_is() {
        let error = ask(json!({"metric": "/counts/by_rule/x", "max": 1})).unwrap_err();
        assert_eq!(error.code, "metric_missing");
        assert!(error.message.contains("`/counts` has `by_severity`"), "{error}");
        let error = ask(json!({"max_findings": {"odd": 1}})).unwrap_err();
        assert_eq!(error.code, "metric_not_a_number");
    }
}
