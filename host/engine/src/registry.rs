//! The plugins of each tenant: what they are called and which version a target
//! means. Their bytes are the store's, their code is the sandbox's.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use pleach_kernel::{PluginRef, Resolution, Role, Tenant, Timestamp};
use pleach_store::{PluginRow, Store};
use semver::{Version, VersionReq};
use serde::Serialize;

use crate::error::Error;

/// Names of plugins that are told to whoever asks for one that there is not.
const TOLD: usize = 20;

/// One version of a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Plugin {
    pub name: String,
    pub version: String,
    /// `sha256:` and 64 hexadecimal digits, over the component's bytes.
    pub digest: String,
    pub role: String,
    pub description: String,
    /// In bytes.
    pub size: u64,
    /// Whether new runs may use it.
    pub published: bool,
    /// Unix milliseconds.
    pub published_at: Timestamp,
}

impl From<PluginRow> for Plugin {
    fn from(row: PluginRow) -> Self {
        Self {
            name: row.name,
            version: row.version,
            digest: row.digest,
            role: row.role,
            description: row.description,
            size: row.size,
            published: row.published,
            published_at: row.published_at,
        }
    }
}

/// What a plugin is published as, where that is not what its file says.
#[derive(Clone, Debug, Default)]
pub struct Publish {
    pub name: Option<String>,
    pub version: Option<String>,
}

/// Checks what a plugin is to be called.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good =
        (1..=64).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(legal);
    if good {
        return Ok(());
    }
    let why = format!("`{name}` is no plugin name: 1 to 64 of a-z, 0-9 and `-`, beginning with a letter");
    Err(Error::invalid("publishing a plugin", why))
}

pub(crate) fn check_version(version: &str) -> Result<(), Error> {
    Version::parse(version)
        .map(drop)
        .map_err(|e| Error::invalid("publishing a plugin", format!("`{version}` is no semantic version: {e}")))
}

/// A tenant's plugins, newest version first.
type Plugins = BTreeMap<String, Vec<(Version, Arc<PluginRef>, bool)>>;

/// What was last read of each tenant's plugins.
#[derive(Default)]
pub(crate) struct Registry(RwLock<HashMap<Tenant, Arc<Plugins>>>);

impl Registry {
    /// Reads a tenant's plugins anew, with what other hosts have published.
    pub(crate) async fn refresh(&self, store: &dyn Store, tenant: &Tenant) -> Result<(), Error> {
        let mut plugins = Plugins::new();
        for row in store.plugins(tenant).await? {
            let (Ok(version), Some(role)) = (Version::parse(&row.version), role(&row.role)) else {
                tracing::warn!(%tenant, plugin = row.name, version = row.version, "a plugin of a newer host is left out");
                continue;
            };
            let plugin = PluginRef {
                name: row.name.as_str().into(),
                version: row.version.as_str().into(),
                digest: row.digest.as_str().into(),
                role,
            };
            plugins.entry(row.name).or_default().push((version, Arc::new(plugin), row.published));
        }
        for versions in plugins.values_mut() {
            versions.sort_by(|a, b| b.0.cmp(&a.0));
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(tenant.clone(), Arc::new(plugins));
        Ok(())
    }

    /// Looks a target up: the newest published version that it allows.
    pub(crate) fn resolve(&self, tenant: &Tenant, target: &str) -> Resolution {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        let plugins = all.unwrap_or_default();
        let (name, wanted) = target.split_once('@').unwrap_or((target, "*"));
        let wanted = match wanted {
            "*" => None,
            text => match VersionReq::from_str(text) {
                Ok(wanted) => Some(wanted),
                Err(e) => {
                    return Resolution::NotFound { hint: format!("`{text}` is no version requirement: {e}") };
                }
            },
        };
        let Some(versions) = plugins.get(name) else {
            let names: Vec<&str> = plugins.keys().map(String::as_str).take(TOLD).collect();
            let hint = match (names.as_slice(), plugins.len() - names.len()) {
                ([], _) => format!("tenant {tenant} has no plugins"),
                (names, 0) => format!("tenant {tenant} has {}", names.join(", ")),
                (names, more) => format!("tenant {tenant} has {} and {more} more", names.join(", ")),
            };
            return Resolution::NotFound { hint };
        };
        let fits = |version: &Version| wanted.as_ref().is_none_or(|wanted| wanted.matches(version));
        let mut fitting = versions.iter().filter(|(version, ..)| fits(version)).peekable();
        if fitting.peek().is_none() {
            let there: Vec<String> = versions.iter().take(10).map(|(version, ..)| version.to_string()).collect();
            return Resolution::NotFound { hint: format!("there is {name}@{}", there.join(", ")) };
        }
        match fitting.find(|(.., published)| *published) {
            Some((_, plugin, _)) => Resolution::Found(plugin.clone()),
            None => Resolution::NotPublished,
        }
    }
}

fn role(text: &str) -> Option<Role> {
    [Role::Agent, Role::Judge, Role::Router, Role::Replanner].into_iter().find(|role| role.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(rows: &[(&str, &str, bool)]) -> (Registry, Tenant) {
        let mut plugins = Plugins::new();
        for (name, version, published) in rows {
            let plugin = PluginRef {
                name: (*name).into(),
                version: (*version).into(),
                digest: format!("sha256:{name}{version}").into(),
                role: Role::Agent,
            };
            let versions = plugins.entry((*name).to_owned()).or_default();
            versions.push((Version::parse(version).unwrap(), Arc::new(plugin), *published));
            versions.sort_by(|a, b| b.0.cmp(&a.0));
        }
        let tenant = Tenant::default_tenant();
        let registry = Registry::default();
        registry.0.write().unwrap().insert(tenant.clone(), Arc::new(plugins));
        (registry, tenant)
    }

    fn version(resolution: Resolution) -> String {
        match resolution {
            Resolution::Found(plugin) => plugin.version.to_string(),
            Resolution::NotPublished => "not published".into(),
            Resolution::NotFound { hint } => hint,
        }
    }

    #[test]
    fn a_target_means_the_newest_published_version_that_it_allows() {
        let (registry, tenant) =
            registry(&[("a", "1.2.0", true), ("a", "1.10.0", true), ("a", "2.0.0", false), ("b", "1.0.0", false)]);
        let resolve = |target| version(registry.resolve(&tenant, target));
        assert_eq!(resolve("a"), "1.10.0");
        assert_eq!(resolve("a@^1"), "1.10.0");
        assert_eq!(resolve("a@=1.2.0"), "1.2.0");
        assert_eq!(resolve("a@^2"), "not published");
        assert_eq!(resolve("b"), "not published");
        assert_eq!(resolve("a@^3"), "there is a@2.0.0, 1.10.0, 1.2.0");
        assert_eq!(resolve("c"), "tenant default has a, b");
        assert!(resolve("a@!").contains("no version requirement"));
    }

    #[test]
    fn one_tenant_does_not_see_the_plugins_of_another() {
        let (registry, _) = registry(&[("a", "1.0.0", true)]);
        let other = "other".parse().unwrap();
        assert_eq!(version(registry.resolve(&other, "a")), "tenant other has no plugins");
    }

    #[test]
    fn a_plugin_name_is_plain() {
        assert!(check_name("retry-replanner").is_ok());
        for bad in ["", "A", "a/b", "-a", "a@1", "a b", "../a", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
