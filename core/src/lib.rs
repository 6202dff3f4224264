//! BlockDB: the append-only document database that can prove what it says.
//!
//! Every record is a leaf of a Merkle log, batches of records are sealed into hash-chained blocks,
//! and the whole of it can be re-hashed and compared at any time.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! use blockdb::{CollectionOptions, Db, doc};
//!
//! let db = Db::open(dir.path().join("data"))?;
//! let events = db.create_collection("events", CollectionOptions::new().revisions(true))?;
//! events.insert(("e-1", doc! { "user": "u1", "amount_cents": 1200 }))?;
//! events.put("e-1", doc! { "user": "u1", "amount_cents": 1300 }, Some(1))?;
//!
//! let record = events.get("e-1")?.expect("inserted above");
//! assert_eq!((record.revision, events.history("e-1")?.len()), (2, 2));
//! for record in events.scan_prefix("e-") {
//!     println!("{}", record?.to_json());
//! }
//! assert!(db.verify(&Default::default(), &|_, _| {})?.is_clean());
//! db.close()?;
//! # Ok::<(), blockdb::Error>(())
//! ```
//!
//! The map of the rooms below is in `docs/architecture.md`.

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

pub use api::{
    BlockInfo, BulkError, BulkResult, Collection, CollectionInfo, CommitInfo, Db, Explain, Find,
    IndexInfo, InsertMany, IntoFilter, IntoItem, KeyBounds, Keyed, OperationList, OperationResult,
    OperationResults, Page, Read, Record, Results, Scan, SchemaInfo, Transaction,
    TransactionCollection, TransactionFind, WrittenInfo,
};
pub use collection::CollectionOptions;
pub use database::model::IndexOptions;
pub use database::repair::RepairReport;
pub use database::verify::{Fault, VerifiedCollection, VerifyOptions, VerifyReport};
pub use database::{Options, RecoveryReport};
pub use document::{Document, Object, Timestamp, Value};
pub use error::{Code, Error, Result, Violation};
pub use shard::environment::{Durability, Tuning};
pub use transaction::{OnError, TransactionOptions, TransactionState};
