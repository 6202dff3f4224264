//! An answer within a transaction: what is committed, with the transaction's own writes in their
//! places.

use std::collections::{HashSet, VecDeque};

use crate::collection::query::{Encoded, Sort};
use crate::document::Document;
use crate::error::{Error, Result};
use crate::ledger::{Slot, StoredLeaf};

/// In which order an answer comes.
pub(super) enum Order {
    /// By key.
    Key { reverse: bool },
    /// By the sort of a query; without one the transaction's own writes come last.
    Sort(Sort),
}

impl Order {
    /// The place of a record, as bytes that compare like it; `None` without an order.
    pub fn place(&self, leaf: &StoredLeaf) -> Result<Vec<u8>> {
        match self {
            Order::Key { reverse: false } => Ok(key_of(leaf).to_vec()),
            // Keys are text, so no byte is 255, and the complement of the end sorts last.
            Order::Key { reverse: true } => {
                Ok(key_of(leaf).iter().map(|byte| !byte).chain([u8::MAX]).collect())
            }
            Order::Sort(sort) => {
                let Slot::Live { body, .. } = &leaf.slot else {
                    return Err(Error::invalid("a record of the answer was erased"));
                };
                let document = Document::from_trusted(body.clone());
                let key = std::str::from_utf8(key_of(leaf)).unwrap_or_default();
                let (seq, time_us) = (leaf.seq, leaf.time_us);
                sort.key_of(&Encoded { key, seq, time_us, document: &document })
            }
        }
    }
}

fn key_of(leaf: &StoredLeaf) -> &[u8] {
    leaf.key.as_deref().unwrap_or_default()
}

/// Committed records and the transaction's own, in one order: its own take the place of the
/// committed ones of their keys.
pub struct Merged {
    committed: Box<dyn Iterator<Item = Result<StoredLeaf>> + Send>,
    next: Option<StoredLeaf>,
    own: VecDeque<(Vec<u8>, StoredLeaf)>,
    /// Keys the transaction has written, whether their records belong to the answer or not.
    written: HashSet<Vec<u8>>,
    order: Order,
    left: u64,
}

impl Merged {
    /// Puts `own`, the transaction's records that belong to the answer, among the committed ones;
    /// at most `limit`.
    pub(super) fn new(
        committed: impl Iterator<Item = Result<StoredLeaf>> + Send + 'static,
        own: Vec<StoredLeaf>,
        written: HashSet<Vec<u8>>,
        order: Order,
        limit: Option<u64>,
    ) -> Result<Self> {
        let placed = own.into_iter().map(|leaf| Ok((order.place(&leaf)?, leaf)));
        let mut own: Vec<(Vec<u8>, StoredLeaf)> = placed.collect::<Result<_>>()?;
        own.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(Merged {
            committed: Box::new(committed),
            next: None,
            own: own.into(),
            written,
            order,
            left: limit.unwrap_or(u64::MAX),
        })
    }

    fn step(&mut self) -> Result<Option<StoredLeaf>> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.next.is_none() {
            let Some(leaf) = self.committed.next().transpose()? else { break };
            if !self.written.contains(key_of(&leaf)) {
                self.next = Some(leaf);
            }
        }
        let own_first = match (&self.next, self.own.front()) {
            (Some(committed), Some((own, _))) => self.order.precedes(own, committed)?,
            (None, _) => true,
            (Some(_), None) => false,
        };
        self.left -= 1;
        Ok(match own_first {
            true => self.own.pop_front().map(|(_, leaf)| leaf),
            false => self.next.take(),
        })
    }
}

impl Order {
    /// Whether a record of the transaction, of that place, comes before a committed one.
    fn precedes(&self, own: &[u8], committed: &StoredLeaf) -> Result<bool> {
        match self {
            // Nothing is promised, and the committed ones come as their access gives them.
            Order::Sort(sort) if sort.is_empty() => Ok(false),
            _ => Ok(own < &self.place(committed)?[..]),
        }
    }
}

impl Iterator for Merged {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.left = 0;
        }
        step.transpose()
    }
}
