//! Where a store is: the text that a person writes. Opening it is not done here.

use std::path::PathBuf;

use crate::Error;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Memory,
    Sqlite(PathBuf),
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            // A store that vanishes with its connection is called `memory:` here, and
            // `file:` names are SQLite's own URLs, whose options could undo durability.
            Some(("sqlite", path))
                if !path.is_empty() && !path.starts_with(":memory:") && !path.starts_with("file:") =>
            {
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            Some(_) | None => Err(Error::Address { url: url.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_file_or_memory_and_nothing_else() {
        assert_eq!(Address::parse("memory:").unwrap(), Address::Memory);
        let file = |path: &str| Address::Sqlite(PathBuf::from(path));
        assert_eq!(Address::parse("sqlite:a/b.db").unwrap(), file("a/b.db"));
        assert_eq!(Address::parse("sqlite:/a b.db").unwrap(), file("/a b.db"));
        for bad in ["", "memory", "memory:x", "sqlite:", "sqlite::memory:", "sqlite:file:x?mode=ro", "pg:x"] {
            let error = Address::parse(bad).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{bad}");
            assert!(error.to_string().contains("sqlite:PATH"), "{error}");
        }
    }
}
