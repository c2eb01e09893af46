//! The bounds on a guest's memory, its tables and its journal. Computing is
//! bounded by fuel, where the store is made.

use pleach_kernel::RunError;
use wasmtime::ResourceLimiter;

use crate::config::GuestLimits;

/// Counts one guest's memory over all of its memories.
pub(crate) struct Limiter {
    limits: GuestLimits,
    memory: usize,
    last_growth: usize,
    refused_memory: bool,
}

impl Limiter {
    pub(crate) fn new(limits: GuestLimits) -> Self {
        Self { limits, memory: 0, last_growth: 0, refused_memory: false }
    }

    /// Lets no table grow beyond this.
    pub(crate) fn hold_tables(&mut self, elements: usize) {
        self.limits.table_elements = self.limits.table_elements.min(elements);
    }

    /// Whether the guest was refused memory: a trap after that is put down to it.
    pub(crate) fn refused_memory(&self) -> bool {
        self.refused_memory
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let fits = self.memory.checked_add(growth).is_some_and(|sum| sum <= self.limits.memory_bytes);
        if fits {
            self.memory += growth;
            self.last_growth = growth;
        } else {
            self.refused_memory = true;
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory -= std::mem::take(&mut self.last_growth);
        self.refused_memory = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        self.limits.memories
    }
}

/// Counts the journal of one try, whoever writes it: a guest that spins on calls
/// whose answers are recorded must not fill the disk.
pub(crate) struct JournalLimit {
    entries: u64,
    bytes: u64,
    most_entries: u64,
    most_bytes: u64,
}

impl JournalLimit {
    /// With what there is of the journal already.
    pub(crate) fn new(limits: &GuestLimits, (entries, bytes): (u64, u64)) -> Self {
        Self { entries, bytes, most_entries: limits.journal_entries, most_bytes: limits.journal_bytes }
    }

    /// Counts one entry, or says how the run fails for it.
    pub(crate) fn count(&mut self, bytes: u64) -> Result<(), RunError> {
        let Self { most_entries, most_bytes, .. } = *self;
        if self.entries == most_entries {
            return Err(journal_full("journal_entries", format!("more than {most_entries} recorded answers")));
        }
        if bytes > most_bytes - self.bytes.min(most_bytes) {
            return Err(journal_full("journal_bytes", format!("more than {most_bytes} bytes of recorded answers")));
        }
        self.entries += 1;
        self.bytes += bytes;
        Ok(())
    }
}

fn journal_full(limit: &str, much: String) -> RunError {
    let message = format!(
        "the run needs {much} to be resumed from; have it ask its host for less, or in runs of its own, or raise the host's limit `{limit}`"
    );
    RunError::new("journal_limit", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_on_the_sum_over_all_memories() {
        let mut limiter = Limiter::new(GuestLimits { memory_bytes: 100, ..GuestLimits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 41, None).unwrap() && limiter.refused_memory());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
    }

    #[test]
    fn a_growth_that_the_machine_refused_is_not_counted() {
        let mut limiter = Limiter::new(GuestLimits { memory_bytes: 100, ..GuestLimits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter.memory_grow_failed(wasmtime::format_err!("no memory")).unwrap();
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn a_full_journal_says_which_limit_was_met() {
        let limits = GuestLimits { journal_entries: 3, journal_bytes: 10, ..GuestLimits::default() };
        let mut journal = JournalLimit::new(&limits, (1, 2));
        assert_eq!(journal.count(8), Ok(()));
        let error = journal.count(1).unwrap_err();
        assert!(error.message.contains("`journal_bytes`") && error.message.contains("10 bytes"), "{error:?}");
        assert_eq!(journal.count(0), Ok(()));
        let error = journal.count(0).unwrap_err();
        assert_eq!((&*error.code, error.retryable), ("journal_limit", false));
        assert!(error.message.contains("`journal_entries`") && error.message.contains("than 3 "), "{error:?}");
    }
}
