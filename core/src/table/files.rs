//! The table files of one kind in one folder: their names, their header, and the removal of files
//! that no manifest names. Primary tables are `sstable_000001.sst`, an index's
//! `indexes/<name>_000001.idx`; both have the same format.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::DirEntry;
use crate::disk::header::{FileHeader, FileKind};
use crate::disk::pool::FilePool;
use crate::error::{Error, Result};

/// Where table files lie, how they are called and whose they are.
#[derive(Clone, Debug)]
pub struct TableFiles {
    pool: Arc<FilePool>,
    dir: PathBuf,
    owner: [u8; 16],
    stem: String,
    extension: &'static str,
}

impl TableFiles {
    /// The primary tables of collection `owner`, in its folder.
    pub fn primary(pool: Arc<FilePool>, dir: &Path, owner: [u8; 16]) -> Self {
        TableFiles { pool, dir: dir.to_owned(), owner, stem: "sstable".into(), extension: "sst" }
    }

    /// The tables of index `name` of collection `owner`, in the folder of its indexes. The name
    /// becomes part of file names.
    pub fn index(pool: Arc<FilePool>, dir: &Path, owner: [u8; 16], name: &str) -> Self {
        TableFiles { pool, dir: dir.to_owned(), owner, stem: name.to_owned(), extension: "idx" }
    }

    /// The number of a file of some index, whatever its name; numbers are given once in a collection.
    pub fn index_number(path: &Path) -> Option<u32> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".idx")?;
        let (_, digits) = stem.rsplit_once('_').filter(|(_, digits)| digits.len() >= 6)?;
        digits.parse().ok()
    }

    /// The pool that opens them.
    pub fn pool(&self) -> &Arc<FilePool> {
        &self.pool
    }

    /// The folder they lie in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of table `number`.
    pub fn path(&self, number: u32) -> PathBuf {
        self.dir.join(self.name(number))
    }

    /// The number in a file name, if it is one of these files.
    pub fn number(&self, name: &str) -> Option<u32> {
        let middle = name.strip_prefix(&self.stem)?.strip_prefix('_')?;
        let digits = middle.strip_suffix(self.extension)?.strip_suffix('.')?;
        let number = digits.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }

    /// The header that table `number` begins with.
    pub fn header(&self, number: u32) -> FileHeader {
        FileHeader { kind: FileKind::Table, owner: self.owner, number }
    }

    /// Removes what a crash left behind: table files that are not among `live`. To be called on
    /// open, before any table is written, with the folder's `entries`; returns the numbers of the
    /// removed files.
    pub fn remove_unlisted(&self, live: &BTreeSet<u32>, entries: &[DirEntry]) -> Result<Vec<u32>> {
        let vfs = self.pool.vfs();
        let numbers = entries.iter().filter_map(|entry| self.number(&entry.name));
        let unlisted: Vec<u32> = numbers.filter(|number| !live.contains(number)).collect();
        if !unlisted.is_empty() {
            // The manifest that does not list them may be a rename that is not durable yet.
            let synced = vfs.sync_dir(&self.dir);
            synced.map_err(|error| Error::storage("sync folder", &self.dir, error))?;
        }
        for &number in &unlisted {
            let path = self.path(number);
            self.pool.forget(&path);
            vfs.unlink(&path).map_err(|error| Error::storage("remove", &path, error))?;
        }
        Ok(unlisted)
    }

    /// Removes one file; failing is harmless, since it is unlisted and goes at the next open.
    pub(crate) fn remove(&self, number: u32) {
        let path = self.path(number);
        self.pool.forget(&path);
        let _ = self.pool.vfs().unlink(&path);
    }

    fn name(&self, number: u32) -> String {
        format!("{}_{number:06}.{}", self.stem, self.extension)
    }
}
