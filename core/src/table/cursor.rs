//! Cursors: one position in a memtable, a table, or a run of disjoint tables, moving in one
//! direction. They own what they read, so a scan outlives the version it began on. A table cursor
//! puts keys together one restart interval at a time, which serves both directions alike and keeps a
//! short scan short.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{Block, Interval};
use super::index::{Index, Place};
use super::reader::{Keep, Table};
use super::{Boundary, EntryRef, Malformed, MemTable};
use crate::error::Result;

/// Entries copied out of a memtable at first; each refill doubles the number up to the maximum.
const BATCH_ENTRIES_MIN: usize = 16;
const BATCH_ENTRIES_MAX: usize = 512;

/// The way a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In the order of tables.
    Forward,
    /// Against it: keys descending, ranks ascending.
    Reverse,
}

/// The boundary at which a scan between `lower` and `upper` begins, `None` for the very end.
pub(crate) fn start<'a>(
    lower: Bound<&'a [u8]>,
    upper: Bound<&'a [u8]>,
    direction: Direction,
) -> Option<Boundary<'a>> {
    match direction {
        Direction::Forward => match lower {
            Bound::Included(key) => Some(Boundary::before(key)),
            Bound::Excluded(key) => Some(Boundary::after(key)),
            Bound::Unbounded => None,
        },
        Direction::Reverse => match upper {
            Bound::Included(key) => Some(Boundary::after(key)),
            Bound::Excluded(key) => Some(Boundary::before(key)),
            Bound::Unbounded => None,
        },
    }
}

/// A source of a merge.
#[derive(Debug)]
pub(crate) enum Cursor {
    Memory(MemoryCursor),
    Tables(RunCursor),
}

impl Cursor {
    #[inline]
    pub(crate) fn entry(&self) -> Option<EntryRef<'_>> {
        match self {
            Cursor::Memory(cursor) => cursor.entry(),
            Cursor::Tables(cursor) => cursor.entry(),
        }
    }

    #[inline]
    pub(crate) fn step(&mut self) -> Result<()> {
        match self {
            Cursor::Memory(cursor) => {
                cursor.step();
                Ok(())
            }
            Cursor::Tables(cursor) => cursor.step(),
        }
    }
}

/// A cursor over a memtable that copies entries in batches: nothing is pinned between them.
#[derive(Debug)]
pub(crate) struct MemoryCursor {
    table: Arc<MemTable>,
    direction: Direction,
    keys: Vec<u8>,
    /// Key range, rank, seq.
    slots: Vec<(usize, usize, u64, u64)>,
    at: usize,
    batch_entries: usize,
}

impl MemoryCursor {
    pub(crate) fn new(
        table: Arc<MemTable>,
        boundary: Option<Boundary<'_>>,
        direction: Direction,
    ) -> Self {
        let (keys, slots) = (Vec::new(), Vec::new());
        let batch_entries = BATCH_ENTRIES_MIN;
        let mut cursor = MemoryCursor { table, direction, keys, slots, at: 0, batch_entries };
        cursor.fill(boundary);
        cursor
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let &(start, end, rank, seq) = self.slots.get(self.at)?;
        Some(EntryRef { key: &self.keys[start..end], rank, seq, inline: None })
    }

    fn step(&mut self) {
        self.at += 1;
        if self.at < self.slots.len() {
            return;
        }
        let Some(&(start, end, rank, _)) = self.slots.last() else { return };
        let key = self.keys[start..end].to_vec();
        // The next batch begins beyond this entry: forward after it, in reverse before it.
        let boundary = match (self.direction, rank.checked_sub(1)) {
            (Direction::Reverse, _) => Boundary::at(&key, rank),
            (Direction::Forward, Some(below)) => Boundary::at(&key, below),
            (Direction::Forward, None) => Boundary::after(&key),
        };
        self.batch_entries = (self.batch_entries * 2).min(BATCH_ENTRIES_MAX);
        self.fill(Some(boundary));
    }

