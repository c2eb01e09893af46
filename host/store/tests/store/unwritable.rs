//! Files and folders that may not be written to. Permissions do not bind root, which
//! tests may run as, so a process of another user opens the store.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pleach_store::Error;

use crate::fixture::{Fixture, Kind, append, check_log, open, tree, write};

const CHILD: &str = "PLEACH_STORE_TEST_UNWRITABLE";
/// A user without rights, `nobody` on most systems.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A tree of ten events in a store that is closed, or where its host lives on.
async fn store(lives_on: bool) -> (Fixture, Modes) {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 10)).await.unwrap();
    if !lives_on {
        fixture.store.close().await.unwrap();
    }
    let modes = Modes::of(&fixture.path());
    (fixture, modes)
}

/// What is taken from others, and given back in the end so that it can be removed.
struct Modes {
    folder: PathBuf,
    file: PathBuf,
    hosts: PathBuf,
}

impl Modes {
    fn of(file: &Path) -> Self {
        let mut hosts = file.as_os_str().to_owned();
        hosts.push(".hosts");
        Self { folder: file.parent().unwrap().to_owned(), file: file.to_owned(), hosts: hosts.into() }
    }

    fn set(&self, folder: u32, file: u32, hosts: u32) {
        let beside = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let locks = fs::read_dir(&self.hosts).into_iter().flatten().map(|entry| entry.unwrap().path());
        beside.chain(locks).filter(|path| path.is_file()).for_each(|path| set_mode(&path, file));
        if self.hosts.exists() {
            set_mode(&self.hosts, hosts);
        }
        set_mode(&self.folder, folder);
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        set_mode(&self.folder, 0o777);
    }
}

/// What the test of this name says about a file as another user.
fn said_by_nobody(name: &str, file: &Path) -> String {
    // The test itself, where another user can run it. Copied by a process of its own: a
    // child that another thread starts meanwhile would hold what this one has open for
    // writing, and a file that is open for writing does not run ("text file busy").
    let elsewhere = tempfile::tempdir().unwrap();
    set_mode(elsewhere.path(), 0o755);
    let program = elsewhere.path().join("test");
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    set_mode(&program, 0o755);
    let mut child = Command::new(&program);
    child.args([&format!("unwritable::{name}"), "--exact", "--nocapture"]);
    child.env(CHILD, file).current_dir(elsewhere.path());
    if fs::metadata(elsewhere.path()).unwrap().uid() == 0 {
        child.uid(NOBODY).gid(NOBODY);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The modes of the folder, of the files and of the folder of hosts' locks, where
/// something may not be written.
const UNWRITABLE: [(u32, u32, u32); 3] = [(0o777, 0o444, 0o777), (0o555, 0o666, 0o777), (0o777, 0o666, 0o555)];

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_refused_by_name_and_left_as_it_was() {
    if let Ok(path) = std::env::var(CHILD) {
        return be_refused(Path::new(&path)).await;
    }
    for (folder, file, hosts) in UNWRITABLE.into_iter().chain([(0o000, 0o666, 0o777)]) {
        let (fixture, modes) = store(false).await;
        let before = fs::read(&modes.file).unwrap();
        modes.set(folder, file, hosts);
        let said = said_by_nobody("what_may_not_be_written_is_refused_by_name_and_left_as_it_was", &fixture.path());
        assert!(said.contains("refused: "), "{folder:o} {file:o}: {said}");
        set_mode(&modes.folder, 0o777);
        assert_eq!(fs::read(&modes.file).unwrap(), before);
    }
}

async fn be_refused(path: &Path) {
    let error = match open(path).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    println!("refused: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_can_be_looked_at_and_nothing_is_left_behind() {
    const NAME: &str = "what_may_not_be_written_can_be_looked_at_and_nothing_is_left_behind";
    if let Ok(path) = std::env::var(CHILD) {
        return look_at(Path::new(&path)).await;
    }
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for (folder, file, hosts) in UNWRITABLE {
        let (fixture, modes) = store(false).await;
        let before = (fs::read(&modes.file).unwrap(), names(&modes.folder), names(&modes.hosts));
        modes.set(folder, file, hosts);
        let said = said_by_nobody(NAME, &fixture.path());
        assert!(said.contains("looked: Dead"), "{folder:o} {file:o} {hosts:o}: {said}");
        assert_eq!((fs::read(&modes.file).unwrap(), names(&modes.folder), names(&modes.hosts)), before);
    }
    // Whatever its name would mean in a URL.
    let (fixture, modes) = store(false).await;
    let odd = modes.folder.join("a b?c#d%20.db");
    fs::rename(fixture.path(), &odd).unwrap();
    Modes::of(&odd).set(0o555, 0o444, 0o555);
    assert!(said_by_nobody(NAME, &odd).contains("looked: Dead"));
    set_mode(&modes.folder, 0o777);
    // A host that lives is seen, and what it has just written.
    let (fixture, modes) = store(true).await;
    modes.set(0o555, 0o444, 0o555);
    let said = said_by_nobody(NAME, &fixture.path());
    assert!(said.contains("looked: Live"), "{said}");
    set_mode(&modes.folder, 0o777);
    // Without what SQLite keeps beside a log, the log cannot be read in such a place.
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let [from, to] = [modes.folder.as_path(), copy.path()].map(|folder| folder.join(format!("pleach.db{suffix}")));
        fs::copy(from, to).unwrap();
    }
    let copied = Modes::of(&copy.path().join("pleach.db"));
    copied.set(0o555, 0o444, 0o555);
    let said = said_by_nobody(NAME, &copied.file);
    assert!(said.contains("refused: ") && said.contains("-wal") && said.contains("copy both"), "{said}");
    // Nothing is there to look at, and nothing is made.
    assert!(pleach_store::look(&format!("sqlite:{}", copy.path().join("other.db").display())).await.is_err());
    assert!(!copy.path().join("other.db").exists());
}

async fn look_at(path: &Path) {
    let store = match pleach_store::look(&format!("sqlite:{}", path.display())).await {
        Ok(store) => store,
        Err(error) => return println!("refused: {error}"),
    };
    check_log(&*store, tree(1), 10).await;
    assert_eq!(store.check().await, Ok(vec![]));
    let refused = write(&*store, append(tree(2), 0, 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Unusable { .. }), "{refused:?}");
    let adopted = store.adopt(tree(1)).await;
    assert!(!matches!(adopted, Ok(true)), "{adopted:?}");
    println!("looked: {:?}", store.owner(tree(1)).await.unwrap());
    store.close().await.unwrap();
}
