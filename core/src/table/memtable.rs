//! The in-memory table: a lock-free skip list, so readers never wait for the writer that applies
//! entries. The first sixteen bytes of a key stand in the node as two numbers, so most comparisons on
//! the way down touch no second cache line, and keys of up to sixteen bytes need no allocation.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_skiplist::SkipMap;

use super::cursor::{Cursor, Direction, MemoryCursor};
use super::presence::{FIRST_KEYS, Presence};
use super::{Boundary, Hit, Merge};

/// Bytes of a key that stand in the node.
const HEAD_BYTES: usize = 16;
/// What a node costs beyond a key's tail: key and value (56), height and references (8), a tower of two
/// pointers on average (16), and the allocator's own word.
const NODE_BYTES: u64 = 56 + 8 + 16 + 8;
/// Entries that an estimate counts one by one: some fifty microseconds.
const ESTIMATE_ENTRIES_MAX: usize = 2048;
/// The allocator's share of a tail: a word, and rounding to sixteen bytes.
const TAIL_OVERHEAD_BYTES: u64 = 16;

/// A key and rank in the order of tables. Equal heads of equal length leave the order to the tails:
/// a head shorter than sixteen bytes is padded with zeros and ends its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MemKey {
    head: [u64; 2],
    rank: u64,
    head_bytes: u8,
    tail: Box<[u8]>,
}

impl MemKey {
    fn new(key: &[u8], rank: u64) -> Self {
        let (start, tail) = key.split_at(key.len().min(HEAD_BYTES));
        let mut bytes = [0; HEAD_BYTES];
        bytes[..start.len()].copy_from_slice(start);
        let whole = u128::from_be_bytes(bytes);
        let head = [(whole >> 64) as u64, whole as u64];
        MemKey { head, rank, head_bytes: start.len() as u8, tail: tail.into() }
    }

    fn has_key_of(&self, other: &MemKey) -> bool {
        self.head == other.head && self.head_bytes == other.head_bytes && self.tail == other.tail
    }

    /// Appends the key's bytes to `out`.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        for part in self.head {
            out.extend_from_slice(&part.to_be_bytes());
        }
        out.truncate(out.len() - (HEAD_BYTES - usize::from(self.head_bytes)));
        out.extend_from_slice(&self.tail);
    }
}

impl Ord for MemKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.head[0]
            .cmp(&other.head[0])
            .then_with(|| self.head[1].cmp(&other.head[1]))
            .then_with(|| self.head_bytes.cmp(&other.head_bytes))
            .then_with(|| self.tail.cmp(&other.tail))
            .then_with(|| other.rank.cmp(&self.rank))
    }
}

impl PartialOrd for MemKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A sorted map in memory, written by one thread at a time and read by any number.
#[derive(Debug, Default)]
pub struct MemTable {
    entries: SkipMap<MemKey, u64>,
    presence: Presence,
    bytes: AtomicU64,
}

