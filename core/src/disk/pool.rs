//! The bounded pool of open files: thousands of collections share a few hundred handles.
//!
//! The pool keeps a handle per path and closes the least recently used one that nobody holds.
//! Handles in use are never closed under their users, so when all are in use the pool exceeds its
//! capacity by as many as the callers hold, and shrinks at the next miss. A handle for writing
//! also serves readers. Two callers that want the same file at once open it once, and while one
//! file opens, the others are served.
//!
//! Rules for callers: `forget` a path before unlinking or renaming it, and ask for it again only
//! afterwards; name a file by the same bytes always. Keys are compared as bytes, since comparing
//! them as paths takes three times as long, on the way of every read.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::{Access, Vfs, VfsFile};
use crate::error::{Error, Result};

/// A bounded set of open files.
#[derive(Debug)]
pub struct FilePool {
    vfs: Arc<dyn Vfs>,
    capacity: usize,
    state: Mutex<State>,
    /// Told whenever an open that was under way has ended.
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<OsString, Pooled>,
    /// Paths being opened right now, without the mutex.
    opening: HashSet<OsString>,
    /// Handles that left the pool while somebody held them: they still count while they live.
    leaving: Vec<Weak<dyn VfsFile>>,
    /// Counts uses, to order them.
    clock: u64,
}

#[derive(Debug)]
struct Pooled {
    file: Arc<dyn VfsFile>,
    access: Access,
    used: u64,
}

impl FilePool {
    /// A pool of about `capacity` handles (at least one) on the files of `vfs`.
    pub fn new(vfs: Arc<dyn Vfs>, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        FilePool { vfs, capacity, state: Mutex::default(), opened: Condvar::new() }
    }

    /// The existing file at `path`, open for `access` at least. A missing file is `storage_failed`.
    pub fn get(&self, path: &Path, access: Access) -> Result<Arc<dyn VfsFile>> {
        let mut state = self.state.lock();
        loop {
            if let Some(file) = state.find(path, access) {
                return Ok(file);
            }
            if !state.opening.contains(path.as_os_str()) {
                break;
            }
            self.opened.wait(&mut state);
        }
        state.opening.insert(path.into());
        drop(state);
        self.finish(path, access, || self.vfs.open(path, access))
            .map_err(|error| Error::storage("open", path, error))
    }

    /// Makes the new file `path` and keeps it, open for reading and writing.
    pub fn create(&self, path: &Path, private: bool) -> Result<Arc<dyn VfsFile>> {
        let mut state = self.state.lock();
        while state.opening.contains(path.as_os_str()) {
            self.opened.wait(&mut state);
        }
        state.opening.insert(path.into());
        drop(state);
        self.finish(path, Access::ReadWrite, || self.vfs.create(path, private))
            .map_err(|error| Error::storage("create", path, error))
    }

    /// Closes the handle of `path` as soon as nobody holds it, and hands it out no more.
    pub fn forget(&self, path: &Path) {
        let mut state = self.state.lock();
        // An open under way would put the handle back after this call.
        while state.opening.contains(path.as_os_str()) {
            self.opened.wait(&mut state);
        }
        let gone = state.files.remove(path.as_os_str());
        if let Some(gone) = &gone {
            state.watch(&gone.file);
        }
        drop(state);
    }

    /// Handles open now, those in use by callers included.
    pub fn open_count(&self) -> usize {
        self.state.lock().open_count()
    }

    /// The number of handles the pool aims at.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The file system the pool opens files of.
    pub fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.vfs
    }

    /// Opens the marked `path` by `open`, with room made before, and keeps the handle.
    fn finish(
        &self,
        path: &Path,
        access: Access,
        open: impl Fn() -> io::Result<Arc<dyn VfsFile>>,
    ) -> io::Result<Arc<dyn VfsFile>> {
        let _mark = Opening { pool: self, path };
        self.close_idle(self.capacity);
        let file = match open() {
            Err(error) if out_of_handles(&error) => {
                self.close_idle(0);
                open()?
            }
            result => result?,
        };
        let mut state = self.state.lock();
        let used = state.tick();
        let pooled = Pooled { file: file.clone(), access, used };
        let replaced = state.files.insert(path.into(), pooled);
        if let Some(replaced) = &replaced {
            state.watch(&replaced.file);
        }
        // Closing may take a while on a network file system: only after the mutex is free.
        drop(state);
        drop(replaced);
        Ok(file)
    }

    /// Closes idle handles, least recently used first, until at most `count` are open.
    fn close_idle(&self, count: usize) {
        let closed = self.state.lock().take_idle(count);
        drop(closed);
    }
}

/// The mark of an open under way; waiters go on however it ends.
struct Opening<'a> {
    pool: &'a FilePool,
    path: &'a Path,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().opening.remove(self.path.as_os_str());
        self.pool.opened.notify_all();
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn find(&mut self, path: &Path, access: Access) -> Option<Arc<dyn VfsFile>> {
        let used = self.tick();
        let pooled = self.files.get_mut(path.as_os_str())?;
        if access == Access::ReadWrite && pooled.access == Access::Read {
            return None;
        }
        pooled.used = used;
        Some(pooled.file.clone())
    }

    /// Keeps counting a handle that leaves the pool while a caller holds it.
    fn watch(&mut self, file: &Arc<dyn VfsFile>) {
        self.leaving.retain(|file| file.strong_count() > 0);
        if Arc::strong_count(file) > 1 {
            self.leaving.push(Arc::downgrade(file));
        }
    }

    fn open_count(&self) -> usize {
        let leaving = self.leaving.iter().filter(|file| file.strong_count() > 0).count();
        self.files.len() + self.opening.len() + leaving
    }

    /// Removes idle handles until at most `count` are open. When any must go, an eighth of the
    /// pool goes with it, so that the search is paid once for many misses.
    fn take_idle(&mut self, count: usize) -> Vec<Arc<dyn VfsFile>> {
        let excess = self.open_count().saturating_sub(count);
        if excess == 0 {
            return Vec::new();
        }
        // Only the pool hands out clones, and does so under the mutex: a handle that is idle here
        // stays idle until it is removed.
        let mut idle: Vec<(u64, &OsStr)> = self
            .files
            .iter()
            .filter(|(_, pooled)| Arc::strong_count(&pooled.file) == 1)
            .map(|(path, pooled)| (pooled.used, path.as_os_str()))
            .collect();
        idle.sort_unstable();
        let paths: Vec<OsString> =
            idle.into_iter().take(excess + count / 8).map(|(_, path)| path.to_owned()).collect();
        paths.iter().filter_map(|path| self.files.remove(path)).map(|pooled| pooled.file).collect()
    }
}

/// Whether the process or the system has no file handle left (`EMFILE`, `ENFILE`).
fn out_of_handles(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests;
