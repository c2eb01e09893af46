//! Graph files: reading them. One that cannot be read is a problem like any other,
//! so that the files beside it are checked all the same.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use pleach_engine::graph::Compiled;
use pleach_engine::graph::diagnostic::Diagnostic;
use pleach_engine::graph::source::{MAX_BYTES, Source, Span};

use super::name_of;

/// Whether a path stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a graph; what cannot be read is told as its one problem.
pub(super) fn read(path: &Path) -> Result<Source, Box<Compiled>> {
    let name = name_of(path);
    match bytes(path).and_then(text) {
        Ok(text) => Ok(Source::new(name, text)),
        Err((code, why, hint)) => {
            let problem = Diagnostic::error(code, Span::default(), format!("reading `{name}`: {why}")).hint(hint);
            Err(Box::new(Compiled { source: Source::new(name, ""), plan: None, problems: vec![problem] }))
        }
    }
}

/// A code, what is wrong, and what to do about it.
type Unread = (&'static str, String, &'static str);

const UNREADABLE: &str = "unreadable";

/// No more than can be used, so that a wrong file cannot fill the memory.
fn bytes(path: &Path) -> Result<Vec<u8>, Unread> {
    let hint = "name a graph in YAML or JSON, or `-` for standard input";
    let wrong = |error: io::Error| (UNREADABLE, error.to_string(), hint);
    let mut bytes = Vec::new();
    if is_stdin(path) {
        io::stdin().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    } else {
        let file = File::open(path).map_err(wrong)?;
        if file.metadata().map_err(wrong)?.is_dir() {
            return Err((UNREADABLE, "it is a folder".to_owned(), "name the files in it"));
        }
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    }
    if bytes.len() > MAX_BYTES {
        let hint = "split it into graphs that run one another, or have a `map` make the runs";
        return Err((
            "too_large",
            format!("it has more than {MAX_BYTES} bytes, which is the most that a graph has"),
            hint,
        ));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, Unread> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let why = format!("it is not UTF-8 text: byte {} (line {line}) is no character", before.len());
        (UNREADABLE, why, "save it as UTF-8")
    })
}
