//! Inserts and puts: look under the key's lock, refuse or number the revision, propose, commit.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::Slot;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LOCK_WAIT_MS_MAX};
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::committer::Work;
use crate::shard::core::Core;
use crate::shard::entry::{BatchBuilder, NewRecord};
use crate::shard::index::{Index, RecordKeys};
use crate::shard::state::{View, collection_not_found};
use crate::transaction::locks::{Deadline, LockManager, Mode, Owner, Wanted, lock_of};
use crate::transaction::prepare::{Item, Ready};
use crate::transaction::session::{no_revisions, wrong_revision};

/// How often an operation that gives way to others begins again by itself.
const ADMISSIONS_MAX: usize = 16;

/// What to do with a refused item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// Keep nothing of the batch and raise.
    #[default]
    Stop,
    /// Leave the item out and go on.
    Skip,
}

/// A refused item.
#[derive(Debug)]
pub struct Rejected {
    /// Its position among the items given.
    pub index: u64,
    /// Why.
    pub error: Error,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Sequence number of the first record.
    pub first_seq: u64,
    /// Records written.
    pub count: u64,
    /// Revision of the (single) record.
    pub revision: u64,
    /// Commit time, microseconds since the epoch.
    pub time_us: i64,
}

/// Items checked, indexed and hashed, but not yet looked up: all of a batch's work that needs no
/// lock, so that it can be done while the batch before is being committed.
pub struct PreparedBatch {
    items: Vec<Item>,
    ready: Ready,
}

/// Prepares items for [`commit_batch`].
pub fn prepare_batch(shard: &Shard, view: &View, mut items: Vec<Item>) -> PreparedBatch {
    let ready = Ready::of(shard, &view.core, &mut items);
    PreparedBatch { items, ready }
}

/// Inserts prepared items into the collection of `view` as one atomic batch. Refused items are
/// reported by position; with [`OnError::Stop`] the first of them, reported alone, keeps the whole
/// batch out. `None` if nothing was written. Gives the items back, defaults of the schema filled in.
pub fn commit_batch(
    shard: &Shard,
    locks: &LockManager,
    view: &View,
    batch: PreparedBatch,
    on_error: OnError,
) -> Result<(Option<Written>, Vec<Rejected>, Vec<Item>)> {
    let PreparedBatch { mut items, mut ready } = batch;
    if items.len() > BATCH_RECORDS_MAX {
        let found = items.len() as u64;
        return Err(Error::too_large("records of a batch", found, BATCH_RECORDS_MAX as u64));
    }
    shard.throttle()?;
    let core = &view.core;
    let name = &view.descriptor.name;
    let admission = Admission { shard, core, name, replaces: false };
    let admitted = admission.admit(locks, &mut items, &mut ready)?;
    let Ready { model, items: prepared } = ready;
    let indexes = &model.indexes;
    let state = shard.snapshot();
    let view = state.live(core.id).ok_or_else(|| collection_not_found(&view.descriptor.name))?;
    let mut batch = BatchBuilder::new(None);
    batch.part(core.id);
    let mut rejected = Vec::new();
    let mut accepted = Accepted::expecting(&items);
    for (index, (item, prepared)) in items.iter().zip(prepared).enumerate() {
        let judged = prepared.and_then(|prepared| {
            accepted.check_key(item)?;
            if let Some(error) = duplicate(view, item)? {
                return Err(error);
            }
            accepted.check_unique(view, indexes, item, &prepared.keys)?;
            Ok(prepared)
        });
        let prepared = match judged {
            Ok(prepared) => prepared,
            Err(error) if !is_refusal(&error) => return Err(error),
            Err(error) => {
                rejected.push(Rejected { index: index as u64, error });
                if on_error == OnError::Stop {
                    return Ok((None, rejected, items));
                }
                continue;
            }
        };
        accepted.note(item, indexes, &prepared.keys);
        batch.record(&NewRecord {
            kind: LeafKind::Record,
            key: Some(item.key.as_bytes()),
            revision: 1,
            prev_seq: None,
            schema: prepared.schema,
            actor: None,
            body: item.document.as_bytes(),
            salt: prepared.salt,
            commitment: Some(prepared.commitment),
        });
        if !indexes.is_empty() {
            batch.index_keys(prepared.keys);
        }
    }
    check_batch_bytes(&batch)?;
    let count = batch.records() as u64;
    if count == 0 {
        return Ok((None, rejected, items));
    }
    let committed = shard.commit(Work::Write(batch.finish()))?;
    drop(admitted);
    let first_seq = committed.first_seqs[0];
    let written = Written { first_seq, count, revision: 1, time_us: committed.time_us };
    Ok((Some(written), rejected, items))
}

