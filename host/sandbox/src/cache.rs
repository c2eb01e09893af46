//! Compiled code on disk, trusted only where this host wrote it.
//!
//! Loading compiled code runs it: whoever can change a file here runs code in
//! the host. So each file carries a MAC under a key that lies beside it, which
//! only this user may read. A file that fails the check is compiled anew.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::error::Error;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// The block of SHA-256, which HMAC pads its key to (RFC 2104).
const BLOCK_BYTES: usize = 64;

/// A folder of compiled components.
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Of the compiler, its settings and this machine's processor.
    compatibility: String,
}

impl CodeCache {
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Result<Self, Error> {
        let key = open_key(&folder).map_err(|e| Error::Cache { path: folder.clone(), why: e.to_string() })?;
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hex(&hasher.0.finalize()[..16]);
        Ok(Self { folder, key, compatibility })
    }

    /// The compiled code of a component, if this host wrote it.
    pub(crate) fn read(&self, digest: &str) -> Option<Vec<u8>> {
        let name = self.name(digest);
        let path = self.folder.join(&name);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled code cannot be read, compiling anew: {error}");
                return None;
            }
        };
        let code = bytes.len().checked_sub(MAC_BYTES);
        let genuine = code.is_some_and(|code| {
            let mac = hmac(&self.key, &[name.as_bytes(), &bytes[..code]]);
            equal(&mac, &bytes[code..])
        });
        if !genuine {
            tracing::warn!(path = %path.display(), "compiled code that this host did not write, compiling anew");
            return None;
        }
        bytes.truncate(code.unwrap_or_default());
        Some(bytes)
    }

    /// Keeps compiled code. A cache that cannot be written is no reason to fail.
    pub(crate) fn write(&self, digest: &str, code: &[u8]) {
        let name = self.name(digest);
        let mac = hmac(&self.key, &[name.as_bytes(), code]);
        let path = self.folder.join(&name);
        if let Err(error) = replace(&path, &[code, &mac]) {
            tracing::warn!(path = %path.display(), "compiled code was not kept: {error}");
        }
    }

    fn name(&self, digest: &str) -> String {
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        format!("{digest}-{}.cwasm", self.compatibility)
    }
}

/// Writes a file so that it is there in whole or not at all.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = create_private(&temporary).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        // After a crash a torn file fails its MAC, so this need not be durable.
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("tmp-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    path.with_extension(unique)
}

fn open_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    create_private_folder(folder)?;
    let path = folder.join(KEY_FILE);
    if !path.try_exists()? {
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let temporary = temporary_beside(&path);
        create_private(&temporary)?.write_all(&key)?;
        // Of two hosts that start at once, the first to link makes the key.
        let linked = fs::hard_link(&temporary, &path);
        fs::remove_file(&temporary)?;
        if let Err(error) = linked
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
    }
    let file = File::open(&path)?;
    check_private(&file)?;
    let mut key = [0; KEY_BYTES];
    (&file).read_exact(&mut key).map_err(|_| io::Error::other("its file `key` is too short; remove it"))?;
    Ok(key)
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// A key that others can read or replace vouches for nothing.
#[cfg(unix)]
fn check_private(key: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let key = key.metadata()?;
    if key.mode() & 0o077 != 0 {
        return Err(io::Error::other("others can read its file `key`; remove the folder"));
    }
    // Where there is no such folder, nothing says who this process is.
    if let Ok(own) = fs::metadata("/proc/self")
        && own.uid() != key.uid()
    {
        return Err(io::Error::other("its file `key` belongs to another user"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &File) -> io::Result<()> {
    Ok(())
}

/// HMAC-SHA256 (RFC 2104) over `parts`, one after the other.
fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut inner = [0x36; BLOCK_BYTES];
    let mut outer = [0x5c; BLOCK_BYTES];
    for (at, byte) in key.iter().enumerate() {
        inner[at] ^= byte;
        outer[at] ^= byte;
    }
    let mut hash = Sha256::new_with_prefix(inner);
    parts.iter().for_each(|part| hash.update(part));
    Sha256::new_with_prefix(outer).chain_update(hash.finalize()).finalize().into()
}

/// Compares in a time that does not tell where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.clone().finalize();
        hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_hmac_sha256() {
        // RFC 4231, test case 2, has a short key: padded with zeros, as ours is.
        let mut key = [0; KEY_BYTES];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn code_is_read_back_only_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = CodeCache::open(folder.path().join("code"), &engine).unwrap();
        assert_eq!(cache.read("sha256:aa"), None);
        cache.write("sha256:aa", b"code");
        assert_eq!(cache.read("sha256:aa").unwrap(), b"code");

        let path = cache.folder.join(cache.name("sha256:aa"));
        let genuine = fs::read(&path).unwrap();
        for tampered in [&b""[..], b"short", &[&genuine[..], b"x"].concat(), &[b"C", &genuine[1..]].concat()] {
            fs::write(&path, tampered).unwrap();
            assert_eq!(cache.read("sha256:aa"), None);
        }
        // The code of one component is not taken for another's.
        fs::write(cache.folder.join(cache.name("sha256:bb")), &genuine).unwrap();
        assert_eq!(cache.read("sha256:bb"), None);

        fs::write(&path, &genuine).unwrap();
        let again = CodeCache::open(cache.folder.clone(), &engine).unwrap();
        assert_eq!(again.read("sha256:aa").unwrap(), b"code", "the key outlives the host");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        CodeCache::open(folder.path().into(), &engine).unwrap();
        fs::set_permissions(folder.path().join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(CodeCache::open(folder.path().into(), &engine), Err(Error::Cache { .. })));
    }
}
