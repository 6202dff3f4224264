//! A transaction: reads and writes over any number of collections, committed as one log entry or
//! not at all, and strictly serializable.
//!
//! ```text
//!   begin ──► get: shared lock ─┐
//!             scan, find: predicate ─┼─► commit: gates ─► predicates of others ─► log ─► apply
//!             insert, put: exclusive locks, checked at once, staged here ─┘         │
//!                 │ refused: the call fails, the transaction goes on                ▼
//!                 └ deadlock, timeout, conflict: it ends, everything is freed    all freed
//! ```
//!
//! What makes it serializable: strict two-phase locking. A key that was read, present or absent, is
//! locked shared until the end, a key written and the values it takes in unique indexes exclusively;
//! a range or filter that was read is registered as a predicate, and no other writer commits a
//! record that would enter or leave its answer. Each call reads the newest committed state, after
//! its lock was granted, so all calls together read what is true at the commit.
//!
//! A read-only transaction locks nothing: it reads the snapshot of its beginning.
//!
//! Its time: a transaction that is not ended within its timeout is rolled back by whoever notices
//! first, the next call or the sealer (`shard/sessions.rs`). Its handle may be dropped at any time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};
use crate::ledger::{Slot, StoredLeaf};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LOCK_WAIT_MS_MAX, TRANSACTION_LOCKS_MAX,
    TRANSACTION_MS_MAX, TRANSACTION_READINGS_MAX,
};
use crate::shard::Shard;
use crate::shard::find::Query;
use crate::shard::read::KeyRange;
use crate::shard::sessions::{Ending, Expire, SessionKey};
use crate::shard::state::{ShardState, View, collection_not_found};
use crate::transaction::locks::{Deadline, LockManager, Mode, Owner, Predicate, Scanned, lock_of};
use crate::transaction::merged::{Merged, Order};
use crate::transaction::prepare::{Item, Prepared, prepare};
use crate::transaction::staged::{Part, Staged};
use crate::transaction::write::is_refusal;

/// What a record costs beyond its key and document, in a log entry.
const RECORD_HEAD_BYTES: usize = 64;

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionOptions {
    /// It reads one snapshot, locks nothing and refuses writes.
    pub read_only: bool,
    /// It is rolled back if it has not ended by then (default 30,000; one hour at most).
    pub timeout_ms: u64,
    /// How long one call waits for a lock (default 30,000, and never beyond `timeout_ms`).
    pub lock_timeout_ms: u64,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        TransactionOptions {
            read_only: false,
            timeout_ms: 30_000,
            lock_timeout_ms: LOCK_WAIT_MS_MAX,
        }
    }
}

impl TransactionOptions {
    /// Reads one snapshot.
    pub fn read_only() -> Self {
        TransactionOptions { read_only: true, ..TransactionOptions::default() }
    }

    /// Sets `timeout_ms`.
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// Sets `lock_timeout_ms`.
    pub fn lock_timeout_ms(mut self, lock_timeout_ms: u64) -> Self {
        self.lock_timeout_ms = lock_timeout_ms;
        self
    }
}

/// In which state a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// It takes calls.
    Active,
    /// Its writes are there, all of them.
    Committed,
    /// It ended and left nothing: by its caller, by a failure, or because its time was over.
    RolledBack,
}

/// How a write treats its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// `insert`: the key must not exist.
    New,
    /// `put`: the next revision, if the newest is that one.
    Revision(Option<u64>),
}

/// A record of a committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedRecord {
    /// The collection's name.
    pub collection: String,
    /// The key.
    pub key: String,
    /// Its position in the collection's log.
    pub seq: u64,
    /// Revision of the key.
    pub revision: u64,
}

/// What a commit gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Commit time, microseconds since the epoch; `None` if nothing was written.
    pub time_us: Option<i64>,
    /// The records, in the order in which they were written.
    pub records: Vec<CommittedRecord>,
}

