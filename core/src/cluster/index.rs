//! Where each entry of a group lies in the log, and of which term it is: eight bytes an entry, so
//! that a million entries kept for slow followers cost eight megabytes. Segments and terms change
//! rarely and are kept as runs. Pure: knows nothing of files.

use std::collections::VecDeque;

use super::types::LogId;
use crate::log::{FramePlace, Position};

/// Frames start at multiples of this.
const ALIGN_BYTES: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Offset in its segment, in units of eight bytes: enough for a segment of 32 GiB.
    offset_units: u32,
    frame_bytes: u32,
}

/// What all entries from `first_index` to the next run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first_index: u64,
    value: u64,
}

/// Runs by ascending first index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Runs(VecDeque<Run>);

impl Runs {
    fn push(&mut self, first_index: u64, value: u64) {
        if self.0.back().is_none_or(|run| run.value != value) {
            self.0.push_back(Run { first_index, value });
        }
    }

    fn at(&self, index: u64) -> u64 {
        let behind = self.0.partition_point(|run| run.first_index <= index);
        self.0[behind - 1].value
    }

    fn keep_before(&mut self, index: u64) {
        while self.0.back().is_some_and(|run| run.first_index >= index) {
            self.0.pop_back();
        }
    }

    /// The run of `index`, which still counts, becomes the first.
    fn keep_from(&mut self, index: u64) {
        while self.0.get(1).is_some_and(|run| run.first_index <= index) {
            self.0.pop_front();
        }
    }
}

/// The entries of a group's log, without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EntryIndex {
    first_index: u64,
    places: VecDeque<Place>,
    generations: Runs,
    terms: Runs,
}

impl EntryIndex {
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The first entry's index, meaningless while there is none.
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The index behind the last entry.
    pub fn end_index(&self) -> u64 {
        self.first_index + self.places.len() as u64
    }

    pub fn last(&self) -> Option<LogId> {
        let last = self.end_index().checked_sub(1).filter(|_| !self.is_empty())?;
        Some(LogId::new_term_index(self.terms.at(last), last))
    }

    /// The id of the entry at `index`, which must be there.
    pub fn id(&self, index: u64) -> LogId {
        LogId::new_term_index(self.terms.at(index), index)
    }

    /// The place of the entry at `index`, which must be there.
    pub fn place(&self, index: u64) -> FramePlace {
        let place = self.places[(index - self.first_index) as usize];
        let generation = self.generations.at(index);
        let offset = u64::from(place.offset_units) * ALIGN_BYTES;
        FramePlace { start: Position { generation, offset }, bytes: place.frame_bytes }
    }

    /// The first segment that holds an entry.
    pub fn oldest_generation(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.generations.at(self.first_index))
    }

    /// Adds the next entry; the first may have any index.
    pub fn push(&mut self, id: LogId, place: FramePlace) {
        if self.is_empty() {
            *self = EntryIndex { first_index: id.index, ..EntryIndex::default() };
        }
        debug_assert_eq!(id.index, self.end_index());
        let offset_units = (place.start.offset / ALIGN_BYTES) as u32;
        self.places.push_back(Place { offset_units, frame_bytes: place.bytes });
        self.generations.push(id.index, place.start.generation);
        self.terms.push(id.index, id.leader_id.term);
    }

    /// Drops the entries from `index` on.
    pub fn truncate(&mut self, index: u64) {
        let kept = index.saturating_sub(self.first_index).min(self.places.len() as u64);
        self.places.truncate(kept as usize);
        let end = self.end_index();
        self.generations.keep_before(end);
        self.terms.keep_before(end);
    }

    /// Drops the entries up to `index`.
    pub fn purge(&mut self, index: u64) {
        if self.is_empty() || index < self.first_index {
            return;
        }
        if index >= self.end_index() - 1 {
            *self = EntryIndex::default();
            return;
        }
        self.places.drain(..(index + 1 - self.first_index) as usize);
        self.first_index = index + 1;
        self.generations.keep_from(self.first_index);
        self.terms.keep_from(self.first_index);
        // A log that was long once does not hold its memory for ever.
        if self.places.capacity() > 4096 && self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(self.places.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entry `index` of a log whose segments hold seven entries and whose terms five.
    fn entry(index: u64) -> (LogId, FramePlace) {
        let start = Position { generation: 1 + index / 7, offset: 64 + index % 7 * 80 };
        (LogId::new_term_index(index / 5, index), FramePlace { start, bytes: 80 + index as u32 })
    }

    fn check(index: &EntryIndex, range: std::ops::Range<u64>) {
        assert_eq!(index.is_empty(), range.is_empty());
        if range.is_empty() {
            assert_eq!((index.last(), index.oldest_generation()), (None, None));
            return;
        }
        assert_eq!((index.first_index(), index.end_index()), (range.start, range.end));
        assert_eq!(index.last(), Some(entry(range.end - 1).0));
        let oldest = entry(range.start).1.start.generation;
        assert_eq!(index.oldest_generation(), Some(oldest));
        for number in range {
            assert_eq!((index.id(number), index.place(number)), entry(number));
        }
    }

    #[test]
    fn what_is_cut_at_either_end_leaves_the_rest_as_it_was() {
        for first in [0, 1, 13] {
            let mut whole = EntryIndex::default();
            for number in first..60 {
                let (id, place) = entry(number);
                whole.push(id, place);
            }
            check(&whole, first..60);
            for low in first..60 {
                for high in low..62 {
                    let mut cut = whole.clone();
                    cut.truncate(high);
                    check(&cut, first..high.min(60));
                    cut.purge(low);
                    check(&cut, low + 1..high.min(60).max(low + 1));
                    if !cut.is_empty() {
                        let (id, place) = entry(cut.end_index());
                        cut.push(id, place);
                        check(&cut, low + 1..high.min(60) + 1);
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_index_begins_anywhere() {
        let mut index = EntryIndex::default();
        index.truncate(5);
        index.purge(5);
        check(&index, 0..0);
        let (id, place) = entry(40);
        index.push(id, place);
        check(&index, 40..41);
        index.truncate(0);
        check(&index, 0..0);
        let (id, place) = entry(3);
        index.push(id, place);
        check(&index, 3..4);
    }
}
