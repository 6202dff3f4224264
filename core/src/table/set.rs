//! One immutable version of a collection's tables: what a snapshot holds on to. Changes make a new
//! version that shares everything that did not change, so publishing one is a pointer swap.
//!
//! Sources are asked newest first (memtables, level 0, then level by level), and ranks of a key
//! rise with time, so the first visible entry is the newest one.

use std::ops::Bound;
use std::sync::Arc;

use super::cache::BlockCache;
use super::compaction::Job;
use super::cursor::{self, Cursor, Direction, MemoryCursor, RunCursor};
use super::files::TableFiles;
use super::footer::TableMeta;
use super::reader::{Keep, Table};
use super::{Entry, Hit, LEVEL_COUNT_MAX, MemTable, Merge};
use crate::error::{Code, Error, Result};

/// Memtables, newest first, and levels of tables.
#[derive(Clone, Debug, Default)]
pub struct TableSet {
    memtables: Vec<Arc<MemTable>>,
    /// Level 0 may overlap and is newest first; deeper levels are sorted and disjoint.
    levels: Vec<Arc<Vec<Arc<Table>>>>,
    /// The table that ends with the greatest key.
    last: Option<Arc<Table>>,
}

impl TableSet {
    /// A version of these memtables and levels. Level 0 and the memtables are put in order by the
    /// caller (newest first), deeper levels here.
    pub fn new(memtables: Vec<Arc<MemTable>>, mut levels: Vec<Vec<Arc<Table>>>) -> Self {
        for level in levels.iter_mut().skip(1) {
            level.sort_by(|a, b| a.meta().first_key.cmp(&b.meta().first_key));
        }
        let levels = levels.into_iter().map(Arc::new).collect();
        let mut set = TableSet { memtables, levels, last: None };
        set.find_last();
        set
    }

    /// The version that a manifest describes, without memtables. Reads no table. `corrupt` if the
    /// levels are impossible.
    pub fn open(
        files: &Arc<TableFiles>,
        cache: &Arc<BlockCache>,
        tables: &[TableMeta],
    ) -> Result<Self> {
        let mut levels: Vec<Vec<Arc<Table>>> = Vec::new();
        for meta in tables {
            let level = usize::from(meta.level);
            if level >= LEVEL_COUNT_MAX {
                return Err(Error::corrupt(files.dir(), 0, "a table is on a level too deep"));
            }
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            levels[level].push(Table::new(files, cache, meta.clone()));
        }
        if let Some(newest_first) = levels.first_mut() {
            newest_first.sort_by_key(|table| std::cmp::Reverse(table.meta().max_seq));
        }
        let set = TableSet::new(Vec::new(), levels);
        for level in set.levels.iter().skip(1) {
            let ends_before =
                |pair: &[Arc<Table>]| pair[0].meta().last_key < pair[1].meta().first_key;
            if !level.windows(2).all(ends_before) {
                return Err(Error::corrupt(files.dir(), 0, "tables of a deeper level overlap"));
            }
        }
        Ok(set)
    }

    /// The memtables, newest first.
    pub fn memtables(&self) -> &[Arc<MemTable>] {
        &self.memtables
    }

    /// Number of levels that were ever used.
    pub fn level_count(&self) -> usize {
        self.levels.len()
    }

    /// The tables of level `level`.
    pub fn level(&self, level: usize) -> &[Arc<Table>] {
        self.levels.get(level).map_or(&[], |tables| tables)
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.levels.iter().flat_map(|level| level.iter())
    }

    /// What the manifest and the choice of compactions need: the tables of each level, each said to be
    /// on the level it is on now.
    pub fn metas(&self) -> Vec<Vec<TableMeta>> {
        let at = |level: usize| {
            move |table: &Arc<Table>| TableMeta { level: level as u8, ..table.meta().clone() }
        };
        self.levels
            .iter()
            .enumerate()
            .map(|(level, tables)| tables.iter().map(at(level)).collect())
            .collect()
    }

