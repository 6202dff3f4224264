//! fjall with its own defaults, but for the sizes of cache and write buffer.

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::time::Duration;

use super::{Engine, Reader, Settings, mib};
use crate::data::{Item, Key};

const INGEST_BATCH: usize = 1_000;
/// fjall has no call that waits for compaction: it is taken to be idle after this many quiet looks.
const QUIET_LOOKS: u32 = 5;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

pub struct Fjall {
    db: Database,
    bench: Keyspace,
}

/// A quarter of the memory is for memtables (one being filled, one being written), the rest for the
/// block cache.
fn split(settings: &Settings) -> (usize, usize) {
    let buffer = settings.memory_bytes / 8;
    (settings.memory_bytes - 2 * buffer, buffer)
}

pub fn options(settings: &Settings) -> String {
    let (cache, buffer) = split(settings);
    format!(
        "cache {} MiB, memtables of {} MiB; durable writes as batches with PersistMode::SyncData; \
         ingest in batches of {INGEST_BATCH} not synced, then persist(SyncAll); blind puts, no \
         duplicate check; background work counts as done after {} ms of rest",
        mib(cache),
        mib(buffer),
        QUIET_LOOKS * LOOK_INTERVAL.as_millis() as u32
    )
}

impl Fjall {
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let (cache, buffer) = split(settings);
        let db = Database::builder(dir).cache_size(cache as u64).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(buffer as u64);
        let bench = db.keyspace("bench", options)?;
        Ok(Self { db, bench })
    }

    fn write(&self, items: &[Item], mode: Option<PersistMode>) -> Result<()> {
        let mut batch = self.db.batch().durability(mode);
        for item in items {
            batch.insert(&self.bench, &item.key[..], &item.value[..]);
        }
        Ok(batch.commit()?)
    }

    fn is_busy(&self) -> bool {
        self.db.outstanding_flushes() > 0
            || self.db.active_compactions() > 0
            || self.bench.sealed_memtable_count() > 0
    }
}

impl Engine for Fjall {
    fn put_durable(&self, item: &Item) -> Result<()> {
        self.write(std::slice::from_ref(item), Some(PersistMode::SyncData))
    }

    fn put_batch_durable(&self, items: &[Item]) -> Result<()> {
        self.write(items, Some(PersistMode::SyncData))
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = Item>) -> Result<()> {
        let mut batch = self.db.batch();
        for item in items {
            batch.insert(&self.bench, &item.key[..], &item.value[..]);
            if batch.len() == INGEST_BATCH {
                std::mem::replace(&mut batch, self.db.batch()).commit()?;
            }
        }
        batch.commit()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(FjallReader(&self.bench)))
    }

    fn finish(&self) -> Result<()> {
        self.bench.rotate_memtable_and_wait()?;
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            std::thread::sleep(LOOK_INTERVAL);
            quiet = if self.is_busy() { 0 } else { quiet + 1 };
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

struct FjallReader<'a>(&'a Keyspace);

impl Reader for FjallReader<'_> {
    fn get(&mut self, key: &Key, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.0.get(key)?;
        Ok(value.map(|value| visit(&value)).is_some())
    }

    fn scan(&mut self, start: &[u8], limit: usize, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        for entry in self.0.range(start..).take(limit) {
            let (_key, value) = entry.into_inner()?;
            visit(&value);
        }
        Ok(())
    }
}
