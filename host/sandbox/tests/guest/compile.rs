//! Loading: compiled once, kept on disk, and trusted only where it was kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pleach_kernel::Role;
use pleach_sandbox::{Config, Error, Sandbox};
use serde_json::json;

use crate::fake::{component, config, output, run, sandbox_of};

fn cached_in(folder: &Path) -> Sandbox {
    sandbox_of(Config { code_cache: Some(folder.into()), pool_slots: 0, ..config() })
}

fn compiled(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut code = files.filter(|path| path.extension().is_some_and(|end| end == "cwasm"));
    let path = code.next().expect("compiled code");
    assert!(code.next().is_none());
    path
}

/// Loads echo and says whether its bytes were asked for.
async fn load(sandbox: &Sandbox) -> (bool, Result<Arc<pleach_sandbox::Plugin>, Error>) {
    let bytes = component("echo");
    let digest = sandbox.inspect(&bytes).unwrap().digest;
    let asked = AtomicU32::new(0);
    let loaded = sandbox
        .load(&digest, || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Ok(bytes) }
        })
        .await;
    (asked.into_inner() > 0, loaded)
}

#[tokio::test]
async fn compiled_code_is_kept_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = cached_in(folder.path());
    let (asked, plugin) = load(&first).await;
    let plugin = plugin.unwrap();
    assert!(asked);
    assert_eq!(plugin.role(), Role::Agent);
    assert!(Arc::ptr_eq(&plugin, &first.cached(plugin.digest()).unwrap()));
    assert!(!load(&first).await.0, "it is in memory");
    compiled(folder.path());

    let second = cached_in(folder.path());
    assert!(second.cached(plugin.digest()).is_none());
    let (asked, plugin) = load(&second).await;
    assert!(!asked, "it is on disk");
    assert_eq!(output(run(&second, &plugin.unwrap(), &json!(5)).await), json!(5));
}

#[tokio::test]
async fn code_that_was_tampered_with_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    load(&cached_in(folder.path())).await.1.unwrap();
    let path = compiled(folder.path());
    let genuine = fs::read(&path).unwrap();
    let middle = genuine.len() / 2;
    let flipped = [&genuine[..middle], &[genuine[middle] ^ 1], &genuine[middle + 1..]].concat();
    for tampered in [&flipped[..], &genuine[..middle], b"", b"no code at all, and not signed either"] {
        fs::write(&path, tampered).unwrap();
        let sandbox = cached_in(folder.path());
        let (asked, plugin) = load(&sandbox).await;
        assert!(asked, "it was not taken from the disk");
        assert_eq!(output(run(&sandbox, &plugin.unwrap(), &json!(5)).await), json!(5));
        assert_eq!(fs::read(&path).unwrap().len(), genuine.len(), "and is mended");
    }
    // Another host's key vouches for nothing here.
    fs::remove_file(folder.path().join("key")).unwrap();
    assert!(load(&cached_in(folder.path())).await.0);
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_load() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = cached_in(folder.path());
    let bytes = component("script");
    let digest = sandbox.inspect(&bytes).unwrap().digest;
    let asked = Arc::new(AtomicU32::new(0));
    let loads: Vec<_> = (0..8)
        .map(|_| {
            let (sandbox, digest, bytes, asked) = (sandbox.clone(), digest.clone(), bytes.clone(), asked.clone());
            tokio::spawn(async move {
                let ask = || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    async { Ok(bytes) }
                };
                sandbox.load(&digest, ask).await.unwrap()
            })
        })
        .collect();
    let mut plugins = Vec::new();
    for load in loads {
        plugins.push(load.await.unwrap());
    }
    assert!(plugins.iter().all(|plugin| Arc::ptr_eq(plugin, &plugins[0])));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_load_that_fails_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = cached_in(folder.path());
    let bytes = component("echo");
    let digest = sandbox.inspect(&bytes).unwrap().digest;
    let lost = sandbox.load(&digest, || async { Err("the store is away".to_owned()) }).await;
    assert!(matches!(lost, Err(Error::Bytes { .. })), "{:?}", lost.err());
    let other = sandbox.load(&digest, || async { Ok(component("script")) }).await;
    assert!(matches!(other, Err(Error::Digest { .. })), "{:?}", other.err());
    for bad in ["", "sha256:", "../x", &digest.to_uppercase(), &format!("{digest}/../x")] {
        let refused = sandbox.load(bad, || async { panic!("asked for the bytes of {bad}") }).await;
        assert!(matches!(refused, Err(Error::Bytes { .. })), "{bad}");
    }
    assert!(sandbox.load(&digest, || async { Ok(bytes) }).await.is_ok());
}
