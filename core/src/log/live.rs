//! The segment being written: how far it is written, synced and filled with zeros ahead. Filling
//! ahead keeps a commit's fdatasync from having to change the file's metadata; it goes in growing
//! steps, so that a tiny database has a tiny log. Whatever stands behind the last synced frame ends
//! with a whole sector, at any moment.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Position;
use super::frame::{ENDER_BYTES_MAX, FIRST_FRAME};
use crate::disk::VfsFile;

/// Files grow in whole pages.
pub(super) const PAGE_BYTES: u64 = 4096;
/// The first step of filling ahead.
pub(super) const FILL_BYTES_MIN: u64 = 256 << 10;
/// The largest step of filling ahead: about what a disk writes within one slow sync.
const FILL_BYTES_MAX: u64 = 4 << 20;

pub(super) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The segment frames are appended to.
#[derive(Debug)]
pub(super) struct Live {
    pub generation: u64,
    pub path: PathBuf,
    pub file: Arc<dyn VfsFile>,
    /// End of the written frames.
    pub end: u64,
    /// End of the frames known to be synced.
    pub synced: u64,
    /// Length of the file: zeros, or an earlier life's bytes, from `end` on.
    pub filled: u64,
    /// How long the file may become.
    pub capacity: u64,
}

impl Live {
    /// The capacity of a segment of usually `segment_bytes` that starts with a group this long.
    pub fn capacity_for(segment_bytes: u64, group_bytes: u64) -> u64 {
        let needed = FIRST_FRAME + group_bytes + ENDER_BYTES_MAX;
        needed.next_multiple_of(PAGE_BYTES).max(segment_bytes)
    }

    pub fn at(&self, offset: u64) -> Position {
        Position { generation: self.generation, offset }
    }

    /// Whether a group of `bytes` leaves room for the frame that ends the segment.
    pub fn fits(&self, bytes: u64) -> bool {
        self.end + bytes + ENDER_BYTES_MAX <= self.capacity
    }

    /// Writes zeros ahead so that `bytes` more, and an ender, lie within the file.
    pub fn fill_for(&mut self, bytes: u64) -> io::Result<()> {
        let needed = (self.end + bytes + ENDER_BYTES_MAX).min(self.capacity);
        if self.filled >= needed {
            return Ok(());
        }
        let step = self.filled.clamp(FILL_BYTES_MIN, FILL_BYTES_MAX);
        let target = (self.filled + step).max(needed).next_multiple_of(PAGE_BYTES);
        let target = target.min(self.capacity);
        while self.filled < target {
            let next = (self.filled + ZEROS.len() as u64) / PAGE_BYTES * PAGE_BYTES;
            let next = next.min(target);
            let count = (next - self.filled) as usize;
            self.file.write_all_at(&ZEROS[..count], self.filled)?;
            self.filled = next;
        }
        Ok(())
    }

    /// Drops everything behind the last good frame, after a write that met a full disk: cutting
    /// needs no space. Until it is filled ahead again, nothing stands behind the file's odd length.
    pub fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.filled = self.end;
        Ok(())
    }
}