impl MemTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds (`key`, `rank`) at `seq`. Adding the same entry again changes nothing a reader can see.
    pub fn insert(&self, key: &[u8], rank: u64, seq: u64) {
        let tail_bytes = key.len().saturating_sub(HEAD_BYTES) as u64;
        let tail_cost = if tail_bytes == 0 { 0 } else { tail_bytes + TAIL_OVERHEAD_BYTES };
        self.entries.insert(MemKey::new(key, rank), seq);
        let filter_bytes = self.note_presence(key);
        self.bytes.fetch_add(NODE_BYTES + tail_cost + filter_bytes, Relaxed);
    }

    /// Notes a key that was inserted, and once there are enough, all that were before it.
    fn note_presence(&self, key: &[u8]) -> u64 {
        let count = self.entries.len();
        match count {
            0..FIRST_KEYS => 0,
            _ if self.presence.is_unknown() => {
                let keys: Vec<Vec<u8>> =
                    self.entries.iter().map(|entry| key_bytes(entry.key())).collect();
                self.presence.begin(keys.iter().map(|key| &key[..]))
            }
            _ => self.presence.add(key, count),
        }
    }

    /// The newest entry of `key` below `end_seq`.
    pub fn newest(&self, key: &[u8], end_seq: u64) -> Option<Hit> {
        if !self.presence.may_contain(key) {
            return None;
        }
        let wanted = MemKey::new(key, u64::MAX);
        let mut entry = self.entries.lower_bound(Bound::Included(&wanted))?;
        while entry.key().has_key_of(&wanted) {
            let (rank, seq) = (entry.key().rank, *entry.value());
            if seq < end_seq {
                return Some(Hit { rank, seq });
            }
            entry = entry.next()?;
        }
        None
    }

    /// The entry of `key` with `rank`, if it lies below `end_seq`.
    pub fn exact(&self, key: &[u8], rank: u64, end_seq: u64) -> Option<Hit> {
        if !self.presence.may_contain(key) {
            return None;
        }
        let seq = *self.entries.get(&MemKey::new(key, rank))?.value();
        (seq < end_seq).then_some(Hit { rank, seq })
    }

    /// About the memory it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The least key.
    pub fn first_key(&self) -> Option<Vec<u8>> {
        self.entries.front().map(|entry| key_bytes(entry.key()))
    }

    /// The greatest key.
    pub fn last_key(&self) -> Option<Vec<u8>> {
        self.entries.back().map(|entry| key_bytes(entry.key()))
    }

    /// About how many entries have keys from `lower` to `upper`: counted up to a bound, beyond it
    /// taken for a quarter of all.
    pub fn estimate(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> u64 {
        let edge = |bound: Bound<&[u8]>, low: bool| match bound {
            Bound::Included(key) => {
                Bound::Included(MemKey::new(key, if low { u64::MAX } else { 0 }))
            }
            Bound::Excluded(key) => {
                Bound::Excluded(MemKey::new(key, if low { 0 } else { u64::MAX }))
            }
            Bound::Unbounded => Bound::Unbounded,
        };
        let range = (edge(lower, true), edge(upper, false));
        let counted = self.entries.range(range).take(ESTIMATE_ENTRIES_MAX).count();
        match counted < ESTIMATE_ENTRIES_MAX {
            true => counted as u64,
            false => (self.entries.len() / 4).max(counted) as u64,
        }
    }

    /// All entries in order, for a flush.
    pub fn entries(self: &Arc<Self>) -> Merge {
        let cursor = MemoryCursor::new(self.clone(), None, Direction::Forward);
        Merge::new(vec![Cursor::Memory(cursor)], Direction::Forward)
    }

    /// Shows up to `count` entries from `boundary` on, or from the very end, in `direction`.
    pub(crate) fn visit(
        &self,
        boundary: Option<Boundary<'_>>,
        direction: Direction,
        count: usize,
        mut show: impl FnMut(&MemKey, u64, u64),
    ) {
        let key =
            boundary.map(|boundary| (MemKey::new(boundary.key, boundary.rank), boundary.after));
        let mut show_all = |entries: &mut dyn Iterator<Item = _>| {
            for entry in entries.take(count) {
                let entry: crossbeam_skiplist::map::Entry<'_, MemKey, u64> = entry;
                show(entry.key(), entry.key().rank, *entry.value());
            }
        };
        match (direction, &key) {
            (Direction::Forward, Some((key, true))) => {
                show_all(&mut self.entries.range((Bound::Excluded(key), Bound::Unbounded)));
            }
            (Direction::Forward, Some((key, false))) => {
                show_all(&mut self.entries.range((Bound::Included(key), Bound::Unbounded)));
            }
            (Direction::Forward, None) => show_all(&mut self.entries.iter()),
            (Direction::Reverse, Some((key, true))) => {
                show_all(&mut self.entries.range((Bound::Unbounded, Bound::Included(key))).rev());
            }
            (Direction::Reverse, Some((key, false))) => {
                show_all(&mut self.entries.range((Bound::Unbounded, Bound::Excluded(key))).rev());
            }
            (Direction::Reverse, None) => show_all(&mut self.entries.iter().rev()),
        }
    }
}

fn key_bytes(key: &MemKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + key.tail.len());
    key.append_to(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn memory_keys_order_as_their_bytes_do(
            a in proptest::collection::vec(0u8..3, 0..20), rank_a in 0u64..3,
            b in proptest::collection::vec(0u8..3, 0..20), rank_b in 0u64..3,
        ) {
            let expected = a.cmp(&b).then(rank_b.cmp(&rank_a));
            prop_assert_eq!(MemKey::new(&a, rank_a).cmp(&MemKey::new(&b, rank_b)), expected);
            prop_assert_eq!(key_bytes(&MemKey::new(&a, 0)), a);
        }
    }

    #[test]
    fn a_snapshot_sees_the_newest_revision_below_it() {
        let table = MemTable::new();
        for revision in 1..=5 {
            table.insert(b"key", revision, revision * 10);
        }
        table.insert(b"key2", 1, 60);
        assert_eq!(table.newest(b"key", u64::MAX), Some(Hit { rank: 5, seq: 50 }));
        assert_eq!(table.newest(b"key", 50), Some(Hit { rank: 4, seq: 40 }));
        assert_eq!(table.newest(b"key", 10), None);
        assert_eq!(table.newest(b"ke", u64::MAX), None);
        assert_eq!(table.exact(b"key", 3, u64::MAX), Some(Hit { rank: 3, seq: 30 }));
        assert_eq!(table.exact(b"key", 3, 30), None);
        assert_eq!(table.last_key(), Some(b"key2".to_vec()));
        assert_eq!(table.first_key(), Some(b"key".to_vec()));
        assert_eq!(table.len(), 6);
    }

    #[test]
    fn the_size_of_a_node_is_what_the_estimate_says() {
        assert_eq!(size_of::<MemKey>() + size_of::<u64>(), 56);
    }
}
