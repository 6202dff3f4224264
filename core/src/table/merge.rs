//! Many sorted sources as one. A heap of sources keeps the least current entry on top; while one
//! source stays ahead, as it does for runs of keys, a step costs one or two comparisons. A merge drops
//! nothing: (key, rank) is unique across its sources.

use std::cmp::Ordering;

use super::cursor::{Cursor, Direction};
use super::{Entry, EntryRef};
use crate::error::Result;

/// Entries in order, one at a time; each is borrowed until the next is asked for.
pub trait Entries {
    /// The next entry, or `None` at the end.
    fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>>;
}

/// Entries from an iterator of owned ones, sorted as tables are.
#[derive(Debug)]
pub struct Sorted<I> {
    entries: I,
    current: Option<Entry>,
}

impl<I: Iterator<Item = Result<Entry>>> Sorted<I> {
    /// The entries that `entries` yields.
    pub fn new(entries: impl IntoIterator<IntoIter = I>) -> Self {
        Sorted { entries: entries.into_iter(), current: None }
    }
}

impl<I: Iterator<Item = Result<Entry>>> Entries for Sorted<I> {
    fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>> {
        self.current = self.entries.next().transpose()?;
        Ok(self.current.as_ref().map(|entry| EntryRef {
            key: &entry.key,
            rank: entry.rank,
            seq: entry.seq,
            inline: None,
        }))
    }
}

/// The merge of several sources in one direction.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Cursor>,
    /// Sources that have an entry, as a binary heap: the one to read next comes first.
    heap: Vec<usize>,
    direction: Direction,
    started: bool,
}

impl Merge {
    pub(crate) fn new(sources: Vec<Cursor>, direction: Direction) -> Self {
        let heap = (0..sources.len()).filter(|&source| sources[source].entry().is_some()).collect();
        let mut merge = Merge { sources, heap, direction, started: false };
        for position in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(position);
        }
        merge
    }

    /// The entry the merge stands at.
    #[inline]
    pub(crate) fn entry(&self) -> Option<EntryRef<'_>> {
        self.sources[*self.heap.first()?].entry()
    }

    /// Goes to the next entry.
    pub(crate) fn step(&mut self) -> Result<()> {
        let Some(&source) = self.heap.first() else { return Ok(()) };
        self.sources[source].step()?;
        if self.sources[source].entry().is_none() {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(())
    }

    fn precedes(&self, a: usize, b: usize) -> bool {
        let (Some(left), Some(right)) = (self.sources[a].entry(), self.sources[b].entry()) else {
            return false;
        };
        match (left.order(&right), self.direction) {
            (Ordering::Equal, _) => a < b,
            (order, Direction::Forward) => order.is_lt(),
            (order, Direction::Reverse) => order.is_gt(),
        }
    }

    fn sift_down(&mut self, mut position: usize) {
        loop {
            let mut child = 2 * position + 1;
            if child >= self.heap.len() {
                return;
            }
            if child + 1 < self.heap.len() && self.precedes(self.heap[child + 1], self.heap[child])
            {
                child += 1;
            }
            if !self.precedes(self.heap[child], self.heap[position]) {
                return;
            }
            self.heap.swap(child, position);
            position = child;
        }
    }
}

impl Entries for Merge {
    fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>> {
        if self.started {
            self.step()?;
        }
        self.started = true;
        Ok(self.entry())
    }
}
