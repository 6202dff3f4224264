//! Which tables to merge, and the merge. The choice is a pure function of what the manifest says
//! and of what is being merged now; the caller carries it out, so every choice can be tested as an
//! equation.
//!
//! Levels: flushes land on level 0, whose tables may overlap; each deeper level is sorted,
//! disjoint, and `level_ratio` times as large (levelled compaction after O'Neil et al., "The
//! Log-Structured Merge-Tree", 1996). Tables that overlap nothing below move down without being
//! rewritten, so keys that arrive in order are written once.
//!
//! Two rules keep versions right, whatever runs at the same time:
//! - On level 0 a table goes down together with all tables it overlaps, directly or through others.
//!   So no entry ever gets below an older entry of its key.
//! - The inputs of a job cover one unbroken stretch of keys, the stretch its outputs will cover. A job
//!   is chosen only if that stretch meets no busy table on its two levels, so no two jobs can write
//!   overlapping tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::LEVEL_COUNT_MAX;
use super::cursor::{Cursor, Direction, RunCursor};
use super::files::TableFiles;
use super::flush::write_tables;
use super::footer::TableMeta;
use super::merge::Merge;
use super::reader::{Keep, Table};
use super::writer::TableOptions;
use crate::error::Result;

/// When and how much to compact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Tables on level 0 that start a compaction; each is asked by every lookup.
    pub level0_tables: usize,
    /// Size of a level over the one above: more means fewer levels and costlier merges.
    pub level_ratio: u64,
    /// Size of level 1.
    pub level1_bytes: u64,
    /// Tables on level 0 from which on writers are slowed.
    pub level0_slow_tables: usize,
    /// Tables on level 0 at which writers wait.
    pub level0_stop_tables: usize,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        CompactionOptions {
            level0_tables: 4,
            level_ratio: 8,
            level1_bytes: 128 << 20,
            level0_slow_tables: 12,
            level0_stop_tables: 24,
        }
    }
}

/// What writers should do while compaction is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Go on.
    None,
    /// Give compaction time.
    Slow,
    /// Wait until compaction has caught up.
    Stop,
}

impl CompactionOptions {
    /// The pressure of `level0_tables` tables on level 0.
    pub fn pressure(&self, level0_tables: usize) -> Pressure {
        match level0_tables {
            count if count >= self.level0_stop_tables => Pressure::Stop,
            count if count >= self.level0_slow_tables => Pressure::Slow,
            _ => Pressure::None,
        }
    }

    fn level_bytes_max(&self, level: usize) -> u64 {
        let below = level.saturating_sub(1) as u32;
        self.level1_bytes.saturating_mul(self.level_ratio.saturating_pow(below)).max(1)
    }
}

/// One compaction: the inputs become tables on `level_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The level that is too large.
    pub level_from: u8,
    /// The level below it.
    pub level_to: u8,
    /// Numbers of the tables read, on both levels.
    pub inputs: Vec<u32>,
    /// The inputs, all on `level_from`, only change their level: no file is read or written.
    pub trivial_move: bool,
}

/// The most urgent compaction that can run beside those whose inputs are `busy`.
pub fn pick(
    levels: &[Vec<TableMeta>],
    busy: &BTreeSet<u32>,
    options: &CompactionOptions,
) -> Option<Job> {
    let is_free = |table: &&TableMeta| !busy.contains(&table.number);
    let mut urgent: Vec<(f64, usize)> = levels
        .iter()
        .enumerate()
        .take(LEVEL_COUNT_MAX - 1)
        .map(|(level, tables)| {
            let free = tables.iter().filter(is_free);
            let score = if level == 0 {
                free.count() as f64 / options.level0_tables.max(1) as f64
            } else {
                let bytes: u64 = free.map(|table| table.file_bytes).sum();
                bytes as f64 / options.level_bytes_max(level) as f64
            };
            (score, level)
        })
        .filter(|(score, level)| if *level == 0 { *score >= 1.0 } else { *score > 1.0 })
        .collect();
    urgent.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    urgent.iter().find_map(|&(_, level)| {
        if level == 0 { pick_level0(levels, busy) } else { pick_deeper(levels, level, busy) }
    })
}

/// The level a flush of keys from `first_key` to `last_key` may go to: 1 if it overlaps nothing on
/// levels 0 and 1, else 0. Keys that arrive in order never stay on level 0.
pub fn flush_level(levels: &[Vec<TableMeta>], first_key: &[u8], last_key: &[u8]) -> u8 {
    let overlaps =
        |table: &TableMeta| first_key <= &table.last_key[..] && &table.first_key[..] <= last_key;
    let met = levels.iter().take(2).flatten().any(overlaps);
    u8::from(!met)
}

fn pick_level0(levels: &[Vec<TableMeta>], busy: &BTreeSet<u32>) -> Option<Job> {
    let (upper, lower) = (&levels[0], level(levels, 1));
    let groups = overlapping_groups(upper);
    let moved: Vec<&TableMeta> = groups
        .iter()
        .filter_map(|group| match group[..] {
            [table] => Some(table),
            _ => None,
        })
        .filter(|table| is_clear(table, lower, upper, busy))
        .collect();
    if !moved.is_empty() {
        return Some(job(0, &moved, true));
    }
    // The group of the oldest entries is where most tables have piled up.
    let oldest = |group: &Vec<&TableMeta>| group.iter().map(|table| table.min_seq).min();
    let mut groups = groups;
    groups.sort_by_key(oldest);
    groups.iter().find_map(|group| merge_job(0, group, upper, lower, busy))
}

