//! The embedded database: a folder, its lock, one shard, and the threads that work for it.
//!
//! ```text
//!   open ──► lock ──► restart point ──► _system ──► collections ──► log replay ──► workers
//!                                                                        │
//!   close ◄── seal all ◄── restart point, log ended ◄── workers stopped ─┘
//! ```
//!
//! Opening for writing first brings the files back to their last agreed state: ledgers are cut at
//! their durable end, the log's torn tail is cut and reported, files no manifest names are removed.
//! Opening read-only changes no byte.

pub mod admin;
pub mod background;
mod index_check;
pub mod model;
pub mod options;
pub mod recovery;
pub mod repair;
pub mod stats;
mod table_check;
pub mod verify;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::disk::VfsLock;
use crate::error::{Code, Error, Result};
use crate::host::Background;
use crate::shard::Shard;
use crate::transaction::LockManager;

pub use background::Workers;
pub use options::Options;
pub use recovery::RecoveryReport;

/// An open database.
#[derive(Debug)]
pub struct Database {
    /// Its one shard.
    pub shard: Arc<Shard>,
    /// Locks on keys and predicates.
    pub locks: LockManager,
    /// What opening found and did.
    pub recovery: RecoveryReport,
    pub(crate) workers: Mutex<Workers>,
    lock: Mutex<Option<Box<dyn VfsLock>>>,
    closed: AtomicBool,
}

impl Database {
    /// Opens the database in `dir`.
    pub fn open(dir: &Path, options: &Options) -> Result<Arc<Database>> {
        let opened = recovery::open(dir, options)?;
        let (clock, background) = (options.host.clock.clone(), options.host.background);
        let locks = LockManager::new(clock, background);
        if !options.read_only {
            opened.shard.attach_locks(Arc::new(locks.clone()))?;
        }
        let database = Arc::new(Database {
            shard: opened.shard,
            locks,
            recovery: opened.report,
            workers: Mutex::default(),
            lock: Mutex::new(opened.lock),
            closed: AtomicBool::new(false),
        });
        if !options.read_only {
            database.shard.render()?;
            database.shard.finish_purges()?;
            if options.host.background == Background::Threads {
                *database.workers.lock() = Workers::start(&database.shard, options.durability);
            }
        }
        Ok(database)
    }

    /// Refuses calls on a closed database.
    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::new(Code::Closed, "the database was closed")),
            false => Ok(()),
        }
    }

    /// Refuses writes to a database opened read-only.
    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        match self.shard.env.read_only {
            true => Err(Error::new(Code::ReadOnly, "the database was opened read-only")),
            false => Ok(()),
        }
    }

    /// Seals what is pending, makes everything durable, ends the log and releases the lock. A second
    /// call does nothing.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let result = match self.shard.env.read_only {
            true => Ok(()),
            false => self.close_writer(),
        };
        self.workers.lock().stop();
        *self.lock.lock() = None;
        result
    }

    fn close_writer(&self) -> Result<()> {
        let shard = &self.shard;
        shard.env.check_healthy()?;
        shard.seal_all()?;
        self.workers.lock().stop();
        shard.write_blocks()?;
        shard.flush_at_close()?;
        shard.render()?;
        shard.close_log()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A handle that is dropped unclosed is closed as far as it goes; what was acknowledged is
        // safe either way.
        let _ = self.close();
    }
}
