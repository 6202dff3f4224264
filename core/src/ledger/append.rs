//! Appending sealed blocks: bytes of the block, then tile hashes, then the new end for readers.
//! Nothing is synced here; what became dirty is noted, and [`Store::sync`] makes it durable for a
//! restart point. A segment is finished, and the next one begun, at a block boundary, when the next
//! block would take it past its uncompressed size.
//!
//! An append that fails has published nothing and may be made again. It takes back what it wrote, as
//! far as the disk lets it: a full disk gets its space back, and nobody finds half a block.

use std::collections::BTreeSet;

use super::footer::Trailer;
use super::position::LedgerPosition;
use super::seal::SealedBlock;
use super::store::{Store, is_not_found};
use super::tiles::{file_bytes, hash_offset, hashes_at};
use super::view::{Segment, View};
use crate::disk::Access;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Code, Error, Result};
use crate::proof::Hash;

/// What was written and not yet synced.
#[derive(Debug, Default)]
pub(super) struct Appender {
    pub dirty: Dirty,
    tiles_dir_made: bool,
}

/// Files and folders to sync.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub segments: BTreeSet<u32>,
    pub levels: BTreeSet<u8>,
    pub dir: bool,
    pub tiles_dir: bool,
}

impl Dirty {
    fn merge(&mut self, other: Dirty) {
        self.segments.extend(other.segments);
        self.levels.extend(other.levels);
        self.dir |= other.dir;
        self.tiles_dir |= other.tiles_dir;
    }
}

impl Store {
    /// Writes `block`, which must follow the current end, and lets readers see it.
    pub fn append(&self, block: &SealedBlock) -> Result<()> {
        let mut appender = self.lock();
        self.load_tail(&mut appender)?;
        let view = View::clone(&self.current());
        let (end, header) = (view.end, &block.header);
        if (header.id, header.first_seq, header.previous_hash)
            != (end.blocks, end.end_seq, end.head)
        {
            return Err(Error::new(Code::Internal, "the block does not follow the ledger's end"));
        }
        let result = self.append_to(view, block, &mut appender);
        if result.is_err() {
            self.take_back(end, &mut appender);
        }
        result
    }

    fn append_to(
        &self,
        mut view: View,
        block: &SealedBlock,
        appender: &mut Appender,
    ) -> Result<()> {
        let end = view.end;
        let bytes = end.segment_raw_bytes.saturating_add(block.tally.raw_bytes);
        if view.tail.is_some() && bytes > self.options().segment_bytes {
            self.finish_tail(&mut view, appender)?;
        }
        if view.tail.is_none() {
            self.begin_tail(&mut view, appender)?;
        }
        appender.dirty.segments.insert(view.end.segment);
        self.write(view.end.segment, view.end.offset, &block.bytes)?;
        for (level, hashes) in block.tiles.iter().enumerate().rev() {
            self.write_tiles(level as u8, block, hashes, appender)?;
        }
        view.advance(block.end_seq(), block.hash, block.bytes.len() as u64, &block.tally);
        self.publish(view, appender);
        Ok(())
    }

    /// Cuts what a failed append left above `end`. If that fails too, the next append writes over
    /// it, or the next open cuts it.
    fn take_back(&self, mut end: LedgerPosition, appender: &mut Appender) {
        let _ = self.list(self.dir()).and_then(|entries| self.cut_above(&mut end, &entries));
        appender.dirty.segments.retain(|number| *number <= end.segment);
        appender.dirty.levels.retain(|level| file_bytes(*level, end.end_seq).is_some());
    }

    /// Writes the footer of the unfinished segment.
    fn finish_tail(&self, view: &mut View, appender: &mut Appender) -> Result<()> {
        let (segment, footer) = finished(view)?;
        appender.dirty.segments.insert(segment.number);
        self.write(segment.number, segment.trailer.footer_offset, &footer)?;
        view.finish(segment);
        Ok(())
    }

    /// Makes the next segment, with its file header.
    fn begin_tail(&self, view: &mut View, appender: &mut Appender) -> Result<()> {
        let number = view.segment_count() + 1;
        let path = self.segment_path(number);
        appender.dirty.dir = true;
        appender.dirty.segments.insert(number);
        if let Err(error) = self.pool().create(&path, false) {
            // Left by an append that failed: everything above the end has been cut before.
            let left = self.pool().get(&path, Access::ReadWrite).map_err(|_| error)?;
            left.set_len(0).map_err(|error| Error::storage("truncate", &path, error))?;
        }
        self.write(number, 0, &self.segment_header(number).encode())?;
        view.begin(number, self.cache().new_file_id());
        Ok(())
    }