/// One transaction on a shard.
pub struct Session {
    pub(super) id: [u8; 16],
    pub(super) shard: Arc<Shard>,
    locks: LockManager,
    lock_timeout_ms: u64,
    begun_us: i64,
    deadline: Deadline,
    timeout_ms: u64,
    key: SessionKey,
    /// What a read-only transaction reads.
    snapshot: Option<Arc<ShardState>>,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub state: TransactionState,
    /// Why it was ended, if not by its caller.
    failure: Option<(Code, String)>,
    pub owner: Owner,
    pub parts: BTreeMap<CollectionId, Part>,
    readings: Vec<(CollectionId, Arc<Scanned>)>,
    records: u64,
    bytes: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &uuid::Uuid::from_bytes(self.id))
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Begins a transaction. `owner` is that of an attempt before, which had to give way: the new
    /// one has its age, and goes before younger ones.
    pub fn begin(
        shard: &Arc<Shard>,
        locks: &LockManager,
        options: TransactionOptions,
        owner: Option<Owner>,
    ) -> Result<Arc<Session>> {
        if options.timeout_ms == 0 || options.timeout_ms > TRANSACTION_MS_MAX {
            let limit = "milliseconds of a transaction";
            return Err(Error::too_large(limit, options.timeout_ms, TRANSACTION_MS_MAX));
        }
        let host = &shard.env.host;
        let deadline_us = host.clock.monotonic_us() + options.timeout_ms * 1000;
        let begun_us = host.clock.wall_us();
        let mut random = [0; 10];
        host.random.fill(&mut random);
        let millis = (begun_us / 1000).max(0) as u64;
        let snapshot = match options.read_only {
            true => Some(shard.settled_snapshot(deadline_us)?),
            false => None,
        };
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Ok(Arc::new_cyclic(|session: &Weak<Session>| Session {
            id: id.into_bytes(),
            shard: shard.clone(),
            locks: locks.clone(),
            lock_timeout_ms: options.lock_timeout_ms,
            begun_us,
            deadline: Deadline::at_us(deadline_us),
            timeout_ms: options.timeout_ms,
            key: shard.open_session(deadline_us, session.clone()),
            snapshot,
            inner: Mutex::new(Inner {
                state: TransactionState::Active,
                failure: None,
                owner: owner.unwrap_or_else(|| locks.begin()),
                parts: BTreeMap::new(),
                readings: Vec::new(),
                records: 0,
                bytes: 0,
            }),
        }))
    }

    /// Its id, which its records carry.
    pub fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.id)
    }

    /// When it began, microseconds since the epoch.
    pub fn begun_us(&self) -> i64 {
        self.begun_us
    }

    /// Its state now.
    pub fn state(&self) -> TransactionState {
        self.inner.lock().state
    }

    /// The collection of that name as the transaction sees it.
    pub fn view(&self, name: &str) -> Result<View> {
        match &self.snapshot {
            Some(snapshot) => snapshot.by_name(name).cloned(),
            None => self.shard.snapshot().by_name(name).cloned(),
        }
    }

    /// The collection's view at this moment, or at that of a read-only transaction.
    fn now(&self, view: &View) -> Result<View> {
        if self.snapshot.is_some() {
            return Ok(view.clone());
        }
        let state = self.shard.snapshot();
        let found = state.live(view.core.id);
        found.cloned().ok_or_else(|| collection_not_found(&view.descriptor.name))
    }

    /// The newest revision of `key`, of the transaction's own writes too.
    pub fn get(&self, view: &View, key: &str) -> Result<Option<StoredLeaf>> {
        self.run(|inner| {
            if let Some(part) = inner.parts.get(&view.core.id)
                && let Some((_, staged)) = part.newest(key)
            {
                return Ok(Some(self.own_leaf(part, staged)));
            }
            if self.snapshot.is_none() && !cfg!(bug = "read_without_lock") {
                self.lock(inner, view, key.as_bytes(), Mode::Shared)?;
            }
            self.now(view)?.get(key.as_bytes(), None)
        })
    }

    /// The newest revisions in a range of keys, by key.
    pub fn scan(&self, view: &View, range: &KeyRange, limit: Option<u64>) -> Result<Merged> {
        self.run(|inner| {
            let scanned = Scanned::range(range);
            let view = self.read(inner, view, || scanned.clone())?;
            let (own, written) = self.own_leaves(inner, &view, |staged| {
                scanned.covers(staged.item.key.as_bytes(), &staged.item.document)
            });
            let order = Order::Key { reverse: range.reverse };
            Merged::new(view.scan(range), own, written, order, limit)
        })
    }

    /// The records that match a query.
    pub fn find(&self, view: &View, query: &Query) -> Result<Merged> {
        self.run(|inner| {
            let view =
                self.read(inner, view, || Scanned::everything().matching(query.filter.clone()))?;
            let (own, written) = self.matching(inner, &view, query)?;
            let mut committed = query.clone();
            // So many of the committed ones may have to give their place to own ones.
            committed.limit = query.limit.map(|limit| limit.saturating_add(written.len() as u64));
            let order = Order::Sort(query.sort.clone());
            Merged::new(view.find(&committed)?, own, written, order, query.limit)
        })
    }

    /// How many records match.
    pub fn count(&self, view: &View, query: &Query) -> Result<u64> {
        self.run(|inner| {
            let view =
                self.read(inner, view, || Scanned::everything().matching(query.filter.clone()))?;
            let (own, written) = self.matching(inner, &view, query)?;
            let mut count = view.count(&query.filter)? + own.len() as u64;
            for key in &written {
                let Some(leaf) = view.get(key, None)? else { continue };
                count -= u64::from(matches(query, &leaf)?);
            }
            Ok(count)
        })
    }

    /// Inserts a record, or puts the next revision of one: checked now, there with the commit.
    pub fn write(&self, view: &View, item: Item, expect: Expect) -> Result<()> {
        if self.snapshot.is_some() {
            return Err(Error::new(Code::ReadOnly, "the transaction was begun read-only"));
        }
        self.run(|inner| self.stage(inner, view, item, expect))
    }

    /// Frees everything; nothing of the transaction is left. A second call does nothing.
    pub fn rollback(&self) {
        let mut inner = self.inner.lock();
        if inner.state == TransactionState::Active {
            self.end(&mut inner, Ending::RolledBack);
        }
    }

    /// The owner of its locks, for the next attempt, once it has ended.
    pub fn take_owner(&self) -> Owner {
        std::mem::replace(&mut self.inner.lock().owner, self.locks.begin())
    }

    /// Runs a call on the open transaction. What refuses the call alone leaves it open; any other
    /// failure ends it.
    pub(super) fn run<T>(&self, call: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let mut inner = self.inner.lock();
        self.check(&mut inner)?;
        call(&mut inner).map_err(|error| self.judge(&mut inner, error))
    }

    /// Ends the transaction if `error` is more than the refusal of a call.
    pub(super) fn judge(&self, inner: &mut Inner, error: Error) -> Error {
        let refusal = is_refusal(&error)
            || matches!(
                error.code(),
                Code::PreconditionFailed | Code::Unsupported | Code::CollectionNotFound
            );
        if refusal || inner.state != TransactionState::Active {
            return error;
        }
        let over = error.code() == Code::LockTimeout && self.is_over();
        let (ending, error) = match error.code() {
            _ if over => (Ending::Expired, self.expired()),
            Code::Deadlock => (Ending::Deadlock, error),
            _ => (Ending::Failed, error),
        };
        let error = error.note("the transaction was rolled back");
        inner.failure = Some((error.code(), error.detail().to_owned()));
        self.end(inner, ending);
        error
    }

    /// Refuses calls on a transaction that has ended, and ends one whose time is over.
    pub(super) fn check(&self, inner: &mut Inner) -> Result<()> {
        if inner.state == TransactionState::Active && self.is_over() {
            inner.failure = Some((Code::TransactionExpired, self.expired().detail().to_owned()));
            self.end(inner, Ending::Expired);
        }
        match (&inner.failure, inner.state) {
            (_, TransactionState::Active) => Ok(()),
            (Some((code, detail)), _) => Err(Error::new(*code, detail.clone())),
            (None, TransactionState::Committed) => {
                Err(Error::invalid("the transaction was committed already"))
            }
            (None, _) => Err(Error::invalid("the transaction was rolled back already")),
        }
    }

    fn is_over(&self) -> bool {
        self.deadline.left_us(self.shard.env.host.clock.monotonic_us()) == Some(0)
    }

    fn expired(&self) -> Error {
        let detail = format!("the transaction was not ended within its {} ms", self.timeout_ms);
        Error::new(Code::TransactionExpired, detail)
    }

    pub(super) fn end(&self, inner: &mut Inner, ending: Ending) {
        inner.state = match ending {
            Ending::Committed => TransactionState::Committed,
            _ => TransactionState::RolledBack,
        };
        inner.owner.restart();
        inner.parts.clear();
        inner.readings.clear();
        self.shard.close_session(self.key, ending);
    }

    pub(super) fn wait_until(&self) -> Deadline {
        self.deadline.min(self.locks.deadline_in_ms(self.lock_timeout_ms))
    }

    fn lock(&self, inner: &mut Inner, view: &View, key: &[u8], mode: Mode) -> Result<()> {
        let lock = lock_of(view.core.id, key);
        self.lock_all(inner, vec![lock], mode).map_err(|error| {
            let key = String::from_utf8_lossy(key);
            error.note(format!("it wanted key {key:?} of collection {:?}", view.descriptor.name))
        })
    }

    pub(super) fn lock_all(&self, inner: &mut Inner, locks: Vec<u64>, mode: Mode) -> Result<()> {
        let held = inner.owner.held_count() + locks.len();
        if held > TRANSACTION_LOCKS_MAX {
            let limit = "keys a transaction reads or writes one by one";
            return Err(Error::too_large(limit, held as u64, TRANSACTION_LOCKS_MAX as u64));
        }
        inner.owner.lock_all(locks, mode, self.wait_until())
    }

    /// Registers what is about to be read, and returns the state to read it from.
    fn read(
        &self,
        inner: &mut Inner,
        view: &View,
        reading: impl FnOnce() -> Scanned,
    ) -> Result<View> {
        if self.snapshot.is_some() || cfg!(bug = "scan_without_predicate") {
            return self.now(view);
        }
        let (core, reading) = (&view.core, Arc::new(reading()));
        let known = |(id, known): &(CollectionId, Arc<Scanned>)| {
            *id == core.id && (known.is_everything() || *known == reading)
        };
        if inner.readings.iter().any(known) {
            return self.now(view);
        }
        if inner.readings.len() >= TRANSACTION_READINGS_MAX {
            let limit = "ranges and filters a transaction reads";
            let found = inner.readings.len() as u64 + 1;
            return Err(Error::too_large(limit, found, TRANSACTION_READINGS_MAX as u64));
        }
        let deadline = self.wait_until();
        loop {
            let gate = core.gate.write();
            match inner.owner.add_predicate(core.id, reading.clone()) {
                Ok(()) => {
                    let now = self.now(view);
                    drop(gate);
                    inner.readings.push((core.id, reading));
                    return now;
                }
                Err(blocked) => {
                    drop(gate);
                    inner.owner.wait_for(blocked, deadline).map_err(|error| {
                        error.note(format!("it reads collection {:?}", view.descriptor.name))
                    })?;
                }
            }
        }
    }

    fn own_leaf(&self, part: &Part, staged: &Staged) -> StoredLeaf {
        part.leaf(staged, self.begun_us, &Bytes::copy_from_slice(&self.id))
    }

    /// The transaction's own newest records that are `wanted`, and all keys it has written.
    fn own_leaves(
        &self,
        inner: &Inner,
        view: &View,
        wanted: impl Fn(&Staged) -> bool,
    ) -> (Vec<StoredLeaf>, HashSet<Vec<u8>>) {
        let Some(part) = inner.parts.get(&view.core.id) else { return Default::default() };
        let own = part.all_newest().filter(|staged| wanted(staged));
        let own = own.map(|staged| self.own_leaf(part, staged)).collect();
        let key = |staged: &Staged| staged.item.key.as_bytes().to_vec();
        (own, part.all_newest().map(key).collect())
    }

    /// [`Session::own_leaves`] that match a query.
    fn matching(
        &self,
        inner: &Inner,
        view: &View,
        query: &Query,
    ) -> Result<(Vec<StoredLeaf>, HashSet<Vec<u8>>)> {
        let (own, written) = self.own_leaves(inner, view, |_| true);
        let mut matching = Vec::with_capacity(own.len());
        for leaf in own {
            if matches(query, &leaf)? {
                matching.push(leaf);
            }
        }
        Ok((matching, written))
    }

    fn stage(&self, inner: &mut Inner, view: &View, mut item: Item, expect: Expect) -> Result<()> {
        let core = &view.core;
        let records = inner.records + 1;
        if records > BATCH_RECORDS_MAX as u64 {
            let limit = "records of a transaction";
            return Err(Error::too_large(limit, records, BATCH_RECORDS_MAX as u64));
        }
        if let Expect::Revision(_) = expect
            && !view.descriptor.settings.revisions
        {
            return Err(no_revisions(&view.descriptor.name));
        }
        self.shard.env.check_healthy()?;
        let name = &view.descriptor.name;
        let part = inner.parts.entry(core.id).or_insert_with(|| Part::new(core.clone(), name));
        let mut salt = [0; 16];
        self.shard.env.host.random.fill(&mut salt);
        let prepared = prepare(core, &part.model, &mut item, salt)?;
        let bytes =
            inner.bytes + item.key.len() + item.document.as_bytes().len() + RECORD_HEAD_BYTES;
        if bytes > BATCH_BYTES_MAX {
            let limit = "encoded bytes of a transaction";
            return Err(Error::too_large(limit, bytes as u64, BATCH_BYTES_MAX as u64));
        }
        self.lock(inner, view, item.key.as_bytes(), Mode::Exclusive)?;
        let state = self.now(view)?;
        let part = inner.parts.get(&core.id).expect("entered above");
        let own = part.newest(&item.key).map(|(at, staged)| (at, staged.revision));
        let newest = match own {
            Some(_) => None,
            None => core.newest(item.key.as_bytes(), state.end_seq)?,
        };
        let found = own.map_or(newest.as_ref().map_or(0, |hit| hit.rank), |(_, revision)| revision);
        match expect {
            Expect::New if own.is_some() => return Err(part.written_before(&item)),
            Expect::New => {
                if let Some(error) = super::write::duplicate(&state, &item)? {
                    return Err(error);
                }
            }
            Expect::Revision(Some(wanted)) if wanted != found => {
                return Err(wrong_revision(&item.key, found, wanted));
            }
            Expect::Revision(_) => {}
        }
        self.take_values(inner, view, &item, &prepared)?;
        let (prev_own, prev_seq) = (own.map(|(at, _)| at), newest.map(|hit| hit.seq));
        let number = inner.records;
        let part = inner.parts.get_mut(&core.id).expect("entered above");
        part.push(Staged { item, prepared, revision: found + 1, prev_seq, prev_own, number });
        (inner.records, inner.bytes) = (records, bytes);
        Ok(())
    }

    /// Takes the record's values in unique indexes, unless another record holds them.
    pub(super) fn take_values(
        &self,
        inner: &mut Inner,
        view: &View,
        item: &Item,
        prepared: &Prepared,
    ) -> Result<()> {
        let core = &view.core;
        let part = inner.parts.get(&core.id).expect("the collection is written to");
        let indexes = part.model.indexes.clone();
        for index in indexes.iter().filter(|index| index.unique) {
            let own = prepared.keys.iter().filter(|(id, _)| *id == index.id);
            for value in own.flat_map(|(_, keys)| &keys.keys) {
                let lock = crate::shard::index::lock_of(core.id, index.id, value);
                self.lock_all(inner, vec![lock], Mode::Exclusive).map_err(|error| {
                    let (index, name) = (&index.name, &view.descriptor.name);
                    error.note(format!(
                        "it wanted a value of unique index {index:?} of collection {name:?}"
                    ))
                })?;
                self.check_value(inner, view, index, value, item)?;
            }
        }
        Ok(())
    }

    fn check_value(
        &self,
        inner: &mut Inner,
        view: &View,
        index: &crate::shard::index::Index,
        value: &[u8],
        item: &Item,
    ) -> Result<()> {
        let core = &view.core;
        let refused = |other: &str| Err(super::write::not_unique(index, item, other));
        let mut locked: Option<String> = None;
        loop {
            let part = inner.parts.get(&core.id).expect("the collection is written to");
            if let Some(other) = part.holder(index.id, value).filter(|other| *other != item.key) {
                return refused(other);
            }
            let now = self.now(view)?;
            let (own, revisions) = (item.key.as_bytes(), now.descriptor.settings.revisions);
            let Some(seq) = index.conflict(core, value, own, revisions, now.end_seq)? else {
                return Ok(());
            };
            let other = core.key_at(seq)?;
            if part.holds(&other) {
                // It gives the value up with this transaction, and nobody else can hold it.
                return Ok(());
            }
            if locked.as_deref() == Some(&other) {
                return refused(&other);
            }
            // Having seen that record is having read it: it must stay as it is.
            self.lock(inner, view, other.as_bytes(), Mode::Shared)?;
            locked = Some(other);
        }
    }
}

