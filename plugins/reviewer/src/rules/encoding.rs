//! Text that is not UTF-8. Which encoding it is in instead is not guessed.

use crate::finding::{Findings, Severity};
use crate::source::Source;

pub const ID: &str = "encoding";

/// Point at the first byte that is not UTF-8.
pub fn report(source: &Source, invalid_at: usize, findings: &mut Findings) {
    // Up to that byte the text is the file's own, so the offset still holds.
    let line = source.line_of(invalid_at);
    findings.at(line, ID, Severity::Info, "from here on the text is not UTF-8: convert the file");
}