    fn fill(&mut self, boundary: Option<Boundary<'_>>) {
        self.keys.clear();
        self.slots.clear();
        self.at = 0;
        let (keys, slots) = (&mut self.keys, &mut self.slots);
        self.table.visit(boundary, self.direction, self.batch_entries, |key, rank, seq| {
            let start = keys.len();
            key.append_to(keys);
            slots.push((start, keys.len(), rank, seq));
        });
    }
}

/// A cursor over tables that are sorted and disjoint, opened one after the other.
#[derive(Debug)]
pub(crate) struct RunCursor {
    tables: Arc<Vec<Arc<Table>>>,
    /// Position of the table the cursor is in; `usize::MAX` when past the first in reverse.
    number: usize,
    cursor: Option<TableCursor>,
    direction: Direction,
    keep: Keep,
}

impl RunCursor {
    pub(crate) fn new(
        tables: Arc<Vec<Arc<Table>>>,
        boundary: Option<Boundary<'_>>,
        direction: Direction,
        keep: Keep,
    ) -> Result<Self> {
        let ends_before = |table: &Arc<Table>| {
            boundary.is_some_and(|boundary| boundary.follows(&table.meta().last_key, 0))
        };
        let first = match (boundary, direction) {
            (None, Direction::Reverse) => tables.len(),
            _ => tables.partition_point(ends_before),
        };
        // All before: forward there is nothing, in reverse the last table is the place to begin.
        let number = match direction {
            Direction::Forward => first,
            Direction::Reverse => first.min(tables.len().wrapping_sub(1)),
        };
        let cursor = match tables.get(number) {
            Some(table) => Some(TableCursor::new(table.clone(), boundary, direction, keep)?),
            None => None,
        };
        let mut run = RunCursor { tables, number, cursor, direction, keep };
        run.skip_ended()?;
        Ok(run)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.cursor.as_ref()?.entry()
    }

    #[inline]
    fn step(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.step()?;
            self.skip_ended()?;
        }
        Ok(())
    }

    /// Goes to the next table that has an entry, if the cursor has none.
    fn skip_ended(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| cursor.entry().is_none()) {
            self.number = match self.direction {
                Direction::Forward => self.number + 1,
                Direction::Reverse => self.number.wrapping_sub(1),
            };
            self.cursor = match self.tables.get(self.number) {
                Some(table) => {
                    Some(TableCursor::new(table.clone(), None, self.direction, self.keep)?)
                }
                None => None,
            };
        }
        Ok(())
    }
}

/// A cursor over one table.
#[derive(Debug)]
pub(crate) struct TableCursor {
    table: Arc<Table>,
    index: Bytes,
    direction: Direction,
    keep: Keep,
    /// The data block the cursor is in.
    number: usize,
    place: Place,
    block: Bytes,
    /// The interval of that block.
    restart: usize,
    interval: Interval,
    /// The entry of that interval; the count of entries when the cursor has ended.
    slot: usize,
    ended: bool,
}

impl TableCursor {
    /// Forward: at the first entry not before `boundary`. In reverse: at the last entry before it.
    fn new(
        table: Arc<Table>,
        boundary: Option<Boundary<'_>>,
        direction: Direction,
        keep: Keep,
    ) -> Result<Self> {
        let index = table.index(keep)?;
        let mut cursor = TableCursor {
            table,
            index,
            direction,
            keep,
            number: 0,
            place: Place { offset: 0, bytes: 0 },
            block: Bytes::new(),
            restart: 0,
            interval: Interval::default(),
            slot: 0,
            ended: false,
        };
        match boundary {
            None if direction == Direction::Forward => {
                cursor.load_block(0)?;
                cursor.load_interval(0)?;
            }
            None => cursor.go_to_last()?,
            Some(boundary) => cursor.seek(&boundary)?,
        }
        Ok(cursor)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        if self.ended { None } else { self.interval.entry(self.slot, &self.block) }
    }

