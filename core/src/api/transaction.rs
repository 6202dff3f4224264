//! Transactions as callers see them: begun and ended by hand, or a function that is run and, if it
//! had to give way to others, run again.

use std::sync::Arc;

use serde::Serialize;

use crate::api::collection::Collection;
use crate::api::db::Db;
use crate::api::find::IntoFilter;
use crate::api::range::{IntoItem, KeyBounds};
use crate::api::record::Record;
use crate::collection::query::{Filter, Projection, Sort};
use crate::document::{Document, Object, Timestamp};
use crate::error::{Code, Result};
use crate::shard::find::Query;
use crate::shard::operations::Operation;
use crate::shard::read::KeyRange;
use crate::transaction::locks::Owner;
use crate::transaction::{
    Commit, CommittedRecord, Expect, Merged, Session, TransactionOptions, TransactionState,
};

/// How often a function given to [`Db::transaction`] is run, the first time included.
const ATTEMPTS_MAX: u32 = 6;

/// An open transaction. Dropping it rolls it back. Usable from any thread, one call at a time.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = blockdb::Db::open(dir.path())?;
/// use blockdb::{CollectionOptions, TransactionOptions, doc};
/// let accounts = db.create_collection("accounts", CollectionOptions::new().revisions(true))?;
/// let transfers = db.create_collection("transfers", Default::default())?;
/// accounts.insert(("ada", doc! { "cents": 500 }))?;
///
/// let tx = db.begin(TransactionOptions::default())?;
/// let ada = tx.collection("accounts").get("ada")?.expect("she has an account");
/// assert_eq!(ada.document, doc! { "cents": 500 });
/// tx.collection("accounts").put("ada", doc! { "cents": 300 }, None)?;
/// tx.collection("transfers").insert(("t-1", doc! { "from": "ada", "cents": 200 }))?;
/// assert_eq!(transfers.count()?, 0, "nobody else sees it yet");
/// let done = tx.commit()?;
/// assert_eq!(done.records.len(), 2);
///
/// let both = [accounts.get("ada")?.unwrap(), transfers.get("t-1")?.unwrap()];
/// assert_eq!(both[0].transaction, both[1].transaction);
/// assert_eq!(both[0].timestamp, both[1].timestamp);
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Debug)]
pub struct Transaction {
    db: Db,
    session: Arc<Session>,
}

/// What a commit gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitInfo {
    /// The transaction's id, which its records carry.
    pub transaction: String,
    /// Commit time, RFC 3339; `None` if nothing was written.
    pub timestamp: Option<String>,
    /// The records in the order in which they were written.
    pub records: Vec<WrittenInfo>,
}

/// One record of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenInfo {
    /// The collection's name.
    pub collection: String,
    /// The key.
    pub key: String,
    /// Its position in the collection's log.
    pub seq: u64,
    /// Revision of the key.
    pub revision: u64,
}

impl CommitInfo {
    pub(crate) fn of(transaction: String, commit: Commit) -> Self {
        CommitInfo {
            transaction,
            timestamp: commit.time_us.map(|us| Timestamp::from_micros(us).to_string()),
            records: commit.records.into_iter().map(WrittenInfo::from).collect(),
        }
    }
}

impl From<CommittedRecord> for WrittenInfo {
    fn from(record: CommittedRecord) -> Self {
        let CommittedRecord { collection, key, seq, revision } = record;
        WrittenInfo { collection, key, seq, revision }
    }
}

impl Db {
    /// Begins a transaction, to be ended by [`Transaction::commit`] or [`Transaction::rollback`].
    pub fn begin(&self, options: TransactionOptions) -> Result<Transaction> {
        self.begin_as(options, None)
    }

    fn begin_as(&self, options: TransactionOptions, owner: Option<Owner>) -> Result<Transaction> {
        match options.read_only {
            true => self.database.check_open()?,
            false => self.database.check_writable()?,
        }
        let session = Session::begin(&self.database.shard, &self.database.locks, options, owner)?;
        Ok(Transaction { db: self.clone(), session })
    }

