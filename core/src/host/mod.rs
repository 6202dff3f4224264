//! What the engine needs of its surroundings besides files: time and randomness. Both are traits,
//! so that a test decides every timestamp and salt from one seed. Wall time is used for record
//! timestamps alone; every wait and deadline uses the monotonic clock.

pub mod real;
pub mod simulated;

use std::fmt::Debug;
use std::sync::Arc;

use crate::disk::Vfs;

/// Wall and monotonic time.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since the Unix epoch, UTC. May jump; never used for order or safety.
    fn wall_us(&self) -> i64;
    /// Microseconds since an arbitrary start; never goes back.
    fn monotonic_us(&self) -> u64;
}

/// Unpredictable bytes: salts and identifiers.
pub trait Random: Send + Sync + Debug {
    /// Fills `bytes`. The real source is a cryptographically strong generator.
    fn fill(&self, bytes: &mut [u8]);
}

/// How background work (sealing, flushing, compaction, restart points) gets its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// Own threads, as in production.
    Threads,
    /// Nothing runs by itself: the caller drives it step by step, for reproducible schedules.
    Manual,
}

/// The surroundings one database runs in.
#[derive(Clone, Debug)]
pub struct Host {
    /// Files and folders.
    pub vfs: Arc<dyn Vfs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Who runs background work.
    pub background: Background,
}
