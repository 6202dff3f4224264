//! The log's folder: names, making a segment ready, putting it in place, keeping spares.
//! A segment gets its `wal_` name only when its header and first zeros are synced, and no frame of
//! it is acknowledged before that name is; an old file loses its name, durably, before its header
//! is overwritten.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogOptions;
use super::frame::{FIRST_FRAME, SECTOR_BYTES};
use super::live::{FILL_BYTES_MIN, Live, PAGE_BYTES};
use super::sync::Gate;
use super::window::{Window, file_header};
use crate::disk::{Access, Vfs, VfsFile};
use crate::error::{Error, Result};

/// A new segment on its way.
const NEW_NAME: &str = "spare.tmp";
/// Old segments kept for use again; there are at most as many.
const SPARE_NAMES: [&str; 2] = ["spare_1.tmp", "spare_2.tmp"];
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// The file name of a segment.
pub(super) fn segment_name(generation: u64) -> String {
    format!("wal_{generation:010}.log")
}

fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal_")?.strip_suffix(".log")?;
    let generation = digits.parse().ok()?;
    (segment_name(generation) == name).then_some(generation)
}

/// Generations of the segments in `dir`, oldest first; a folder that does not exist has none.
pub(super) fn list_segments(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let entries = match vfs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::storage("list", dir, error))?,
    };
    let mut generations: Vec<u64> =
        entries.iter().filter_map(|entry| generation_of(&entry.name)).collect();
    generations.sort_unstable();
    Ok(generations)
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The folder as the writer sees it.
#[derive(Debug)]
pub(super) struct Folder {
    pub vfs: Arc<dyn Vfs>,
    pub dir: PathBuf,
    pub gate: Arc<Gate>,
    database_id: [u8; 16],
    segment_bytes: u64,
    spares: Vec<&'static str>,
}