/// Appends the next revision of `key`, or revision 1 of a new key. With `expect`, only if the newest
/// revision is that one (0: the key must not exist). Defaults of the schema are filled into the item.
pub fn put_one(
    shard: &Shard,
    locks: &LockManager,
    view: &View,
    item: &mut Item,
    expect: Option<u64>,
) -> Result<Written> {
    shard.throttle()?;
    let core = &view.core;
    let mut ready = Ready::of(shard, core, std::slice::from_mut(item));
    let name = &view.descriptor.name;
    let admission = Admission { shard, core, name, replaces: true };
    let admitted = admission.admit(locks, std::slice::from_mut(item), &mut ready)?;
    let Ready { model, items: prepared } = ready;
    let indexes = &model.indexes;
    let prepared = prepared.into_iter().next().expect("one item was prepared")?;
    let state = shard.snapshot();
    let view = state.live(core.id).ok_or_else(|| collection_not_found(&view.descriptor.name))?;
    if !view.descriptor.settings.revisions {
        return Err(no_revisions(&view.descriptor.name));
    }
    let newest = core.newest(item.key.as_bytes(), view.end_seq)?;
    let found = newest.as_ref().map_or(0, |hit| hit.rank);
    if let Some(expect) = expect.filter(|expect| *expect != found) {
        return Err(wrong_revision(&item.key, found, expect));
    }
    Accepted::default().check_unique(view, indexes, item, &prepared.keys)?;
    let mut batch = BatchBuilder::new(None);
    batch.part(core.id);
    batch.record(&NewRecord {
        kind: LeafKind::Record,
        key: Some(item.key.as_bytes()),
        revision: found + 1,
        prev_seq: newest.map(|hit| hit.seq),
        schema: prepared.schema,
        actor: None,
        body: item.document.as_bytes(),
        salt: prepared.salt,
        commitment: Some(prepared.commitment),
    });
    if !indexes.is_empty() {
        batch.index_keys(prepared.keys);
    }
    let committed = shard.commit(Work::Write(batch.finish()))?;
    drop(admitted);
    Ok(Written {
        first_seq: committed.first_seqs[0],
        count: 1,
        revision: found + 1,
        time_us: committed.time_us,
    })
}

/// What an operation holds from evaluation to acknowledgement. The gate goes first: whoever wakes
/// for a lock finds it open.
struct Admitted<'a> {
    _gate: RwLockReadGuard<'a, ()>,
    _owner: Owner,
}

/// How an operation comes to write into a collection.
struct Admission<'a> {
    shard: &'a Shard,
    core: &'a Core,
    /// The collection's name.
    name: &'a str,
    /// Whether it may append a revision to a key, so that another document leaves its place.
    replaces: bool,
}

