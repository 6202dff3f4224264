//! A secondary index at run time: a sorted map from encoded field values to sequence numbers, in the
//! same tables as the primary map, with the sequence number as rank. Its memtable fills, turns and
//! is flushed together with the collection's own, so one watermark holds for all.
//!
//! What lies before the index was asked for is brought in by [`crate::shard::builder`]: tables up to
//! `built_seq`. It is complete when that reaches `since_seq`, where the memtables take over.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::collection::CollectionId;
use crate::collection::index::IndexDescriptor;
use crate::collection::query::{IndexFields, IndexKeys};
use crate::document::{Document, Object};
use crate::error::{Code, Error, Result};
use crate::shard::core::Core;
use crate::shard::environment::Environment;
use crate::table::{MemTable, TableFiles, TableSet};

/// The entry that tells that some record has an array in an indexed field: queries then use one
/// bound of a range only, and do not take the index's order for the order of records. No encoded
/// value begins with this byte.
const ARRAY_MARK: &[u8] = &[0xff];

/// One index of one collection.
#[derive(Debug)]
pub struct Index {
    /// Its number within the collection.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it is over.
    pub fields: IndexFields,
    /// Whether no two newest records may have the same values.
    pub unique: bool,
    /// Whether records that have none of the fields are left out.
    pub sparse: bool,
    /// The first record that was indexed as it was written.
    pub since_seq: u64,
    /// The table files.
    pub files: Arc<TableFiles>,
    /// Memtables and tables.
    pub tables: ArcSwap<TableSet>,
    /// Old records below it are in the tables.
    pub built_seq: AtomicU64,
    /// Whether records it must hold could not be read when it was brought up: it answers nothing, and
    /// is said to have failed before anything is built on it.
    pub damaged: AtomicBool,
    /// Held by the worker that builds it.
    pub building: Mutex<()>,
    /// Whether the array mark was seen.
    arrays_seen: AtomicBool,
    /// Queries that used it since the database was opened.
    pub uses: AtomicU64,
}

/// The entries of one record in the indexes of its collection.
pub type RecordKeys = Vec<(u32, IndexKeys)>;

impl Index {
    /// An index that holds nothing yet.
    pub fn new(env: &Environment, core: &Core, descriptor: &IndexDescriptor) -> Result<Self> {
        let fields: Vec<&str> = descriptor.fields.iter().map(String::as_str).collect();
        let dir = core.dir.join("indexes");
        let files = TableFiles::index(env.pool.clone(), &dir, core.id.0, &descriptor.name);
        let tables = TableSet::default().with_memtable(Arc::new(MemTable::new()));
        Ok(Index {
            id: descriptor.id,
            name: descriptor.name.clone(),
            fields: IndexFields::parse(&fields)?,
            unique: descriptor.unique,
            sparse: descriptor.sparse,
            since_seq: descriptor.since_seq,
            files: Arc::new(files),
            tables: ArcSwap::from_pointee(tables),
            built_seq: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            building: Mutex::new(()),
            arrays_seen: AtomicBool::new(false),
            uses: AtomicU64::new(0),
        })
    }

    /// Whether every record is in it.
    pub fn is_complete(&self) -> bool {
        self.built_seq.load(Ordering::Acquire) >= self.since_seq && !self.is_damaged()
    }

    /// Whether records it must hold could not be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// The entries of a document, none if the index leaves it out for having none of its fields.
    fn keys(&self, object: &Object) -> Result<IndexKeys> {
        let mut keys = self.fields.keys(object)?;
        if self.sparse && keys.all_missing {
            keys.keys.clear();
        }
        Ok(keys)
    }

    /// Adds the entries of the record at `seq` to `memtable`.
    pub fn insert(memtable: &MemTable, keys: &IndexKeys, seq: u64) {
        if keys.from_array && memtable.newest(ARRAY_MARK, u64::MAX).is_none() {
            memtable.insert(ARRAY_MARK, seq, seq);
        }
        for key in &keys.keys {
            memtable.insert(key, seq, seq);
        }
    }

