//! A file system in memory for the log's own tests: knows what of it is durable, can be copied, and
//! fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use crate::disk::{Access, DirEntry, Vfs, VfsFile, VfsLock};

/// Faults and counters, shared by all files.
#[derive(Debug, Default)]
pub struct Knobs {
    /// The next file sync fails.
    pub fail_sync: AtomicBool,
    /// The next folder sync fails.
    pub fail_sync_dir: AtomicBool,
    /// The next write fails with an I/O error.
    pub fail_write: AtomicBool,
    /// The next cut or extension fails.
    pub fail_set_len: AtomicBool,
    /// The next new file cannot be made.
    pub fail_create: AtomicBool,
    /// A write meets a full disk when this many more bytes of any kind were written.
    pub write_bytes_left: Mutex<Option<u64>>,
    /// File syncs that were asked for.
    pub syncs: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug)]
struct MemoryFile {
    content: Mutex<Content>,
    knobs: Arc<Knobs>,
}

type Names = BTreeMap<PathBuf, Arc<MemoryFile>>;

/// The file system.
#[derive(Debug, Default)]
pub struct MemoryVfs {
    live: Mutex<Names>,
    durable: Mutex<Names>,
    pub knobs: Arc<Knobs>,
}

/// The content of every file.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

impl MemoryVfs {
    /// A file system that holds `image`, durably.
    pub fn with(image: &Image) -> Arc<Self> {
        let vfs = MemoryVfs::default();
        for (path, bytes) in image {
            let content = Content { bytes: bytes.clone(), durable: bytes.clone() };
            let knobs = vfs.knobs.clone();
            let file = Arc::new(MemoryFile { content: Mutex::new(content), knobs });
            vfs.live.lock().insert(path.clone(), file.clone());
            vfs.durable.lock().insert(path.clone(), file);
        }
        Arc::new(vfs)
    }

    /// What a reader sees now: what survives the death of the process.
    pub fn image(&self) -> Image {
        let live = self.live.lock();
        live.iter().map(|(path, file)| (path.clone(), file.content.lock().bytes.clone())).collect()
    }

    /// What survives a power loss that takes everything unsynced.
    pub fn durable_image(&self) -> Image {
        let names = self.durable.lock();
        let copy = |file: &MemoryFile| file.content.lock().durable.clone();
        names.iter().map(|(path, file)| (path.clone(), copy(file))).collect()
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn check(knob: &AtomicBool) -> io::Result<()> {
    if knob.swap(false, SeqCst) { Err(io::Error::other("injected")) } else { Ok(()) }
}

impl Vfs for MemoryVfs {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn VfsFile>> {
        Ok(self.live.lock().get(path).ok_or_else(missing)?.clone())
    }

    fn create(&self, path: &Path, _: bool) -> io::Result<Arc<dyn VfsFile>> {
        check(&self.knobs.fail_create)?;
        let mut live = self.live.lock();
        if live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Mutex::default();
        let file = Arc::new(MemoryFile { content, knobs: self.knobs.clone() });
        live.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        check(&self.knobs.fail_sync_dir)?;
        let (live, mut durable) = (self.live.lock(), self.durable.lock());
        durable.retain(|name, _| name.parent() != Some(path));
        let inside = live.iter().filter(|(name, _)| name.parent() == Some(path));
        durable.extend(inside.map(|(name, file)| (name.clone(), file.clone())));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut live = self.live.lock();
        let file = live.remove(from).ok_or_else(missing)?;
        live.insert(to.to_owned(), file);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.live.lock().remove(path).map(drop).ok_or_else(missing)
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let live = self.live.lock();
        let inside = live.keys().filter(|name| name.parent() == Some(path));
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok(inside.map(|path| DirEntry { name: name(path), is_dir: false }).collect())
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
        let content = self.content.lock();
        let from = content.bytes.len().min(offset as usize);
        let count = buf.len().min(content.bytes.len() - from);
        buf[..count].copy_from_slice(&content.bytes[from..from + count]);
        Ok(count)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        check(&self.knobs.fail_write)?;
        let mut room = self.knobs.write_bytes_left.lock();
        let count = room.map_or(buf.len(), |left| buf.len().min(left as usize));
        if let Some(left) = &mut *room {
            *left -= count as u64;
        }
        let mut content = self.content.lock();
        let (from, to) = (offset as usize, offset as usize + count);
        let size = content.bytes.len().max(to);
        content.bytes.resize(size, 0);
        content.bytes[from..to].copy_from_slice(&buf[..count]);
        if count < buf.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        check(&self.knobs.fail_set_len)?;
        self.content.lock().bytes.resize(size as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.knobs.syncs.fetch_add(1, SeqCst);
        check(&self.knobs.fail_sync)?;
        let mut content = self.content.lock();
        content.durable = content.bytes.clone();
        Ok(())
    }
}