    /// This version with `fresh` as the memtable that takes new entries.
    pub fn with_memtable(&self, fresh: Arc<MemTable>) -> Self {
        let mut memtables = Vec::with_capacity(self.memtables.len() + 1);
        memtables.push(fresh);
        memtables.extend(self.memtables.iter().cloned());
        TableSet { memtables, ..self.clone() }
    }

    /// This version with the memtable `flushed`, the oldest one, replaced by its `tables` on `level`.
    pub fn with_flushed(
        &self,
        flushed: &Arc<MemTable>,
        tables: Vec<Arc<Table>>,
        level: u8,
    ) -> Self {
        let mut set = self.clone();
        set.memtables.retain(|memtable| !Arc::ptr_eq(memtable, flushed));
        set.add(level, tables);
        set.find_last();
        set
    }

    /// This version with `tables` of older entries added to level 0.
    pub fn with_built(&self, tables: Vec<Arc<Table>>) -> Self {
        let mut set = self.clone();
        set.add(0, tables);
        let mut newest_first = set.levels[0].to_vec();
        newest_first.sort_by_key(|table| std::cmp::Reverse(table.meta().max_seq));
        set.levels[0] = Arc::new(newest_first);
        set.find_last();
        set
    }

    /// This version after `job`: its inputs gone (or moved, if the move is trivial), and `outputs` on
    /// the level below. `internal` if an input is not here.
    pub fn with_compacted(&self, job: &Job, outputs: Vec<Arc<Table>>) -> Result<Self> {
        let mut set = self.clone();
        let mut taken = Vec::new();
        for level in [job.level_from, job.level_to] {
            let Some(tables) = set.levels.get_mut(usize::from(level)) else { continue };
            let is_input = |table: &Arc<Table>| job.inputs.contains(&table.meta().number);
            let (inputs, rest) = tables.iter().cloned().partition(is_input);
            *tables = Arc::new(rest);
            taken.extend::<Vec<_>>(inputs);
        }
        if taken.len() != job.inputs.len() {
            return Err(Error::new(Code::Internal, "a compaction's inputs are not in the version"));
        }
        set.add(job.level_to, if job.trivial_move { taken } else { outputs });
        set.find_last();
        Ok(set)
    }

