//! Two-phase commit inside a shard: what a participant and the home of a transaction over several
//! shards log, remember and hold. Who drives it, a coordinator, keeps nothing and lives elsewhere.
//!
//! ```text
//!   coordinator            home shard                   other participants
//!       │ evaluate, lock ───►│◄────────────────────────────►│
//!       │ prepare ──────────►│ Prepare ── locks stay        │ Prepare ── locks stay
//!       │◄─────────── digest │                       digest │
//!       │ decide(digests) ──►│ Decide: the first one counts │
//!       │   ⇒ answers its client                            │
//!       │ resolve ──────────►│ Resolve ── visible or gone   │ Resolve ── visible or gone
//!       │ acknowledge ──────►│ Acknowledge: a tombstone     │
//! ```
//!
//! The rules:
//! - **Judged before it is logged** (`judge.rs`), against what the log holds by then, in its order. A
//!   refusal is never logged, and what is logged is never refused: applied a second time it does
//!   nothing (`state.rs`, pure). So a Prepare in the log is PREPARED.
//! - **The first Decide in the home's log is the decision**, whoever sent it. COMMIT needs the home
//!   prepared and the digest of every participant, so no participant can be missing; ABORT needs
//!   nothing, so anybody who has waited long enough may ask for it, and a coordinator that crashed
//!   stops nobody.
//! - **A Resolve gives sequence numbers and a time when it is logged**: the later of the decision's
//!   time and of the shard's last. Everything else of the records was fixed by the Prepare: salts,
//!   bodies, commitments, revisions. From there on it is a batch like any other.
//! - **A decision stays until every participant has resolved**, then a tombstone stays for
//!   `TOMBSTONE_MS`: late messages hit it. Tombstones are forgotten by the times in the log, never by
//!   a clock, and `TOMBSTONES_MAX` of them are kept.
//! - **Forgetting is safe.** The id of a transaction tells when it began (a UUIDv7). Whoever forgets
//!   an outcome remembers the latest begin of all forgotten ones, and nothing that began by then is
//!   prepared or decided any more. Without that, a message older than every tombstone would begin a
//!   dead transaction anew.
//!
//! **Locks.** A Prepare is sent when every operation of its transaction was executed, on all shards,
//! with its locks held: its lock point (Eswaran et al., 1976) is behind it. So shared locks and
//! predicates are let go as soon as it is logged, and only exclusive locks are logged and taken again
//! by a restart: what others may not read or write is what will have changed. The lock manager is not
//! part of the replicated state and lives in a room below; it is reached through [`LockHolder`] and
//! [`LockKeeper`]. A shard without a keeper, a follower, touches no locks; whoever begins to evaluate
//! attaches one first.
//!
//! **Readers.** A transaction is committed, and its client told, when the decision is logged: some
//! time before its last Resolve. A read that meets one of its keys before that waits, or has the
//! decision fetched ([`Decider`]), or fails with `lock_timeout` (`readers.rs`). What is prepared
//! belongs to the published state, so a reader judges the very snapshot it reads. Reads under locks
//! need none of this for keys (the prepared transaction holds them) but do for ranges: register
//! the predicate, wait, and take the snapshot then.
//!
//! **Acts.** Schema, indexes, settings and the collection itself stay as they were while something
//! prepared under them is undecided: acts are refused, and a unique index is not declared ready.
//!
//! **Outliving the log.** A restart point holds all of this as of its last covered entry. The state
//! runs ahead of that, so the steps between are kept beside it (`trail.rs`) and followed as the ledger
//! catches up. A Resolve whose records are not in the ledger yet is replayed, and finds its
//! Prepare in the restart point if the log no longer has it.

mod act;
mod judge;
mod locks;
mod readers;
mod state;
mod step;
mod stored;
mod terms;
#[cfg(test)]
mod tests;
mod trail;

pub use act::NewPrepare;
pub use locks::{LockHolder, LockKeeper};
pub use readers::{Decider, Reach};
pub use state::{Effect, Standing, Tombstone, TwoPhase};
pub use step::{Prepared, Resolve, Step};
pub use terms::{Decision, PrepareTerms, PreparedInfo, Share, TxnId, Verdict, staged_digest};

pub(super) use act::{Machinery, Request};
pub(super) use step::is_tag;
