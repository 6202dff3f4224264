//! A collection handle: the operations on records.

use std::sync::Arc;

use crate::api::bulk::{Batches, Bulk};
use crate::api::find::{Find, IntoFilter};
use crate::api::info::{BlockInfo, CollectionInfo, IndexInfo};
use crate::api::range::{IntoItem, KeyBounds};
use crate::api::record::Record;
use crate::api::results::{BulkResult, InsertMany, Results, Scan};
use crate::collection::{CollectionOptions, DEFAULT_NAME, SYSTEM_NAME};
use crate::database::Database;
use crate::database::model::IndexOptions;
use crate::database::stats::{CollectionStats, collection_stats};
use crate::document::{Document, Timestamp, Value, key_from_value, validate_key};
use crate::error::{Code, Error, Result};
use crate::host::Background;
use crate::shard::operations::Operation;
use crate::shard::read::KeyRange;
use crate::shard::state::View;
use crate::shard::two_phase::Reach;
use crate::transaction::{self, Item, OnError};

/// A handle on a collection by name; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Collection {
    pub(crate) database: Arc<Database>,
    name: String,
}

impl Collection {
    pub(crate) fn new(database: Arc<Database>, name: &str) -> Self {
        Collection { database, name: name.to_owned() }
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn view(&self) -> Result<View> {
        self.database.check_open()?;
        self.database.shard.current().by_name(&self.name).cloned()
    }

    /// The view to read `reach` from: no transaction over several shards is between its halves there.
    fn settled(&self, reach: Reach<'_>) -> Result<View> {
        self.database.check_open()?;
        self.database.shard.settled_view(&self.name, reach)
    }

    /// The view to write to; makes the default collection on its first write.
    pub(crate) fn writable(&self) -> Result<View> {
        self.database.check_writable()?;
        if self.name == SYSTEM_NAME {
            return Err(Error::new(
                Code::PermissionDenied,
                "the system collection is written by administrative acts alone",
            ));
        }
        match self.view() {
            Err(error) if error.code() == Code::CollectionNotFound && self.name == DEFAULT_NAME => {
                let options = CollectionOptions::new().if_not_exists(true);
                self.database.create_collection(DEFAULT_NAME, &options)
            }
            found => found,
        }
    }

    pub(crate) fn item(&self, view: &View, item: impl IntoItem) -> Result<Item> {
        let (given, document) = item.into_item();
        let key = settle_key(view, &self.database, given, &document)?;
        validate_key(&key)?;
        Ok(Item { key, document })
    }

    /// Runs `act` on a collection and counts it.
    pub(crate) fn counted<T>(
        &self,
        view: &View,
        operation: Operation,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let clock = &*self.database.shard.env.host.clock;
        let begun_us = view.core.operations.begin(operation, clock);
        let result = act();
        view.core.operations.end(operation, begun_us, clock);
        result
    }

    fn record(&self, item: Item, written: &transaction::Written) -> Record {
        Record {
            collection: self.name.clone(),
            key: item.key,
            seq: written.first_seq,
            revision: written.revision,
            timestamp: Timestamp::from_micros(written.time_us),
            schema: None,
            transaction: None,
            actor: None,
            document: item.document,
        }
    }

    /// Inserts a document under a new key: `insert(doc! {…})` or `insert(("key", doc! {…}))`.
    /// Without a key it is taken from the collection's `key_field`, or made (UUIDv7). Errors:
    /// `duplicate_key`, `collection_not_found`, `invalid_argument`, `too_large`.
    pub fn insert(&self, item: impl IntoItem) -> Result<Record> {
        let view = self.writable()?;
        let items = vec![self.item(&view, item)?];
        let (shard, locks) = (&self.database.shard, &self.database.locks);
        let (written, rejected, mut items) = self.counted(&view, Operation::Insert, || {
            let batch = transaction::prepare_batch(shard, &view, items);
            transaction::commit_batch(shard, locks, &view, batch, OnError::Stop)
        })?;
        if let Some(rejected) = rejected.into_iter().next() {
            return Err(rejected.error);
        }
        let written = written.expect("one accepted item was written");
        Ok(self.record(items.remove(0), &written))
    }

    /// Appends the next revision of `key`, or revision 1 of a new key; needs a collection with
    /// `revisions`. With `expect`, only if the newest revision is that one (0: no such key).
    /// Errors: `unsupported`, `precondition_failed`, `collection_not_found`.
    pub fn put(&self, key: &str, document: Document, expect: Option<u64>) -> Result<Record> {
        let view = self.writable()?;
        let mut item = self.item(&view, (key, document))?;
        let (shard, locks) = (&self.database.shard, &self.database.locks);
        let written = self.counted(&view, Operation::Put, || {
            transaction::put_one(shard, locks, &view, &mut item, expect)
        })?;
        Ok(self.record(item, &written))
    }

    /// Inserts many documents in batches of 1,000, each whole or not at all; the first refused item
    /// raises, and nothing of its batch is kept.
    pub fn insert_many<I>(&self, items: I) -> Result<BulkResult>
    where
        I: IntoIterator,
        I::Item: IntoItem,
    {
        self.insert_many_with(items, InsertMany::default(), &mut |_, _| {})
    }

    /// [`Collection::insert_many`] with options. While a batch is committed by a helping thread, the
    /// next is taken from `items` and prepared; `committed` is called on this thread after each
    /// batch, at the latest when the next one is prepared, with the number of items dealt with and
    /// the result so far.
    pub fn insert_many_with<I>(
        &self,
        items: I,
        options: InsertMany,
        committed: &mut dyn FnMut(u64, &BulkResult),
    ) -> Result<BulkResult>
    where
        I: IntoIterator,
        I::Item: IntoItem,
    {
        let view = self.writable()?;
        let mut bulk = Bulk::new(self, view, options);
        let mut batches = Batches { items: items.into_iter(), size: options.batch.max(1) };
        let Some(first) = batches.next() else { return Ok(bulk.result) };
        let background = self.database.shard.env.host.background;
        match batches.next() {
            Some(second) if background == Background::Threads => {
                let rest = [first, second].into_iter().chain(batches);
                bulk.insert_side_by_side(rest, committed)?;
            }
            second => {
                for batch in [Some(first), second].into_iter().flatten().chain(batches) {
                    let (batch, places) = bulk.prepare(batch);
                    let outcome = bulk.commit(batch);
                    bulk.settle(places, outcome)?;
                    committed(bulk.done, &bulk.result);
                }
            }
        }
        Ok(bulk.result)
    }

    /// The newest revision of `key`; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Result<Option<Record>> {
        self.get_at(key, None)
    }

