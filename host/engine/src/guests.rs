//! Who runs guests: the sandbox, or whatever stands in for it in a simulation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use pleach_kernel::Tenant;
use pleach_sandbox::{Error, Inspection, Job, Kernel, Live, Plugin, Sandbox, Stop};

/// A future that is handed out.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A component's bytes, fetched only where they are needed.
pub(crate) type Bytes = Box<dyn FnOnce() -> BoxFuture<'static, Result<Vec<u8>, String>> + Send>;

/// What the engine asks of whoever runs guests; see [`Sandbox`] for what each
/// method does.
pub(crate) trait Guests: Send + Sync + 'static {
    fn inspect(&self, component: &[u8]) -> Result<Inspection, Error>;
    fn cached(&self, digest: &str) -> Option<Arc<Plugin>>;
    fn load<'a>(&'a self, digest: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Arc<Plugin>, Error>>;
    fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop;
    /// Runs a tree's driver on the threads that its guests run on: what a guest
    /// asks is then decided by the thread that it asks from, without waking another.
    fn drive(&self, tenant: &Tenant, driver: BoxFuture<'static, ()>);
    /// Whether so many guests compute that a driver would wait for its turn there.
    fn is_crowded(&self) -> bool;
    fn live(&self) -> &Live;
    /// What one guest may take.
    fn memory_bytes(&self) -> u64;
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

impl Guests for Sandbox {
    fn inspect(&self, component: &[u8]) -> Result<Inspection, Error> {
        self.inspect(component)
    }

    fn cached(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.cached(digest)
    }

    fn load<'a>(&'a self, digest: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Arc<Plugin>, Error>> {
        Box::pin(self.load(digest, bytes))
    }

    fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop {
        self.start(plugin, job, kernel)
    }

    fn drive(&self, tenant: &Tenant, driver: BoxFuture<'static, ()>) {
        self.spawn(tenant, driver);
    }

    fn is_crowded(&self) -> bool {
        self.is_crowded()
    }

    fn live(&self) -> &Live {
        self.places()
    }

    fn memory_bytes(&self) -> u64 {
        self.limits().memory_bytes as u64
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shutdown())
    }
}
