//! What every SDK, the command line and the server see: one [`Db`], its [`Collection`]s, and the
//! values that go in and out. Bindings translate; they do not decide.

mod bulk;
pub mod collection;
pub mod db;
pub mod find;
pub mod info;
pub mod range;
pub mod record;
pub mod results;

pub use collection::Collection;
pub use db::Db;
pub use find::{Explain, Find, IntoFilter, Page};
pub use info::{BlockInfo, CollectionInfo, IndexInfo, SchemaInfo};
pub use range::{IntoItem, KeyBounds, Keyed};
pub use record::Record;
pub use results::{BulkError, BulkResult, InsertMany, Results, Scan};