    /// Revision `revision` of `key`; `None` if there is no such revision.
    pub fn get_revision(&self, key: &str, revision: u64) -> Result<Option<Record>> {
        self.get_at(key, Some(revision))
    }

    fn get_at(&self, key: &str, revision: Option<u64>) -> Result<Option<Record>> {
        let view = self.settled(Reach::Key(key.as_bytes()))?;
        let found = self.counted(&view, Operation::Get, || view.get(key.as_bytes(), revision))?;
        match found {
            Some(leaf) => Record::from_leaf(&self.name, leaf),
            None => Ok(None),
        }
    }

    /// The newest revisions of several keys at one snapshot, in the order asked for.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Record>>> {
        let view = self.settled(Reach::Keys(keys))?;
        let one = |key: &&str| match view.get(key.as_bytes(), None)? {
            Some(leaf) => Record::from_leaf(&self.name, leaf),
            None => Ok(None),
        };
        keys.iter().map(one).collect()
    }

    /// All revisions of `key`, oldest first; empty if there is no such key.
    pub fn history(&self, key: &str) -> Result<Vec<Record>> {
        let leaves = self.settled(Reach::Key(key.as_bytes()))?.history(key.as_bytes())?;
        let records =
            leaves.into_iter().map(|leaf| Record::from_leaf(&self.name, leaf).transpose());
        records.flatten().collect()
    }

    /// Records by key within a range: `scan(..)`, `scan("a".."b")`; the end is exclusive.
    pub fn scan(&self, range: impl KeyBounds) -> Scan {
        self.scan_range(range.into_key_range())
    }

    /// Records whose keys begin with `prefix`, by key.
    pub fn scan_prefix(&self, prefix: &str) -> Scan {
        self.scan_range(KeyRange::prefix(prefix.as_bytes()))
    }

    /// Records by key within explicit bounds.
    pub fn scan_range(&self, range: KeyRange) -> Scan {
        let view = self.settled(Reach::Range(&range));
        let view = view.map_err(|error| (error.code(), error.detail().to_owned()));
        if let Ok(view) = &view {
            view.core.operations.count(Operation::Scan);
        }
        Scan { view, range, limit: None }
    }

    /// Records that match `filter` (see `docs/queries.md`), at one snapshot. Errors:
    /// `invalid_argument`, naming field, operator and what was expected.
    pub fn find(&self, filter: impl IntoFilter) -> Result<Find> {
        Find::new(self.settled(Reach::Collection)?, &filter.into_filter()?)
    }

    /// Number of keys.
    pub fn count(&self) -> Result<u64> {
        Ok(self.settled(Reach::Collection)?.keys)
    }

    /// All revisions of all records in sequence order, from after `after` (exclusive) to `until`
    /// (inclusive), ending at the present.
    pub fn changes(&self, after: Option<u64>, until: Option<u64>) -> Result<Results> {
        let view = self.settled(Reach::Collection)?;
        Ok(Results {
            collection: self.name.clone(),
            leaves: view.leaves(after.map_or(0, |after| after.saturating_add(1))),
            view,
            until: until.unwrap_or(u64::MAX),
            left: None,
        })
    }

    /// Seals what is pending and waits until the block is in the ledger; the newest block, or `None`
    /// if there is none at all.
    pub fn seal(&self) -> Result<Option<BlockInfo>> {
        self.database.check_writable()?;
        let view = self.view()?;
        self.database.shard.seal(view.core.id)?;
        self.database.wait_for_ledger(view.core.id)?;
        match view.core.ledger.position().blocks.checked_sub(1) {
            Some(newest) => self.block(newest).map(Some),
            None => Ok(None),
        }
    }

    /// The header of block `id`; `not_found` beyond the newest.
    pub fn block(&self, id: u64) -> Result<BlockInfo> {
        let header = self.view()?.core.ledger.header(id)?;
        let (header, hash) = header.ok_or_else(|| {
            Error::new(Code::NotFound, format!("collection {:?} has no block {id}", self.name))
        })?;
        Ok(BlockInfo::of(&header, &hash))
    }

    /// Identity, settings and size.
    pub fn describe(&self) -> Result<CollectionInfo> {
        Ok(CollectionInfo::of(&self.view()?))
    }

    /// Figures.
    pub fn stats(&self) -> Result<CollectionStats> {
        let now_us = self.database.shard.env.host.clock.wall_us();
        collection_stats(&self.view()?, now_us)
    }

    /// Makes `schema` (JSON Schema, the subset of `docs/schema.md`) what new documents are checked
    /// against; returns its version. Errors: `invalid_argument` names what is wrong with the schema,
    /// `schema_violation` lists what is incompatible with the documents there.
    pub fn set_schema(&self, schema: &Document) -> Result<u32> {
        self.database.set_schema(&self.name, &schema.try_to_object()?)
    }

    /// Makes an index on `fields` (dotted paths, `-` in front for descending) and waits until it is
    /// ready, unless `options.background`. Errors: `duplicate_key` if it is to be unique and values
    /// are not, naming offending keys.
    pub fn create_index(
        &self,
        index: &str,
        fields: &[&str],
        options: IndexOptions,
    ) -> Result<IndexInfo> {
        self.database.create_index(&self.name, index, fields, &options).map(IndexInfo::of)
    }

    /// Drops an index.
    pub fn drop_index(&self, index: &str) -> Result<()> {
        self.database.drop_index(&self.name, index)
    }

    /// The indexes, with how far each is built.
    pub fn indexes(&self) -> Result<Vec<IndexInfo>> {
        let indexes = self.database.indexes(&self.name)?;
        Ok(indexes.into_iter().map(IndexInfo::of).collect())
    }

    /// Changes settings at run time; `Value::Null` restores a default.
    pub fn configure(&self, changes: &[(String, Value)]) -> Result<CollectionInfo> {
        self.database.configure(&self.name, changes)?;
        self.describe()
    }
}

/// The key of a document: given, or in the key field, or new.
fn settle_key(
    view: &View,
    database: &Database,
    given: Option<String>,
    document: &Document,
) -> Result<String> {
    let field = view.descriptor.settings.key_field.as_deref();
    let held = match field {
        Some(field) => document.get(field)?.map(|value| key_from_value(&value)).transpose(),
        None => Ok(None),
    };
    let held = held.map_err(|error| {
        Error::invalid(format!("key field {:?}: {}", field.unwrap_or_default(), error.detail()))
    })?;
    match (given, held) {
        (Some(given), Some(held)) if given != held => Err(Error::invalid(format!(
            "key {given:?} and key field {:?} with {held:?} disagree",
            field.unwrap_or_default()
        ))),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Ok(new_key(database)),
    }
}

/// A UUIDv7 (RFC 9562 section 5.7): new keys grow with time, which the engine handles fastest.
fn new_key(database: &Database) -> String {
    let host = &database.shard.env.host;
    let mut random = [0; 10];
    host.random.fill(&mut random);
    let millis = (host.clock.wall_us() / 1000).max(0) as u64;
    uuid::Builder::from_unix_timestamp_millis(millis, &random).as_uuid().to_string()
}
