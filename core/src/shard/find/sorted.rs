//! The order that nothing read gives: matches are sorted by keys made of their values, of which no
//! more are held than the limit asks for or the memory bound allows, and read again to be shown.

use std::collections::{BinaryHeap, VecDeque};

use super::matches::{Matches, encoded};
use super::{BATCH_MAX, Reads};
use crate::collection::query::Sort;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::ledger::{LedgerReader, Slot, StoredLeaf};
use crate::limits::SORT_BYTES_MAX;
use crate::shard::state::View;

/// What a sort key costs beyond its bytes.
const SORT_ENTRY_BYTES: u64 = 48;

/// The place of a record in the order of `sort`, as bytes that compare like it.
pub(super) fn sort_key(sort: &Sort, leaf: &StoredLeaf) -> Result<Vec<u8>> {
    let body = match &leaf.slot {
        Slot::Live { body, .. } => body.clone(),
        _ => return Err(Error::invalid("the cursor's record was erased; start again without it")),
    };
    let document = Document::from_trusted(body);
    sort.key_of(&encoded(leaf, &document)?)
}

/// The sequence numbers of all matches in the order of `sort`: at most `limit` of them are kept, or
/// as many as fit the bound.
fn sort_seqs(
    matches: &mut Matches,
    sort: &Sort,
    limit: Option<u64>,
    after_key: Option<&[u8]>,
) -> Result<Vec<u64>> {
    let keep = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut kept: BinaryHeap<(Vec<u8>, u64)> = BinaryHeap::new();
    let mut bytes = 0;
    while let Some(leaf) = matches.next()? {
        let key = sort_key(sort, &leaf)?;
        if after_key.is_some_and(|after| &key[..] <= after) {
            continue;
        }
        if kept.len() >= keep {
            if kept.peek().is_none_or(|(last, _)| *last <= key) {
                continue;
            }
            if let Some((last, _)) = kept.pop() {
                bytes -= last.len() as u64 + SORT_ENTRY_BYTES;
            }
        }
        bytes += key.len() as u64 + SORT_ENTRY_BYTES;
        if bytes > SORT_BYTES_MAX {
            let limit =
                "memory of a sort without a limit or an index that gives its order, in bytes,";
            return Err(Error::too_large(limit, bytes, SORT_BYTES_MAX));
        }
        kept.push((key, leaf.seq));
    }
    Ok(kept.into_sorted_vec().into_iter().map(|(_, seq)| seq).collect())
}

/// Records in an order that was made beforehand.
pub(super) struct Sorted {
    view: View,
    reader: LedgerReader,
    seqs: std::vec::IntoIter<u64>,
    ready: VecDeque<StoredLeaf>,
    pub reads: Reads,
}

impl Sorted {
    /// All of `matches` that lie behind `after_key`, at most `limit`.
    pub fn new(
        view: &View,
        mut matches: Matches,
        sort: &Sort,
        limit: Option<u64>,
        after_key: Option<&[u8]>,
    ) -> Result<Self> {
        let seqs = sort_seqs(&mut matches, sort, limit, after_key)?;
        Ok(Sorted {
            view: view.clone(),
            reader: view.core.ledger.reader(),
            seqs: seqs.into_iter(),
            ready: VecDeque::new(),
            reads: matches.reads,
        })
    }

    /// The next record.
    pub fn next(&mut self) -> Result<Option<StoredLeaf>> {
        if self.ready.is_empty() {
            self.view.check_live()?;
            let seqs: Vec<u64> = self.seqs.by_ref().take(BATCH_MAX).collect();
            let leaves = self.view.core.read_batch(&mut self.reader, &seqs, |_| Ok(true))?;
            self.ready.extend(leaves);
        }
        Ok(self.ready.pop_front())
    }
}
