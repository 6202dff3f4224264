//! What every SDK, the command line and the server see: one [`Db`], its [`Collection`]s, and the
//! values that go in and out. Bindings translate; they do not decide.

mod bulk;
pub mod collection;
pub mod db;
pub mod find;
pub mod info;
pub mod operations;
pub mod range;
pub mod record;
pub mod results;
pub mod transaction;

pub use collection::Collection;
pub use db::Db;
pub use find::{Explain, Find, IntoFilter, Page};
pub use info::{BlockInfo, CollectionInfo, IndexInfo, SchemaInfo};
pub use operations::{OperationList, OperationResult, OperationResults};
pub use range::{IntoItem, KeyBounds, Keyed};
pub use record::Record;
pub use results::{BulkError, BulkResult, InsertMany, Results, Scan};
pub use transaction::{
    CommitInfo, Read, Transaction, TransactionCollection, TransactionFind, WrittenInfo,
};
