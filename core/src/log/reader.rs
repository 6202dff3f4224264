//! Single frames read back while the log is in use, by places the caller kept from writing or from
//! `replay`. Frames never change, so no lock on the writer is needed; only the recycling of a
//! segment must wait until nobody reads there, and that is what a [`Reading`] holds off.
//!
//! Nothing is taken from a frame before its checksum held. Memory is one read-ahead or one frame,
//! whichever is larger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::folder::segment_name;
use super::frame::{FRAME_HEADER_BYTES, Frame, Header};
use super::{LogWriter, Position};
use crate::disk::Access;
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};

/// Frames this close together are read in one piece.
const SPAN_BYTES_MAX: u64 = 1 << 20;
/// Bytes of other frames between two wanted ones that are still cheaper to read than a second call.
const GAP_BYTES_MAX: u64 = 32 << 10;

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Its first byte.
    pub start: Position,
    /// Its length, as `frame_bytes` gives it.
    pub bytes: u32,
}

impl FramePlace {
    fn end(&self) -> u64 {
        self.start.offset + u64::from(self.bytes)
    }
}

/// Reads frames of the log of one folder.
#[derive(Debug)]
pub struct FrameReader {
    pool: Arc<FilePool>,
    dir: PathBuf,
    recycling: RwLock<()>,
}

impl FrameReader {
    /// A reader of the log in `dir`, with handles from `pool`.
    pub fn new(pool: Arc<FilePool>, dir: &Path) -> Self {
        FrameReader { pool, dir: dir.to_owned(), recycling: RwLock::new(()) }
    }

    /// The path of a segment, for the words of an error.
    pub fn segment_path(&self, generation: u64) -> PathBuf {
        self.dir.join(segment_name(generation))
    }

    /// Keeps segments from being recycled as long as the value lives. Take it before looking up the
    /// places to read, so that they are still there.
    pub fn hold(&self) -> Reading<'_> {
        Reading { reader: self, _recycling: self.recycling.read() }
    }

    /// [`LogWriter::retire`], once nobody reads.
    pub fn retire(&self, log: &mut LogWriter, before_generation: u64) -> Result<()> {
        let _recycling = self.recycling.write();
        for (generation, _) in log.segments() {
            if generation < before_generation {
                self.pool.forget(&self.segment_path(generation));
            }
        }
        log.retire(before_generation)
    }
}

/// The right to read frames.
#[derive(Debug)]
pub struct Reading<'a> {
    reader: &'a FrameReader,
    _recycling: RwLockReadGuard<'a, ()>,
}

impl Reading<'_> {
    /// Hands the frames at `places`, which ascend, to `each`. A place without that frame is
    /// `corrupt`.
    pub fn read(
        &self,
        places: &[FramePlace],
        each: &mut dyn FnMut(Frame) -> Result<()>,
    ) -> Result<()> {
        let mut rest = places;
        let mut bytes = Vec::new();
        while !rest.is_empty() {
            let (span, behind) = rest.split_at(span(rest));
            self.read_span(span, &mut bytes, each)?;
            rest = behind;
        }
        Ok(())
    }

    fn read_span(
        &self,
        span: &[FramePlace],
        bytes: &mut Vec<u8>,
        each: &mut dyn FnMut(Frame) -> Result<()>,
    ) -> Result<()> {
        let (start, end) = (span[0].start, span[span.len() - 1].end());
        let path = self.reader.segment_path(start.generation);
        let file = self.reader.pool.get(&path, Access::Read)?;
        bytes.resize((end - start.offset) as usize, 0);
        file.read_exact_at(bytes, start.offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&path, start.offset, "the segment ends before a frame it held")
            }
            _ => Error::storage("read", &path, error),
        })?;
        for place in span {
            let at = (place.start.offset - start.offset) as usize;
            each(open(&bytes[at..at + place.bytes as usize], place.start, &path)?)?;
        }
        Ok(())
    }
}

/// How many of `places` are read in one piece: at least one.
fn span(places: &[FramePlace]) -> usize {
    let first = places[0];
    let joins = |pair: &[FramePlace]| {
        let (before, next) = (pair[0], pair[1]);
        next.start.generation == first.start.generation
            && next.start.offset >= before.end()
            && next.start.offset - before.end() <= GAP_BYTES_MAX
            && next.end() - first.start.offset <= SPAN_BYTES_MAX
    };
    1 + places.windows(2).take_while(|pair| joins(pair)).count()
}

/// The frame that `bytes` are, at `start`.
fn open(bytes: &[u8], start: Position, path: &Path) -> Result<Frame> {
    let damaged = |what: &str| Error::corrupt(path, start.offset, what);
    let head = bytes.first_chunk::<FRAME_HEADER_BYTES>();
    let header = Header::decode(head.ok_or_else(|| damaged("no whole frame header"))?);
    let whole = header.generation == start.generation && header.frame_bytes() == Some(bytes.len());
    if !whole || !header.matches(bytes) {
        return Err(damaged("a frame that was written here does not match its checksum any more"));
    }
    header.open(bytes, start).map_err(|(code, what)| match code {
        Code::Corrupt => damaged(&what),
        _ => Error::new(code, format!("{what} ({} at byte {})", path.display(), start.offset)),
    })
}
