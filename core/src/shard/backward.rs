//! Leaves from the newest to the oldest, and where a commit time begins in the log: commit times never
//! decrease with sequence numbers, so a time is found by halving.

use crate::collection::query::plan::LedgerRange;
use crate::error::Result;
use crate::ledger::{LedgerReader, StoredLeaf};
use crate::shard::state::View;

/// Leaves read together.
const CHUNK_LEAVES: u64 = 256;

/// Leaves of a stretch, the last first.
pub struct Backward {
    view: View,
    reader: LedgerReader,
    from_seq: u64,
    end_seq: u64,
    ready: Vec<StoredLeaf>,
}

impl Backward {
    /// The leaves from `from_seq` to before `end_seq`.
    pub fn new(view: &View, from_seq: u64, end_seq: u64) -> Self {
        let reader = view.core.ledger.reader();
        Backward { view: view.clone(), reader, from_seq, end_seq, ready: Vec::new() }
    }

    fn fill(&mut self) -> Result<()> {
        let first = self.end_seq.saturating_sub(CHUNK_LEAVES).max(self.from_seq);
        for seq in first..self.end_seq {
            self.ready.extend(self.view.core.look_with(&mut self.reader, seq)?);
        }
        self.end_seq = first;
        Ok(())
    }
}

impl Iterator for Backward {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.from_seq < self.end_seq {
            if let Err(error) = self.fill() {
                self.end_seq = self.from_seq;
                self.ready.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop().map(Ok)
    }
}

impl View {
    /// First and end sequence number of a stretch of the log.
    pub(super) fn stretch(&self, range: &LedgerRange) -> Result<(u64, u64)> {
        let mut from_seq = range.after_seq.map_or(0, |seq| seq.saturating_add(1));
        let mut end_seq = range.until_seq.map_or(u64::MAX, |seq| seq.saturating_add(1));
        end_seq = end_seq.min(self.end_seq);
        if let Some(after_us) = range.after_us {
            from_seq = from_seq.max(self.first_after(after_us)?);
        }
        if let Some(until_us) = range.until_us {
            end_seq = end_seq.min(self.first_after(until_us)?);
        }
        Ok((from_seq, end_seq.max(from_seq)))
    }

    /// The first leaf later than `time_us`, or the end.
    pub fn first_after(&self, time_us: i64) -> Result<u64> {
        self.first_where(|leaf_us| leaf_us > time_us)
    }

    /// The first leaf at `time_us` or later, or the end.
    pub fn first_at(&self, time_us: i64) -> Result<u64> {
        self.first_where(|leaf_us| leaf_us >= time_us)
    }

    fn first_where(&self, reached: impl Fn(i64) -> bool) -> Result<u64> {
        let (mut low, mut high) = (0, self.end_seq);
        while low < high {
            let middle = low + (high - low) / 2;
            match reached(self.time_at(middle)?) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The time of the leaf at `seq`, or of the one before if it is a header still to be made.
    fn time_at(&self, seq: u64) -> Result<i64> {
        let mut reader = self.core.ledger.reader();
        for seq in (0..=seq).rev() {
            if let Some(leaf) = self.core.look_with(&mut reader, seq)? {
                return Ok(leaf.time_us);
            }
        }
        Ok(i64::MIN)
    }
}
