//! A reader's window on one segment file: reads ahead a megabyte at a time, and hands out slices.
//! Holds at most one frame or one read-ahead, whichever is larger.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::segment_name;
use super::frame::{FRAME_HEADER_BYTES, Header};
use crate::disk::header::{FileHeader, FileKind};
use crate::disk::{Access, Vfs, VfsFile};
use crate::error::{Error, Result};

const READ_BYTES: u64 = 1 << 20;

/// The identity of the segment of `generation`.
pub(super) fn file_header(database_id: [u8; 16], generation: u64) -> FileHeader {
    // The header's field is 32 bits; every frame repeats the generation in full.
    FileHeader { kind: FileKind::LogSegment, owner: database_id, number: generation as u32 }
}

/// One segment open for reading.
pub(super) struct Window {
    file: Arc<dyn VfsFile>,
    pub path: PathBuf,
    pub generation: u64,
    pub size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Opens the segment of `generation` and checks its file header.
    pub fn open(vfs: &dyn Vfs, dir: &Path, database_id: [u8; 16], generation: u64) -> Result<Self> {
        let path = dir.join(segment_name(generation));
        let file =
            vfs.open(&path, Access::Read).map_err(|error| Error::storage("open", &path, error))?;
        file_header(database_id, generation).read(&*file, &path)?;
        let size = file.size().map_err(|error| Error::storage("size", &path, error))?;
        Ok(Window { file, path, generation, size, start: 0, bytes: Vec::new() })
    }

    /// A second window on the same segment.
    pub fn another(&self) -> Self {
        let (file, path) = (self.file.clone(), self.path.clone());
        Window { file, path, bytes: Vec::new(), ..*self }
    }

    /// The `count` bytes at `offset`; the caller has checked that the file holds them.
    pub fn get(&mut self, offset: u64, count: usize) -> Result<&[u8]> {
        let end = offset + count as u64;
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let wanted = READ_BYTES.min(self.size - offset).max(count as u64);
            self.bytes.resize(wanted as usize, 0);
            self.start = offset;
            let read = self.file.read_exact_at(&mut self.bytes, offset);
            if let Err(error) = read {
                self.bytes.clear();
                return Err(match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        Error::corrupt(&self.path, offset, "the file became shorter while read")
                    }
                    _ => Error::storage("read", &self.path, error),
                });
            }
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + count])
    }

    /// The frame header at `offset`, if the file holds that many bytes.
    pub fn header(&mut self, offset: u64) -> Result<Option<Header>> {
        self.header_if(offset, 0..=u64::MAX)
    }

    /// The same, but only for one of these generations; most bytes are sorted out by that.
    pub fn header_if(
        &mut self,
        offset: u64,
        generations: RangeInclusive<u64>,
    ) -> Result<Option<Header>> {
        if offset + FRAME_HEADER_BYTES as u64 > self.size {
            return Ok(None);
        }
        let bytes = self.get(offset, FRAME_HEADER_BYTES)?;
        let bytes = bytes.first_chunk().expect("64 bytes were asked for");
        Ok(generations.contains(&Header::generation(bytes)).then(|| Header::decode(bytes)))
    }

    /// Whether the file holds a whole frame as long as `header` says, at `offset`; its length.
    pub fn extent(&self, header: &Header, offset: u64) -> Option<usize> {
        header.frame_bytes().filter(|bytes| *bytes as u64 <= self.size - offset)
    }
}