    fn add(&mut self, level: u8, tables: Vec<Arc<Table>>) {
        let level = usize::from(level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Arc::default);
        }
        let mut all = tables;
        all.extend(self.levels[level].iter().cloned());
        if level > 0 {
            all.sort_by(|a, b| a.meta().first_key.cmp(&b.meta().first_key));
        }
        self.levels[level] = Arc::new(all);
    }

    fn find_last(&mut self) {
        let last = self.tables().max_by(|a, b| a.meta().last_key.cmp(&b.meta().last_key));
        self.last = last.cloned();
    }

    /// The newest entry of `key` below `end_seq`.
    pub fn newest(&self, key: &[u8], end_seq: u64) -> Result<Option<Hit>> {
        for memtable in &self.memtables {
            if let Some(hit) = memtable.newest(key, end_seq) {
                return Ok(Some(hit));
            }
        }
        self.newest_in_tables(key, end_seq)
    }

    /// The newest entry of `key` below `end_seq` in the tables alone.
    pub fn newest_in_tables(&self, key: &[u8], end_seq: u64) -> Result<Option<Hit>> {
        self.find_in_tables(key, |table| table.newest(key, end_seq))
    }

    /// The entry of `key` with `rank`, if it lies below `end_seq`.
    pub fn exact(&self, key: &[u8], rank: u64, end_seq: u64) -> Result<Option<Hit>> {
        for memtable in &self.memtables {
            if let Some(hit) = memtable.exact(key, rank, end_seq) {
                return Ok(Some(hit));
            }
        }
        self.find_in_tables(key, |table| table.exact(key, rank, end_seq))
    }

    fn find_in_tables(
        &self,
        key: &[u8],
        ask: impl Fn(&Table) -> Result<Option<Hit>>,
    ) -> Result<Option<Hit>> {
        for (number, level) in self.levels.iter().enumerate() {
            let tables = if number == 0 {
                &level[..]
            } else {
                let first = level.partition_point(|table| table.meta().last_key[..] < *key);
                &level[first..level.len().min(first + 1)]
            };
            for table in tables {
                if let Some(hit) = ask(table)? {
                    return Ok(Some(hit));
                }
            }
        }
        Ok(None)
    }

    /// Entries, of memtables and tables.
    pub fn entries(&self) -> u64 {
        let in_memory: u64 = self.memtables.iter().map(|memtable| memtable.len() as u64).sum();
        in_memory + self.tables().map(|table| table.meta().entries).sum::<u64>()
    }

    /// About how many entries have keys from `lower` to `upper`: exact for a few, by the share of
    /// blocks for many. Reads at most the index of each table, no data.
    pub fn estimate(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Result<u64> {
        if is_empty_range(lower, upper) {
            return Ok(0);
        }
        let mut sum = 0;
        for memtable in &self.memtables {
            sum += memtable.estimate(lower, upper);
        }
        for table in self.tables() {
            let meta = table.meta();
            if !is_empty_range(lower, Bound::Included(&meta.last_key))
                && !is_empty_range(Bound::Included(&meta.first_key), upper)
            {
                sum += table.estimate(lower, upper)?;
            }
        }
        Ok(sum)
    }

    /// The greatest key in any table: a writer of greater keys need not ask them.
    pub fn tables_last_key(&self) -> Option<&[u8]> {
        self.last.as_ref().map(|table| &table.meta().last_key[..])
    }

    /// All entries with keys from `lower` to `upper` and sequence numbers below `end_seq`, in the
    /// order of tables or against it. The scan keeps what it reads alive and may outlive this
    /// version.
    pub fn scan(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        end_seq: u64,
        reverse: bool,
    ) -> Scan {
        let direction = if reverse { Direction::Reverse } else { Direction::Forward };
        let far = if reverse { lower } else { upper };
        let state = if is_empty_range(lower, upper) {
            Ok(Merge::new(Vec::new(), direction))
        } else {
            self.sources(lower, upper, end_seq, direction)
                .map(|sources| Merge::new(sources, direction))
        };
        let (merge, failed) = match state {
            Ok(merge) => (merge, None),
            Err(error) => (Merge::new(Vec::new(), direction), Some(error)),
        };
        Scan { merge, failed, far: far.map(<[u8]>::to_vec), end_seq, direction }
    }

    fn sources(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        end_seq: u64,
        direction: Direction,
    ) -> Result<Vec<Cursor>> {
        let boundary = cursor::start(lower, upper, direction);
        let mut sources = Vec::with_capacity(self.memtables.len() + self.levels.len() + 4);
        for memtable in &self.memtables {
            let cursor = MemoryCursor::new(memtable.clone(), boundary, direction);
            sources.push(Cursor::Memory(cursor));
        }
        let mut add = |run: Arc<Vec<Arc<Table>>>| -> Result<()> {
            let cursor = RunCursor::new(run, boundary, direction, Keep::Cached)?;
            sources.push(Cursor::Tables(cursor));
            Ok(())
        };
        let meets = |table: &Table| {
            let meta = table.meta();
            meta.min_seq < end_seq
                && !is_empty_range(lower, Bound::Included(&meta.last_key))
                && !is_empty_range(Bound::Included(&meta.first_key), upper)
        };
        for table in self.level(0).iter().filter(|table| meets(table)) {
            add(Arc::new(vec![table.clone()]))?;
        }
        for level in self.levels.iter().skip(1) {
            let starts =
                |table: &Arc<Table>| is_empty_range(lower, Bound::Included(&table.meta().last_key));
            let first = level.partition_point(starts);
            let in_range = level.get(first).is_some_and(|table| {
                !is_empty_range(Bound::Included(&table.meta().first_key), upper)
            });
            if in_range {
                add(level.clone())?;
            }
        }
        Ok(sources)
    }
}

