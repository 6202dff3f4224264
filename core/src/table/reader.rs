//! An open table. It costs little until it is asked: footer, filter pages, index and data blocks
//! are read when needed and live in the block cache. Every piece is checked against its checksum
//! when it comes from disk. A table that was marked obsolete deletes its file when the last holder
//! lets go of it, so a reader never loses the files of its snapshot.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::block::{Block, Lookup};
use super::cache::BlockCache;
use super::files::TableFiles;
use super::filter::{self, Probe};
use super::footer::{FOOTER_BYTES, Footer, TableMeta};
use super::index::{Index, Place};
use super::writer::header_seed;
use super::{Boundary, Hit, Malformed, frame};
use crate::disk::{Access, VfsFile};
use crate::error::{Error, Result};

/// Whether a piece read from disk stays in the block cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Lookups and scans: it is likely to be asked for again.
    Cached,
    /// Compaction and checks: each piece is read once, and must not push out what is hot.
    Once,
}

/// An immutable table file.
#[derive(Debug)]
pub struct Table {
    files: Arc<TableFiles>,
    cache: Arc<BlockCache>,
    meta: TableMeta,
    file_id: u64,
    footer: OnceLock<Footer>,
    obsolete: AtomicBool,
}

impl Table {
    /// The table that `meta` describes. Reads nothing yet.
    pub fn new(files: &Arc<TableFiles>, cache: &Arc<BlockCache>, meta: TableMeta) -> Arc<Self> {
        Arc::new(Table {
            files: files.clone(),
            cache: cache.clone(),
            meta,
            file_id: cache.new_file_id(),
            footer: OnceLock::new(),
            obsolete: AtomicBool::new(false),
        })
    }

    /// What the manifest says about it. The level is the one it was opened at; a table that moved
    /// since is where its [`TableSet`](super::TableSet) holds it.
    pub fn meta(&self) -> &TableMeta {
        &self.meta
    }

    /// The path of its file.
    pub fn path(&self) -> PathBuf {
        self.files.path(self.meta.number)
    }

    /// Has the file deleted when the last holder lets go. Only for a table that no manifest names
    /// any more.
    pub fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// The newest entry of `key` below `end_seq`.
    pub fn newest(&self, key: &[u8], end_seq: u64) -> Result<Option<Hit>> {
        self.lookup(key, u64::MAX, end_seq)
    }

    /// The entry of `key` with `rank`, if it lies below `end_seq`.
    pub fn exact(&self, key: &[u8], rank: u64, end_seq: u64) -> Result<Option<Hit>> {
        Ok(self.lookup(key, rank, end_seq)?.filter(|hit| hit.rank == rank))
    }

    fn lookup(&self, key: &[u8], rank_max: u64, end_seq: u64) -> Result<Option<Hit>> {
        let meta = &self.meta;
        if self.meta.min_seq >= end_seq || key < &meta.first_key[..] || key > &meta.last_key[..] {
            return Ok(None);
        }
        let footer = self.footer()?;
        if !self.may_contain(footer, key)? {
            return Ok(None);
        }
        let bytes = self.index(Keep::Cached)?;
        let at_index = |error: Malformed| error.at(&self.path(), footer.index_offset);
        let index = Index::new(&bytes).map_err(at_index)?;
        let first = index.seek(&Boundary::at(key, rank_max)).map_err(at_index)?;
        for number in first..index.count() {
            let entry = index.entry(number).map_err(at_index)?;
            let bytes = self.read(entry.place, Keep::Cached)?;
            let found = Block::new(&bytes)
                .and_then(|block| block.newest(key, rank_max, end_seq))
                .map_err(|error| error.at(&self.path(), entry.place.offset))?;
            match found {
                Lookup::Hit(hit) => return Ok(Some(hit)),
                Lookup::Absent => return Ok(None),
                // Ranks of the key go on in the next block only if they reach to this one's end.
                Lookup::Exhausted if key[index.common()..] != *entry.suffix => return Ok(None),
                Lookup::Exhausted => {}
            }
        }
        Ok(None)
    }

