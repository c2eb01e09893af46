//! The page of problems: a row for each code, and a code for each row.

use std::collections::BTreeSet;
use std::path::Path;

/// The page that has a row for each code.
const PAGE: &str = include_str!("../../../../docs/graph-problems.md");

/// Every source of a folder.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            into.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

#[test]
fn every_code_has_a_row_on_the_page_and_every_row_a_code() {
    let mut all = String::new();
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    sources(&host.join("graph/src"), &mut all);
    sources(&host.join("cli/src/check"), &mut all);
    let mut codes = BTreeSet::new();
    for begins in ["Diagnostic::error(", "Diagnostic::warning(", "Failure::new(", "Some((\""] {
        for rest in all.split(begins).skip(1) {
            let rest = rest.trim_start();
            let rest = if begins.ends_with('"') { rest } else { rest.strip_prefix('"').unwrap_or_default() };
            let code = rest.split('"').next().unwrap_or_default();
            if !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                codes.insert(code);
            }
        }
    }
    assert!(codes.len() > 40, "{codes:?}");
    let rows: BTreeSet<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let missing: Vec<&&str> = codes.difference(&rows).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unused: Vec<&&str> = rows.iter().filter(|row| !all.contains(&format!("\"{row}\""))).collect();
    assert!(unused.is_empty(), "nothing tells {unused:?}");
}
