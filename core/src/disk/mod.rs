//! Files and folders behind a trait. Nothing else in the engine touches `std::fs`: so every fault a
//! disk can show, and every order in which it can lose what was not synced, is replayed from a seed.
//!
//! The contract is that of POSIX at its weakest: written bytes survive a power loss only after
//! `sync_data` of their file, a new or renamed directory entry only after `sync_dir` of its folder,
//! and after a failed sync nothing is known about the bytes written before it.

pub mod compression;
pub mod header;
pub mod pool;
pub mod real;
pub mod simulated;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; works on read-only media.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Its name within the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
}

/// A file system. Paths are absolute or relative to the process, as the caller gave them.
pub trait Vfs: Send + Sync + Debug {
    /// Makes one folder; an existing folder is fine. The entry is durable after `sync_dir` of the
    /// parent.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Opens an existing file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>>;
    /// Makes a new empty file, open for reading and writing; an existing one is an error
    /// (`AlreadyExists`). `private` asks for owner-only permissions.
    fn create(&self, path: &Path, private: bool) -> io::Result<Arc<dyn VfsFile>>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Moves a file over `to`, replacing it; atomic, durable after `sync_dir` of the folder(s).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's entry.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The entries of a folder, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Takes the exclusive lock on `path` (created if missing), and writes `owner` into it; the file
    /// is emptied when the lock is released. `Err(WouldBlock)` if another process holds it.
    fn lock(&self, path: &Path, owner: &str) -> io::Result<Box<dyn VfsLock>>;
    /// Whether another process holds the exclusive lock on `path` now. Changes no byte; a missing
    /// file is not locked.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
    /// Bytes free for new data where `path` lies, if the system tells.
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>>;
}

/// An open file. Positioned reads and writes only: no shared cursor.
pub trait VfsFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, extending the file if needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, size: u64) -> io::Result<()>;
    /// Makes written bytes, and the length needed to read them, durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Reads exactly `buf.len()` bytes at `offset`, or `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The lock of a database folder; released when dropped.
pub trait VfsLock: Send + Sync + Debug {}
