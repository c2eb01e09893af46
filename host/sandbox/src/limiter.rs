//! The bounds on a guest's memory and tables. Computing is bounded by fuel,
//! where the store is made.

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
}
