//! Which hosts live. Each open store holds a lock on a file of its own in
//! `<database>.hosts/` for as long as it lives, and the operating system lets go of
//! the lock when the process ends, however it ends. Who owns which tree stands in
//! the database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::{Error, Owner};

/// Locked while a store is being opened, so that two processes neither migrate at
/// once nor sweep away a file that is not locked yet.
const OPENING: &str = "opening";

/// There while a store is made in the file: then it may be empty.
const MAKING: &str = "making";

/// This host among the hosts of one database.
pub(super) struct Hosts {
    folder: PathBuf,
    /// Empty for one who only looks.
    id: String,
    /// None once it was let go of.
    lock: Mutex<Option<File>>,
}

/// Nobody else opens the database while this lives.
pub(super) struct Opening {
    folder: PathBuf,
    _lock: File,
}

impl Opening {
    /// Waits until nobody else is opening the database.
    pub(super) fn begin(database: &Path) -> Result<Self, Error> {
        let folder = folder_of(database);
        fs::create_dir_all(&folder).map_err(unusable(&folder))?;
        let path = folder.join(OPENING);
        let lock = touch(&path).and_then(|file| file.lock().map(|()| file));
        Ok(Self { _lock: lock.map_err(unusable(&path))?, folder })
    }

    /// Whether anybody has opened the database, or begun to.
    pub(super) fn was_begun(database: &Path) -> bool {
        folder_of(database).exists()
    }

    /// Notes that a store is being made, by this process or by one that was killed
    /// before it was done.
    pub(super) fn make(&self) -> Result<(), Error> {
        let path = self.folder.join(MAKING);
        touch(&path).map(drop).map_err(unusable(&path))
    }

    pub(super) fn is_making(&self) -> bool {
        self.folder.join(MAKING).exists()
    }

    /// Enters this host, and clears away what dead ones left behind.
    pub(super) fn register(self) -> Result<Hosts, Error> {
        self.sweep();
        let _ = fs::remove_file(self.folder.join(MAKING));
        let id = new_id();
        let path = lock_path(&self.folder, &id);
        let lock = touch(&path).and_then(|file| Ok(file.try_lock().map(|()| file)?));
        let lock = Mutex::new(Some(lock.map_err(unusable(&path))?));
        Ok(Hosts { lock, id, folder: self.folder })
    }

    /// What cannot be removed only takes up room, so errors do not matter here.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_lock = path.extension().is_some_and(|extension| extension == "lock");
            if is_lock && matches!(is_held(&path), Ok(false)) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

impl Hosts {
    /// The hosts of a database, for one who only looks and is none of them; and
    /// whether none of them is alive. Then none comes to life either, as long as the
    /// value does.
    pub(super) fn look(database: &Path) -> Result<(Self, bool), Error> {
        let folder = folder_of(database);
        let opening = match File::open(folder.join(OPENING)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&folder)(error)),
        };
        let mut alone = opening.as_ref().is_none_or(|file| file.try_lock_shared().is_ok());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&folder)(error)),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(unusable(&folder))?.path();
            let is_lock = path.extension().is_some_and(|extension| extension == "lock");
            alone &= !is_lock || !is_held(&path).map_err(unusable(&path))?;
        }
        let lock = Mutex::new(opening.filter(|_| alone));
        Ok((Self { folder, id: String::new(), lock }, alone))
    }

    /// This host's name, which is written into the trees it owns.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What the owner that stands in a tree's row is to this host.
    pub(super) fn owner(&self, owner: Option<&str>) -> Result<Owner, Error> {
        let Some(owner) = owner else {
            return Ok(Owner::Unknown);
        };
        if owner == self.id {
            return Ok(Owner::Mine);
        }
        // It becomes a file name: a damaged row must not lead out of the folder.
        if !owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Ok(Owner::Dead);
        }
        let path = lock_path(&self.folder, owner);
        match is_held(&path) {
            Ok(true) => Ok(Owner::Live),
            Ok(false) => Ok(Owner::Dead),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    /// Dies, as far as other hosts can see.
    pub(super) fn release(&self) {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_some() && !self.id.is_empty() {
            // Left over, it is swept away by whoever opens the database next.
            let _ = fs::remove_file(lock_path(&self.folder, &self.id));
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.release();
    }
}

fn folder_of(database: &Path) -> PathBuf {
    let mut folder = database.as_os_str().to_owned();
    folder.push(".hosts");
    PathBuf::from(folder)
}

fn lock_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.lock"))
}

fn touch(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Asks with a shared lock: two hosts that ask at once do not take each other for
/// the one they ask about.
fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// No two hosts of one database have the same: not in one process (counter), not
/// on one machine (process and time).
fn new_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{count:x}", std::process::id(), since.as_nanos())
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::Unusable { path: path.display().to_string(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lives_until_it_lets_go_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let register = || Opening::begin(&database).unwrap().register().unwrap();
        let (ours, theirs) = (register(), register());
        assert_eq!(ours.owner(None).unwrap(), Owner::Unknown);
        assert_eq!(ours.owner(Some(ours.id())).unwrap(), Owner::Mine);
        assert_eq!(ours.owner(Some(theirs.id())).unwrap(), Owner::Live);
        theirs.release();
        assert_eq!(ours.owner(Some(theirs.id())).unwrap(), Owner::Dead);
        assert_eq!(ours.owner(Some("../a")).unwrap(), Owner::Dead);

        let left = lock_path(&ours.folder, "left-by-a-crash");
        fs::write(&left, "").unwrap();
        let _third = register();
        assert!(!left.exists(), "a dead host's file is swept away");
        assert_eq!(theirs.owner(Some(ours.id())).unwrap(), Owner::Live, "a live one's is not");
    }
}