impl Part {
    fn written_before(&self, item: &Item) -> Error {
        let first = self.newest(&item.key).map(|(_, staged)| &staged.item.document);
        let identical = first == Some(&item.document);
        let which = if identical { "an identical" } else { "a different" };
        let detail = format!(
            "key {:?} is written in this transaction already, with {which} document",
            item.key
        );
        Error::new(Code::DuplicateKey, detail)
    }
}

/// Whether a record matches a query.
fn matches(query: &Query, leaf: &StoredLeaf) -> Result<bool> {
    let Slot::Live { body, .. } = &leaf.slot else { return Ok(false) };
    let document = crate::document::Document::from_trusted(body.clone());
    query.filter.check(&crate::shard::find::encoded(leaf, &document)?)
}

/// `unsupported`: the collection keeps one revision of each key.
pub(super) fn no_revisions(name: &str) -> Error {
    let detail = format!(
        "collection {name:?} keeps one revision of each key; configure revisions=true to put"
    );
    Error::new(Code::Unsupported, detail)
}

/// `precondition_failed`: another revision is the newest.
pub(super) fn wrong_revision(key: &str, found: u64, expected: u64) -> Error {
    let detail = format!("key {key:?} is at revision {found}, expected {expected}");
    Error::new(Code::PreconditionFailed, detail)
}

impl Expire for Session {
    fn expire(&self) -> bool {
        let Some(mut inner) = self.inner.try_lock() else { return false };
        // The check ends it.
        let _ = self.check(&mut inner);
        true
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        if inner.state == TransactionState::Active {
            self.end(&mut inner, Ending::RolledBack);
        }
    }
}
