//! How the shard reaches locks, which live in a room that uses this one.

use std::fmt::Debug;

use crate::error::Result;

/// Whoever holds the locks of a transaction until it is prepared. Dropping it frees them.
pub trait LockHolder: Debug + Send {
    /// The locks it holds exclusively, ascending.
    fn exclusive(&self) -> Vec<u64>;

    /// Leaves the exclusive locks held without a handle, and lets go of everything else; returns
    /// the number by which [`LockKeeper::release`] frees them.
    fn detach(self: Box<Self>) -> u64;
}

/// Keeps locks for transactions that are prepared.
pub trait LockKeeper: Debug + Send + Sync {
    /// Takes `locks` exclusively for a transaction that nobody here has evaluated; returns the
    /// number by which they are freed. An error is a defect: two prepared transactions never hold
    /// one lock.
    fn adopt(&self, locks: &[u64]) -> Result<u64>;

    /// Frees what a number stands for.
    fn release(&self, owner: u64);
}
