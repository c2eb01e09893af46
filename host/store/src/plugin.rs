//! Plugins as the store keeps them: a row a version, the component by its digest.
//! What a component is and whether it may run is not known here.

use pleach_kernel::{Tenant, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// One version of a tenant's plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRow {
    pub tenant: Tenant,
    pub name: String,
    pub version: String,
    /// Of the component, as [`digest`] writes it.
    pub digest: String,
    pub role: String,
    pub description: String,
    /// Of the component, in bytes.
    pub size: u64,
    pub published_at: Timestamp,
    /// Whether new runs may use it.
    pub published: bool,
}

/// A component's name by its contents: `sha256:` and 64 lower-case hexadecimal digits.
pub fn digest(component: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::from("sha256:");
    for byte in Sha256::digest(component) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl PluginRow {
    /// Refuses a row that says something else than its component.
    pub(crate) fn check(&self, component: &[u8]) -> Result<(), Error> {
        let mismatch =
            |detail: String| Err(Error::Mismatch { name: self.name.clone(), version: self.version.clone(), detail });
        if self.size != component.len() as u64 {
            return mismatch(format!("{} bytes were announced, {} came", self.size, component.len()));
        }
        let found = digest(component);
        match found == self.digest {
            true => Ok(()),
            false => mismatch(format!("{} was announced, {found} came", self.digest)),
        }
    }

    /// What there is to do for this row, where `stored` is that version's digest now.
    pub(crate) fn is_new(&self, stored: Option<&str>) -> Result<bool, Error> {
        match stored {
            None => Ok(true),
            Some(stored) if stored == self.digest => Ok(false),
            Some(stored) => Err(Error::VersionTaken {
                tenant: self.tenant.clone(),
                name: self.name.clone(),
                version: self.version.clone(),
                stored: stored.to_owned(),
                offered: self.digest.clone(),
            }),
        }
    }
}

/// Hands a component out only if it is what its digest says.
pub(crate) fn verified(component: Vec<u8>, expected: &str) -> Result<Vec<u8>, Error> {
    let found = digest(&component);
    match found == expected {
        true => Ok(component),
        false => Err(Error::Corrupt {
            what: format!("the component {expected}"),
            detail: format!("its contents have the digest {found}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_in_hexadecimal() {
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), expected);
        assert_eq!(verified(b"abc".to_vec(), expected).unwrap(), b"abc");
        assert!(matches!(verified(b"abd".to_vec(), expected), Err(Error::Corrupt { .. })));
    }
}
