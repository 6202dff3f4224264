//! The room's own files once more, over shuttle's primitives: `super::sync` means another file here.
//! So the code explored is the code that ships, no line of it knows of shuttle, and the other tests
//! of the same build run it with real threads.

#![allow(dead_code)] // What no schedule calls.
#![allow(clippy::duplicate_mod)] // That is the point.

pub mod sync;

#[path = "../../cycle.rs"]
mod cycle;
#[path = "../../manager.rs"]
mod manager;
#[path = "../../owner.rs"]
mod owner;
#[path = "../../predicates.rs"]
mod predicates;
#[path = "../../prepared.rs"]
mod prepared;
#[path = "../../table.rs"]
mod table;
#[path = "../../terms.rs"]
mod terms;
#[path = "../../waiter.rs"]
mod waiter;
#[path = "../../waits.rs"]
mod waits;

pub use manager::{LockFigures, LockManager};
pub use owner::Owner;
pub use predicates::Predicate;
pub use terms::{Deadline, Mode, OwnerId};
