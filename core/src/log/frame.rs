//! The frame: one entry of the log as bytes. Layout, checksum and limits live here, nowhere else;
//! `docs/format/log.md` says the same in prose. Reading checks every length before it slices, and
//! takes nothing from a frame before its checksum held.

use bytes::Bytes;

use super::Position;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Code, Error, Result};
use crate::limits::{BATCH_BYTES_MAX, REQUEST_ID_BYTES_MAX};

/// Bytes of a frame before its request id.
pub const FRAME_HEADER_BYTES: usize = 64;
/// The version of entries this build writes and can apply.
pub const APPLY_VERSION: u8 = 1;
/// The largest payload: a maximal batch of documents, with keys and salts of its records on top.
pub const PAYLOAD_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Frames start at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;
/// Room kept free in a segment for the frame that ends it.
pub(super) const ENDER_BYTES_MAX: u64 = 72;
/// The unit in which a disk tears writes, and in which a live segment's file grows.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Where the first frame of a segment starts.
pub(super) const FIRST_FRAME: u64 = HEADER_BYTES as u64;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// An entry of a shard.
    Entry = 1,
    /// The suffix of a shard's entries from an index on is void; the payload is that index (u64,
    /// little-endian).
    Truncate = 2,
    /// The segment is complete; a newer one follows. Written by the log itself.
    End = 3,
    /// The log was closed in order. Written by the log itself.
    Close = 4,
    /// Opaque state of a shard, such as a Raft vote; the newest counts.
    State = 5,
}

impl FrameKind {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => FrameKind::Entry,
            2 => FrameKind::Truncate,
            3 => FrameKind::End,
            4 => FrameKind::Close,
            5 => FrameKind::State,
            _ => return None,
        })
    }

    /// Whether the log writes this kind itself, as the last frame of a segment.
    pub(super) fn ends_segment(self) -> bool {
        matches!(self, FrameKind::End | FrameKind::Close)
    }
}

/// What the caller says of a frame it appends.
#[derive(Clone, Copy, Debug)]
pub struct FrameMeta<'a> {
    /// The shard the frame belongs to.
    pub shard: u32,
    /// Entry, Truncate or State.
    pub kind: FrameKind,
    /// Raft term; 0 when embedded.
    pub term: u64,
    /// Index of the entry within its shard.
    pub index: u64,
    /// The client's idempotency token, at most 64 bytes, empty if none.
    pub request_id: &'a [u8],
    /// The transaction, zeros if none.
    pub txn: [u8; 16],
}

/// A frame read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The shard the frame belongs to.
    pub shard: u32,
    /// Entry, Truncate or State.
    pub kind: FrameKind,
    /// Raft term.
    pub term: u64,
    /// Index of the entry within its shard.
    pub index: u64,
    /// The client's idempotency token.
    pub request_id: Bytes,
    /// The transaction, zeros if none.
    pub txn: [u8; 16],
    /// The content, as appended.
    pub payload: Bytes,
    /// The place right behind the frame: what `append` returned for it.
    pub position: Position,
    /// The version of the payload's meaning.
    pub apply_version: u8,
}

impl Frame {
    /// The place of the frame's first byte.
    pub fn start(&self) -> Position {
        let bytes = frame_bytes(self.request_id.len(), self.payload.len()) as u64;
        Position { offset: self.position.offset - bytes, ..self.position }
    }
}

/// Bytes on disk of a frame with a request id and a payload of these lengths.
pub fn frame_bytes(request_id_bytes: usize, payload_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + request_id_bytes + payload_bytes).next_multiple_of(ALIGN_BYTES)
}

/// The first 64 bytes of a frame, decoded and not yet trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub sum: u32,
    pub payload_bytes: u32,
    pub generation: u64,
    pub shard: u32,
    pub kind: u8,
    pub apply_version: u8,
    pub request_id_bytes: u8,
    pub reserved: u8,
    pub term: u64,
    pub index: u64,
    pub watermark: u64,
    pub txn: [u8; 16],
}

