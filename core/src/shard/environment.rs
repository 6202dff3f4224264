//! What all collections of a shard share: the surroundings, the folder, file handles, the block
//! cache and the memory budget.
//!
//! The budget is one number divided by purpose: half for the block cache, a quarter for memtables,
//! an eighth for records on their way to the ledger; the rest is slack for buffers in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::collection::CollectionId;
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};
use crate::host::Host;
use crate::shard::rebuild::RepairScope;
use crate::table::{BlockCache, CompactionOptions};

/// When an acknowledged write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before it is acknowledged.
    #[default]
    Sync,
    /// At most this many milliseconds later: a power loss may take what was acknowledged since.
    Interval(u64),
    /// When the system likes: for tests and bulk loads that can be run again.
    None,
}

/// Sizes that tests shrink and deployments tune. Defaults follow from the memory budget.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Memory in all, bytes.
    pub memory_bytes: u64,
    /// Open files in all.
    pub file_handles_max: usize,
    /// The log is kept below this many bytes by restart points.
    pub log_bytes_max: u64,
    /// One log segment.
    pub log_segment_bytes: u64,
    /// One ledger segment, uncompressed.
    pub ledger_segment_bytes: u64,
    /// One ledger frame, uncompressed: what a point read decompresses.
    pub frame_bytes: usize,
    /// One table file.
    pub table_bytes_max: u64,
    /// Memtable size at which it is flushed, whatever a collection's settings say.
    pub flush_bytes_max: u64,
    /// When and how much to compact.
    pub compaction: CompactionOptions,
    /// Memtables smaller than this many entries are rebuilt at open instead of flushed at close.
    pub close_flush_entries_min: usize,
}

impl Tuning {
    /// The defaults for a memory budget.
    pub fn for_memory(memory_bytes: u64) -> Self {
        let log_bytes_max = (memory_bytes / 4).clamp(2 << 20, 256 << 20);
        Tuning {
            memory_bytes,
            file_handles_max: 200,
            log_bytes_max,
            log_segment_bytes: log_bytes_max / 4,
            ledger_segment_bytes: 256 << 20,
            frame_bytes: 8 << 10,
            table_bytes_max: 32 << 20,
            flush_bytes_max: (memory_bytes / 8).max(64 << 10),
            compaction: CompactionOptions::default(),
            close_flush_entries_min: 4096,
        }
    }

    /// Bytes for the block cache.
    pub fn cache_bytes(&self) -> u64 {
        self.memory_bytes / 2
    }

    /// Bytes for all memtables.
    pub fn memtable_bytes_max(&self) -> u64 {
        self.memory_bytes / 4
    }

    /// Bytes for records that are applied and not yet in the ledger.
    pub fn pending_bytes_max(&self) -> u64 {
        self.memory_bytes / 8
    }
}

/// Shared by every collection of a shard.
#[derive(Debug)]
pub struct Environment {
    /// Files, clock, randomness.
    pub host: Host,
    /// The database's folder.
    pub dir: PathBuf,
    /// The database; also the id of its system collection.
    pub database_id: CollectionId,
    /// Open files.
    pub pool: Arc<FilePool>,
    /// Cached blocks.
    pub cache: Arc<BlockCache>,
    /// Sizes.
    pub tuning: Tuning,
    /// When writes are on disk.
    pub durability: Durability,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// Which collections are made anew from their ledgers while they are brought up.
    pub repair: Option<RepairScope>,
    /// Bytes of records that wait for the ledger.
    pub pending_bytes: AtomicU64,
    /// Bytes of all memtables.
    pub memtable_bytes: AtomicU64,
    /// Whether the log holds writes that no sync covers (mode `interval`).
    pub unsynced: AtomicBool,
    /// The failure that ended all writing.
    poison: Mutex<Option<(Code, String)>>,
    poisoned: AtomicBool,
    /// Wakes whoever waits for background progress, and background workers for work.
    pub progress: Signal,
    /// Wakes background workers.
    pub work: Signal,
}

impl Environment {
    /// A fresh environment.
    pub fn new(
        host: Host,
        dir: &Path,
        database_id: CollectionId,
        tuning: Tuning,
        durability: Durability,
        read_only: bool,
        repair: Option<RepairScope>,
    ) -> Self {
        Environment {
            pool: Arc::new(FilePool::new(host.vfs.clone(), tuning.file_handles_max)),
            cache: Arc::new(BlockCache::new(tuning.cache_bytes())),
            host,
            dir: dir.to_owned(),
            database_id,
            tuning,
            durability,
            read_only,
            repair,
            pending_bytes: AtomicU64::new(0),
            memtable_bytes: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            poison: Mutex::new(None),
            poisoned: AtomicBool::new(false),
            progress: Signal::default(),
            work: Signal::default(),
        }
    }

    /// Ends all writing: a broken promise of the disk is never papered over. The first cause stays.
    pub fn poison(&self, error: &Error) {
        let mut poison = self.poison.lock();
        if poison.is_none() {
            *poison = Some((error.code(), error.to_string()));
        }
        self.poisoned.store(true, Ordering::Release);
        self.progress.notify();
        self.work.notify();
    }

    /// Refuses to go on after a failure that ended all writing.
    pub fn check_healthy(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        let poison = self.poison.lock();
        let (code, cause) = poison.as_ref().expect("set before the flag");
        let code = if *code == Code::Corrupt { Code::Corrupt } else { Code::StorageFailed };
        Err(Error::new(
            code,
            format!(
                "writing ended after a failure; reopen to recover what was acknowledged: {cause}"
            ),
        ))
    }

    /// The folder of a collection.
    pub fn collection_dir(&self, id: CollectionId) -> PathBuf {
        self.dir.join("collections").join(id.folder())
    }

    /// Makes a folder and its entry in its parent durable.
    pub fn make_dir(&self, path: &Path) -> Result<()> {
        let vfs = &self.host.vfs;
        vfs.create_dir(path).map_err(|error| Error::storage("create folder", path, error))?;
        let parent = path.parent().unwrap_or(Path::new("."));
        vfs.sync_dir(parent).map_err(|error| Error::storage("sync folder", parent, error))
    }
}

/// A counter that only grows, to wait on: no wake-up is lost between looking and waiting.
#[derive(Debug, Default)]
pub struct Signal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// The count now; look at it before looking at the condition.
    pub fn seen(&self) -> u64 {
        *self.count.lock()
    }

    /// Says that something changed.
    pub fn notify(&self) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until something changed since `seen`, or for `timeout`.
    pub fn wait(&self, seen: u64, timeout: Option<Duration>) {
        let mut count = self.count.lock();
        if *count != seen {
            return;
        }
        match timeout {
            Some(timeout) => {
                self.changed.wait_for(&mut count, timeout);
            }
            None => self.changed.wait(&mut count),
        }
    }
}