impl<'a> Admission<'a> {
    /// Admits the writing of `items`: their locks, then the gate, then a look whether they were
    /// prepared for what the collection still asks, then nobody's predicate over them. An operation
    /// that must give way to break a cycle of waits has done nothing yet, so it begins again by
    /// itself.
    fn admit(
        &self,
        locks: &LockManager,
        items: &mut [Item],
        ready: &mut Ready,
    ) -> Result<Admitted<'a>> {
        let deadline = locks.deadline_in_ms(LOCK_WAIT_MS_MAX);
        let mut owner = locks.begin();
        let mut admissions = 1;
        loop {
            match self.enter(&mut owner, items, ready, deadline) {
                Ok(Some(gate)) => return Ok(Admitted { _gate: gate, _owner: owner }),
                Ok(None) => {
                    owner.restart();
                    *ready = Ready::of(self.shard, self.core, items);
                }
                Err(error) if error.code() == Code::Deadlock && admissions < ADMISSIONS_MAX => {
                    admissions += 1;
                    owner.restart();
                }
                Err(error) => match owner.missed() {
                    Some(wanted) => return Err(error.note(self.told(wanted, items, ready))),
                    None => return Err(error),
                },
            }
        }
    }

    /// What it did not get, by the names of its own document: what others hold is not told.
    fn told(&self, wanted: &Wanted, items: &[Item], ready: &Ready) -> String {
        let (name, id) = (self.name, self.core.id);
        let key = match wanted {
            Wanted::Lock(lock) => {
                let item = items.iter().find(|item| lock_of(id, item.key.as_bytes()) == *lock);
                item.map(|item| item.key.as_str())
            }
            Wanted::Write(_, key) => std::str::from_utf8(key).ok(),
            Wanted::Scan(_) => None,
        };
        if let Some(key) = key {
            return format!("it writes key {key:?} of collection {name:?}");
        }
        let index = self.unique_index(wanted, ready).map(|index| &index.name);
        match index {
            Some(index) => {
                format!("it writes a value of unique index {index:?} of collection {name:?}")
            }
            None => format!("it writes into collection {name:?}"),
        }
    }

    /// The unique index one of whose values a lock stands for.
    fn unique_index<'r>(&self, wanted: &Wanted, ready: &'r Ready) -> Option<&'r Index> {
        let Wanted::Lock(lock) = wanted else { return None };
        let values = ready.values(self.core).find(|(_, value)| value == lock);
        values.map(|(index, _)| index)
    }

    /// One attempt; `None` if the collection's schema or indexes were changed since the items were
    /// prepared: then other locks may be needed, and none is waited for while the gate is held.
    fn enter(
        &self,
        owner: &mut Owner,
        items: &[Item],
        ready: &Ready,
        deadline: Deadline,
    ) -> Result<Option<RwLockReadGuard<'a, ()>>> {
        let core = self.core;
        owner.lock_all(ready.locks(core, items), Mode::Exclusive, deadline)?;
        loop {
            let gate = core.gate.read();
            if !ready.model.is_current(core) {
                return Ok(None);
            }
            if !owner.may_be_covered(core.id) {
                return Ok(Some(gate));
            }
            let accepted = items.iter().zip(&ready.items).filter(|(_, prepared)| prepared.is_ok());
            let accepted: Vec<&Item> = accepted.map(|(item, _)| item).collect();
            let replaced = self.replaced(&accepted)?;
            let entering = accepted.iter().map(|item| (item.key.as_bytes(), &item.document));
            let leaving = replaced.iter().map(|(key, document)| (*key, document));
            match owner.check_writes(core.id, entering.chain(leaving)) {
                Ok(()) => return Ok(Some(gate)),
                Err(blocked) => {
                    drop(gate);
                    owner.wait_for(blocked, deadline)?;
                }
            }
        }
    }

    /// The documents that `items` put out of their place, by key.
    fn replaced<'i>(&self, items: &[&'i Item]) -> Result<Vec<(&'i [u8], Document)>> {
        let state = self.shard.snapshot();
        let view = state.live(self.core.id).filter(|_| self.replaces);
        let mut replaced = Vec::new();
        let (Some(view), core) = (view, self.core) else { return Ok(replaced) };
        for key in items.iter().map(|item| item.key.as_bytes()) {
            let Some(hit) = core.newest(key, view.end_seq)? else { continue };
            if let Slot::Live { body, .. } = core.read(hit.seq)?.slot {
                replaced.push((key, Document::from_trusted(body)));
            }
        }
        Ok(replaced)
    }
}