fn pick_deeper(levels: &[Vec<TableMeta>], from: usize, busy: &BTreeSet<u32>) -> Option<Job> {
    let (upper, lower) = (&levels[from], level(levels, from + 1));
    let moved = upper.iter().find(|table| is_clear(table, lower, upper, busy));
    if let Some(table) = moved {
        return Some(job(from, &[table], true));
    }
    // The table that drags the fewest bytes along for each of its own.
    let mut choices: Vec<(f64, &TableMeta)> = upper
        .iter()
        .map(|table| {
            let dragged = lower.iter().filter(|other| other.overlaps(table));
            let bytes: u64 = dragged.map(|other| other.file_bytes).sum();
            (bytes as f64 / table.file_bytes.max(1) as f64, table)
        })
        .collect();
    choices.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.number.cmp(&b.1.number)));
    choices.iter().find_map(|(_, table)| merge_job(from, &[table], upper, lower, busy))
}

/// Whether `table` can go down as it is.
fn is_clear(
    table: &TableMeta,
    lower: &[TableMeta],
    upper: &[TableMeta],
    busy: &BTreeSet<u32>,
) -> bool {
    let is_busy = |other: &&TableMeta| busy.contains(&other.number);
    !busy.contains(&table.number)
        && !lower.iter().any(|other| other.overlaps(table))
        && !upper.iter().filter(is_busy).any(|other| other.overlaps(table))
}

/// The merge of `group` with what it overlaps below, unless that meets a busy table.
fn merge_job(
    from: usize,
    group: &[&TableMeta],
    upper: &[TableMeta],
    lower: &[TableMeta],
    busy: &BTreeSet<u32>,
) -> Option<Job> {
    let mut inputs = group.to_vec();
    let (first, last) = span(&inputs)?;
    let overlaps = |table: &&TableMeta| table.first_key <= *last && *first <= table.last_key;
    inputs.extend(lower.iter().filter(overlaps));
    let (first, last) = span(&inputs)?;
    let overlaps = |table: &&TableMeta| table.first_key <= *last && *first <= table.last_key;
    let met = upper.iter().chain(lower).filter(overlaps);
    let blocked = met.chain(inputs.iter().copied()).any(|table| busy.contains(&table.number));
    (!blocked).then(|| job(from, &inputs, false))
}

fn job(from: usize, inputs: &[&TableMeta], trivial_move: bool) -> Job {
    let mut inputs: Vec<u32> = inputs.iter().map(|table| table.number).collect();
    inputs.sort_unstable();
    Job { level_from: from as u8, level_to: from as u8 + 1, inputs, trivial_move }
}

fn level(levels: &[Vec<TableMeta>], number: usize) -> &[TableMeta] {
    levels.get(number).map_or(&[], |tables| tables)
}

/// The least and the greatest key.
fn span<'a>(tables: &[&'a TableMeta]) -> Option<(&'a Vec<u8>, &'a Vec<u8>)> {
    let first = tables.iter().map(|table| &table.first_key).min()?;
    let last = tables.iter().map(|table| &table.last_key).max()?;
    Some((first, last))
}

/// The tables in groups that are connected by overlaps; groups are disjoint.
fn overlapping_groups(tables: &[TableMeta]) -> Vec<Vec<&TableMeta>> {
    let mut sorted: Vec<&TableMeta> = tables.iter().collect();
    sorted.sort_by(|a, b| a.first_key.cmp(&b.first_key));
    let mut groups: Vec<(Vec<&TableMeta>, &[u8])> = Vec::new();
    for table in sorted {
        match groups.last_mut() {
            Some((group, last_key)) if table.first_key[..] <= **last_key => {
                *last_key = (*last_key).max(&table.last_key);
                group.push(table);
            }
            _ => groups.push((vec![table], &table.last_key)),
        }
    }
    groups.into_iter().map(|(group, _)| group).collect()
}

/// Merges `inputs`, the tables that `job` names, into new tables on its lower level. Memory is
/// bounded by one block per run of disjoint inputs and the table being written. The outputs are
/// durable when this returns; it gives up with `unavailable` soon after `cancel` is set.
pub fn run(
    job: &Job,
    inputs: &[Arc<Table>],
    files: &TableFiles,
    take_number: &mut dyn FnMut() -> u32,
    options: &TableOptions,
    cancel: &AtomicBool,
) -> Result<Vec<TableMeta>> {
    let direction = Direction::Forward;
    let sources = disjoint_runs(inputs)
        .into_iter()
        .map(|run| Ok(Cursor::Tables(RunCursor::new(Arc::new(run), None, direction, Keep::Once)?)))
        .collect::<Result<Vec<_>>>()?;
    let merge = Merge::new(sources, direction);
    write_tables(files, take_number, job.level_to, merge, options, cancel)
}

/// The tables as runs, each sorted and disjoint, as few as there are.
fn disjoint_runs(tables: &[Arc<Table>]) -> Vec<Vec<Arc<Table>>> {
    let mut sorted = tables.to_vec();
    sorted.sort_by(|a, b| a.meta().first_key.cmp(&b.meta().first_key));
    let mut runs: Vec<Vec<Arc<Table>>> = Vec::new();
    for table in sorted {
        let follows = |run: &&mut Vec<Arc<Table>>| {
            run.last().is_some_and(|last| last.meta().last_key < table.meta().first_key)
        };
        match runs.iter_mut().find(follows) {
            Some(run) => run.push(table),
            None => runs.push(vec![table]),
        }
    }
    runs
}
