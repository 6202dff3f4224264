//! Entries in order become table files: a flush writes those of a memtable, a compaction those of a
//! merge. When the call returns, the files and their folder are synced, so a manifest may name them;
//! when it fails, the files it began are removed again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::TableFiles;
use super::footer::TableMeta;
use super::merge::Entries;
use super::writer::{TableOptions, TableWriter};
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};

/// Entries written between two looks at the cancel flag.
const CANCEL_ENTRIES: u64 = 1024;

/// Writes `entries` as primary tables on `level`, numbered from `number` up; the caller's next number
/// is that plus the number of tables returned.
pub fn write_table(
    pool: &Arc<FilePool>,
    dir: &Path,
    owner: [u8; 16],
    number: u32,
    level: u8,
    entries: impl Entries,
    options: &TableOptions,
) -> Result<Vec<TableMeta>> {
    let files = TableFiles::primary(pool.clone(), dir, owner);
    let mut next = number;
    let mut take_number = || {
        next += 1;
        next - 1
    };
    write_tables(&files, &mut take_number, level, entries, options, &AtomicBool::new(false))
}

/// Writes `entries` as tables on `level`, each under a number from `take_number`. Gives up with
/// `unavailable` soon after `cancel` is set.
pub fn write_tables(
    files: &TableFiles,
    take_number: &mut dyn FnMut() -> u32,
    level: u8,
    entries: impl Entries,
    options: &TableOptions,
    cancel: &AtomicBool,
) -> Result<Vec<TableMeta>> {
    let mut numbers = Vec::new();
    let mut take_number = || {
        let number = take_number();
        numbers.push(number);
        number
    };
    let written = write_all(files, &mut take_number, level, entries, options, cancel);
    if written.is_err() {
        for &number in &numbers {
            files.remove(number);
        }
    }
    written
}

fn write_all(
    files: &TableFiles,
    take_number: &mut dyn FnMut() -> u32,
    level: u8,
    mut entries: impl Entries,
    options: &TableOptions,
    cancel: &AtomicBool,
) -> Result<Vec<TableMeta>> {
    let mut tables = Vec::new();
    let mut writer: Option<TableWriter<'_>> = None;
    let mut count = 0u64;
    while let Some(entry) = entries.next_entry()? {
        if count.is_multiple_of(CANCEL_ENTRIES) && cancel.load(Ordering::Relaxed) {
            return Err(Error::new(Code::Unavailable, "the writing of tables was cancelled"));
        }
        count += 1;
        if let Some(full) = writer.take_if(|writer| writer.is_full_before(entry.key)) {
            tables.push(full.finish()?);
        }
        let open = match &mut writer {
            Some(open) => open,
            None => writer.insert(TableWriter::create(files, take_number(), level, options)?),
        };
        open.add(&entry)?;
    }
    if let Some(last) = writer {
        tables.push(last.finish()?);
    }
    #[cfg(not(bug = "publish_table_early"))]
    if !tables.is_empty() {
        let dir = files.dir();
        files.pool().vfs().sync_dir(dir).map_err(|error| Error::storage("sync", dir, error))?;
    }
    Ok(tables)
}
