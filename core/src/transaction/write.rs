//! Inserts and puts: look under the key's lock, refuse or number the revision, propose, commit.

use std::collections::BTreeMap;

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
use crate::shard::state::{View, collection_not_found};
use crate::transaction::locks::{Deadline, LockManager, Mode, Owner, lock_of};

/// How often an operation that gives way to others begins again by itself.
const ADMISSIONS_MAX: usize = 16;

/// One document to insert, its key already settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// The document.
    pub document: Document,
}

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

/// Inserts `items` into the collection of `view` as one atomic batch. Refused items are reported by
/// position; with [`OnError::Stop`] the first of them, reported alone, keeps the whole batch out.
/// `None` if nothing was written.
pub fn insert_batch(
    shard: &Shard,
    locks: &LockManager,
    view: &View,
    items: &[Item],
    on_error: OnError,
) -> Result<(Option<Written>, Vec<Rejected>)> {
    if items.len() > BATCH_RECORDS_MAX {
        return Err(Error::too_large(
            "records of a batch",
            items.len() as u64,
            BATCH_RECORDS_MAX as u64,
        ));
    }
    shard.throttle()?;
    let id = view.core.id;
    let admitted = admit(locks, &view.core, items)?;
    let state = shard.snapshot();
    let view = state.live(id).ok_or_else(|| collection_not_found(&view.descriptor.name))?;

    let mut salts = vec![[0u8; 16]; items.len()];
    shard.env.host.random.fill(salts.as_flattened_mut());
    let mut batch = BatchBuilder::new(None);
    batch.part(id);
    let mut rejected = Vec::new();
    let repeats = repeated(items);
    for (index, item) in items.iter().enumerate() {
        let fault = match repeats.get(&index) {
            Some(first) => Some(repeated_key(&items[*first], item)),
            None => duplicate(view, item)?,
        };
        if let Some(error) = fault {
            rejected.push(Rejected { index: index as u64, error });
            if on_error == OnError::Stop {
                return Ok((None, rejected));
            }
            continue;
        }
        batch.record(&NewRecord {
            kind: LeafKind::Record,
            key: Some(item.key.as_bytes()),
            revision: 1,
            prev_seq: None,
            schema: 0,
            actor: None,
            body: item.document.as_bytes(),
            salt: salts[index],
        });
    }
    check_batch_bytes(&batch)?;
    let count = batch.records() as u64;
    if count == 0 {
        return Ok((None, rejected));
    }
    let committed = shard.commit(Work::Write(batch.finish()))?;
    drop(admitted);
    let first_seq = committed.first_seqs[0];
    Ok((Some(Written { first_seq, count, revision: 1, time_us: committed.time_us }), rejected))
}

/// Appends the next revision of `key`, or revision 1 of a new key. With `expect`, only if the newest
/// revision is that one (0: the key must not exist).
pub fn put_one(
    shard: &Shard,
    locks: &LockManager,
    view: &View,
    item: &Item,
    expect: Option<u64>,
) -> Result<Written> {
    shard.throttle()?;
    let id = view.core.id;
    let admitted = admit(locks, &view.core, std::slice::from_ref(item))?;
    let state = shard.snapshot();
    let view = state.live(id).ok_or_else(|| collection_not_found(&view.descriptor.name))?;
    if !view.descriptor.settings.revisions {
        return Err(Error::new(
            Code::Unsupported,
            format!(
                "collection {:?} keeps one revision of each key; configure revisions=true to put",
                view.descriptor.name
            ),
        ));
    }
    let newest = view.core.newest(item.key.as_bytes(), view.end_seq)?;
    let found = newest.as_ref().map_or(0, |hit| hit.rank);
    if let Some(expect) = expect.filter(|expect| *expect != found) {
        return Err(Error::new(
            Code::PreconditionFailed,
            format!("key {:?} is at revision {found}, expected {expect}", item.key),
        ));
    }
    let mut salt = [0; 16];
    shard.env.host.random.fill(&mut salt);
    let mut batch = BatchBuilder::new(None);
    batch.part(id);
    batch.record(&NewRecord {
        kind: LeafKind::Record,
        key: Some(item.key.as_bytes()),
        revision: found + 1,
        prev_seq: newest.map(|hit| hit.seq),
        schema: 0,
        actor: None,
        body: item.document.as_bytes(),
        salt,
    });
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

/// Admits the writing of `items`: their locks, then the gate, then nobody's predicate over them. An
/// operation that must give way to break a cycle of waits has done nothing yet, so it begins again
/// by itself.
fn admit<'a>(locks: &LockManager, core: &'a Core, items: &[Item]) -> Result<Admitted<'a>> {
    let deadline = locks.deadline_in_ms(LOCK_WAIT_MS_MAX);
    let mut owner = locks.begin();
    for _ in 1..ADMISSIONS_MAX {
        match enter(&mut owner, core, items, deadline) {
            Ok(gate) => return Ok(Admitted { _gate: gate, _owner: owner }),
            Err(error) if error.code() == Code::Deadlock => owner.restart(),
            Err(error) => return Err(error),
        }
    }
    let gate = enter(&mut owner, core, items, deadline)?;
    Ok(Admitted { _gate: gate, _owner: owner })
}

fn enter<'a>(
    owner: &mut Owner,
    core: &'a Core,
    items: &[Item],
    deadline: Deadline,
) -> Result<RwLockReadGuard<'a, ()>> {
    let keys = items.iter().map(|item| lock_of(core.id, item.key.as_bytes())).collect();
    owner.lock_all(keys, Mode::Exclusive, deadline)?;
    loop {
        let gate = core.gate.read();
        let writes = items.iter().map(|item| (item.key.as_bytes(), &item.document));
        match owner.check_writes(core.id, writes) {
            Ok(()) => return Ok(gate),
            Err(blocked) => {
                drop(gate);
                owner.wait_for(blocked, deadline)?;
            }
        }
    }
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

/// Positions whose key stood earlier in the same batch, with the earlier position.
fn repeated(items: &[Item]) -> BTreeMap<usize, usize> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| items[*a].key.cmp(&items[*b].key).then(a.cmp(b)));
    let mut repeats = BTreeMap::new();
    let mut first: Option<usize> = None;
    for index in order {
        match first {
            Some(first) if items[first].key == items[index].key => {
                repeats.insert(index, first);
            }
            _ => first = Some(index),
        }
    }
    repeats
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

fn duplicate(view: &View, item: &Item) -> Result<Option<Error>> {
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
