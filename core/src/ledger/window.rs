//! Sequential reading of one file through a buffer, past the block cache: for walks over blocks,
//! verification, purges and streaming reads, which would only push useful pieces out of the cache.
//! Never allocates more than the file can fill.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::block::{BlockHead, FrameRef, HEAD_FIXED_BYTES};
use crate::disk::VfsFile;
use crate::disk::header::{FileHeader, HEADER_BYTES};
use crate::error::{Error, Result};

/// Bytes read at once when streaming.
pub(super) const STREAM_BYTES: usize = 256 << 10;
/// Bytes read at once when hopping from head to head: most heads of small blocks, and few wasted
/// bytes when blocks are large.
pub(super) const HOP_BYTES: usize = 16 << 10;

/// A file up to this size is read at once.
const SMALL_FILE_BYTES: usize = 16 << 10;

/// LZ4 cannot expand more than this; it bounds what a damaged directory makes us allocate.
const EXPANSION_MAX: usize = 256;

/// A buffered view of an open file that moves forward.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    file_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
    read_bytes: usize,
}

impl Window {
    /// A window that reads `read_bytes` at once.
    pub fn new(file: Arc<dyn VfsFile>, path: PathBuf, read_bytes: usize) -> Result<Self> {
        let file_bytes = file.size().map_err(|error| Error::storage("size", &path, error))?;
        Ok(Window { file, path, file_bytes, start: 0, buffer: Vec::new(), read_bytes })
    }

    /// Checks that the file begins with `header`.
    pub fn check_header(&mut self, header: &FileHeader) -> Result<()> {
        if self.is_small() && self.file_bytes >= HEADER_BYTES as u64 {
            let path = self.path.clone();
            if let Some(bytes) = self.get(0, HEADER_BYTES)?.and_then(|bytes| bytes.try_into().ok())
            {
                return header.check(bytes, &path);
            }
        }
        header.read(self.file.as_ref(), &self.path)
    }

    fn is_small(&self) -> bool {
        self.file_bytes <= SMALL_FILE_BYTES.min(self.read_bytes) as u64
    }

    /// The window and another one on the same file.
    pub fn twice(self) -> [Window; 2] {
        let twin =
            Window { buffer: Vec::new(), path: self.path.clone(), file: self.file.clone(), ..self };
        [twin, self]
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length when the window was made.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// `size` bytes at `offset`, or `None` if the file ends before.
    pub fn get(&mut self, offset: u64, size: usize) -> Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(size as u64).filter(|end| *end <= self.file_bytes)
        else {
            return Ok(None);
        };
        let held_end = self.start + self.buffer.len() as u64;
        if offset < self.start || end > held_end {
            // A small file is read whole: thousands of such are opened at once.
            let from = if self.is_small() { 0 } else { offset };
            let left = usize::try_from(self.file_bytes - from).unwrap_or(usize::MAX);
            self.buffer.resize(size.max(self.read_bytes).min(left), 0);
            self.start = from;
            let read = self.file.read_exact_at(&mut self.buffer, from);
            if let Err(error) = read {
                self.buffer.clear();
                return match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => Ok(None),
                    _ => Err(Error::storage("read", &self.path, error)),
                };
            }
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.buffer[at..at + size]))
    }

    /// The block head at `offset`, of a block that ends at `limit` or before.
    pub fn head(&mut self, offset: u64, limit: u64) -> Result<BlockHead> {
        let path = self.path.clone();
        let wrong = |what: &str| Error::corrupt(&path, offset, what);
        let fixed = self.get(offset, HEAD_FIXED_BYTES)?;
        let fixed = fixed.ok_or_else(|| wrong("the file ends inside a block head"))?;
        let head_bytes = BlockHead::head_bytes(fixed).map_err(wrong)?;
        let bytes = self.get(offset, head_bytes)?;
        let bytes = bytes.ok_or_else(|| wrong("the file ends inside a block head"))?;
        let head = BlockHead::parse(Bytes::copy_from_slice(bytes)).map_err(wrong)?;
        match offset.checked_add(head.block_bytes()) {
            Some(end) if end <= limit => Ok(head),
            _ => Err(wrong("the block reaches beyond the end of the ledger")),
        }
    }

    /// The stored bytes of a frame of the block at `block_offset`, checked.
    pub fn stored(&mut self, block_offset: u64, frame: &FrameRef) -> Result<&[u8]> {
        let offset = block_offset + frame.offset;
        let path = self.path.clone();
        let stored = self.get(offset, frame.stored_bytes)?;
        let stored =
            stored.ok_or_else(|| Error::corrupt(&path, offset, "the file ends inside a frame"))?;
        check_frame(stored, frame, &path, offset)?;
        Ok(stored)
    }

    /// The raw bytes of a frame of the block at `block_offset`.
    pub fn frame(&mut self, block_offset: u64, frame: &FrameRef) -> Result<Bytes> {
        let path = self.path.clone();
        let stored = self.stored(block_offset, frame)?;
        let offset = block_offset + frame.offset;
        Ok(frame.codec.decompress(stored, frame.raw_bytes, &path, offset)?.into())
    }
}

/// Refuses stored bytes that are not what the directory says.
pub(super) fn check_frame(stored: &[u8], frame: &FrameRef, path: &Path, offset: u64) -> Result<()> {
    if crc32c::crc32c(stored) != frame.crc {
        return Err(Error::corrupt(path, offset, "the frame does not match its checksum"));
    }
    if frame.raw_bytes / EXPANSION_MAX > stored.len() {
        return Err(Error::corrupt(path, offset, "the frame cannot expand to its stated length"));
    }
    Ok(())
}