/// Whether no key lies between the bounds.
fn is_empty_range(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> bool {
    match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
    }
}

/// The entries of a range, merged over all sources. After an error it yields nothing more.
#[derive(Debug)]
pub struct Scan {
    merge: Merge,
    failed: Option<Error>,
    far: Bound<Vec<u8>>,
    end_seq: u64,
    direction: Direction,
}

impl Scan {
    /// Only the newest entry below `end_seq` of each key.
    pub fn newest_only(self, end_seq: u64) -> NewestOnly {
        NewestOnly { scan: self, end_seq, last_key: None, ahead: None }
    }

    fn is_past(&self, key: &[u8]) -> bool {
        match (&self.far, self.direction) {
            (Bound::Unbounded, _) => false,
            (Bound::Included(far), Direction::Forward) => key > &far[..],
            (Bound::Excluded(far), Direction::Forward) => key >= &far[..],
            (Bound::Included(far), Direction::Reverse) => key < &far[..],
            (Bound::Excluded(far), Direction::Reverse) => key <= &far[..],
        }
    }

    fn end(&mut self) {
        self.merge = Merge::new(Vec::new(), self.direction);
    }

    fn fail(&mut self, error: Error) -> Option<Result<Entry>> {
        self.end();
        Some(Err(error))
    }
}

impl Iterator for Scan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if let Some(error) = self.failed.take() {
            return self.fail(error);
        }
        loop {
            let entry = self.merge.entry()?;
            if self.is_past(entry.key) {
                self.end();
                return None;
            }
            let found = (entry.seq < self.end_seq).then(|| Entry {
                key: entry.key.to_vec(),
                rank: entry.rank,
                seq: entry.seq,
            });
            if let Err(error) = self.merge.step() {
                // The entry at hand is good; the error is what the next call tells.
                match found {
                    Some(_) => self.failed = Some(error),
                    None => return self.fail(error),
                }
            }
            if found.is_some() {
                return found.map(Ok);
            }
        }
    }
}

/// A scan that yields one entry per key, the newest visible one.
#[derive(Debug)]
pub struct NewestOnly {
    scan: Scan,
    end_seq: u64,
    /// Forward: the key that was yielded last.
    last_key: Option<Vec<u8>>,
    /// In reverse, ranks rise: the newest entry of a key so far, until another key comes.
    ahead: Option<Entry>,
}

impl NewestOnly {
    fn next_forward(&mut self) -> Option<Result<Entry>> {
        loop {
            let entry = match self.scan.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if entry.seq < self.end_seq && self.last_key.as_ref() != Some(&entry.key) {
                self.last_key.get_or_insert_default().clone_from(&entry.key);
                return Some(Ok(entry));
            }
        }
    }

    fn next_reverse(&mut self) -> Option<Result<Entry>> {
        loop {
            let entry = match self.scan.next() {
                None => return self.ahead.take().map(Ok),
                Some(Err(error)) => {
                    self.ahead = None;
                    return Some(Err(error));
                }
                Some(Ok(entry)) => entry,
            };
            if entry.seq >= self.end_seq {
                continue;
            }
            let is_same = self.ahead.as_ref().is_none_or(|ahead| ahead.key == entry.key);
            let before = self.ahead.replace(entry);
            if !is_same {
                return before.map(Ok);
            }
        }
    }
}

impl Iterator for NewestOnly {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        match self.scan.direction {
            Direction::Forward => self.next_forward(),
            Direction::Reverse => self.next_reverse(),
        }
    }
}
