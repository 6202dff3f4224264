//! What every engine is asked to do, in one trait: the workloads know nothing else.
//!
//! Each adapter uses its engine as its own documentation advises, through its public interface,
//! with the settings of `Settings`; what it sets beyond the defaults it tells in `options`, which
//! is printed with the results. All get the same memory and the same durability for the same call.

#[cfg(feature = "blockdb")]
mod blockdb;
mod fjall;
mod rocksdb;
mod sqlite;

use anyhow::Result;
use std::path::Path;

use crate::data::{Item, Key};

/// What all engines share.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Caches and write buffers together.
    pub memory_bytes: usize,
    /// How many threads will read at once, for engines whose caches are per connection.
    pub readers: usize,
}

/// An open engine.
pub trait Engine: Sync {
    /// Adds one record; when it returns, the record survives a power cut.
    fn put_durable(&self, item: &Item) -> Result<()>;
    /// Adds all of them or none; when it returns, they survive a power cut.
    fn put_batch_durable(&self, items: &[Item]) -> Result<()>;
    /// Adds many in the engine's own best way to load; when it returns, all survive a power cut.
    fn ingest(&self, items: &mut dyn Iterator<Item = Item>) -> Result<()>;
    /// A reader for one thread.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;
    /// Waits for what the engine still does in the background: flushes, compaction, checkpoints.
    fn finish(&self) -> Result<()>;
    /// Closes it in good order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Reads for one thread. Whatever is visited has every byte in memory.
pub trait Reader {
    /// Visits the value of a key; false if it is missing.
    fn get(&mut self, key: &Key, visit: &mut dyn FnMut(&[u8])) -> Result<bool>;
    /// Visits up to `limit` values in the order of their keys, from `start` on.
    fn scan(&mut self, start: &[u8], limit: usize, visit: &mut dyn FnMut(&[u8])) -> Result<()>;
}

/// Which engine.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[cfg(feature = "blockdb")]
    Blockdb,
    Rocksdb,
    /// RocksDB that looks a key up before it writes it, as BlockDB and SQLite must
    #[value(name = "rocksdb+check")]
    RocksdbCheck,
    Fjall,
    Sqlite,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "blockdb")]
            Self::Blockdb => "blockdb",
            Self::Rocksdb => "rocksdb",
            Self::RocksdbCheck => "rocksdb+check",
            Self::Fjall => "fjall",
            Self::Sqlite => "sqlite",
        }
    }

    /// The engine that is measured, as opposed to those it is measured against.
    pub fn is_ours(self) -> bool {
        self.name() == "blockdb"
    }

    /// The registry package whose version is told in the report, in the lock file's words.
    pub fn package(self) -> &'static str {
        match self {
            #[cfg(feature = "blockdb")]
            Self::Blockdb => "blockdb",
            Self::Rocksdb | Self::RocksdbCheck => "librocksdb-sys",
            Self::Fjall => "fjall",
            Self::Sqlite => "libsqlite3-sys",
        }
    }

    /// What is set beyond the engine's defaults, for the report.
    pub fn options(self, settings: &Settings) -> String {
        match self {
            #[cfg(feature = "blockdb")]
            Self::Blockdb => blockdb::options(settings),
            Self::Rocksdb => rocksdb::options(settings, false),
            Self::RocksdbCheck => rocksdb::options(settings, true),
            Self::Fjall => fjall::options(settings),
            Self::Sqlite => sqlite::options(settings),
        }
    }

    /// Opens the engine in a folder, which is created if it is missing.
    pub fn open(self, dir: &Path, settings: &Settings) -> Result<Box<dyn Engine>> {
        Ok(match self {
            #[cfg(feature = "blockdb")]
            Self::Blockdb => Box::new(blockdb::Blockdb::open(dir, settings)?),
            Self::Rocksdb => Box::new(rocksdb::Rocksdb::open(dir, settings, false)?),
            Self::RocksdbCheck => Box::new(rocksdb::Rocksdb::open(dir, settings, true)?),
            Self::Fjall => Box::new(fjall::Fjall::open(dir, settings)?),
            Self::Sqlite => Box::new(sqlite::Sqlite::open(dir, settings)?),
        })
    }

    /// Proves that what was written is intact, where an engine can; the time does not count.
    pub fn verify(self, dir: &Path, settings: &Settings) -> Result<()> {
        match self {
            #[cfg(feature = "blockdb")]
            Self::Blockdb => blockdb::verify(dir, settings),
            _ => {
                let _ = (dir, settings);
                Ok(())
            }
        }
    }
}

/// Mebibytes, for the descriptions of options.
fn mib(bytes: usize) -> usize {
    bytes >> 20
}

#[cfg(test)]
mod tests;
