//! The report as SARIF 2.1.0, the format that code hosts and editors read
//! (OASIS, "Static Analysis Results Interchange Format").

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::finding::{Finding, Severity};
use crate::plain;
use crate::report::Report;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What paths are relative to: the folder that was reviewed.
const BASE: &str = "SRCROOT";

/// The report with the first `listed` of its findings, as one line of JSON.
pub fn render(report: &Report, listed: usize) -> String {
    let findings = &report.findings[..listed];
    let mut rules: BTreeMap<&str, usize> = findings.iter().map(|finding| (finding.rule.as_str(), 0)).collect();
    for (index, place) in rules.values_mut().enumerate() {
        *place = index;
    }
    let results: Vec<Value> =
        findings.iter().map(|finding| result(finding, &report.root, rules[&*finding.rule])).collect();
    let described: Vec<Value> =
        rules.keys().map(|rule| json!({"id": rule, "shortDescription": {"text": described(rule)}})).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "pleach-lead", "version": env!("CARGO_PKG_VERSION"), "rules": described}},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {BASE: {"description": {"text": format!("the folder {}", plain::line(&report.root, 1_024))}}},
            "invocations": [{
                "executionSuccessful": report.unfinished().next().is_none(),
                "toolExecutionNotifications": notifications(report, listed),
            }],
            "results": results,
        }],
    })
    .to_string()
}

fn result(finding: &Finding, root: &str, rule_index: usize) -> Value {
    let path = finding.file.strip_prefix(root).and_then(|path| path.strip_prefix('/')).unwrap_or(&finding.file);
    let mut place = json!({"artifactLocation": {"uri": uri(path), "uriBaseId": BASE}});
    if let Some(line) = finding.line() {
        place["region"] = match finding.end_line.filter(|end| *end > line) {
            Some(end) => json!({"startLine": line, "endLine": end}),
            None => json!({"startLine": line}),
        };
    }
    let message = match finding.message.trim() {
        // A result has to say something.
        "" => finding.rule.as_str(),
        message => message,
    };
    json!({
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": level(finding.severity),
        "message": {"text": message},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"pleachFinding/v1": fingerprint(finding)},
        "properties": {"severity": finding.severity},
    })
}

/// What went wrong on the way, and what is not in the list.
fn notifications(report: &Report, listed: usize) -> Vec<Value> {
    let failed = report.unfinished().take(50).map(|shard| {
        let why = shard.error.as_ref().map_or("it did not end", |error| error.message.as_str());
        let text = format!(
            "shard {} (from {}) was not reviewed: {}",
            shard.shard,
            plain::line(&shard.first, 200),
            plain::line(why, 300)
        );
        json!({"level": "error", "message": {"text": text}})
    });
    let left_out = Some(report.left_out(listed)).filter(|rest| *rest > 0).map(|rest| {
        let text = format!("{} more findings, of the least severity, are not listed", rest);
        json!({"level": "warning", "message": {"text": text}})
    });
    failed.chain(left_out).collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// `leaked-credential` as a sentence: "Leaked credential."
fn described(rule: &str) -> String {
    let words = rule.replace(['-', '_'], " ");
    let mut letters = words.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// The same for a finding that has merely moved to another line (FNV-1a).
fn fingerprint(finding: &Finding) -> String {
    let text = [&*finding.rule, "\0", &*finding.file, "\0", &*finding.message];
    let bytes = text.iter().flat_map(|part| part.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// A path as a relative URI reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn rendered(listed: usize) -> Value {
        serde_json::from_str(&render(&fixture::report(), listed)).unwrap()
    }

    #[test]
    fn a_result_has_its_rule_its_level_and_its_place() {
        let sarif = rendered(3);
        let run = &sarif["runs"][0];
        let first = &run["results"][0];
        assert_eq!((sarif["version"].as_str(), first["level"].as_str()), (Some("2.1.0"), Some("error")));
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "src/a%20b.rs");
        assert_eq!(place["region"]["startLine"], 3);
        for result in run["results"].as_array().unwrap() {
            let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        assert_eq!(run["results"][2]["level"], "note");
    }

    #[test]
    fn a_finding_about_a_whole_file_has_no_region() {
        assert!(rendered(3)["runs"][0]["results"][1]["locations"][0]["physicalLocation"].get("region").is_none());
    }

    #[test]
    fn what_is_missing_is_told() {
        let sarif = rendered(1);
        let invocation = &sarif["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        let told = invocation["toolExecutionNotifications"].to_string();
        assert!(told.contains("it hit the wall") && told.contains("3 more findings"), "{told}");
    }

    #[test]
    fn a_finding_that_moved_keeps_its_fingerprint() {
        let finding = |line, message| fixture::finding(Severity::Info, ("a", line), "r", message);
        assert_eq!(fingerprint(&finding(1, "m")), fingerprint(&finding(2, "m")));
        assert_ne!(fingerprint(&finding(1, "m")), fingerprint(&finding(1, "n")));
    }

    #[test]
    fn a_path_is_a_uri_whatever_its_letters() {
        assert_eq!(uri("a/ä#?.rs"), "a/%C3%A4%23%3F.rs");
        assert_eq!(described("todo_comment"), "Todo comment.");
    }
}
