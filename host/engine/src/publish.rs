//! Publishing: plugins get a name and a version that runs can ask for. A plugin is
//! a component or a graph; to whoever spawns an agent, both are the same.

use pleach_graph::source::Source;
use pleach_kernel::Role;
use pleach_sandbox::Inspection;
use pleach_store::PluginRow;

use crate::error::Error;
use crate::host::Host;
use crate::registry::{Plugin, Publish, check_name, check_version};

/// The version of a graph that names none: one that is run from a file is told from
/// others by its digest.
pub(crate) const NO_VERSION: &str = "0.0.0";

impl Host {
    /// Looks at a component without publishing it.
    pub fn inspect(&self, component: &[u8]) -> Result<Inspection, Error> {
        Ok(self.inner.shared.guests.inspect(component)?)
    }

    /// Checks, compiles and publishes a component.
    pub async fn publish(&self, component: Vec<u8>, publish: Publish) -> Result<Plugin, Error> {
        let doing = "publishing a plugin";
        let found = self.inspect(&component)?;
        let (said_name, said_version, description) =
            found.metadata.map_or((None, None, String::new()), |m| (Some(m.name), Some(m.version), m.description));
        let said = |what: &str| Error::invalid(doing, format!("the component does not say its {what}; give one"));
        let name = publish.name.or(said_name).ok_or_else(|| said("name"))?;
        let version = publish.version.or(said_version).ok_or_else(|| said("version"))?;
        let row = self.row(name, version, component.len())?;
        self.check_room_for(&component).await?;
        loop {
            let bytes = component.clone();
            let loaded = self.inner.shared.guests.load(&found.digest, Box::new(|| Box::pin(async move { Ok(bytes) })));
            match loaded.await {
                // That of a tree which waits for this component was under way, and the store
                // does not have it yet.
                Err(pleach_sandbox::Error::Bytes { .. }) => {}
                loaded => break drop(loaded?),
            }
        }
        let digest = found.digest.to_string();
        self.list(PluginRow { digest, role: found.role.as_str().to_owned(), description, ..row }, component).await
    }

    /// Checks, compiles and publishes a graph, which is then an agent like any
    /// other: what it may take is said by whoever spawns it, so it says nothing of
    /// that itself.
    pub async fn publish_graph(&self, source: Source, publish: Publish) -> Result<Plugin, Error> {
        let plan = match pleach_graph::compile(&source).into_plan() {
            Ok(plan) => plan,
            Err(problems) => return Err(Error::Graph { file: source, problems }),
        };
        let of_a_root = plan.settings.of_a_root();
        if !of_a_root.is_empty() {
            let why = format!(
                "graph {} says `{}`, which holds for the root of a tree only; leave it out, and say what the graph \
                 may take where it is spawned",
                plan.name,
                of_a_root.join("`, `")
            );
            return Err(Error::invalid("publishing a graph", why));
        }
        let name = publish.name.unwrap_or_else(|| plan.name.to_string());
        let said = plan.settings.version.as_deref().unwrap_or(NO_VERSION);
        let version = publish.version.unwrap_or_else(|| said.to_owned());
        let text = source.text().as_bytes().to_vec();
        let row = self.row(name, version, text.len())?;
        self.check_room_for(&text).await?;
        let digest = self.store().put_component(text.clone()).await?;
        let description = plan.description.clone().unwrap_or_default();
        self.inner.shared.graphs.keep(&digest.as_str().into(), plan);
        self.list(PluginRow { digest, description, ..row }, text).await
    }

    /// Takes a version back: running runs keep it, new ones cannot have it.
    pub async fn unpublish(&self, name: &str, version: &str) -> Result<(), Error> {
        self.store().set_published(self.tenant(), name, version, false).await?;
        self.inner.shared.registry.refresh(self.store().as_ref(), self.tenant()).await
    }

    /// Every version of every plugin of the tenant.
    pub async fn plugins(&self) -> Result<Vec<Plugin>, Error> {
        Ok(self.store().plugins(self.tenant()).await?.into_iter().map(Plugin::from).collect())
    }

    /// A plugin that is called so, of which nothing else is known yet.
    fn row(&self, name: String, version: String, size: usize) -> Result<PluginRow, Error> {
        check_name(&name)?;
        check_version(&version)?;
        Ok(PluginRow {
            tenant: self.tenant().clone(),
            name,
            version,
            digest: String::new(),
            role: Role::Agent.as_str().to_owned(),
            description: String::new(),
            size: size as u64,
            published_at: self.now(),
            published: true,
        })
    }

    async fn check_room_for(&self, bytes: &[u8]) -> Result<(), Error> {
        let policy = self.policy().await?;
        self.check_stored_bytes("publish", &policy, bytes.len() as u64).await
    }

    /// Keeps a plugin, where it can be found from now on.
    async fn list(&self, row: PluginRow, bytes: Vec<u8>) -> Result<Plugin, Error> {
        if !self.store().put_plugin(row.clone(), bytes).await? {
            self.store().set_published(self.tenant(), &row.name, &row.version, true).await?;
        }
        self.inner.shared.registry.refresh(self.store().as_ref(), self.tenant()).await?;
        Ok(row.into())
    }
}
