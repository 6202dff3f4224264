//! The write-ahead log of a node: what is accepted and not yet safe in the ledger. One log serves
//! all shards, so one fdatasync commits a group of entries over many collections.
//!
//! ```text
//!   append ── group buffer ── write ──> live segment ── sync ──> acknowledged
//!                               │ (does not fit)
//!                               └─ End frame, sync, next segment made live
//!
//!   log/wal_0000000007.log   [header][frame][frame]…[End]          complete
//!   log/wal_0000000008.log   [header][frame][frame]…[zeros|stale]  live
//!   log/spare_1.tmp          an old segment waiting to be used again
//! ```
//!
//! Promises:
//! - A frame that ends at or before [`LogWriter::synced_end`] is found by [`replay`] after a crash,
//!   with every frame before it, or `replay` says which file and byte are damaged.
//! - Frames are physically append-only. A frame never spans segments, and a group is never split.
//! - Garbage never lies behind new frames: after a restart the torn tail is cut and a new
//!   generation begins; a group that met a full disk is cut off before the next one is written.
//! - The checksum is seeded with shard and generation, so frames of a segment's earlier life never
//!   look valid in its next one.
//! - After a failed write or sync the writer is poisoned for good. No sync is ever tried twice:
//!   after a failed one the kernel may drop the pages and call the next one a success (Rebello et
//!   al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
//!
//! The torn-tail rule ([`replay`] applies it, `tail.rs` finds the evidence): a bad frame is damage
//! if anything shows that it was once synced: a newer segment, a later frame of the same generation
//! whose watermark lies beyond it, the caller's `known_end`, or a file already cut to its length.
//! Otherwise it is the torn write of a group that was never acknowledged.
//!
//! Not here: who commits (the shard room), what an entry means, and what a `Truncate` or `State`
//! frame does to a shard: those payloads are opaque to the log.

mod finish;
mod folder;
mod frame;
mod live;
mod reader;
mod replay;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use frame::{APPLY_VERSION, FRAME_HEADER_BYTES, Frame, FrameKind, FrameMeta};
pub use frame::{PAYLOAD_BYTES_MAX, frame_bytes};
pub use reader::{FramePlace, FrameReader, Reading};
pub use replay::{Recovered, replay};
pub use sync::SyncHandle;
pub use writer::LogWriter;

/// The usual size of a segment: rotation is rare, and a restart reads no more than one idle tail.
pub const SEGMENT_BYTES_DEFAULT: u64 = 16 << 20;

/// What a [`LogWriter`] needs to know.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of a segment in bytes, rounded up to whole pages of 4096; a larger group gets a larger
    /// segment. At most 4 GiB.
    pub segment_bytes: u64,
    /// The database the log belongs to; stands in every segment's header.
    pub database_id: [u8; 16],
}

impl LogOptions {
    /// Default segment size for database `database_id`.
    pub fn new(database_id: [u8; 16]) -> Self {
        LogOptions { segment_bytes: SEGMENT_BYTES_DEFAULT, database_id }
    }
}

/// A place in the log: a segment's generation and a byte offset in its file. Later places are
/// greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Generation of the segment: 1 for the first of a database, one more for each new segment.
    pub generation: u64,
    /// Bytes from the start of the file.
    pub offset: u64,
}
