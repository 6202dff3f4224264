//! Shared pieces of the suites that cross crates.
