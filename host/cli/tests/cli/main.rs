//! The command line, run as a user runs it: the real binary, real components,
//! a store of its own for each test.
//!
//! What a plugin does, and what the kernel decides, is tested elsewhere; here
//! it is what goes in and what comes out.

mod check;
mod code_review;
mod elsewhere;
mod examples;
mod full_disk;
mod graph_show;
mod graphs_page;
mod interrupt;
mod kill;
mod plugins;
mod policy;
mod program;
mod results;
mod resume;
mod stuck;
mod unwritable;
mod upkeep;
mod usage;