    /// Whether `key` is the engine's own mark and no entry of a record.
    pub fn is_mark(key: &[u8]) -> bool {
        key == ARRAY_MARK
    }

    /// Whether some record below `end_seq` has an array in an indexed field.
    pub fn holds_arrays(&self, end_seq: u64) -> Result<bool> {
        if self.arrays_seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        // With the greatest of keys a look-up ends at each table's last key.
        let found = self.tables.load().newest(ARRAY_MARK, end_seq)?.is_some();
        if found {
            self.arrays_seen.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// Another newest record with the same values as `key`, by sequence number, if the index has one
    /// below `end_seq`. `own_key` is the key of the record that asks.
    pub fn conflict(
        &self,
        core: &Core,
        key: &[u8],
        own_key: &[u8],
        revisions: bool,
        end_seq: u64,
    ) -> Result<Option<u64>> {
        if self.is_damaged() {
            let detail = format!("unique index {:?}: records it must hold are damaged", self.name);
            return Err(Error::new(Code::Corrupt, detail));
        }
        let tables = self.tables.load();
        let Some(hit) = tables.newest(key, end_seq)? else { return Ok(None) };
        if !revisions {
            return Ok(Some(hit.seq));
        }
        let tables = tables.clone();
        for entry in tables.scan(Bound::Included(key), Bound::Included(key), end_seq, false) {
            let seq = entry?.seq;
            let leaf = core.read_leaf(seq)?;
            let others = leaf.key.as_deref().filter(|key| *key != own_key);
            if let Some(key) = others
                && core.is_newest_of(key, seq, end_seq)?
            {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// The fields in words, for messages.
    pub fn field_words(&self) -> String {
        self.fields.to_strings().join(",")
    }

    /// The memtable that takes new entries.
    pub fn front(&self) -> Arc<MemTable> {
        self.tables.load().memtables().first().expect("a set begins with a memtable").clone()
    }

    /// About the memory of the memtable in front.
    pub fn memtable_bytes(&self) -> u64 {
        self.tables.load().memtables().first().map_or(0, |memtable| memtable.bytes())
    }
}

/// The entries `document` has in each of `indexes`; an error names the index that refuses it.
pub fn record_keys(indexes: &[Arc<Index>], document: &Document) -> Result<RecordKeys> {
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    let object = document.try_to_object()?;
    let mut keys = Vec::with_capacity(indexes.len());
    for index in indexes {
        let found = index.keys(&object).map_err(|error| of_index(&index.name, error))?;
        keys.push((index.id, found));
    }
    Ok(keys)
}

/// Puts the record at `seq` into each index it belongs to, from `first_seq(index)` on, while a database
/// is opened or repaired. What an index refuses is left out: it was refused when written, or the act
/// that ends the index is still to come, or the builder meets it again and says so.
pub fn enter_recovered(
    indexes: &[(Arc<Index>, Arc<MemTable>, u64)],
    seq: u64,
    body: &bytes::Bytes,
) -> Result<()> {
    let mut object = None;
    for (index, memtable, _) in indexes.iter().filter(|(.., first_seq)| seq >= *first_seq) {
        let object = match &mut object {
            Some(object) => object,
            none => none.insert(Document::from_trusted(body.clone()).try_to_object()?),
        };
        if let Ok(keys) = index.keys(object) {
            Index::insert(memtable, &keys, seq);
        }
    }
    Ok(())
}

fn of_index(name: &str, error: Error) -> Error {
    let errors = error.errors().to_vec();
    Error::new(error.code(), format!("index {name:?}: {}", error.detail())).with_errors(errors)
}

/// The lock that stands for `key` in a unique index.
pub fn lock_of(collection: CollectionId, index: u32, key: &[u8]) -> u64 {
    let seed = u64::from_le_bytes(collection.0[..8].try_into().expect("eight bytes"));
    let number = (u64::from(index) + 1) << 40;
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed ^ number)
}
