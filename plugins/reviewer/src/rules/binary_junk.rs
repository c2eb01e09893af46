//! Junk after the end of a text: what a crash, a broken transfer or somebody
//! with something to hide leaves behind. Where the text ends is found in
//! `content`.

use crate::finding::{Findings, Severity};
use crate::source::Source;

pub const ID: &str = "binary-junk";

/// Point at where the text ends.
pub fn report(source: &Source, junk_bytes: usize, findings: &mut Findings) {
    let line = source.line_of(source.text.len()).max(1);
    let severity = if source.is_test(line) { Severity::Warning } else { Severity::Error };
    findings.at(
        line,
        ID,
        severity,
        format!(
            "after {} bytes of text come {junk_bytes} bytes that begin with a control character and are no text: \
             cut them off, or find out what wrote them",
            source.text.len()
        ),
    );
}
