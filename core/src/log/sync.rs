//! Syncing the log, from the writer or from another thread. All syncs of a log take turns: of two
//! at once the kernel tells only one that data was lost, and the other would acknowledge it. After
//! the first failure of any kind nothing is written or synced again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Position;
use crate::disk::VfsFile;
use crate::error::{Code, Error, Result};

/// What the writer and its sync handles share.
#[derive(Debug, Default)]
pub(super) struct Gate {
    turn: Mutex<()>,
    failed: AtomicBool,
}

impl Gate {
    /// Refuses everything after a failure.
    pub fn check(&self) -> Result<()> {
        if self.poisoned() {
            let detail = "the log failed earlier; reopen to recover what was acknowledged";
            return Err(Error::new(Code::StorageFailed, detail));
        }
        Ok(())
    }

    pub fn poisoned(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Poisons the log. The code is `storage_failed` whatever the cause: not even free space helps.
    pub fn fail(&self, operation: &str, path: &Path, cause: io::Error) -> Error {
        self.failed.store(true, Ordering::Release);
        Error::storage(operation, path, io::Error::other(cause))
    }

    /// One fdatasync; a failure is final.
    pub fn sync(&self, file: &dyn VfsFile, path: &Path) -> Result<()> {
        let _turn = self.turn.lock();
        self.check()?;
        if cfg!(bug = "skip_log_sync") {
            return Ok(());
        }
        let outcome = file.sync_data();
        #[cfg(bug = "retry_fsync")]
        let outcome = outcome.or_else(|_| file.sync_data());
        #[cfg(bug = "ignore_io_error")]
        let outcome = outcome.or(Ok(()));
        outcome.map_err(|cause| self.fail("sync", path, cause))
    }
}

/// Syncs what was written when the handle was taken, without borrowing the writer: so the next
/// group can be encoded and written meanwhile.
///
/// After [`SyncHandle::sync`] tell the writer by [`super::LogWriter::note_synced`] with
/// [`SyncHandle::end`].
#[derive(Clone, Debug)]
pub struct SyncHandle {
    pub(super) gate: Arc<Gate>,
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) path: PathBuf,
    pub(super) end: Position,
}

impl SyncHandle {
    /// Makes everything before [`SyncHandle::end`] durable and returns that place. Older segments
    /// were synced when the log went on to a newer one. A failure poisons the writer.
    pub fn sync(&self) -> Result<Position> {
        self.gate.sync(&*self.file, &self.path)?;
        Ok(self.end)
    }

    /// The end of what was written when the handle was taken.
    pub fn end(&self) -> Position {
        self.end
    }
}