impl Folder {
    /// Takes over the folder `dir`; spares of an earlier run are removed.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: &LogOptions) -> Result<Self> {
        if options.segment_bytes > SEGMENT_BYTES_MAX {
            return Err(Error::invalid("segment_bytes is limited to 4 GiB"));
        }
        let folder = Folder {
            vfs,
            dir: dir.to_owned(),
            gate: Arc::new(Gate::default()),
            database_id: options.database_id,
            segment_bytes: options.segment_bytes.max(1).next_multiple_of(PAGE_BYTES),
            spares: Vec::new(),
        };
        folder.vfs.create_dir(dir).map_err(|error| Error::storage("create", dir, error))?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        folder.vfs.sync_dir(parent).map_err(|error| Error::storage("sync", parent, error))?;
        folder.remove_spares()?;
        Ok(folder)
    }

    /// Removes every spare file, whoever left it.
    pub fn remove_spares(&self) -> Result<()> {
        let entries =
            self.vfs.list(&self.dir).map_err(|error| Error::storage("list", &self.dir, error))?;
        for entry in entries {
            if entry.name == NEW_NAME || SPARE_NAMES.contains(&entry.name.as_str()) {
                let path = self.dir.join(&entry.name);
                self.unlink(&path)?;
            }
        }
        Ok(())
    }

    pub fn segment_path(&self, generation: u64) -> PathBuf {
        self.dir.join(segment_name(generation))
    }

    /// Opens the segment of `generation` for reading, checking its header.
    pub fn read_segment(&self, generation: u64) -> Result<Window> {
        Window::open(&*self.vfs, &self.dir, self.database_id, generation)
    }

    /// Puts a file with what `fill` writes in the place of a segment, at once and durably.
    pub fn replace_segment(
        &self,
        generation: u64,
        fill: impl FnOnce(&dyn VfsFile) -> Result<()>,
    ) -> Result<()> {
        let (new, path) = (self.dir.join(NEW_NAME), self.segment_path(generation));
        let file = self.create(&new).map_err(|error| Error::storage("create", &new, error))?;
        let filled = fill(&*file).and_then(|()| self.gate.sync(&*file, &new));
        if let Err(error) = filled {
            self.discard(&new);
            return Err(error);
        }
        let renamed = self.vfs.rename(&new, &path);
        renamed.map_err(|error| Error::storage("rename", &new, error))?;
        self.sync_names()
    }

    /// Length of the segment of `generation`.
    pub fn segment_size(&self, generation: u64) -> Result<u64> {
        let path = self.segment_path(generation);
        let size = self.vfs.open(&path, Access::Read).and_then(|file| file.size());
        size.map_err(|error| Error::storage("open", &path, error))
    }

    /// Makes a segment for `generation` ready under a spare's name: header and length are synced.
    /// A full disk, or no file to be had, leaves the log as it was.
    pub fn prepare(&mut self, generation: u64, group_bytes: u64) -> Result<Live> {
        let spare = self.spares.pop();
        let path = self.dir.join(spare.unwrap_or(NEW_NAME));
        let opened = match spare {
            Some(_) => self.vfs.open(&path, Access::ReadWrite),
            None => self.create(&path),
        };
        let file = opened.map_err(|error| Error::storage("create", &path, error))?;
        let capacity = Live::capacity_for(self.segment_bytes, group_bytes);
        match self.lay_out(&*file, generation, capacity, spare.is_some()) {
            Ok(filled) => {
                let (end, synced) = (FIRST_FRAME, FIRST_FRAME);
                Ok(Live { generation, path, file, end, synced, filled, capacity })
            }
            Err(cause) if is_full(&cause) => {
                self.discard(&path);
                Err(Error::storage("write", &path, cause))
            }
            Err(cause) => Err(self.gate.fail("write", &path, cause)),
        }
    }

    /// A new empty file, in place of one that could not be removed after an earlier attempt.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        match self.vfs.create(path, true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.vfs.unlink(path)?;
                self.vfs.create(path, true)
            }
            other => other,
        }
    }

    /// Writes the header; zeros behind it, unless the file had an earlier life. Syncs, and returns
    /// the length.
    fn lay_out(
        &self,
        file: &dyn VfsFile,
        generation: u64,
        capacity: u64,
        recycled: bool,
    ) -> io::Result<u64> {
        let header = file_header(self.database_id, generation).encode();
        let filled = if recycled {
            let sectors = file.size()?.next_multiple_of(SECTOR_BYTES);
            file.set_len(sectors)?;
            file.write_all_at(&header, 0)?;
            sectors
        } else {
            let mut start = vec![0; FILL_BYTES_MIN.min(capacity) as usize];
            start[..header.len()].copy_from_slice(&header);
            file.write_all_at(&start, 0)?;
            start.len() as u64
        };
        file.sync_data()?;
        Ok(filled)
    }

    /// Gives a prepared segment its name, durably.
    pub fn install(&self, live: &mut Live) -> Result<()> {
        let path = self.segment_path(live.generation);
        let renamed = self.vfs.rename(&live.path, &path);
        renamed.map_err(|cause| self.gate.fail("rename", &live.path, cause))?;
        live.path = path;
        self.sync_names()
    }

    /// Throws a prepared segment away. What remains of it is removed later.
    pub fn discard(&self, path: &Path) {
        let _ = self.vfs.unlink(path);
    }

    /// Takes a segment out of the log: keeps it as a spare if one is wanted and the file is of the
    /// usual size, else removes it. Durable after [`Folder::sync_names`]; a spare may be handed to
    /// [`Folder::keep`] only then.
    pub fn take_out(&self, (generation, bytes): (u64, u64)) -> Result<Option<&'static str>> {
        let path = self.segment_path(generation);
        let name = SPARE_NAMES.iter().find(|name| !self.spares.contains(name));
        match name {
            Some(name) if (self.segment_bytes / 2..=self.segment_bytes).contains(&bytes) => {
                let renamed = self.vfs.rename(&path, &self.dir.join(name));
                renamed.map_err(|error| Error::storage("rename", &path, error))?;
                Ok(Some(name))
            }
            _ => self.unlink(&path).map(|()| None),
        }
    }

    /// Accepts a spare whose new name is durable.
    pub fn keep(&mut self, name: Option<&'static str>) {
        self.spares.extend(name);
    }

    /// Makes the folder's entries durable; a failure poisons the log.
    pub fn sync_names(&self) -> Result<()> {
        self.gate.check()?;
        self.vfs.sync_dir(&self.dir).map_err(|cause| self.gate.fail("sync", &self.dir, cause))
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        self.vfs.unlink(path).map_err(|error| Error::storage("unlink", path, error))
    }
}
