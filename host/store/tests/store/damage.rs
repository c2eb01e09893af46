//! Files that are broken, foreign, too new or held by somebody else: each has its
//! own clear error, and none is changed.

use std::fs;
use std::path::Path;

use pleach_store::{Error, Owner, digest};
use rusqlite::Connection;

use crate::contract::plugins_row;
use crate::fixture::{Fixture, Kind, append, check_log, open, tree, write};

/// A closed store with one tree of 200 events.
async fn closed_store() -> Fixture {
    let fixture = Fixture::new(Kind::Sqlite).await;
    for nth in 0..20 {
        write(&*fixture.store, append(tree(1), nth * 10, 10)).await.unwrap();
    }
    write(&*fixture.store, append(tree(2), 0, 10)).await.unwrap();
    fixture.store.close().await.unwrap();
    fixture
}

/// Flips one bit of the last place where `text` stands in a file.
fn flip(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(text.len()).rposition(|window| window == text).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

async fn refused(path: &Path) -> Error {
    match open(path).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_flipped_bit_in_an_event_names_the_tree_and_the_seq() {
    let fixture = closed_store().await;
    flip(&fixture.path(), format!("event 137 of {}", tree(1)).as_bytes());
    let store = fixture.open_again().await;
    let error = store.events(tree(1), 1, usize::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&tree(1).to_string()) && text.contains("at seq 131"), "{text}");
    // What is whole can be read all the same.
    assert_eq!(store.events(tree(1), 1, 130).await.unwrap().len(), 130);
    assert_eq!(store.events(tree(1), 141, 60).await.unwrap().len(), 60);
    check_log(&*store, tree(2), 10).await;
}

#[tokio::test]
async fn a_flipped_bit_in_a_component_names_the_component() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let row = plugins_row("acme", "lead", "1.0.0", b"a component to flip");
    fixture.store.put_plugin(row.clone(), b"a component to flip".to_vec()).await.unwrap();
    fixture.store.close().await.unwrap();
    flip(&fixture.path(), b"a component to flip");
    let store = fixture.open_again().await;
    let digest = digest(b"a component to flip");
    let error = store.component(&digest).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains(&digest), "{error}");
    // Whoever publishes the same once more mends it.
    assert!(!store.put_plugin(row, b"a component to flip".to_vec()).await.unwrap());
    assert_eq!(store.component(&digest).await.unwrap().as_deref(), Some(&b"a component to flip"[..]));
}

#[tokio::test]
async fn a_frame_that_is_gone_or_in_anothers_place_is_noticed() {
    for (damage, seq) in [
        ("DELETE FROM frames WHERE id = (1 << 32) + 101", 101),
        ("DELETE FROM frames WHERE id = (1 << 32) + 1", 1),
        ("DELETE FROM frames WHERE id = (1 << 32) + 191", 191),
        ("UPDATE frames SET id = (1 << 32) + 102 WHERE id = (1 << 32) + 101", 102),
    ] {
        let fixture = closed_store().await;
        Connection::open(fixture.path()).unwrap().execute(damage, []).unwrap();
        let store = fixture.open_again().await;
        let error = store.events(tree(1), 1, usize::MAX).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{damage}: {error}");
        assert!(error.to_string().contains(&format!("at seq {seq}")), "{damage}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_damaged() {
    let fixture = closed_store().await;
    let whole = fs::read(fixture.path()).unwrap();
    for keep in [whole.len() / 2, 4096, 1000, 50] {
        fs::write(fixture.path(), &whole[..keep]).unwrap();
        let error = refused(&fixture.path()).await;
        assert!(matches!(error, Error::Corrupt { .. }), "cut to {keep}: {error}");
        assert!(error.to_string().contains("pleach.db"), "{error}");
        assert_eq!(fs::read(fixture.path()).unwrap(), &whole[..keep], "it is left as it was");
    }
}

#[tokio::test]
async fn a_history_of_migrations_that_makes_no_sense_is_damage() {
    let fixture = closed_store().await;
    let conn = Connection::open(fixture.path()).unwrap();
    conn.execute_batch("UPDATE refinery_schema_history SET applied_on = 'never'; PRAGMA user_version = 0").unwrap();
    drop(conn);
    let error = refused(&fixture.path()).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_was() {
    let fixture = closed_store().await;
    let conn = Connection::open(fixture.path()).unwrap();
    conn.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(conn);
    let before = fs::read(fixture.path()).unwrap();
    let error = refused(&fixture.path()).await;
    assert!(matches!(error, Error::NewerSchema { found: 7, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("upgrade"), "{error}");
    assert_eq!(fs::read(fixture.path()).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database, however long it may be. ".repeat(100)).unwrap();
    let before = fs::read(&text).unwrap();
    let error = refused(&text).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read(&text).unwrap(), before);

    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&foreign).unwrap();
    let error = refused(&foreign).await;
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&foreign).unwrap(), before);
}

#[tokio::test]
async fn an_empty_file_is_no_store_unless_one_was_being_made_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, Error::Empty { .. }) && error.to_string().contains("empty.db"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    // What was a store is not begun anew.
    let fixture = closed_store().await;
    fs::write(fixture.path(), "").unwrap();
    assert!(matches!(refused(&fixture.path()).await, Error::Empty { .. }));
    // A process that was killed while it made a store leaves this.
    let mut making = fixture.path().into_os_string();
    making.push(".hosts/making");
    fs::write(&making, "").unwrap();
    fixture.open_again().await.close().await.unwrap();
    assert!(!Path::new(&making).exists());
    fs::write(fixture.path(), "").unwrap();
    assert!(matches!(refused(&fixture.path()).await, Error::Empty { .. }));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_another_name_for_the_same_store_also_before_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("pleach.db"), folder.path().join("link.db"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let store = open(&link).await.unwrap();
    write(&*store, append(tree(1), 0, 1)).await.unwrap();
    let other = open(&file).await.unwrap();
    assert_eq!(other.owner(tree(1)).await, Ok(Owner::Live), "it is seen by either name");
    check_log(&*other, tree(1), 1).await;
}

#[tokio::test]
async fn a_place_where_nothing_can_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("pleach.db"), folder.path().to_owned()] {
        let error = refused(&path).await;
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_holds_is_locked_and_can_be_opened_afterwards() {
    let fixture = closed_store().await;
    let holder = Connection::open(fixture.path()).unwrap();
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").unwrap();
    let error = refused(&fixture.path()).await;
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("pleach.db"), "{error}");
    drop(holder);
    let store = fixture.open_again().await;
    check_log(&*store, tree(1), 200).await;
}

#[tokio::test]
async fn a_writer_that_is_kept_out_fails_its_appends_and_recovers() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 1)).await.unwrap();
    let holder = Connection::open(fixture.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = write(&*fixture.store, append(tree(1), 1, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    // Reading goes on meanwhile.
    check_log(&*fixture.store, tree(1), 1).await;
    holder.execute_batch("ROLLBACK").unwrap();
    write(&*fixture.store, append(tree(1), 1, 1)).await.unwrap();
    check_log(&*fixture.store, tree(1), 2).await;
}
