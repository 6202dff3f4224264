//! The table room.

pub mod cache;
