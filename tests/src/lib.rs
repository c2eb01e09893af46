//! Nothing here: the tests start at `all.rs`.