    fn step(&mut self) -> Result<()> {
        match self.direction {
            Direction::Forward if self.slot + 1 < self.interval.count() => {
                self.slot += 1;
                Ok(())
            }
            Direction::Forward => self.next_interval(),
            Direction::Reverse if self.slot > 0 => {
                self.slot -= 1;
                Ok(())
            }
            Direction::Reverse => self.previous_interval(),
        }
    }

    fn seek(&mut self, boundary: &Boundary<'_>) -> Result<()> {
        let number = self.with_index(|index| index.seek(boundary))?;
        if number == self.with_index(|index| Ok(index.count()))? {
            return match self.direction {
                Direction::Forward => {
                    self.ended = true;
                    Ok(())
                }
                Direction::Reverse => self.go_to_last(),
            };
        }
        self.load_block(number)?;
        let restarts = self.with_block(|block| block.restarts_before(boundary))?;
        // The boundary lies in the interval of the last restart before it, or at its end.
        self.load_interval(restarts.saturating_sub(1))?;
        let before = self.interval.before(boundary);
        match self.direction {
            Direction::Forward if before == self.interval.count() => self.next_interval(),
            Direction::Forward => {
                self.slot = before;
                Ok(())
            }
            Direction::Reverse if before == 0 => self.previous_interval(),
            Direction::Reverse => {
                self.slot = before - 1;
                Ok(())
            }
        }
    }

    fn go_to_last(&mut self) -> Result<()> {
        let last = self.with_index(|index| Ok(index.count() - 1))?;
        self.load_block(last)?;
        let restarts = self.with_block(|block| Ok(block.restart_count()))?;
        self.load_interval(restarts - 1)?;
        self.slot = self.interval.count() - 1;
        Ok(())
    }

    fn next_interval(&mut self) -> Result<()> {
        if self.restart + 1 < self.with_block(|block| Ok(block.restart_count()))? {
            return self.load_interval(self.restart + 1);
        }
        if self.number + 1 < self.with_index(|index| Ok(index.count()))? {
            self.load_block(self.number + 1)?;
            return self.load_interval(0);
        }
        self.ended = true;
        Ok(())
    }

    fn previous_interval(&mut self) -> Result<()> {
        if self.restart > 0 {
            self.load_interval(self.restart - 1)?;
        } else if self.number > 0 {
            self.load_block(self.number - 1)?;
            let restarts = self.with_block(|block| Ok(block.restart_count()))?;
            self.load_interval(restarts - 1)?;
        } else {
            self.ended = true;
            return Ok(());
        }
        self.slot = self.interval.count() - 1;
        Ok(())
    }

    fn load_block(&mut self, number: usize) -> Result<()> {
        self.place = self.with_index(|index| Ok(index.entry(number)?.place))?;
        self.block = self.table.read(self.place, self.keep)?;
        self.number = number;
        Ok(())
    }

    /// Loads an interval, which holds at least one entry, and goes to its first.
    fn load_interval(&mut self, restart: usize) -> Result<()> {
        let loaded = Block::new(&self.block).and_then(|block| self.interval.load(&block, restart));
        loaded.map_err(|error| error.at(&self.table.path(), self.place.offset))?;
        self.restart = restart;
        self.slot = 0;
        Ok(())
    }

    fn with_index<T>(&self, read: impl FnOnce(&Index<'_>) -> Result<T, Malformed>) -> Result<T> {
        Index::new(&self.index).and_then(|index| read(&index)).or_else(|error| {
            let offset = self.table.footer()?.index_offset;
            Err(error.at(&self.table.path(), offset))
        })
    }

    fn with_block<T>(&self, read: impl FnOnce(&Block<'_>) -> Result<T, Malformed>) -> Result<T> {
        Block::new(&self.block)
            .and_then(|block| read(&block))
            .map_err(|error| error.at(&self.table.path(), self.place.offset))
    }
}
