//! What the room is built of: mutexes, condition variables and atomics, by the names used here.
//! Tests compile the room's files a second time with another file in this one's place
//! (`tests/explored/sync.rs`), where shuttle decides who runs; so nothing in this room may take a
//! primitive from anywhere else.

pub use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use parking_lot::{Condvar, Mutex};
