//! Standard output: the formats, and a writer for which a reader that has
//! left is no error.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; not stable.
    Text,
    /// One JSON document.
    Json,
    /// One JSON document a line, as things happen.
    Ndjson,
}

/// Standard output, or what stands in for it in a test.
pub struct Output<W = io::Stdout> {
    to: W,
    gone: bool,
}

impl Output {
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write> Output<W> {
    pub fn new(to: W) -> Self {
        Self { to, gone: false }
    }

    /// Whether the reader has left. What is written from then on is dropped;
    /// a loop that does nothing but write can stop.
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// Writes `text` and a line break, at once.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        if self.gone {
            return Ok(());
        }
        let written = self.to.write_all(text.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
        match written.and_then(|()| self.to.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(error).context("writing to standard output"),
        }
    }

    /// Writes `value` on one line.
    pub fn json_line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("writing the result as JSON")?;
        self.line(&text)
    }

    /// Writes `value` over several lines.
    pub fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("writing the result as JSON")?;
        self.line(&text)
    }

    /// Writes a list in the machine formats: as one array, or an item a line.
    pub fn list<T: Serialize>(&mut self, items: &[T], one_a_line: bool) -> anyhow::Result<()> {
        if !one_a_line {
            return self.json(&items);
        }
        items.iter().try_for_each(|item| self.json_line(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_is_noticed() {
        let mut output = Output::new(Fails(io::ErrorKind::BrokenPipe));
        assert!(output.line("x").is_ok() && output.gone());
        assert!(output.line("y").is_ok());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut output = Output::new(Fails(io::ErrorKind::StorageFull));
        let error = output.line("x").unwrap_err();
        assert!(format!("{error:#}").starts_with("writing to standard output: "), "{error:#}");
    }

    #[test]
    fn a_list_is_an_array_or_a_document_a_line() {
        let mut lines = Output::new(Vec::new());
        lines.list(&[1, 2], true).unwrap();
        assert_eq!(lines.to, b"1\n2\n");
        let mut array = Output::new(Vec::new());
        array.list(&[1], false).unwrap();
        assert_eq!(array.to, b"[\n  1\n]\n");
    }
}
