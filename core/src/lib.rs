//! BlockDB: the append-only document database that can prove what it says.

pub mod api;
pub mod collection;
pub mod database;
pub mod disk;
pub mod document;
pub mod error;
pub mod host;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod proof;
pub mod shard;
pub mod table;
pub mod transaction;

pub use error::{Code, Error, Result};
