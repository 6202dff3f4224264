//! One state of a ledger as readers see it: where it ends and which segments it has. A view never
//! changes; whoever changes the files publishes the next one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::footer::{IndexEntry, SparseIndex, Trailer};
use super::leaf::Tally;
use super::position::LedgerPosition;
use crate::disk::header::HEADER_BYTES;
use crate::proof::Hash;
use crate::table::cache::BlockCache;

/// A finished segment, as its trailer describes it.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u32,
    pub file_id: u64,
    pub trailer: Trailer,
    /// The index of a segment that needs a single page: at most 3 KiB for a whole segment spare
    /// every read a look into the cache.
    pub page: OnceLock<Bytes>,
}

impl Segment {
    /// A segment whose index was not looked at.
    pub fn new(number: u32, file_id: u64, trailer: Trailer) -> Segment {
        Segment { number, file_id, trailer, page: OnceLock::new() }
    }
}

/// Finished segments in order, each loaded when first needed; segment numbers begin at 1.
pub(super) type Finished = Vec<OnceLock<Arc<Segment>>>;

/// The segment that grows.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub number: u32,
    pub file_id: u64,
    /// `None` until the first read or append walks the segment.
    pub index: Option<SparseIndex>,
}

/// One state of the ledger; replaced as a whole.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub end: LedgerPosition,
    pub finished: Arc<Finished>,
    pub tail: Option<Tail>,
    /// Grows when files are replaced under their names: what an older view says may be gone.
    pub epoch: u64,
    /// Under which cached rows are found; another one in each epoch.
    pub rows_id: u64,
}

impl View {
    /// What is known at `position` without a look at the files.
    pub fn at(position: LedgerPosition, cache: &BlockCache, epoch: u64) -> View {
        let finished = position.segment.saturating_sub(1) as usize;
        let tail = (position.segment > 0).then(|| Tail {
            number: position.segment,
            file_id: cache.new_file_id(),
            index: None,
        });
        let finished = Arc::new(vec![OnceLock::new(); finished]);
        View { end: position, finished, tail, epoch, rows_id: cache.new_file_id() }
    }

    /// Whether the tail was walked.
    pub fn is_loaded(&self) -> bool {
        self.tail.as_ref().is_none_or(|tail| tail.index.is_some())
    }

    /// Takes the last segment as finished by a purge.
    pub fn adopt(&mut self, segment: Segment) {
        self.end.offset = segment.trailer.footer_offset;
        self.finish(segment);
    }

    /// Moves the last segment to the finished ones.
    pub fn finish(&mut self, segment: Segment) {
        let mut finished = Finished::clone(&self.finished);
        finished.push(OnceLock::from(Arc::new(segment)));
        self.finished = Arc::new(finished);
        self.tail = None;
    }

    /// The same view without what was loaded of the segments. File ids stay, so that cached pieces
    /// stay of use.
    pub fn forget_indexes(&mut self) {
        if let Some(tail) = &mut self.tail {
            tail.index = None;
        }
        let forget = |cell: &OnceLock<Arc<Segment>>| match cell.get() {
            None => OnceLock::new(),
            Some(old) => Arc::new(Segment::new(old.number, old.file_id, old.trailer)).into(),
        };
        self.finished = Arc::new(self.finished.iter().map(forget).collect());
    }

    /// Segments there are.
    pub fn segment_count(&self) -> u32 {
        self.finished.len() as u32 + u32::from(self.tail.is_some())
    }

    /// Starts segment `number`.
    pub fn begin(&mut self, number: u32, file_id: u64) {
        self.tail = Some(Tail { number, file_id, index: Some(Default::default()) });
        self.end.segment = number;
        self.end.offset = HEADER_BYTES as u64;
        self.end.segment_raw_bytes = 0;
    }

    /// Moves the end behind a block of `block_bytes` bytes.
    pub fn advance(&mut self, end_seq: u64, hash: Hash, block_bytes: u64, tally: &Tally) {
        let end = &mut self.end;
        if let Some(index) = self.tail.as_mut().and_then(|tail| tail.index.as_mut()) {
            index.note(IndexEntry {
                first_seq: end.end_seq,
                block: end.blocks,
                offset: end.offset,
            });
        }
        end.last_time_us = match end.blocks {
            0 => tally.last_time_us,
            _ => end.last_time_us.max(tally.last_time_us),
        };
        end.offset += block_bytes;
        end.segment_raw_bytes = end.segment_raw_bytes.saturating_add(tally.raw_bytes);
        end.end_seq = end_seq;
        end.blocks += 1;
        end.head = hash;
        end.records += tally.records;
        end.keys += tally.keys;
        end.body_bytes = end.body_bytes.saturating_add(tally.body_bytes);
    }
}
