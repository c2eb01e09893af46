//! What the agent is asked, and the settings that follow from it. What a rule
//! makes of its setting is in the rule.

use pleach_sdk::Error;
use serde::Deserialize;

use crate::rules;

/// The records of version control and of this host, and what tools have put
/// beside what somebody wrote.
const EXCLUDED: [&str; 14] = [
    ".git",
    ".hg",
    ".jj",
    ".svn",
    ".pleach",
    ".mypy_cache",
    ".next",
    ".tox",
    ".venv",
    "__pycache__",
    "dist",
    "node_modules",
    "target",
    "venv",
];

/// What to review, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `root/path/of/a.file`, or `root/path/of/a/folder/` for all that is below.
    pub paths: Vec<String>,
    /// A number of the caller's, which comes back with the report.
    #[serde(default)]
    pub shard: Option<u64>,
    /// Only these rules; all of them where nothing is said.
    #[serde(default)]
    pub rules: Option<Vec<String>>,
    /// All rules but these.
    #[serde(default)]
    pub except: Vec<String>,
    /// Names of folders and files to leave out below a folder.
    #[serde(default)]
    pub exclude: Option<Vec<String>>,
    #[serde(default)]
    pub licence_header: Option<LicenceHeader>,
    /// Lines of code that a function may have.
    #[serde(default = "Input::default_function_lines")]
    pub max_function_lines: u32,
    /// Characters that a line of code may have.
    #[serde(default = "Input::default_line_length")]
    pub max_line_length: u32,
    /// Lines of code that two places may share.
    #[serde(default = "Input::default_duplicate_lines")]
    pub min_duplicate_lines: u32,
    /// Findings of one rule in one file; what is over that is only counted.
    #[serde(default = "Input::default_per_rule")]
    pub max_findings_per_rule: u32,
    /// Findings in all, the gravest first.
    #[serde(default = "Input::default_findings")]
    pub max_findings: u32,
    /// A file that is larger is skipped.
    #[serde(default = "Input::default_file_bytes")]
    pub max_file_bytes: u64,
    /// What is read in all; the rest is skipped.
    #[serde(default = "Input::default_total_bytes")]
    pub max_total_bytes: u64,
}

/// Whether source files must open with a licence.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum LicenceHeader {
    /// All of them, or none.
    Required(bool),
    /// All of them, and it has to say this.
    Saying(String),
}

/// The input, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shard: Option<u64>,
    /// Identifiers of the rules that apply.
    pub rules: Vec<&'static str>,
    pub exclude: Vec<String>,
    /// None: required where nearly every other file has one.
    pub licence_header: Option<LicenceHeader>,
    pub max_function_lines: usize,
    pub max_line_length: usize,
    pub min_duplicate_lines: usize,
    pub max_findings_per_rule: usize,
    pub max_findings: usize,
    pub max_file_bytes: u64,
    pub max_total_bytes: u64,
}

impl Input {
    fn default_function_lines() -> u32 {
        100
    }

    fn default_line_length() -> u32 {
        200
    }

    fn default_duplicate_lines() -> u32 {
        15
    }

    fn default_per_rule() -> u32 {
        20
    }

    fn default_findings() -> u32 {
        1_000
    }

    fn default_file_bytes() -> u64 {
        1 << 20
    }

    fn default_total_bytes() -> u64 {
        256 << 20
    }

    /// Check the input. Fails with `invalid_input`, saying what would be right.
    pub fn settings(self) -> Result<Settings, Error> {
        if self.paths.is_empty() {
            return Err(invalid("`paths` is empty: name at least one file, or a folder as `root/folder/`"));
        }
        for name in self.rules.iter().flatten().chain(&self.except) {
            if !rules::ids().any(|id| id == name) {
                let known: Vec<_> = rules::ids().collect();
                return Err(invalid(format!("there is no rule `{name}`; there are {}", known.join(", "))));
            }
        }
        for (name, value, least) in [
            ("max_function_lines", self.max_function_lines, 1),
            ("max_line_length", self.max_line_length, 20),
            ("min_duplicate_lines", self.min_duplicate_lines, 4),
            ("max_findings_per_rule", self.max_findings_per_rule, 1),
            ("max_findings", self.max_findings, 1),
        ] {
            if value < least {
                return Err(invalid(format!("`{name}` is {value} and must be {least} or more")));
            }
        }
        let asked = |id: &&str| self.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule == id));
        let spared = |id: &&str| self.except.iter().any(|rule| rule == id);
        Ok(Settings {
            shard: self.shard,
            rules: rules::ids().filter(|id| asked(id) && !spared(id)).collect(),
            exclude: self.exclude.unwrap_or_else(|| EXCLUDED.map(str::to_owned).to_vec()),
            licence_header: self.licence_header,
            max_function_lines: self.max_function_lines as usize,
            max_line_length: self.max_line_length as usize,
            min_duplicate_lines: self.min_duplicate_lines as usize,
            max_findings_per_rule: self.max_findings_per_rule as usize,
            max_findings: self.max_findings as usize,
            max_file_bytes: self.max_file_bytes,
            max_total_bytes: self.max_total_bytes,
        })
    }
}

impl Settings {
    /// Whether a rule applies.
    pub fn has(&self, rule: &str) -> bool {
        self.rules.contains(&rule)
    }
}

#[cfg(test)]
impl Settings {
    /// As where only paths were given.
    pub fn usual() -> Self {
        let input: Input = serde_json::from_str(r#"{"paths": ["repo/"]}"#).unwrap();
        input.settings().unwrap()
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("invalid_input", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(input: &str) -> Result<Settings, Error> {
        serde_json::from_str::<Input>(input).unwrap().settings()
    }

    #[test]
    fn every_rule_applies_unless_some_are_named() {
        assert_eq!(Settings::usual().rules.len(), rules::ids().count());
        let some = settings(r#"{"paths": ["a/"], "rules": ["unfinished", "long-line"], "except": ["long-line"]}"#);
        assert_eq!(some.unwrap().rules, ["unfinished"]);
    }

    #[test]
    fn a_wrong_input_is_answered_with_what_would_be_right() {
        let unknown = settings(r#"{"paths": ["a/"], "rules": ["typo"]}"#).unwrap_err();
        assert_eq!(unknown.code, "invalid_input");
        assert!(unknown.message.contains("conflict-marker"), "{unknown}");
        assert!(settings(r#"{"paths": []}"#).unwrap_err().message.contains("root/folder/"));
        assert!(settings(r#"{"paths": ["a/"], "max_findings": 0}"#).is_err());
        assert!(serde_json::from_str::<Input>(r#"{"paths": [], "pahts": []}"#).is_err());
    }
}
