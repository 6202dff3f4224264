//! Evaluation: everything that can refuse a write happens here, under the locks of the keys it
//! touches, before anything is logged. What comes out is an unconditional proposal.
//!
//! A single operation is an implicit transaction of one operation: it takes the locks of its
//! keys and of their values in unique indexes, then the collection's gate (shared), looks for what
//! is there, and holds both until the shard has logged and applied the proposal, so the next writer
//! of the key sees the outcome.

pub mod locks;
mod two_phase;
pub mod write;

#[cfg(test)]
mod tests;

pub use locks::LockManager;
pub use write::{
    Item, OnError, PreparedBatch, Rejected, Written, commit_batch, is_refusal, prepare_batch,
    put_one,
};