    fn write(&self, number: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.segment_path(number);
        let file = self.pool().get(&path, Access::ReadWrite)?;
        file.write_all_at(bytes, offset).map_err(|error| Error::storage("write", &path, error))
    }

    /// Writes the hashes of `level` that `block` completes. Higher levels are written first, so
    /// that whoever sees a block's leaf hashes sees everything above them.
    fn write_tiles(
        &self,
        level: u8,
        block: &SealedBlock,
        hashes: &[Hash],
        appender: &mut Appender,
    ) -> Result<()> {
        if hashes.is_empty() {
            return Ok(());
        }
        let first = hashes_at(level, block.first_seq);
        let path = self.tile_path(level);
        let file = match self.pool().get(&path, Access::ReadWrite) {
            Err(error) if is_not_found(&error) && first == 0 => {
                self.make_tiles_dir(appender)?;
                appender.dirty.tiles_dir = true;
                self.pool().create(&path, false)?
            }
            result => result?,
        };
        appender.dirty.levels.insert(level);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + hashes.len() * 32);
        if first == 0 {
            bytes.extend_from_slice(&self.tile_header(level).encode());
        }
        #[cfg(bug = "skip_tile")]
        let hashes = if block.header.id % 7 == 5 { &hashes[..hashes.len() - 1] } else { hashes };
        bytes.extend_from_slice(hashes.as_flattened());
        let offset = if first == 0 { 0 } else { hash_offset(first) };
        file.write_all_at(&bytes, offset).map_err(|error| Error::storage("write", &path, error))
    }

    fn make_tiles_dir(&self, appender: &mut Appender) -> Result<()> {
        if !appender.tiles_dir_made {
            let dir = self.tiles_dir();
            let made = self.pool().vfs().create_dir(&dir);
            made.map_err(|error| Error::storage("create", &dir, error))?;
            appender.tiles_dir_made = true;
            appender.dirty.dir = true;
        }
        Ok(())
    }

    /// Makes everything appended before this call durable and returns where that ends. After a
    /// failed sync nothing is known about the bytes written before; the caller stops writing.
    pub fn sync(&self) -> Result<LedgerPosition> {
        let (position, dirty) = {
            let mut appender = self.lock();
            (self.current().end, std::mem::take(&mut appender.dirty))
        };
        let result = self.sync_files(&dirty);
        if result.is_err() {
            self.lock().dirty.merge(dirty);
        }
        result.map(|()| position)
    }

    fn sync_files(&self, dirty: &Dirty) -> Result<()> {
        let segments = dirty.segments.iter().map(|number| self.segment_path(*number));
        let levels = dirty.levels.iter().map(|level| self.tile_path(*level));
        for path in segments.chain(levels) {
            let file = self.pool().get(&path, Access::ReadWrite)?;
            file.sync_data().map_err(|error| Error::storage("sync", &path, error))?;
        }
        if dirty.tiles_dir {
            self.sync_dir(&self.tiles_dir())?;
        }
        if dirty.dir {
            self.sync_dir(self.dir())?;
        }
        Ok(())
    }

    /// Makes the entries of a folder durable.
    pub fn sync_dir(&self, dir: &std::path::Path) -> Result<()> {
        let synced = self.pool().vfs().sync_dir(dir);
        synced.map_err(|error| Error::storage("sync", dir, error))
    }
}

/// The unfinished segment of `view` as it will be when finished, and its footer.
pub(super) fn finished(view: &View) -> Result<(Segment, Vec<u8>)> {
    let missing = || Error::new(Code::Internal, "the unfinished segment has no index");
    let tail = view.tail.as_ref().ok_or_else(missing)?;
    let index = tail.index.as_ref().ok_or_else(missing)?;
    let first = index.first().ok_or_else(missing)?;
    let trailer = Trailer {
        footer_offset: view.end.offset,
        entries: index.len(),
        first_block: first.block,
        blocks: view.end.blocks - first.block,
        first_seq: first.first_seq,
        end_seq: view.end.end_seq,
        head: view.end.head,
        purged: false,
    };
    let footer = index.footer(&trailer);
    Ok((Segment::new(tail.number, tail.file_id, trailer), footer))
}
