//! Compiling: a graph, held against the plugins and the policy of a tenant.

use std::sync::Arc;

use pleach_graph::source::Source;
use pleach_graph::{Compiled, Surroundings, compile_for};
use pleach_kernel::{Grant, Policy, Resolution};

use crate::error::Error;
use crate::graphs;
use crate::host::{Host, check_policy};
use crate::submission::Submission;

/// A file of this size takes a few milliseconds, about what another thread would.
const AT_ONCE_BYTES: usize = 64 << 10;

impl Host {
    /// Compiles a graph, and tells all that is wrong with it, and what this host and
    /// the tenant's policy would refuse. The error is for what keeps that from being
    /// found out.
    pub async fn compile(&self, source: &Source) -> Result<Compiled, Error> {
        self.compile_under(source, self.policy().await?).await
    }

    /// The same under another policy.
    pub async fn compile_under(&self, source: &Source, policy: Policy) -> Result<Compiled, Error> {
        self.compile_as(source, policy, None, None).await
    }

    /// The graph that a submission names as its agent, with all that this host and the
    /// policy would refuse of it; none where it names no graph. One that is brought along
    /// is checked when it is submitted. One that is published was checked by itself, and
    /// is an agent like any other: what it lacks here would show at the node that needs it.
    pub async fn compile_published(&self, submission: &Submission) -> Result<Option<Compiled>, Error> {
        if submission.graph.is_some() || submission.program.is_some() {
            return Ok(None);
        }
        self.registry().refresh(self.store().as_ref(), self.tenant()).await?;
        let Resolution::Found(plugin) = self.registry().resolve(self.tenant(), &submission.agent) else {
            return Ok(None);
        };
        let Some(source) = graphs::read(self.store().as_ref(), &plugin).await? else { return Ok(None) };
        let policy = match &submission.policy {
            Some(policy) => policy.clone(),
            None => self.policy().await?,
        };
        self.compile_as(&source, policy, Some(submission.grant.clone()), Some(plugin.name.clone())).await.map(Some)
    }

    /// The same for a run that is granted this.
    pub(crate) async fn compile_as(
        &self,
        source: &Source,
        mut policy: Policy,
        grant: Option<Grant>,
        name: Option<Arc<str>>,
    ) -> Result<Compiled, Error> {
        check_policy(&policy)?;
        policy.limits = policy.limits.tightest(self.ceilings());
        self.registry().refresh(self.store().as_ref(), self.tenant()).await?;
        let known = Known { host: self.clone(), policy, grant, name };
        if source.text().len() <= AT_ONCE_BYTES {
            return Ok(compile_for(source, &known));
        }
        let source = source.clone();
        // A large file takes a while, which is not to hold up this thread's tasks.
        match tokio::task::spawn_blocking(move || compile_for(&source, &known)).await {
            Ok(compiled) => Ok(compiled),
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::ShuttingDown),
            },
        }
    }
}

/// What this host knows of a tenant.
struct Known {
    host: Host,
    policy: Policy,
    grant: Option<Grant>,
    name: Option<Arc<str>>,
}

impl Surroundings for Known {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(&self, target: &str) -> Option<Resolution> {
        Some(self.host.registry().resolve(self.host.tenant(), target))
    }
}

#[cfg(test)]
mod tests {
    use pleach_graph::diagnostic::OneLine;

    use super::*;

    #[tokio::test]
    async fn a_graph_is_held_against_what_the_tenant_has() {
        let host = Host::builder().build().await.unwrap();
        let source = Source::new("g", "spec_version: \"2.0\"\ntasks: [{id: a, agent: worker}]\n");
        let told = |compiled: Compiled| {
            let lines = compiled.problems.iter().map(|problem| OneLine(&source, problem).to_string());
            lines.collect::<Vec<_>>()
        };
        let expected = ["g:2:24: error[target_not_found]: there is no plugin `worker`: tenant default has no plugins"];
        assert_eq!(told(host.compile(&source).await.unwrap()), expected);
        let policy = Policy { targets: vec!["a*b".into()], ..Policy::default() };
        assert!(matches!(host.compile_under(&source, policy).await, Err(Error::Invalid { .. })));
    }
}
