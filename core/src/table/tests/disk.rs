//! A disk in memory that records every call that matters for durability and fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::disk::{Access, DirEntry, Vfs, VfsFile, VfsLock};

/// All files by path, and the calls made.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<MemoryFile>>>,
    calls: Arc<Mutex<Vec<String>>>,
    /// Writes that still succeed, plus one; 0 for all.
    writes_left: Arc<AtomicU64>,
}

#[derive(Debug)]
struct MemoryFile {
    name: String,
    bytes: RwLock<Vec<u8>>,
    calls: Arc<Mutex<Vec<String>>>,
    writes_left: Arc<AtomicU64>,
}

impl MemoryDisk {
    /// The calls since the last time, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }

    /// Lets `count` more writes succeed, then none.
    pub fn fail_after_writes(&self, count: u64) {
        self.writes_left.store(count + 1, Ordering::Relaxed);
    }

    pub fn names(&self) -> Vec<String> {
        self.files.lock().keys().map(|path| name(path)).collect()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.files.lock()[path].bytes.read().clone()
    }

    pub fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        *self.files.lock()[path].bytes.write() = bytes;
    }

    fn call(&self, call: String) {
        self.calls.lock().push(call);
    }

    fn find(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        self.files.lock().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Vfs for MemoryDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn VfsFile>> {
        Ok(self.find(path)?)
    }

    fn create(&self, path: &Path, _: bool) -> io::Result<Arc<dyn VfsFile>> {
        let mut files = self.files.lock();
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile {
            name: name(path),
            bytes: RwLock::default(),
            calls: self.calls.clone(),
            writes_left: self.writes_left.clone(),
        });
        files.insert(path.to_owned(), file.clone());
        self.call(format!("create {}", name(path)));
        Ok(file)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(format!("sync_dir {}", name(path)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        self.call(format!("rename {} {}", name(from), name(to)));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.lock().remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.call(format!("unlink {}", name(path)));
        Ok(())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let files = self.files.lock();
        let inside = files.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.map(|file| DirEntry { name: name(file), is_dir: false }).collect())
    }

    fn lock(&self, _: &Path, _: &str) -> io::Result<Box<dyn VfsLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_locked(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

impl VfsFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.read();
        let start = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let count = buf.len().min(bytes.len() - start);
        buf[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        match self.writes_left.load(Ordering::Relaxed) {
            0 => {}
            1 => return Err(io::ErrorKind::StorageFull.into()),
            _ => {
                self.writes_left.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let mut bytes = self.bytes.write();
        let end = offset as usize + buf.len();
        let size = bytes.len().max(end);
        bytes.resize(size, 0);
        bytes[offset as usize..end].copy_from_slice(buf);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.bytes.write().resize(size as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.calls.lock().push(format!("sync {}", self.name));
        Ok(())
    }
}
