//! Parity: the same scenario as a graph, as an agent that makes the calls itself,
//! and as a program of the embedding API writes the same log, but for ids, times
//! and the surface; also where a host stops in the middle, and another goes on.

mod calls;
mod denials;
mod joins;
mod keys;
mod replans;
mod ways;
