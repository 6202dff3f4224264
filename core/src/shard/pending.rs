//! Records between the log and the ledger: applied, visible, and held in memory until their block
//! is written. One element per log entry and collection, keyed by first sequence number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::ledger::{PendingLeaf, Slot as LedgerSlot, StoredLeaf};
use crate::proof::COMMITMENT_SHA256;
use crate::shard::entry::Part;

/// What a pending record costs beyond its encoded bytes.
const SLOT_OVERHEAD_BYTES: u64 = 128;

/// The records one entry gave one collection.
#[derive(Debug)]
pub struct PendingPart {
    /// Index of the log entry: it pins the log until the ledger holds the records.
    pub index: u64,
    /// Commit time.
    pub time_us: i64,
    /// The transaction.
    pub txn: Option<[u8; 16]>,
    /// Bytes the slots point into.
    pub payload: Bytes,
    /// The records.
    pub part: Part,
}

impl PendingPart {
    /// Memory it holds, estimated.
    pub fn bytes(&self) -> u64 {
        self.part.slots.len() as u64 * SLOT_OVERHEAD_BYTES + self.payload.len() as u64
    }

    fn end_seq(&self) -> u64 {
        self.part.first_seq + self.part.slots.len() as u64
    }

    fn leaf(&self, position: usize) -> PendingLeaf<'_> {
        let txn = self.txn.as_ref().map(|txn| txn.as_slice());
        self.part.slots[position].leaf(&self.payload, self.time_us, txn)
    }

    fn stored(&self, seq: u64) -> StoredLeaf {
        let slot = &self.part.slots[(seq - self.part.first_seq) as usize];
        let leaf = slot.leaf(&self.payload, self.time_us, None);
        StoredLeaf {
            seq,
            kind: leaf.kind,
            key: slot.key_bytes(&self.payload),
            revision: leaf.revision,
            prev_seq: leaf.prev_seq,
            time_us: leaf.time_us,
            schema: leaf.schema,
            txn: self.txn.map(|txn| Bytes::copy_from_slice(&txn)),
            actor: leaf.actor.map(str::to_owned),
            commit_alg: COMMITMENT_SHA256,
            body_len: leaf.body.len() as u64,
            slot: LedgerSlot::Live { salt: leaf.salt, body: slot.body_bytes(&self.payload) },
        }
    }
}

/// The pending records of one collection.
#[derive(Debug)]
pub struct Pending {
    parts: RwLock<BTreeMap<u64, Arc<PendingPart>>>,
    /// Everything below is in the ledger; raised before anything below it is dropped here.
    floor_seq: AtomicU64,
}

impl Pending {
    /// Nothing pending, with a ledger that ends at `end_seq`.
    pub fn new(end_seq: u64) -> Self {
        Pending { parts: RwLock::default(), floor_seq: AtomicU64::new(end_seq) }
    }

    /// Adds what one entry brought.
    pub fn push(&self, part: PendingPart) -> Arc<PendingPart> {
        let part = Arc::new(part);
        self.parts.write().insert(part.part.first_seq, part.clone());
        part
    }

    /// The record at `seq`, if it is pending; one that is not found is in the ledger.
    pub fn get(&self, seq: u64) -> Option<StoredLeaf> {
        // What is past the floor was removed, or is about to be: spares most reads the lock.
        if seq < self.floor_seq.load(Ordering::Acquire) {
            return None;
        }
        let parts = self.parts.read();
        let (_, part) = parts.range(..=seq).next_back()?;
        (seq < part.end_seq()).then(|| part.stored(seq))
    }

    /// The parts that make up the block `first_seq .. first_seq + count`, in order.
    pub fn block(&self, first_seq: u64, count: u64) -> Vec<Arc<PendingPart>> {
        self.parts
            .read()
            .range(first_seq..first_seq + count)
            .map(|(_, part)| part.clone())
            .collect()
    }

    /// Drops what lies below `end_seq`, which the ledger now holds; returns the bytes freed.
    pub fn remove_below(&self, end_seq: u64) -> u64 {
        self.floor_seq.fetch_max(end_seq, Ordering::Release);
        let mut parts = self.parts.write();
        let keep = parts.split_off(&end_seq);
        let gone = std::mem::replace(&mut *parts, keep);
        drop(parts);
        gone.values().map(|part| part.bytes()).sum()
    }

    /// The parts at or beyond `from_seq`, in order.
    pub fn from(&self, from_seq: u64) -> Vec<Arc<PendingPart>> {
        self.parts.read().values().filter(|part| part.end_seq() > from_seq).cloned().collect()
    }

    /// Index of the oldest entry not yet in the ledger.
    pub fn first_index(&self) -> Option<u64> {
        self.parts.read().values().next().map(|part| part.index)
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.parts.read().is_empty()
    }
}

/// The leaves of a block's parts, in sequence order.
pub fn leaves(parts: &[Arc<PendingPart>]) -> impl Iterator<Item = PendingLeaf<'_>> {
    parts.iter().flat_map(|part| (0..part.part.slots.len()).map(|position| part.leaf(position)))
}

/// The stored form of one part's records, in sequence order.
pub fn stored(part: &PendingPart) -> impl Iterator<Item = StoredLeaf> + '_ {
    (part.part.first_seq..part.end_seq()).map(|seq| part.stored(seq))
}
