//! Files of the operating system: the one place of the engine that calls `std::fs`.
//!
//! Reads and writes are positioned, so threads share a handle without a cursor; interrupted calls
//! are repeated; syncs go down to the medium as far as the system offers (`fdatasync`, on Apple
//! systems `F_FULLFSYNC`) and are never repeated after a failure: the caller decides.
//!
//! The lock is the system's advisory file lock, which a dying process releases by itself. The text
//! in the lock file is for people; it never decides anything.

#![allow(clippy::disallowed_methods)] // This file is where the system's files are opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Access, DirEntry, Vfs, VfsFile, VfsLock};

/// How often a refused lock is asked for again. A process that only asks whether the lock is held
/// (`is_locked`) holds it for an instant itself; a real holder outlasts these attempts.
const LOCK_ATTEMPTS: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// What is read of a lock's owner text: a line for people.
const OWNER_BYTES_MAX: u64 = 512;

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealVfs;

impl RealVfs {
    /// The file system of the machine.
    pub fn new() -> Self {
        RealVfs
    }
}

impl Vfs for RealVfs {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        let write = access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(write).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, path: &Path, private: bool) -> io::Result<Arc<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        if private {
            owner_only(&mut options);
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_folder(folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    // A name that is not UTF-8 is none of ours; it is listed with replacement characters, so that
    // it is reported as foreign instead of making the folder unreadable.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder(path))? {
            let entry = entry?;
            let mut kind = entry.file_type()?;
            if kind.is_symlink() {
                kind = fs::metadata(entry.path()).map_or(kind, |target| target.file_type());
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, is_dir: kind.is_dir() });
        }
        entries.sort();
        Ok(entries)
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Box<dyn VfsLock>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(held_by(&mut file)),
            }
        }
        let lock = RealLock { file, process: std::process::id() };
        lock.file.set_len(0)?;
        (&lock.file).write_all(owner.as_bytes())?;
        Ok(Box::new(lock))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[cfg(unix)]
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let stat = rustix::io::retry_on_intr(|| rustix::fs::statvfs(folder(path)))?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// The folder itself: the parent of a bare file name is the empty path, which the system refuses.
fn folder(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// Elsewhere folders cannot be synced; their file systems order entries by a journal of their own.
#[cfg(not(unix))]
fn sync_folder(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

/// The refusal of a lock, with what its holder wrote about itself.
fn held_by(file: &mut File) -> io::Error {
    let mut text = Vec::new();
    // Best effort: some systems refuse to read a locked file, and the holder may not have written.
    let _ = file.take(OWNER_BYTES_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let holder = match text.trim() {
        "" => "another process",
        owner => owner,
    };
    io::Error::new(io::ErrorKind::WouldBlock, format!("locked by {holder}"))
}

#[derive(Debug)]
struct RealFile(File);

impl VfsFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match read_once(&self.0, &mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match write_once(&self.0, buf, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    buf = &buf[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(unix)]
fn write_once(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, buf, offset)
}

#[cfg(windows)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(windows)]
fn write_once(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, buf, offset)
}

/// A held lock. It belongs to the process that took it: the copy a forked child inherits neither
/// empties the file nor unlocks it.
#[derive(Debug)]
struct RealLock {
    file: File,
    process: u32,
}

impl VfsLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // Unlocked explicitly, because a forked child may keep the same open file alive.
            let _ = self.file.set_len(0);
            let _ = self.file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_lock_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealVfs.lock(&path, "process 42 since Monday").unwrap();
        let refusal = RealVfs.lock(&path, "late").unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::WouldBlock);
        assert!(refusal.to_string().contains("process 42 since Monday"), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), b"process 42 since Monday");
        drop(held);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn the_text_of_a_dead_holder_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        fs::write(&path, "a very long text of a process that was killed").unwrap();
        assert!(!RealVfs.is_locked(&path).unwrap());
        let _held = RealVfs.lock(&path, "me").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"me");
    }

    #[test]
    fn asking_for_the_lock_never_keeps_an_owner_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        drop(RealVfs.lock(&path, "first").unwrap());
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                for _ in 0..2_000 {
                    RealVfs.is_locked(&path).unwrap();
                }
            });
            while !asking.is_finished() {
                drop(RealVfs.lock(&path, "owner").unwrap());
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        RealVfs.create(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn reading_and_asking_for_the_lock_need_no_right_to_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(!RealVfs.is_locked(&path).unwrap());
        let mut byte = [0];
        RealVfs.open(&path, Access::Read).unwrap().read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn free_space_is_known_where_the_system_tells() {
        let dir = tempfile::tempdir().unwrap();
        let free = RealVfs.free_bytes(dir.path()).unwrap();
        assert_eq!(free.is_some(), cfg!(unix));
    }
}
