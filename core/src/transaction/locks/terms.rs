//! The words of the room: who owns, what is locked, how, and until when a wait may last.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::collection::CollectionId;

/// Whoever holds locks: a transaction, or an implicit one of one operation. Ids count up with each
/// [`LockManager::begin`](super::LockManager::begin), so the greatest is the youngest; none is
/// given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u64);

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Beside other readers.
    Shared,
    /// Alone.
    Exclusive,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Shared => "shared",
            Mode::Exclusive => "exclusive",
        })
    }
}

/// When a wait ends at the latest, by the host's monotonic clock. The earlier of two is their
/// minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// No end: the wait lasts as long as it must.
    pub const NEVER: Deadline = Deadline(u64::MAX);

    /// The moment at which the monotonic clock shows `monotonic_us`.
    pub const fn at_us(monotonic_us: u64) -> Self {
        Deadline(monotonic_us)
    }

    /// Microseconds left at `now_us`; `None` without an end, zero once it has passed.
    pub fn left_us(self, now_us: u64) -> Option<u64> {
        (self != Deadline::NEVER).then(|| self.0.saturating_sub(now_us))
    }
}

/// The lock that stands for `key` of `collection`. Two keys of one hash wait for each other
/// needlessly, and nothing worse.
pub fn lock_of(collection: CollectionId, key: &[u8]) -> u64 {
    let seed = u64::from_le_bytes(collection.0[8..].try_into().expect("eight bytes"));
    xxh3_64_with_seed(key, seed)
}
