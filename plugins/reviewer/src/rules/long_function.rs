//! Functions that nobody can hold in their head. What a function is, is found
//! in `functions`.

use crate::finding::{Findings, Severity};
use crate::functions;
use crate::input::Settings;
use crate::source::Source;

pub const ID: &str = "long-function";

pub fn check(source: &Source, settings: &Settings, findings: &mut Findings) {
    if source.generated {
        return;
    }
    let limit = settings.max_function_lines;
    let mut found = functions::of(source);
    found.sort_by_key(|function| function.line);
    for function in found {
        let (first, last) = function.body;
        if last - first <= limit {
            continue;
        }
        // Only lines between the braces, and only those that do something.
        let lines = (first + 1..=last).filter(|line| source.has_code(*line)).count();
        if lines <= limit {
            continue;
        }
        let severity = if source.is_test(function.line) { Severity::Info } else { Severity::Warning };
        let message = format!("`{}` has {lines} lines of code; {limit} is the limit: split it", function.name);
        findings.over((function.line, last), ID, severity, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    fn with_lines(count: usize) -> String {
        format!("fn a() {{\n{}}}\n", "    // why\n\n    b();\n".repeat(count))
    }

    #[test]
    fn comments_and_blank_lines_do_not_count() {
        assert_eq!(found(check, "a.rs", &with_lines(99)), Vec::<String>::new());
        assert_eq!(
            found(check, "a.rs", &with_lines(101))[0],
            "1 Warning `a` has 102 lines of code; 100 is the limit: split it"
        );
    }

    #[test]
    fn a_test_may_be_long_at_less_cost_and_a_generator_at_none() {
        assert!(found(check, "tests/a.rs", &with_lines(200))[0].starts_with("1 Info"));
        assert_eq!(found(check, "a.rs", &format!("// @generated\n{}", with_lines(200))).len(), 0);
    }
}
