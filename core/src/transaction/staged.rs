//! What a transaction has written and not yet committed, by collection: the records in the order of
//! the calls, the newest of each key, and what these hold in unique indexes.
//!
//! A transaction reads its own writes as leaves with provisional sequence numbers, greater than any
//! that is given: to its queries they are the newest records of all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::ledger::{Slot, StoredLeaf};
use crate::proof::{COMMITMENT_SHA256, LeafKind};
use crate::shard::core::Core;
use crate::shard::entry::{BatchBuilder, NewRecord, own_seq};
use crate::shard::index::Index;
use crate::transaction::prepare::{Item, Model, Prepared};

/// Where provisional sequence numbers begin.
pub const PROVISIONAL_SEQ: u64 = 1 << 62;

/// One record to come.
pub(super) struct Staged {
    pub item: Item,
    pub prepared: Prepared,
    pub revision: u64,
    /// The newest committed revision, if this is the first of the transaction on its key.
    pub prev_seq: Option<u64>,
    /// The earlier write of this transaction on the key.
    pub prev_own: Option<usize>,
    /// Its place among all writes of the transaction.
    pub number: u64,
}

/// All records to come of one collection.
pub(super) struct Part {
    pub core: Arc<Core>,
    /// The collection's name.
    pub name: String,
    /// What the records were prepared for.
    pub model: Model,
    /// In the order of the calls.
    pub writes: Vec<Staged>,
    /// The last write of each key.
    newest: BTreeMap<String, usize>,
    /// Which key holds a value of a unique index.
    values: HashMap<(u32, Vec<u8>), String>,
}

impl Part {
    pub fn new(core: Arc<Core>, name: &str) -> Self {
        let model = Model::of(&core);
        Part {
            core,
            name: name.to_owned(),
            model,
            writes: Vec::new(),
            newest: BTreeMap::new(),
            values: HashMap::new(),
        }
    }

    /// The last write of `key`.
    pub fn newest(&self, key: &str) -> Option<(usize, &Staged)> {
        self.newest.get(key).map(|at| (*at, &self.writes[*at]))
    }

    /// The last writes of all keys, by key.
    pub fn all_newest(&self) -> impl DoubleEndedIterator<Item = &Staged> {
        self.newest.values().map(|at| &self.writes[*at])
    }

    /// Whether the transaction has written `key`.
    pub fn holds(&self, key: &str) -> bool {
        self.newest.contains_key(key)
    }

    /// The key that holds `value` of a unique index among the newest writes.
    pub fn holder(&self, index: u32, value: &[u8]) -> Option<&str> {
        // The map wants an owned key; unique indexes are few and so are their values.
        self.values.get(&(index, value.to_vec())).map(String::as_str)
    }

    /// Adds a record that was checked.
    pub fn push(&mut self, staged: Staged) {
        let key = staged.item.key.clone();
        if let Some((at, _)) = self.newest(&key) {
            for value in unique_values(&self.model.indexes, &self.writes[at].prepared) {
                self.values.remove(&value);
            }
        }
        for value in unique_values(&self.model.indexes, &staged.prepared) {
            self.values.insert(value, key.clone());
        }
        self.newest.insert(key, self.writes.len());
        self.writes.push(staged);
    }

    /// Puts in what the records are under another model of the collection.
    pub fn adopt(&mut self, model: Model, prepared: Vec<(Item, Prepared)>) {
        self.model = model;
        for (staged, (item, prepared)) in self.writes.iter_mut().zip(prepared) {
            (staged.item, staged.prepared) = (item, prepared);
        }
        self.values.clear();
        for at in self.newest.values() {
            let staged = &self.writes[*at];
            for value in unique_values(&self.model.indexes, &staged.prepared) {
                self.values.insert(value, staged.item.key.clone());
            }
        }
    }

    /// Whether some record is a further revision of its key.
    pub fn has_further_revisions(&self) -> bool {
        self.writes.iter().any(|staged| staged.revision > 1)
    }

    /// Takes item and preparation of a write out, to look at them beside the part.
    pub fn take(&mut self, at: usize) -> (Item, Prepared) {
        let staged = &mut self.writes[at];
        let item = Item { key: staged.item.key.clone(), document: staged.item.document.clone() };
        let keys = std::mem::take(&mut staged.prepared.keys);
        (item, Prepared { keys, ..staged.prepared })
    }

    /// Puts back what [`Part::take`] took out.
    pub fn put_back(&mut self, at: usize, prepared: Prepared) {
        self.writes[at].prepared = prepared;
    }

    /// A record to come as the transaction itself reads it.
    pub fn leaf(&self, staged: &Staged, time_us: i64, txn: &Bytes) -> StoredLeaf {
        let body = Bytes::copy_from_slice(staged.item.document.as_bytes());
        StoredLeaf {
            seq: PROVISIONAL_SEQ + staged.number,
            kind: LeafKind::Record,
            key: Some(Bytes::copy_from_slice(staged.item.key.as_bytes())),
            revision: Some(staged.revision),
            prev_seq: staged.prev_seq,
            time_us,
            schema: Some(u64::from(staged.prepared.schema)),
            txn: Some(txn.clone()),
            actor: None,
            commit_alg: COMMITMENT_SHA256,
            body_len: body.len() as u64,
            slot: Slot::Live { salt: staged.prepared.salt, body },
        }
    }

    /// Adds the records to a batch; what their index entries are goes along.
    pub fn encode(&mut self, batch: &mut BatchBuilder) {
        batch.part(self.core.id);
        let indexed = !self.model.indexes.is_empty();
        for staged in &mut self.writes {
            let prepared = &mut staged.prepared;
            batch.record(&NewRecord {
                kind: LeafKind::Record,
                key: Some(staged.item.key.as_bytes()),
                revision: staged.revision,
                prev_seq: staged.prev_own.map(own_seq).or(staged.prev_seq),
                schema: prepared.schema,
                actor: None,
                body: staged.item.document.as_bytes(),
                salt: prepared.salt,
                commitment: Some(prepared.commitment),
            });
            if indexed {
                batch.index_keys(std::mem::take(&mut prepared.keys));
            }
        }
    }
}

/// What a record holds in unique indexes.
pub(super) fn unique_values<'a>(
    indexes: &'a [Arc<Index>],
    prepared: &'a Prepared,
) -> impl Iterator<Item = (u32, Vec<u8>)> + 'a {
    indexes.iter().filter(|index| index.unique).flat_map(|index| {
        let own = prepared.keys.iter().filter(|(id, _)| *id == index.id);
        own.flat_map(|(id, keys)| keys.keys.iter().map(|key| (*id, key.clone())))
    })
}
