//! Breakers: the circuits of each tenant's plugins, for all trees of the host.
//!
//! When a circuit opens and closes is the kernel's to say (`circuit.rs` there). What is
//! known of plugins is not on disk: a host that starts over gives each another chance.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pleach_kernel::{
    Circuit, CircuitBreaker, Outcome, Permission, Probe, RunError, RunStatus, Tenant, Timestamp, Tried,
};

/// Failures that say nothing about the plugin: the host's own, and what whoever asked
/// is to blame for.
const NOT_THE_PLUGINS: [&str; 7] = [
    RunError::BUDGET_EXHAUSTED,
    RunError::CIRCUIT_OPEN,
    "host_failure",
    "invalid_input",
    "journal_unreadable",
    "output_schema",
    "plugin_unavailable",
];

/// How a try ended, as far as its plugin is concerned; `settled` is how its run was to
/// end before the guest stopped, if that was decided.
pub(crate) fn tried(settled: Option<RunStatus>, outcome: &Outcome) -> Tried {
    if let Some(status) = settled {
        return if status == RunStatus::TimedOut { Tried::Failed } else { Tried::Neither };
    }
    match outcome {
        Outcome::Completed(_) => Tried::Succeeded,
        Outcome::Failed(error) if NOT_THE_PLUGINS.contains(&&*error.code) => Tried::Neither,
        Outcome::Failed(_) => Tried::Failed,
        Outcome::Stopped => Tried::Neither,
    }
}

/// The circuits of a host; none are kept where there is no configuration.
pub(crate) struct Breakers {
    config: Option<CircuitBreaker>,
    tenants: Mutex<HashMap<Tenant, Arc<Circuits>>>,
}

/// The circuits of one tenant, by the plugin's name.
pub(crate) struct Circuits {
    config: Option<CircuitBreaker>,
    known: Mutex<HashMap<Arc<str>, Circuit>>,
    /// How many are not closed: while there are none, nobody has to look.
    not_closed: AtomicUsize,
}

/// A try that shows whether its plugin works again. One that is dropped shows nothing.
pub(crate) struct Trial {
    circuits: Arc<Circuits>,
    plugin: Arc<str>,
    probe: Option<Probe>,
}

impl Breakers {
    pub(crate) fn new(config: Option<CircuitBreaker>) -> Self {
        Self { config, tenants: Mutex::default() }
    }

    pub(crate) fn circuits(&self, tenant: &Tenant) -> Arc<Circuits> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let circuits = tenants.entry(tenant.clone());
        let (config, known, not_closed) = (self.config, Mutex::default(), AtomicUsize::new(0));
        circuits.or_insert_with(|| Arc::new(Circuits { config, known, not_closed })).clone()
    }
}

impl Circuits {
    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, Circuit>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a try of a plugin: it may start, as a trial perhaps, or fails with this.
    pub(crate) fn ask(self: &Arc<Self>, plugin: &Arc<str>, now: Timestamp) -> Result<Option<Trial>, RunError> {
        let Some(config) = self.config.filter(|_| self.not_closed.load(Ordering::Acquire) > 0) else { return Ok(None) };
        let mut known = self.known();
        let Some(circuit) = known.get_mut(plugin) else { return Ok(None) };
        match circuit.ask(&config, now) {
            Permission::Granted => Ok(None),
            Permission::Probe(probe) => {
                Ok(Some(Trial { circuits: self.clone(), plugin: plugin.clone(), probe: Some(probe) }))
            }
            Permission::Refused { until } => Err(RunError::circuit_open(told(&config, plugin, now, until))),
        }
    }

    /// A try that began at `started_at` has ended.
    pub(crate) fn ended(
        &self,
        plugin: &Arc<str>,
        now: Timestamp,
        started_at: Timestamp,
        tried: Tried,
        trial: Option<Trial>,
    ) {
        if let Some(mut trial) = trial {
            trial.end(now, tried);
        } else if let Some(config) = self.config.filter(|_| tried == Tried::Failed) {
            self.change(plugin, |circuit| circuit.failed(&config, now, started_at));
        }
    }

    fn change(&self, plugin: &Arc<str>, change: impl FnOnce(&mut Circuit)) {
        let mut known = self.known();
        let circuit = known.entry(plugin.clone()).or_default();
        let was_closed = circuit.is_closed();
        change(circuit);
        match (was_closed, circuit.is_closed()) {
            (true, false) => {
                self.not_closed.fetch_add(1, Ordering::Release);
                tracing::warn!(plugin = &**plugin, "a plugin has failed too often; it is not tried for a while");
            }
            (false, true) => {
                self.not_closed.fetch_sub(1, Ordering::Release);
                tracing::info!(plugin = &**plugin, "a plugin works again");
            }
            (true, true) | (false, false) => {}
        }
    }
}