    /// About how many entries have keys from `lower` to `upper`, by the share of data blocks.
    pub(crate) fn estimate(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Result<u64> {
        let footer = self.footer()?;
        let bytes = self.index(Keep::Cached)?;
        let at_index = |error: Malformed| error.at(&self.path(), footer.index_offset);
        let index = Index::new(&bytes).map_err(at_index)?;
        let seek = |boundary: Boundary<'_>| index.seek(&boundary).map_err(at_index);
        let first = match lower {
            Bound::Unbounded => 0,
            Bound::Included(key) => seek(Boundary::before(key))?,
            Bound::Excluded(key) => seek(Boundary::after(key))?,
        };
        let last = match upper {
            Bound::Unbounded => index.count(),
            Bound::Included(key) => seek(Boundary::after(key))?,
            Bound::Excluded(key) => seek(Boundary::before(key))?,
        };
        let per_block = self.meta.entries / (index.count().max(1) as u64);
        Ok((last.saturating_sub(first) as u64 * per_block).max(per_block / 4).max(1))
    }

    fn may_contain(&self, footer: &Footer, key: &[u8]) -> Result<bool> {
        let probe = Probe::new(filter::hash(key), footer.filter_blocks);
        let place = self.filter_place(footer, probe.page)?;
        let page = self.read(place, Keep::Cached)?;
        let short = Malformed("a filter page has another length than the footer says");
        probe.test(&page).ok_or_else(|| short.at(&self.path(), place.offset))
    }

    /// Where filter page `page` lies.
    pub(crate) fn filter_place(&self, footer: &Footer, page: u32) -> Result<Place> {
        let bytes = filter::page_bytes(page, footer.filter_blocks) + frame::TRAILER_BYTES;
        let offset = footer.filter_page_offset(page).ok_or_else(|| {
            Malformed("the filter ends past the file").at(&self.path(), footer.filter_offset)
        })?;
        Ok(Place { offset, bytes: bytes as u32 })
    }

    /// The footer; header and footer are read and checked at the first call.
    #[inline]
    pub(crate) fn footer(&self) -> Result<&Footer> {
        if let Some(footer) = self.footer.get() {
            return Ok(footer);
        }
        let footer = self.read_footer()?;
        Ok(self.footer.get_or_init(|| footer))
    }

    /// The footer, from disk.
    pub(crate) fn read_footer(&self) -> Result<Footer> {
        let path = self.path();
        let file = self.files.pool().get(&path, Access::Read)?;
        let header = self.files.header(self.meta.number);
        header.read(&*file, &path)?;
        let file_bytes = file.size().map_err(|error| Error::storage("size", &path, error))?;
        if file_bytes != self.meta.file_bytes || file_bytes < FOOTER_BYTES as u64 {
            let what = format!("the table has {file_bytes} bytes, not {}", self.meta.file_bytes);
            return Err(Error::corrupt(&path, file_bytes.min(self.meta.file_bytes), what));
        }
        let offset = file_bytes - FOOTER_BYTES as u64;
        let mut bytes = [0; FOOTER_BYTES];
        read_exact(&*file, &mut bytes, offset, &path)?;
        let sum = self.meta.checksum;
        let footer = Footer::decode(&bytes, self.seed(), file_bytes, sum, &path)?;
        let found = (footer.entries, footer.min_seq, footer.max_seq);
        if found != (self.meta.entries, self.meta.min_seq, self.meta.max_seq) {
            let what = "the table holds other entries than the manifest says";
            return Err(Error::corrupt(&path, offset + 40, what));
        }
        Ok(footer)
    }

    /// The bytes of the index.
    pub(crate) fn index(&self, keep: Keep) -> Result<Bytes> {
        let footer = self.footer()?;
        self.read(Place { offset: footer.index_offset, bytes: footer.index_bytes }, keep)
    }

    /// The raw bytes of the frame at `place`, from the cache or from disk.
    #[inline]
    pub(crate) fn read(&self, place: Place, keep: Keep) -> Result<Bytes> {
        match self.cache.get((self.file_id, place.offset)) {
            Some(bytes) => Ok(bytes),
            None => self.read_disk(place, keep),
        }
    }

    /// The raw bytes of the frame at `place`, from disk.
    pub(crate) fn read_disk(&self, place: Place, keep: Keep) -> Result<Bytes> {
        let path = self.path();
        let end = place.offset.checked_add(u64::from(place.bytes));
        if end.is_none_or(|end| end > self.meta.file_bytes) {
            let what = "a piece of the table is said to lie past the end of the file";
            return Err(Error::corrupt(&path, place.offset, what));
        }
        let file = self.files.pool().get(&path, Access::Read)?;
        let mut stored = vec![0; place.bytes as usize];
        read_exact(&*file, &mut stored, place.offset, &path)?;
        let raw = frame::open(stored, self.seed(), place.offset, &path)?;
        if keep == Keep::Cached {
            self.cache.insert((self.file_id, place.offset), raw.clone());
        }
        Ok(raw)
    }

    fn seed(&self) -> u32 {
        header_seed(&self.files.header(self.meta.number).encode())
    }

    /// The CRC-32C of all bytes before the footer, from disk, reading each byte.
    pub(crate) fn contents_checksum(&self, end: u64) -> Result<u32> {
        let path = self.path();
        let file = self.files.pool().get(&path, Access::Read)?;
        let mut bytes = vec![0; 64 << 10];
        let (mut at, mut sum) = (0, 0);
        while at < end {
            let count = bytes.len().min((end - at).try_into().unwrap_or(usize::MAX));
            read_exact(&*file, &mut bytes[..count], at, &path)?;
            sum = crc32c::crc32c_append(sum, &bytes[..count]);
            at += count as u64;
        }
        Ok(sum)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if *self.obsolete.get_mut() {
            self.files.remove(self.meta.number);
        }
    }
}

fn read_exact(
    file: &dyn VfsFile,
    bytes: &mut [u8],
    offset: u64,
    path: &std::path::Path,
) -> Result<()> {
    file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::corrupt(path, offset, "the table ends early"),
        _ => Error::storage("read", path, error),
    })
}