    /// Runs `body` in a transaction and commits it. If it has to give way to others (`conflict`,
    /// `deadlock`), it is run again, up to five times more, and goes before younger ones; any other
    /// error rolls it back and is returned. `body` must have no effects but through the transaction.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = blockdb::Db::open(dir.path())?;
    /// use blockdb::doc;
    /// # db.create_collection("events", Default::default())?;
    /// let count = db.transaction(|tx| {
    ///     let events = tx.collection("events");
    ///     events.insert(("e-1", doc! { "user": "u1" }))?;
    ///     events.insert(("e-2", doc! { "user": "u1" }))?;
    ///     events.find(doc! { "user": "u1" })?.count()
    /// })?;
    /// assert_eq!(count, 2);
    /// # Ok::<(), blockdb::Error>(())
    /// ```
    pub fn transaction<T>(&self, body: impl FnMut(&Transaction) -> Result<T>) -> Result<T> {
        self.transaction_with(TransactionOptions::default(), body)
    }

    /// [`Db::transaction`] with options; the timeout is that of each attempt.
    pub fn transaction_with<T>(
        &self,
        options: TransactionOptions,
        mut body: impl FnMut(&Transaction) -> Result<T>,
    ) -> Result<T> {
        let mut value = None;
        self.commit_of(options, |tx| {
            value = Some(body(tx)?);
            Ok(())
        })?;
        Ok(value.expect("set by the body that was committed"))
    }

    /// [`Db::transaction_with`] of a body whose commit is of interest; returns the transaction's id
    /// too.
    pub(crate) fn commit_of(
        &self,
        options: TransactionOptions,
        mut body: impl FnMut(&Transaction) -> Result<()>,
    ) -> Result<(uuid::Uuid, Commit)> {
        let mut owner = None;
        for attempt in 1.. {
            let tx = self.begin_as(options, owner.take())?;
            let result = body(&tx).and_then(|()| tx.session.commit());
            tx.session.rollback();
            match result {
                Ok(commit) => return Ok((tx.session.id(), commit)),
                Err(error)
                    if attempt < ATTEMPTS_MAX
                        && matches!(error.code(), Code::Conflict | Code::Deadlock) =>
                {
                    owner = Some(tx.session.take_owner());
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }
}

impl Transaction {
    /// Its id, which its records carry.
    pub fn id(&self) -> String {
        self.session.id().to_string()
    }

    /// Its state.
    pub fn state(&self) -> TransactionState {
        self.session.state()
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_micros(self.session.begun_us())
    }

    /// A collection within the transaction.
    pub fn collection(&self, name: &str) -> TransactionCollection<'_> {
        TransactionCollection { tx: self, collection: self.db.collection(name) }
    }

    /// Makes all writes visible at once, or none. Errors: `conflict`, `deadlock`, `lock_timeout`,
    /// `transaction_expired`: run the whole transaction again.
    pub fn commit(self) -> Result<CommitInfo> {
        self.commit_now()
    }

    /// [`Transaction::commit`] by whoever only borrows the transaction, as bindings do.
    pub fn commit_now(&self) -> Result<CommitInfo> {
        self.db.database.check_open()?;
        let commit = self.session.commit()?;
        Ok(CommitInfo::of(self.id(), commit))
    }

    /// Leaves nothing of it. A second call does nothing.
    pub fn rollback(&self) {
        self.session.rollback();
    }
}

/// A collection within a transaction: it shows the transaction's own writes too. Records that are
/// not committed yet have `seq` 0 and no meaningful timestamp.
#[derive(Clone, Debug)]
pub struct TransactionCollection<'t> {
    tx: &'t Transaction,
    collection: Collection,
}

impl TransactionCollection<'_> {
    fn view(&self) -> Result<crate::shard::state::View> {
        self.tx.db.database.check_open()?;
        self.tx.session.view(self.collection.name())
    }

    /// [`Collection::insert`]; returns the key.
    pub fn insert(&self, item: impl IntoItem) -> Result<String> {
        self.write(item, Expect::New, Operation::Insert)
    }

    /// [`Collection::put`]; returns the key. `expect` counts the transaction's own writes.
    pub fn put(&self, key: &str, document: Document, expect: Option<u64>) -> Result<String> {
        self.write((key, document), Expect::Revision(expect), Operation::Put)
    }

    fn write(&self, item: impl IntoItem, expect: Expect, kind: Operation) -> Result<String> {
        let view = self.collection.writable()?;
        let item = self.collection.item(&view, item)?;
        let key = item.key.clone();
        let (tx, collection) = (self.tx, &self.collection);
        collection.counted(&view, kind, || tx.session.write(&view, item, expect))?;
        Ok(key)
    }

