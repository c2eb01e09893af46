//! The rules, one file for each. A rule looks at one file at a time and knows
//! nothing of the host; two of them keep notes and report at the end.

mod conflict_marker;
mod credential;
mod duplicate;
mod entropy;
mod hidden_unicode;
mod junk;
mod licence_header;
mod long_function;
mod long_line;
mod todo;
mod whitespace;

use pleach_sdk::Error;

use crate::Input;
use crate::finding::{Finding, Severity};
use crate::report::Report;
use crate::source::Source;

/// Every rule's name.
pub const NAMES: [&str; 11] = [
    conflict_marker::NAME,
    credential::NAME,
    duplicate::NAME,
    entropy::NAME,
    hidden_unicode::NAME,
    junk::NAME,
    licence_header::NAME,
    long_function::NAME,
    long_line::NAME,
    todo::NAME,
    whitespace::NAME,
];

/// What a rule hands its findings to: a line, how bad it is, and why.
type Found<'a> = dyn FnMut(usize, Severity, String) + 'a;

/// A review in progress.
pub struct Review {
    input: Input,
    duplicates: duplicate::Notes,
    headers: licence_header::Notes,
}

impl Review {
    /// Fails where a rule is named that does not exist.
    pub fn new(input: &Input) -> Result<Self, Error> {
        let unknown = input.rules.iter().flatten().find(|rule| !NAMES.contains(&rule.as_str()));
        if let Some(rule) = unknown {
            let message = format!("there is no rule `{rule}`: use some of {}", NAMES.join(", "));
            return Err(Error::new("invalid_input", message));
        }
        Ok(Self { input: input.clone(), duplicates: duplicate::Notes::default(), headers: licence_header::Notes::default() })
    }

    /// Apply every rule to a file.
    pub fn file(&mut self, source: &Source<'_>, report: &mut Report) {
        self.apply(conflict_marker::NAME, source, report, conflict_marker::check);
        self.apply(credential::NAME, source, report, credential::check);
        self.apply(entropy::NAME, source, report, entropy::check);
        self.apply(hidden_unicode::NAME, source, report, hidden_unicode::check);
        self.apply(junk::NAME, source, report, junk::check);
        self.apply(todo::NAME, source, report, todo::check);
        self.apply(whitespace::NAME, source, report, whitespace::check);
        let (functions, chars) = (self.input.max_function_lines, self.input.max_line_chars);
        self.apply(long_function::NAME, source, report, |source, found| long_function::check(source, functions, found));
        self.apply(long_line::NAME, source, report, |source, found| long_line::check(source, chars, found));
        if self.wants(duplicate::NAME) {
            self.duplicates.note(source);
        }
        if self.wants(licence_header::NAME) {
            self.headers.note(source, self.input.licence_header.as_deref());
        }
    }

    /// Report what only the whole of the files shows.
    pub fn finish(&mut self, report: &mut Report) {
        for finding in self.duplicates.findings().into_iter().chain(self.headers.findings()) {
            report.add(finding);
        }
    }

    fn wants(&self, rule: &str) -> bool {
        self.input.rules.as_ref().is_none_or(|rules| rules.iter().any(|wanted| wanted == rule))
    }

    fn apply(
        &self,
        rule: &'static str,
        source: &Source<'_>,
        report: &mut Report,
        check: impl FnOnce(&Source<'_>, &mut Found<'_>),
    ) {
        if self.wants(rule) {
            check(source, &mut |line, severity, message| {
                report.add(Finding { file: source.path.to_owned(), line, rule, severity, message });
            });
        }
    }
}

#[cfg(test)]
mod testing {
    //! One way for the tests of all rules to apply theirs to a text.

    use super::*;

    /// Lines and messages that a rule reports.
    pub fn check(
        path: &str,
        text: impl AsRef<[u8]>,
        rule: impl FnOnce(&Source<'_>, &mut Found<'_>),
    ) -> Vec<(usize, Severity, String)> {
        let mut all = Vec::new();
        let source = Source::new(path, text.as_ref()).expect("text");
        rule(&source, &mut |line, severity, message| all.push((line, severity, message)));
        all
    }

    /// Only the lines.
    pub fn lines(
        path: &str,
        text: impl AsRef<[u8]>,
        rule: impl FnOnce(&Source<'_>, &mut Found<'_>),
    ) -> Vec<usize> {
        check(path, text, rule).into_iter().map(|(line, _, _)| line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rules_that_were_named_are_applied() {
        let input = Input { rules: Some(vec![todo::NAME.to_owned()]), ..Input::default() };
        let mut report = Report::new(&input);
        let text = format!("// {}: later   \n", concat!("TO", "DO"));
        Review::new(&input).unwrap().file(&Source::new("a.rs", text.as_bytes()).unwrap(), &mut report);
        let rules: Vec<_> = report.output().findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [todo::NAME]);
    }

    #[test]
    fn a_rule_that_does_not_exist_is_refused_with_those_that_do() {
        let input = Input { rules: Some(vec!["spelling".to_owned()]), ..Input::default() };
        let error = Review::new(&input).err().unwrap();
        assert!(error.message.contains("no rule `spelling`") && error.message.contains("credential"), "{error}");
    }
}
