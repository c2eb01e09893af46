//! `--input`: JSON on the command line, in a file, or on standard input.

use std::fs::File;
use std::io::{self, Read};

use pleach_engine::kernel::{MAX_PAYLOAD_BYTES, Payload, PayloadError};

use crate::exit::Mistake;

/// What `--input` stands for.
pub fn read(argument: &str) -> Result<Payload, Mistake> {
    let (source, text) = match argument.strip_prefix('@') {
        None => ("--input".to_owned(), argument.to_owned()),
        Some("-") => ("standard input".to_owned(), bounded(&mut io::stdin(), "standard input")?),
        Some("") => {
            return Err(Mistake::new("reading --input: `@` names no file")
                .hint("use `--input @FILE`, or `--input @-` for standard input"));
        }
        Some(path) => {
            let name = format!("the input file `{path}`");
            let mut file = File::open(path).map_err(|error| {
                Mistake::new(format!("opening {name}: {error}"))
                    .hint("the path after `@` is taken from the current folder")
            })?;
            let text = bounded(&mut file, &name)?;
            (name, text)
        }
    };
    Payload::parse(text).map_err(|error| {
        let hint = match error {
            PayloadError::TooLarge { .. } => "put large data into files and grant the run a root to read them from",
            PayloadError::NotJson(_) => {
                "the input is one JSON document, such as '{\"root\": \"repo\"}'; mind the shell's quotes, or use @FILE"
            }
        };
        Mistake::new(format!("reading {source}: {error}")).hint(hint)
    })
}

/// Reads no more than can be used, so that a wrong file cannot fill the memory.
fn bounded(from: &mut impl Read, name: &str) -> Result<String, Mistake> {
    let mut bytes = Vec::new();
    from.take(MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Mistake::new(format!("reading {name}: {error}")).hint("name a readable file"))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Mistake::new(format!("reading {name}: it is not UTF-8 text (at byte {at})")).hint("JSON is UTF-8 text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_json_as_it_stands_or_a_file() {
        assert_eq!(read(r#"{"a":1}"#).unwrap().as_str(), r#"{"a":1}"#);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.json");
        std::fs::write(&path, "[1]").unwrap();
        assert_eq!(read(&format!("@{}", path.display())).unwrap().as_str(), "[1]");
    }

    #[test]
    fn a_wrong_input_says_where_and_why() {
        let broken = read("{\"a\":\n1,}").unwrap_err().to_string();
        assert!(broken.starts_with("reading --input: ") && broken.contains("line 2"), "{broken}");
        let missing = read("@/no/such/file.json").unwrap_err().to_string();
        assert!(missing.contains("`/no/such/file.json`"), "{missing}");
        assert!(read("@").unwrap_err().to_string().contains("names no file"));
    }

    #[test]
    fn an_endless_input_is_refused_at_the_limit() {
        let text = bounded(&mut io::repeat(b'1'), "x").unwrap();
        assert_eq!(text.len(), MAX_PAYLOAD_BYTES + 1);
        assert!(matches!(Payload::parse(text), Err(PayloadError::TooLarge { .. })));
    }
}
