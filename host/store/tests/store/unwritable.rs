//! Files and folders that may not be written to. Permissions do not bind root, which
//! tests may run as, so a process of another user opens the store.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use pleach_store::Error;

use crate::fixture::{Fixture, Kind, append, open, tree, write};

const CHILD: &str = "PLEACH_STORE_TEST_UNWRITABLE";
const NAME: &str = "unwritable::what_may_not_be_written_is_refused_by_name_and_left_as_it_was";
/// A user without rights, `nobody` on most systems.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_refused_by_name_and_left_as_it_was() {
    if let Ok(path) = std::env::var(CHILD) {
        return be_refused(Path::new(&path)).await;
    }
    // The mode of the folder, of the file and of the folder of hosts' locks.
    for (folder_mode, file_mode, hosts_mode) in
        [(0o777, 0o444, 0o777), (0o555, 0o666, 0o777), (0o777, 0o666, 0o555), (0o000, 0o666, 0o777)]
    {
        let fixture = Fixture::new(Kind::Sqlite).await;
        write(&*fixture.store, append(tree(1), 0, 10)).await.unwrap();
        fixture.store.close().await.unwrap();
        let path = fixture.path();
        let before = fs::read(&path).unwrap();
        let folder = path.parent().unwrap();
        let mut hosts = path.clone().into_os_string();
        hosts.push(".hosts");
        // The test itself, where another user can run it.
        let elsewhere = tempfile::tempdir().unwrap();
        set_mode(elsewhere.path(), 0o755);
        let program = elsewhere.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        set_mode(&program, 0o755);
        for entry in fs::read_dir(&hosts).unwrap() {
            set_mode(&entry.unwrap().path(), 0o666);
        }
        set_mode(Path::new(&hosts), hosts_mode);
        set_mode(&path, file_mode);
        set_mode(folder, folder_mode);
        let mut child = Command::new(&program);
        child.args([NAME, "--exact", "--nocapture"]).env(CHILD, &path).current_dir(elsewhere.path());
        if fs::metadata(elsewhere.path()).unwrap().uid() == 0 {
            child.uid(NOBODY).gid(NOBODY);
        }
        let output = child.output().unwrap();
        set_mode(folder, 0o777);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("refused: "), "{folder_mode:o} {file_mode:o}: {output:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
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