    /// [`Collection::get`].
    pub fn get(&self, key: &str) -> Result<Option<Record>> {
        let view = self.view()?;
        let get = || self.tx.session.get(&view, key);
        match self.collection.counted(&view, Operation::Get, get)? {
            Some(leaf) => Record::within(self.collection.name(), leaf),
            None => Ok(None),
        }
    }

    /// [`Collection::scan`].
    pub fn scan(&self, range: impl KeyBounds) -> Result<Read> {
        self.scan_range(range.into_key_range(), None)
    }

    /// [`Collection::scan_prefix`].
    pub fn scan_prefix(&self, prefix: &str) -> Result<Read> {
        self.scan_range(KeyRange::prefix(prefix.as_bytes()), None)
    }

    /// [`Collection::scan_range`], at most `limit` records.
    pub fn scan_range(&self, range: KeyRange, limit: Option<u64>) -> Result<Read> {
        let view = self.view()?;
        view.core.operations.count(Operation::Scan);
        let merged = self.tx.session.scan(&view, &range, limit)?;
        Ok(Read { merged, name: self.collection.name().to_owned(), projection: Projection::all() })
    }

    /// [`Collection::find`].
    pub fn find(&self, filter: impl IntoFilter) -> Result<TransactionFind<'_>> {
        let filter = Filter::parse(&filter.into_filter()?)?;
        let query = Query {
            filter,
            sort: Sort::default(),
            limit: None,
            after_seq: None,
            of_the_past: false,
        };
        Ok(TransactionFind { collection: self, query, projection: Projection::all() })
    }

    /// Number of keys.
    pub fn count(&self) -> Result<u64> {
        self.find(Object::new())?.count()
    }
}

/// A query within a transaction.
#[derive(Clone, Debug)]
pub struct TransactionFind<'t> {
    collection: &'t TransactionCollection<'t>,
    query: Query,
    projection: Projection,
}

impl TransactionFind<'_> {
    /// [`Find::sort`](crate::Find::sort).
    pub fn sort(self, fields: &str) -> Result<Self> {
        let fields: Vec<String> = fields.split(',').map(|field| field.trim().to_owned()).collect();
        self.sort_by(&fields)
    }

    /// [`Find::sort_by`](crate::Find::sort_by).
    pub fn sort_by(mut self, fields: &[String]) -> Result<Self> {
        self.query.sort = Sort::parse(fields)?;
        Ok(self)
    }

    /// [`Find::fields`](crate::Find::fields).
    pub fn fields(mut self, fields: &[String]) -> Result<Self> {
        self.projection = Projection::parse(fields)?;
        Ok(self)
    }

    /// At most this many records.
    pub fn limit(mut self, limit: u64) -> Self {
        self.query.limit = Some(limit);
        self
    }

    /// The records, read as they are asked for.
    pub fn iter(&self) -> Result<Read> {
        let view = self.collection.view()?;
        view.core.operations.count(Operation::Find);
        let merged = self.collection.tx.session.find(&view, &self.query)?;
        let name = self.collection.collection.name().to_owned();
        Ok(Read { merged, name, projection: self.projection.clone() })
    }

    /// The first record, if any.
    pub fn first(self) -> Result<Option<Record>> {
        self.limit(1).iter()?.next().transpose()
    }

    /// All records at once.
    pub fn all(&self) -> Result<Vec<Record>> {
        self.iter()?.collect()
    }

    /// How many records match, whatever the limit.
    pub fn count(&self) -> Result<u64> {
        let view = self.collection.view()?;
        self.collection.tx.session.count(&view, &self.query)
    }
}

/// Records read within a transaction. It shows what there was when it was asked for, later writes of
/// the transaction not included.
pub struct Read {
    merged: Merged,
    name: String,
    projection: Projection,
}

impl Iterator for Read {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = self.merged.next()?.and_then(|leaf| {
                let record = Record::within(&self.name, leaf)?;
                record.map(|record| record.showing(&self.projection)).transpose()
            });
            match record.transpose() {
                Some(record) => return Some(record),
                None => continue,
            }
        }
    }
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("collection", &self.name).finish_non_exhaustive()
    }
}