fn u32_at(bytes: &[u8; FRAME_HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8; FRAME_HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Header {
    /// The generation alone, for a search.
    pub fn generation(bytes: &[u8; FRAME_HEADER_BYTES]) -> u64 {
        u64_at(bytes, 8)
    }

    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        Header {
            sum: u32_at(bytes, 0),
            payload_bytes: u32_at(bytes, 4),
            generation: Header::generation(bytes),
            shard: u32_at(bytes, 16),
            kind: bytes[20],
            apply_version: bytes[21],
            request_id_bytes: bytes[22],
            reserved: bytes[23],
            term: u64_at(bytes, 24),
            index: u64_at(bytes, 32),
            watermark: u64_at(bytes, 40),
            txn: bytes[48..64].try_into().expect("sixteen bytes"),
        }
    }

    /// Bytes of the whole frame, or none if a length is beyond what is ever written.
    pub fn frame_bytes(&self) -> Option<usize> {
        let payload_bytes = self.payload_bytes as usize;
        let request_id_bytes = self.request_id_bytes as usize;
        let fits = payload_bytes <= PAYLOAD_BYTES_MAX && request_id_bytes <= REQUEST_ID_BYTES_MAX;
        fits.then(|| frame_bytes(request_id_bytes, payload_bytes))
    }

    /// Whether a frame that did not arrive whole may have begun like this at `offset`.
    pub fn is_plausible(&self, offset: u64) -> bool {
        let known = FrameKind::from_number(self.kind).is_some() && self.apply_version != 0;
        known && self.reserved == 0 && (FIRST_FRAME..=offset).contains(&self.watermark)
    }

    /// Whether `frame`, all of its bytes, matches the checksum.
    pub fn matches(&self, frame: &[u8]) -> bool {
        checksum(self.generation, self.shard, frame) == self.sum
    }

    /// The frame's content and kind, once [`Header::matches`] held. `Err` says in words what a
    /// reader of this version cannot have written (`corrupt`) or does not know (`unsupported`).
    pub fn open(&self, frame: &[u8], start: Position) -> Result<Frame, (Code, String)> {
        let newer = |what: String| (Code::Unsupported, what);
        let Some(kind) = FrameKind::from_number(self.kind) else {
            return Err(newer(format!("a frame of kind {} needs a newer BlockDB", self.kind)));
        };
        if self.apply_version > APPLY_VERSION || self.reserved != 0 {
            let version = self.apply_version;
            return Err(newer(format!("an entry of version {version} needs a newer BlockDB")));
        }
        let id_end = FRAME_HEADER_BYTES + self.request_id_bytes as usize;
        let payload_end = id_end + self.payload_bytes as usize;
        let blank = frame[payload_end..].iter().all(|byte| *byte == 0);
        if self.apply_version == 0 || self.watermark > start.offset || !blank {
            return Err((Code::Corrupt, "a frame that BlockDB never writes".into()));
        }
        Ok(Frame {
            shard: self.shard,
            kind,
            term: self.term,
            index: self.index,
            request_id: Bytes::copy_from_slice(&frame[FRAME_HEADER_BYTES..id_end]),
            txn: self.txn,
            payload: Bytes::copy_from_slice(&frame[id_end..payload_end]),
            position: Position { offset: start.offset + frame.len() as u64, ..start },
            apply_version: self.apply_version,
        })
    }
}

/// CRC-32C over generation and shard, then over the frame behind its checksum.
fn checksum(generation: u64, shard: u32, frame: &[u8]) -> u32 {
    let mut seed = [0; 12];
    seed[..8].copy_from_slice(&generation.to_le_bytes());
    seed[8..].copy_from_slice(&shard.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), &frame[4..])
}

/// Adds a frame to `group` and returns the place of its payload there. Generation, watermark and
/// checksum stay zero until [`stamp`] knows them.
pub(super) fn push<'g>(
    group: &'g mut Vec<u8>,
    meta: &FrameMeta<'_>,
    payload_bytes: usize,
) -> Result<&'g mut [u8]> {
    let id = meta.request_id;
    if id.len() > REQUEST_ID_BYTES_MAX {
        let (found, max) = (id.len() as u64, REQUEST_ID_BYTES_MAX as u64);
        return Err(Error::too_large("request id bytes", found, max));
    }
    if payload_bytes > PAYLOAD_BYTES_MAX {
        let (found, max) = (payload_bytes as u64, PAYLOAD_BYTES_MAX as u64);
        return Err(Error::too_large("log entry bytes", found, max));
    }
    let start = group.len();
    group.resize(start + frame_bytes(id.len(), payload_bytes), 0);
    let frame = &mut group[start..];
    frame[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    frame[16..20].copy_from_slice(&meta.shard.to_le_bytes());
    frame[20] = meta.kind as u8;
    frame[21] = APPLY_VERSION;
    frame[22] = id.len() as u8;
    frame[24..32].copy_from_slice(&meta.term.to_le_bytes());
    frame[32..40].copy_from_slice(&meta.index.to_le_bytes());
    frame[48..64].copy_from_slice(&meta.txn);
    let id_end = FRAME_HEADER_BYTES + id.len();
    frame[FRAME_HEADER_BYTES..id_end].copy_from_slice(id);
    Ok(&mut frame[id_end..id_end + payload_bytes])
}

/// Completes every frame of `group` for the segment it is about to be written to.
pub(super) fn stamp(group: &mut [u8], generation: u64, watermark: u64) {
    let mut rest = group;
    while let Some(bytes) = rest.first_chunk::<FRAME_HEADER_BYTES>() {
        let header = Header::decode(bytes);
        let size = header.frame_bytes().expect("push checked both lengths");
        let (frame, behind) = rest.split_at_mut(size);
        frame[8..16].copy_from_slice(&generation.to_le_bytes());
        frame[40..48].copy_from_slice(&watermark.to_le_bytes());
        let sum = checksum(generation, header.shard, frame);
        frame[..4].copy_from_slice(&sum.to_le_bytes());
        rest = behind;
    }
}

/// The frame that ends a segment at `start`. Its own end is never a multiple of the sector size:
/// so the length a finished file is cut to differs from every length a live one can have.
pub(super) fn ender(kind: FrameKind, start: Position, watermark: u64) -> Vec<u8> {
    let plain_end = start.offset + FRAME_HEADER_BYTES as u64;
    let payload_bytes = if plain_end.is_multiple_of(SECTOR_BYTES) { ALIGN_BYTES } else { 0 };
    let meta = FrameMeta { shard: 0, kind, term: 0, index: 0, request_id: &[], txn: [0; 16] };
    let mut bytes = Vec::new();
    push(&mut bytes, &meta, payload_bytes).expect("eight bytes are no large payload");
    stamp(&mut bytes, start.generation, watermark);
    bytes
}
