//! Tests of the room as a whole: against a model, against flipped bytes, against failing disks.
//! Each file of the folder says which.

mod disk;
mod faults;
mod format;
mod model;
mod picking;
mod speed;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use self::disk::MemoryDisk;
use super::*;
use crate::disk::Vfs;
use crate::disk::compression::Compression;
use crate::disk::pool::FilePool;
use crate::error::Result;

const OWNER: [u8; 16] = [7; 16];

/// A folder of tables on a disk in memory.
struct Room {
    disk: Arc<MemoryDisk>,
    pool: Arc<FilePool>,
    files: Arc<TableFiles>,
    cache: Arc<BlockCache>,
    next_number: u32,
}

impl Room {
    fn new(cache_bytes: u64) -> Self {
        let disk = Arc::new(MemoryDisk::default());
        let vfs: Arc<dyn Vfs> = disk.clone();
        let pool = Arc::new(FilePool::new(vfs, 16));
        let files = Arc::new(TableFiles::primary(pool.clone(), Path::new("c"), OWNER));
        let cache = Arc::new(BlockCache::new(cache_bytes));
        Room { disk, pool, files, cache, next_number: 1 }
    }

    fn open(&self, metas: Vec<TableMeta>) -> Vec<Arc<Table>> {
        metas.into_iter().map(|meta| Table::new(&self.files, &self.cache, meta)).collect()
    }

    fn write(&mut self, entries: impl Entries, options: &TableOptions) -> Vec<Arc<Table>> {
        let (number, level) = (self.next_number, 0);
        let dir = self.files.dir();
        let metas = write_table(&self.pool, dir, OWNER, number, level, entries, options).unwrap();
        self.next_number += metas.len() as u32;
        self.open(metas)
    }

    fn forget(&self, table: &Table) {
        self.pool.forget(&table.path());
    }
}

/// `count` entries with ascending keys.
fn ascending(count: u64) -> Sorted<impl Iterator<Item = Result<Entry>>> {
    Sorted::new((0..count).map(|number| {
        Ok(Entry { key: format!("user:{number:011}").into_bytes(), rank: 1, seq: number * 3 })
    }))
}

fn small_options() -> TableOptions {
    TableOptions { block_bytes: 128, table_bytes_max: 2048, ..TableOptions::default() }
}

fn collect(table: &Table) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    table.verify(&mut |entry| {
        entries.push(Entry { key: entry.key.to_vec(), rank: entry.rank, seq: entry.seq });
        Ok(())
    })?;
    Ok(entries)
}
