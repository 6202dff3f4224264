//! Money that moves between three shards: three databases in one process, messages that are lost,
//! doubled and late, a coordinator that forgets everything, and participants that crash.
//!
//! ```text
//!   begin ──▶ network ──▶ Node: evaluate, prepare, decide, resolve ──▶ replies ──▶ Coordinator
//!                │ lost, again, in any order      │ power cut at any operation        │ crash
//!                ▼                                ▼                                   ▼
//!                        judge: the sum of all balances, at any time and by any read;
//!                        every transfer at all its shards or at none; locks, chain, log
//! ```
//!
//! The [`World`] is driven by dice; a script can drive it by hand. Time is simulated and nothing runs
//! by itself, so a read that would have to wait fails at once with `lock_timeout`, which is an answer
//! the judge accepts.

pub mod coordinator;
pub mod judge;
pub mod node;
pub mod world;

pub use judge::Figures;
pub use node::{Leg, Node, Shards};
pub use world::World;

/// Shards.
pub const SHARDS: u32 = 3;
/// Accounts of each.
pub const ACCOUNTS: u64 = 4;
/// What each begins with.
pub const BALANCE: i64 = 1_000;
/// How long something is prepared before somebody who meets it has it decided.
pub const PATIENCE_US: i64 = 60_000;
