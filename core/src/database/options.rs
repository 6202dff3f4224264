//! How a database is opened: one typed struct with documented defaults.

use std::path::Path;
use std::sync::Arc;

use crate::database::Database;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::limits::MEMORY_BYTES_MIN;
use crate::shard::environment::{Durability, Tuning};
use crate::shard::rebuild::RepairScope;

/// Options for opening a database. The defaults suit an embedded database on a server.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) repair: Option<RepairScope>,
    pub(crate) durability: Durability,
    pub(crate) tuning: Tuning,
    pub(crate) host: Host,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: true,
            read_only: false,
            repair: None,
            durability: Durability::Sync,
            tuning: Tuning::for_memory(256 << 20),
            host: Host::real(),
        }
    }
}

impl Options {
    /// The defaults: create if missing, `sync` durability, 256 MiB of memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to make a database where there is none (default yes).
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Change no byte; works on read-only media and beside a running writer, where it sees what is
    /// sealed (default no).
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// When an acknowledged write is on disk (default: before it is acknowledged).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The memory budget in MiB for caches, memtables and buffers together (default 256).
    pub fn memory_mb(mut self, memory_mb: u64) -> Self {
        self.tuning = Tuning::for_memory((memory_mb << 20).max(MEMORY_BYTES_MIN));
        self
    }

    /// Sizes in detail, for tests and unusual deployments.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// The surroundings: files, clock, randomness (default: the real ones).
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Opens the database in `dir`.
    pub fn open_database(&self, dir: &Path) -> Result<Arc<Database>> {
        Database::open(dir, self)
    }
}

impl Durability {
    /// Parses `sync`, `interval:<ms>` or `none`.
    pub fn parse(word: &str) -> Result<Self> {
        let interval = word.strip_prefix("interval:").and_then(|ms| ms.parse().ok());
        match (word, interval) {
            ("sync", _) => Ok(Durability::Sync),
            ("none", _) => Ok(Durability::None),
            (_, Some(interval_ms)) if interval_ms > 0 => Ok(Durability::Interval(interval_ms)),
            _ => Err(Error::invalid(format!(
                "durability is sync, interval:<ms> or none, found {word:?}"
            ))),
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Durability::Sync => f.write_str("sync"),
            Durability::Interval(interval_ms) => write!(f, "interval:{interval_ms}"),
            Durability::None => f.write_str("none"),
        }
    }
}
