//! Plugins, components and policies.

use pleach_kernel::Timestamp;
use pleach_store::{Error, PluginRow, Store, digest};

use crate::fixture::tenant;

pub fn row(owner: &str, name: &str, version: &str, component: &[u8]) -> PluginRow {
    PluginRow {
        tenant: tenant(owner),
        name: name.into(),
        version: version.into(),
        digest: digest(component),
        role: "agent".into(),
        description: "Does a piece of work.".into(),
        size: component.len() as u64,
        published_at: Timestamp(1_000),
        published: true,
    }
}

pub async fn a_version_is_kept_once_and_never_changed(store: &dyn Store) {
    let first = row("acme", "lead", "1.0.0", b"one");
    assert!(store.put_plugin(first.clone(), b"one".to_vec()).await.unwrap());
    let mut again = first.clone();
    again.description = "Something else.".into();
    again.published = false;
    assert!(!store.put_plugin(again, b"one".to_vec()).await.unwrap());
    let taken = store.put_plugin(row("acme", "lead", "1.0.0", b"two"), b"two".to_vec()).await;
    let (stored, offered) = (digest(b"one"), digest(b"two"));
    assert_eq!(
        taken,
        Err(Error::VersionTaken {
            tenant: tenant("acme"),
            name: "lead".into(),
            version: "1.0.0".into(),
            stored,
            offered,
        })
    );
    assert_eq!(store.plugins(&tenant("acme")).await.unwrap(), [first]);
    assert_eq!(store.component(&digest(b"one")).await.unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(store.component(&digest(b"two")).await.unwrap(), None);
}

pub async fn a_component_that_is_not_what_its_row_says_is_refused(store: &dyn Store) {
    let mut resized = row("acme", "lead", "1.0.0", b"one");
    resized.size = 4;
    for (row, component) in [(resized, b"one"), (row("acme", "lead", "1.0.0", b"one"), b"two")] {
        let error = store.put_plugin(row, component.to_vec()).await.unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }
    assert!(store.plugins(&tenant("acme")).await.unwrap().is_empty());
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), 0);
}

pub async fn a_version_is_withdrawn_and_published_again(store: &dyn Store) {
    store.put_plugin(row("acme", "lead", "1.0.0", b"one"), b"one".to_vec()).await.unwrap();
    for published in [false, false, true] {
        store.set_published(&tenant("acme"), "lead", "1.0.0", published).await.unwrap();
        assert_eq!(store.plugins(&tenant("acme")).await.unwrap()[0].published, published);
    }
    for (owner, name, version) in
        [("acme", "lead", "1.0.1"), ("acme", "leader", "1.0.0"), ("umbrella", "lead", "1.0.0")]
    {
        let error = store.set_published(&tenant(owner), name, version, true).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchPlugin { .. }), "{error}");
    }
}

pub async fn plugins_belong_to_their_tenant_and_share_components(store: &dyn Store) {
    let mut rows = Vec::new();
    for (name, version) in [("reviewer", "1.0.0"), ("lead", "1.1.0"), ("lead", "1.0.0")] {
        let row = row("acme", name, version, b"the same");
        store.put_plugin(row.clone(), b"the same".to_vec()).await.unwrap();
        rows.insert(0, row);
    }
    store.put_plugin(row("umbrella", "spy", "1.0.0", b"the same"), b"the same".to_vec()).await.unwrap();
    assert_eq!(store.plugins(&tenant("acme")).await.unwrap(), rows, "by name and version");
    assert_eq!(store.plugins(&tenant("umbrella")).await.unwrap().len(), 1);
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), 3 * 8);
    assert_eq!(store.stored_bytes(&tenant("umbrella")).await.unwrap(), 8);
    assert!(store.component(&digest(b"the same")).await.unwrap().is_some());
}

pub async fn policies_are_numbered_from_one_for_each_tenant(store: &dyn Store) {
    let (acme, umbrella) = (tenant("acme"), tenant("umbrella"));
    assert_eq!(store.policy(&acme).await.unwrap(), None);
    assert!(store.policies(&acme).await.unwrap().is_empty());
    // In call order, whenever they are awaited.
    let (first, second) = (store.put_policy(&acme, "{\"a\":1}".into()), store.put_policy(&acme, "{\"a\":2}".into()));
    assert_eq!((second.await.unwrap(), first.await.unwrap()), (2, 1));
    assert_eq!(store.put_policy(&umbrella, "{}".into()).await.unwrap(), 1);
    assert_eq!(store.policy(&acme).await.unwrap(), Some((2, "{\"a\":2}".into())));
    let all = [(1, "{\"a\":1}".into()), (2, "{\"a\":2}".into())];
    assert_eq!(store.policies(&acme).await.unwrap(), all);
    assert_eq!(store.policy(&umbrella).await.unwrap(), Some((1, "{}".into())));
}