impl Trial {
    fn end(&mut self, now: Timestamp, tried: Tried) {
        if let (Some(probe), Some(config)) = (self.probe.take(), self.circuits.config) {
            self.circuits.change(&self.plugin, |circuit| circuit.probed(&config, now, probe, tried));
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // When it was makes no difference where nothing was shown.
        self.end(Timestamp(0), Tried::Neither);
    }
}

/// Why a try may not start, and when one may.
fn told(config: &CircuitBreaker, plugin: &str, now: Timestamp, until: Option<Timestamp>) -> String {
    let CircuitBreaker { failures, window_ms, successes, .. } = config;
    match until {
        Some(until) => format!(
            "the circuit of `{plugin}` is open: {failures} of its tries failed within {window_ms} ms, or it failed \
             again after that; it is tried again in {} ms",
            until.since_ms(now)
        ),
        None => format!(
            "the circuit of `{plugin}` is half open: it closes when {successes} tries have succeeded, and no more are \
             let through until they end"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: CircuitBreaker = CircuitBreaker { failures: 2, window_ms: 100, open_ms: 50, successes: 1 };

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms)
    }

    fn circuits(config: Option<CircuitBreaker>) -> Arc<Circuits> {
        Breakers::new(config).circuits(&Tenant::default_tenant())
    }

    fn fail_twice(circuits: &Circuits, plugin: &Arc<str>) {
        for ms in [1, 2] {
            circuits.ended(plugin, at(ms), at(ms), Tried::Failed, None);
        }
    }

    #[test]
    fn only_what_a_plugin_is_to_blame_for_counts() {
        let failed = |code: &str| Outcome::Failed(RunError::new(code, ""));
        for code in ["trap", "out_of_fuel", "out_of_memory", "nondeterminism", "mine"] {
            assert_eq!(tried(None, &failed(code)), Tried::Failed, "{code}");
        }
        for code in NOT_THE_PLUGINS.into_iter().chain(["output_schema"]) {
            assert_eq!(tried(None, &failed(code)), Tried::Neither, "{code}");
        }
        assert_eq!(tried(Some(RunStatus::TimedOut), &Outcome::Stopped), Tried::Failed);
        assert_eq!(tried(Some(RunStatus::Cancelled), &failed("mine")), Tried::Neither, "it was being stopped");
        assert_eq!(tried(None, &Outcome::Stopped), Tried::Neither);
        assert_eq!(tried(None, &Outcome::Completed(pleach_kernel::Payload::null())), Tried::Succeeded);
    }

    #[test]
    fn a_circuit_is_one_plugins_of_one_tenant() {
        let breakers = Breakers::new(Some(CONFIG));
        let (ours, others) = (breakers.circuits(&Tenant::default_tenant()), breakers.circuits(&"b".parse().unwrap()));
        let plugin: Arc<str> = "a".into();
        fail_twice(&ours, &plugin);
        let error = ours.ask(&plugin, at(3)).err().unwrap();
        assert!(error.retryable && error.message.ends_with("it is tried again in 49 ms"), "{error:?}");
        assert!(ours.ask(&"b".into(), at(3)).is_ok_and(|trial| trial.is_none()), "another plugin");
        assert!(others.ask(&plugin, at(3)).is_ok(), "another tenant");
    }

    #[test]
    fn a_trial_that_shows_nothing_makes_way_for_another() {
        let (circuits, plugin) = (circuits(Some(CONFIG)), Arc::from("a"));
        fail_twice(&circuits, &plugin);
        let trial = circuits.ask(&plugin, at(60)).unwrap();
        assert!(trial.is_some());
        assert!(circuits.ask(&plugin, at(60)).is_err(), "one at a time is enough for one success");
        drop(trial);
        let trial = circuits.ask(&plugin, at(61)).unwrap();
        circuits.ended(&plugin, at(62), at(61), Tried::Succeeded, trial);
        assert!(circuits.ask(&plugin, at(62)).is_ok_and(|trial| trial.is_none()));
        assert_eq!(circuits.not_closed.load(Ordering::Relaxed), 0, "nobody has to look any more");
    }

    #[test]
    fn without_a_configuration_nothing_ever_opens() {
        let (circuits, plugin) = (circuits(None), Arc::from("a"));
        fail_twice(&circuits, &plugin);
        fail_twice(&circuits, &plugin);
        assert!(circuits.ask(&plugin, at(3)).is_ok());
    }
}
