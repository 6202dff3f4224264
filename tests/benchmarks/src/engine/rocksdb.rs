//! RocksDB, as its tuning guide sets it up: LZ4, Bloom filters, one block cache.

use anyhow::{Result, bail};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Options, ReadOptions, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};
use std::path::Path;

use super::{Engine, Reader, Settings, mib};
use crate::data::{Item, Key};

const INGEST_BATCH: usize = 1_000;
const BLOOM_BITS: f64 = 10.0;

pub struct Rocksdb {
    db: DB,
    /// Look every key up before it is written, and refuse one that exists.
    check: bool,
}

/// A quarter of the memory is for two write buffers, the rest for the block cache.
fn split(settings: &Settings) -> (usize, usize) {
    let buffer = settings.memory_bytes / 8;
    (settings.memory_bytes - 2 * buffer, buffer)
}

pub fn options(settings: &Settings, check: bool) -> String {
    let (cache, buffer) = split(settings);
    let check = match check {
        true => "; each key is looked up before it is written (no lock: two writers could race)",
        false => "; blind puts, no duplicate check",
    };
    format!(
        "block cache {} MiB, 2 write buffers of {} MiB, LZ4 on every level, Bloom filter of \
         {BLOOM_BITS} bits, index and filters outside the cache (default); durable writes with \
         sync=true; ingest in batches of {INGEST_BATCH} with the log on and not synced, then one \
         synced flush of the log{check}",
        mib(cache),
        mib(buffer)
    )
}

impl Rocksdb {
    pub fn open(dir: &Path, settings: &Settings, check: bool) -> Result<Self> {
        let (cache, buffer) = split(settings);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(cache));
        table.set_bloom_filter(BLOOM_BITS, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(buffer);
        options.set_max_write_buffer_number(2);
        Ok(Self { db: DB::open(&options, dir)?, check })
    }

    fn refuse_duplicate(&self, key: &Key) -> Result<()> {
        if self.check && self.db.get_pinned(key)?.is_some() {
            bail!("duplicate key");
        }
        Ok(())
    }

    fn batch(&self, items: &[Item]) -> Result<WriteBatch> {
        let mut batch = WriteBatch::default();
        for item in items {
            self.refuse_duplicate(&item.key)?;
            batch.put(item.key, item.value);
        }
        Ok(batch)
    }
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

impl Engine for Rocksdb {
    fn put_durable(&self, item: &Item) -> Result<()> {
        self.refuse_duplicate(&item.key)?;
        Ok(self.db.put_opt(item.key, item.value, &synced())?)
    }

    fn put_batch_durable(&self, items: &[Item]) -> Result<()> {
        Ok(self.db.write_opt(self.batch(items)?, &synced())?)
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = Item>) -> Result<()> {
        let mut batch = WriteBatch::default();
        for item in items {
            self.refuse_duplicate(&item.key)?;
            batch.put(item.key, item.value);
            if batch.len() == INGEST_BATCH {
                self.db.write(std::mem::take(&mut batch))?;
            }
        }
        self.db.write(batch)?;
        Ok(self.db.flush_wal(true)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(RocksdbReader(&self.db)))
    }

    fn finish(&self) -> Result<()> {
        let mut wait = WaitForCompactOptions::default();
        wait.set_flush(true);
        Ok(self.db.wait_for_compact(&wait)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

struct RocksdbReader<'a>(&'a DB);

impl Reader for RocksdbReader<'_> {
    fn get(&mut self, key: &Key, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.0.get_pinned(key)?;
        Ok(value.map(|value| visit(&value)).is_some())
    }

    fn scan(&mut self, start: &[u8], limit: usize, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut cursor = self.0.raw_iterator_opt(ReadOptions::default());
        cursor.seek(start);
        let mut left = limit;
        while left > 0 {
            let Some(value) = cursor.value() else { break };
            visit(value);
            left -= 1;
            cursor.next();
        }
        Ok(cursor.status()?)
    }
}
