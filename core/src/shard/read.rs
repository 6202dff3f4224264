//! Reading at a snapshot: by key, by key range, by sequence. Nothing here waits for a writer.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::Result;
use crate::ledger::{LedgerIter, LedgerReader, StoredLeaf};
use crate::shard::pending::{self, PendingPart};
use crate::shard::state::View;
use crate::table::NewestOnly;

/// Keys resolved together: enough to sort by place, few enough that a limit wastes little.
const RESOLVE_BATCH: usize = 128;

/// A range of keys and a direction.
#[derive(Clone, Debug)]
pub struct KeyRange {
    /// First key.
    pub lower: Bound<Vec<u8>>,
    /// Last key.
    pub upper: Bound<Vec<u8>>,
    /// From the last to the first.
    pub reverse: bool,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        KeyRange { lower: Bound::Unbounded, upper: Bound::Unbounded, reverse: false }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        KeyRange {
            lower: Bound::Included(prefix.to_vec()),
            upper: after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            reverse: false,
        }
    }
}

/// The least byte string greater than all that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return Some(next);
        }
    }
    None
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

impl View {
    /// The newest revision of `key`, or the one asked for.
    pub fn get(&self, key: &[u8], revision: Option<u64>) -> Result<Option<StoredLeaf>> {
        let tables = self.core.tables.load();
        self.check_live()?;
        let hit = match revision {
            None => tables.newest(key, self.end_seq)?,
            Some(revision) => tables.exact(key, revision, self.end_seq)?,
        };
        drop(tables);
        hit.map(|hit| self.core.read(hit.seq)).transpose()
    }

    /// All revisions of `key`, oldest first.
    pub fn history(&self, key: &[u8]) -> Result<Vec<StoredLeaf>> {
        let range = (Bound::Included(key), Bound::Included(key));
        let tables = self.core.tables.load_full();
        let mut leaves = Vec::new();
        for entry in tables.scan(range.0, range.1, self.end_seq, false) {
            leaves.push(self.core.read(entry?.seq)?);
        }
        leaves.reverse();
        Ok(leaves)
    }

    /// The newest revision of every key in `range`, in key order.
    pub fn scan(&self, range: &KeyRange) -> Records {
        let tables = self.core.tables.load_full();
        let (lower, upper) = (as_slice(&range.lower), as_slice(&range.upper));
        let entries =
            tables.scan(lower, upper, self.end_seq, range.reverse).newest_only(self.end_seq);
        let reader = self.core.ledger.reader();
        Records { view: self.clone(), entries, reader, ready: VecDeque::new(), batch: 8 }
    }

    /// Every leaf from `from_seq` on, in sequence order, headers and administrative leaves too.
    pub fn leaves(&self, from_seq: u64) -> Leaves {
        // Pending records first: what leaves memory meanwhile is then in the ledger.
        let pending = self.core.pending.from(from_seq);
        let ledger = self.core.ledger.iter(from_seq, true);
        Leaves {
            end_seq: self.end_seq,
            next_seq: from_seq,
            ledger: Some(ledger),
            pending,
            ready: VecDeque::new(),
        }
    }
}

/// An iterator over records in key order. Keys are resolved in batches, sorted by place, so that a
/// scan of neighbours decompresses each frame once.
pub struct Records {
    view: View,
    entries: NewestOnly,
    reader: LedgerReader,
    ready: VecDeque<StoredLeaf>,
    batch: usize,
}

impl Records {
    fn fill(&mut self) -> Result<()> {
        self.view.check_live()?;
        let entries = self.entries.by_ref().take(self.batch);
        let seqs: Vec<u64> =
            entries.map(|entry| entry.map(|entry| entry.seq)).collect::<Result<_>>()?;
        self.batch = (self.batch * 2).min(RESOLVE_BATCH);
        let leaves = self.view.core.read_batch(&mut self.reader, &seqs, |_| Ok(true))?;
        self.ready.extend(leaves);
        Ok(())
    }
}

impl Iterator for Records {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}

/// An iterator over leaves in sequence order: the ledger, then what is pending.
pub struct Leaves {
    end_seq: u64,
    next_seq: u64,
    ledger: Option<LedgerIter>,
    pending: Vec<Arc<PendingPart>>,
    ready: VecDeque<StoredLeaf>,
}

impl Leaves {
    fn step(&mut self) -> Option<Result<StoredLeaf>> {
        if let Some(ledger) = &mut self.ledger {
            match ledger.next() {
                Some(leaf) => return Some(leaf),
                None => self.ledger = None,
            }
        }
        while self.ready.is_empty() && !self.pending.is_empty() {
            let part = self.pending.remove(0);
            self.ready.extend(pending::stored(&part).filter(|leaf| leaf.seq >= self.next_seq));
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Iterator for Leaves {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step()? {
            Ok(leaf) if leaf.seq >= self.end_seq => None,
            Ok(leaf) => {
                self.next_seq = leaf.seq + 1;
                Some(Ok(leaf))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_byte_string() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
