//! Locks: who may read or write what, until the transaction that does has ended. Strict two-phase
//! locking (Eswaran, Gray, Lorie and Traiger, "The notions of consistency and predicate locks in a
//! database system", 1976) over 64-bit hashes of collection and key, and over predicates.
//!
//! ```text
//!                 ┌── free or admitted ──► table: 64 stripes of small maps
//!   Owner.lock ───┤
//!                 └── busy ──► waits (one mutex): queue, look for a cycle ──► sleep ◄── outcome
//!                                                        │ found                        ▲
//!                                                        └─► the youngest gives way     │
//!   Owner dropped ──► table: nobody waits, gone; else waits: hand on to the first ──────┘
//!
//!   add_predicate ──► slot of the collection ◄── check_writes ──► Blocked ──► wait_for
//! ```
//!
//! What holds:
//! - **The oldest first.** Whoever waits for a lock stands in its queue by the order in which the
//!   transactions began, which for those that ask but once is first come, first served; only an
//!   upgrade of what is held goes before all others, because nobody else can be served before it. A
//!   freed lock is handed to the first in its queue, not left for whoever is quickest. So nobody
//!   starves, for every transaction is the oldest one day: not a writer among readers, nor, through
//!   intents (`predicates.rs`), among scans. Queues by the order of requests would be as fair and
//!   far slower: whoever holds one hot key and wants another would stand behind all who hold
//!   nothing, in everybody's way. Measured with 64 threads that take three of ten keys each, in any
//!   order: 0.9 deadlocks a transaction this way and 12 that way, in a fifth of the time.
//! - **Whoever gives way grows old.** [`Owner::restart`] frees everything and keeps the age.
//! - **A cycle is found when it closes**, that is, when a wait begins, and costs one victim: its
//!   youngest member by start. No timer looks for cycles. After that there is none, and there never
//!   is one that nobody looks for (`cycle.rs`).
//! - **The edges of the graph are computed, not stored.** While somebody waits for a lock, its
//!   holders and its queue change under the mutex of the waits alone, so the search sees one moment,
//!   and finds no cycle that never was. Nobody touches that mutex before somebody has to wait.
//! - **A wait ends**: granted, victim, or at its deadline. Each waiter sleeps on a condition
//!   variable of its own and looks at its outcome before it sleeps.
//! - **Everything goes with its owner.** Locks and predicates end by the drop of [`Owner`], or, for
//!   a prepared transaction, by [`LockManager::release_detached`].
//!
//! What the callers keep to, since the graph knows locks and predicates alone:
//! - Nobody waits here while holding a gate (`shard::core::Core::gate`). Locks on keys come first,
//!   then gates, by ascending collection if there are several, then the check of predicates; who is
//!   blocked lets go of all gates before it waits, and begins again with them.
//! - A predicate is registered under the gate held exclusively, and the snapshot read from is taken
//!   before it is let go. A writer holds the gate shared from its check until its commit is visible.
//!   So a writer in flight is in the snapshot, and every later one sees the predicate.
//! - Whoever prepares leaves word of its writes ([`Owner::hold_writes`]) before it lets go of the gates
//!   it was checked under, detaches, and is released when the decision is visible. Recovery adopts
//!   all prepared transactions before anybody else begins.
//! - Whoever reads under a shared lock reads at a snapshot taken after it was granted.
//! - An operation that knows all its locks takes them by one [`Owner::lock_all`]: ascending, so
//!   such operations never wait for each other in a cycle, and cheaper than one by one.
//!
//! How it is tested: beside the tests with threads, `tests/schedules.rs` runs these files over
//! shuttle's primitives (`sync.rs`), thousands of schedules each time.

mod cycle;
mod manager;
mod owner;
mod predicates;
mod prepared;
mod scanned;
mod sync;
mod table;
mod terms;
mod waiter;
mod waits;

#[cfg(test)]
mod tests;

pub use manager::{LockFigures, LockManager};
pub use owner::{Blocked, Owner, Wanted};
pub use predicates::{Predicate, Write};
pub use scanned::Scanned;
pub use terms::{Deadline, Mode, OwnerId, lock_of};
