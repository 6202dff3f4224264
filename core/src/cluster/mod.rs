//! Raft on BlockDB's own log (feature `cluster`): the storage openraft asks for, kept in the
//! write-ahead log of the node, with all its groups in one order and under one sync.
//!
//! ```text
//!   Raft of group 0 ── append, save_vote, truncate ──► LogStore ─┐
//!   Raft of group 1 ─────────────────────────────────► LogStore ─┤ lane: one order, one buffer
//!                                                                 │ turn: one write, one sync
//!                                                                 ▼
//!   log/wal_0000000008.log  [0: entry 7][1: vote][0: void from 6][0: entry 6'][1: entry 3]…
//!                                                                 │
//!   replication, applying ◄── newest entries, memory ── LogReader ┴─ older entries, disk
//! ```
//!
//! Promises:
//! - What a call did is durable when it returns, and its completion was reported before
//!   (openraft #2118); only `save_committed` leaves its frame to the next write. A node that lost
//!   power finds what was acknowledged, and of a call under way a first part.
//! - Groups that write at once share one write and one sync: who finds the role free commits for
//!   all whose frames are in the buffer by then.
//! - Votes, entries, truncations and purges of a group stand in the log in the order of the calls:
//!   a group has one [`LogStore`], and the log has one writer.
//! - After an error the group answers nothing more, neither writes nor reads, until the log is
//!   opened again: Raft holds in memory what the disk refused, and must not go on with it. A full
//!   disk stops the groups that were being written, a failed write or sync stops all.
//! - What Raft must never ask for is refused: entries that leave a gap, a vote that takes back a
//!   promise, a truncation of what is committed.
//! - Reads are bounded ([`RAFT_READ_BYTES_MAX`](crate::limits::RAFT_READ_BYTES_MAX)).
//!
//! **What outlives recycling.** Entries are frames of kind Entry, a truncation is a frame of kind
//! Truncate, and vote, committed and purged together are one frame of kind State, whose newest
//! counts, whole. A purge carries the states of all groups that stand in segments about to be
//! recycled over to the newest segment, syncs, and then recycles. They could live in a small file
//! that is replaced, as restart points do. But then an election would cost two more syncs, one of
//! them of a folder, and a vote and the entries around it would be in two places whose order no
//! crash respects; here one order and one sync hold for all. Each state also names the oldest
//! segment needed when it was written, so a log that has lost its beginning is noticed.
//!
//! A group that does not purge keeps its segments, and all newer ones with them:
//! [`RaftLog::pinned_by`] names it.
//!
//! Not here: the state machine, the network, who belongs to a group. Calls do their I/O on the
//! caller's thread, like everything in this crate: a commit is a role, not a thread, and simulated
//! time sees no thread of ours.

mod encoding;
mod group;
mod index;
mod lane;
mod log_reader;
mod log_store;
mod raft_log;
mod shared;
mod state;
mod tail;
mod turn;
mod types;

pub use encoding::check_membership;
pub use log_reader::LogReader;
pub use log_store::LogStore;
pub use raft_log::{RaftLog, RaftLogOptions};
pub use types::{
    Command, CommittedLeaderId, Entry, GroupTypes, LeaderId, LogId, Member, Membership, NodeId,
    Payload, TypeConfig, Vote,
};

#[cfg(test)]
mod tests;
