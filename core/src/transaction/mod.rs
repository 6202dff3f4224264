//! Evaluation: everything that can refuse a write happens here, under the locks of the keys it
//! touches, before anything is logged. What comes out is an unconditional proposal.
//!
//! A single operation is an implicit transaction of one operation: it takes the locks of its
//! keys and of their values in unique indexes, then the collection's gate (shared), looks for what
//! is there, and holds both until the shard has logged and applied the proposal, so the next writer
//! of the key sees the outcome.

mod commit;
pub mod locks;
mod merged;
mod prepare;
pub mod session;
mod staged;
mod two_phase;
pub mod write;

#[cfg(test)]
mod tests;

pub use locks::LockManager;
pub use merged::Merged;
pub use prepare::Item;

pub use session::{Commit, CommittedRecord, Expect, Session, TransactionOptions, TransactionState};
pub use staged::PROVISIONAL_SEQ;
pub use write::{
    OnError, PreparedBatch, Rejected, Written, commit_batch, is_refusal, prepare_batch, put_one,
};