/// What a batch holds already.
#[derive(Default)]
struct Accepted<'a> {
    /// Keys that grow from item to item cannot repeat.
    ascending: bool,
    keys: HashMap<&'a str, &'a Item>,
    values: HashMap<(u32, Vec<u8>), &'a str>,
}

impl<'a> Accepted<'a> {
    fn expecting(items: &[Item]) -> Self {
        let ascending = items.windows(2).all(|pair| pair[0].key < pair[1].key);
        Accepted { ascending, ..Accepted::default() }
    }

    /// Refuses a key that stood earlier in the batch.
    fn check_key(&self, item: &Item) -> Result<()> {
        match self.keys.get(item.key.as_str()) {
            Some(first) => Err(repeated_key(first, item)),
            None => Ok(()),
        }
    }

    /// Refuses a record whose values stand in a unique index, or earlier in the batch.
    fn check_unique(
        &self,
        view: &View,
        indexes: &[Arc<Index>],
        item: &Item,
        keys: &RecordKeys,
    ) -> Result<()> {
        let revisions = view.descriptor.settings.revisions;
        for index in indexes.iter().filter(|index| index.unique) {
            for (id, keys) in keys.iter().filter(|(id, _)| *id == index.id) {
                for key in &keys.keys {
                    if let Some(other) = self.values.get(&(*id, key.clone())) {
                        return Err(not_unique(index, item, other));
                    }
                    let own = item.key.as_bytes();
                    let found = index.conflict(&view.core, key, own, revisions, view.end_seq)?;
                    if let Some(seq) = found {
                        return Err(not_unique(index, item, &view.core.key_at(seq)?));
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, item: &'a Item, indexes: &[Arc<Index>], keys: &RecordKeys) {
        if !self.ascending {
            self.keys.insert(&item.key, item);
        }
        for index in indexes.iter().filter(|index| index.unique) {
            for (id, keys) in keys.iter().filter(|(id, _)| *id == index.id) {
                for key in &keys.keys {
                    self.values.insert((*id, key.clone()), &item.key);
                }
            }
        }
    }
}

pub(super) fn not_unique(index: &Index, item: &Item, other: &str) -> Error {
    Error::new(
        Code::DuplicateKey,
        format!(
            "key {:?}: unique index {:?} on {} holds the same values for key {other:?}",
            item.key,
            index.name,
            index.field_words()
        ),
    )
}

/// Whether an error refuses one item and not the whole call.
pub fn is_refusal(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::InvalidArgument | Code::DuplicateKey | Code::TooLarge | Code::SchemaViolation
    )
}

fn check_batch_bytes(batch: &BatchBuilder) -> Result<()> {
    match batch.bytes() > BATCH_BYTES_MAX {
        true => Err(Error::too_large(
            "encoded bytes of a batch",
            batch.bytes() as u64,
            BATCH_BYTES_MAX as u64,
        )),
        false => Ok(()),
    }
}

fn repeated_key(first: &Item, item: &Item) -> Error {
    let identical = first.document == item.document;
    Error::new(
        Code::DuplicateKey,
        format!(
            "key {:?} stands twice in the batch, with {} document",
            item.key,
            if identical { "an identical" } else { "a different" }
        ),
    )
}

pub(super) fn duplicate(view: &View, item: &Item) -> Result<Option<Error>> {
    let Some(hit) = view.core.newest(item.key.as_bytes(), view.end_seq)? else { return Ok(None) };
    let identical = match view.core.read(hit.seq)?.slot {
        Slot::Live { body, .. } => body == item.document.as_bytes(),
        _ => false,
    };
    Ok(Some(Error::new(
        Code::DuplicateKey,
        format!(
            "key {:?} exists at seq {} with {} document",
            item.key,
            hit.seq,
            if identical { "an identical" } else { "a different" }
        ),
    )))
}
