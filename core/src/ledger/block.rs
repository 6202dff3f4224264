//! A block on disk: its head (header fields, sizes and the directory of its frames), then leaf
//! frames, then body frames, with nothing between them. [`BlockHead`] is a checked view of the
//! head's bytes, [`BlockBuilder`] makes the bytes of a whole block.
//!
//! Every byte is covered by a checksum: the head by its own, each stored frame by the one in the
//! directory. A head that passed [`BlockHead::parse`] never makes later code read out of bounds.

use bytes::Bytes;

use super::frame::{BodyFrame, LeafFrame};
use super::leaf::PendingLeaf;
use crate::disk::compression::Compression;
use crate::error::{Error, Result};
use crate::proof::{BlockHeader, Hash};

const MAGIC: &[u8; 4] = b"BLCK";
/// Bytes of a block head before its directory.
pub(super) const HEAD_FIXED_BYTES: usize = 160;
/// Bytes of one directory entry.
const ENTRY_BYTES: usize = 17;
/// Decompressed bytes of one frame: a maximal body and room for its salt and offsets fit easily.
pub(super) const FRAME_RAW_BYTES_MAX: u32 = 1 << 28;

/// Decompressed bytes of a leaf frame: the largest frame size, one leaf too many and the offsets.
const LEAF_FRAME_RAW_BYTES_MAX: u32 = 1 << 18;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Leaves,
    Bodies,
}

/// One frame of a block, from the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameRef {
    /// The first leaf in it, counted within the block.
    pub first_leaf: u64,
    /// Leaves in it.
    pub count: usize,
    /// Where its stored bytes begin, counted from the block's first byte.
    pub offset: u64,
    /// Stored bytes.
    pub stored_bytes: usize,
    /// Bytes after decompression.
    pub raw_bytes: usize,
    /// CRC-32C of the stored bytes.
    pub crc: u32,
    /// How they are compressed.
    pub codec: Compression,
}

impl FrameRef {
    /// Whether leaf `leaf` of the block is in the frame.
    pub fn holds(&self, leaf: u64) -> bool {
        leaf >= self.first_leaf && leaf - self.first_leaf < self.count as u64
    }
}

/// A checked block head.
#[derive(Clone, Debug)]
pub(super) struct BlockHead {
    bytes: Bytes,
}

impl BlockHead {
    /// Bytes up to the end of the magic.
    pub const MAGIC_END: usize = 8;

    /// Whether a head may begin with these bytes.
    pub fn has_magic(bytes: &[u8]) -> bool {
        bytes.get(4..Self::MAGIC_END) == Some(MAGIC)
    }

    /// How many bytes the head has whose first [`HEAD_FIXED_BYTES`] are `fixed`.
    pub fn head_bytes(fixed: &[u8]) -> Result<usize, &'static str> {
        if fixed.len() < HEAD_FIXED_BYTES || &fixed[4..8] != MAGIC {
            return Err("no block begins here: wrong magic");
        }
        let frames = u64::from(u32_at(fixed, 16)) + u64::from(u32_at(fixed, 20));
        let expected = HEAD_FIXED_BYTES as u64 + frames * ENTRY_BYTES as u64;
        let head_bytes = u32_at(fixed, 8);
        if u64::from(head_bytes) != expected || head_bytes > u32_at(fixed, 12) {
            return Err("the sizes in the block head contradict each other");
        }
        Ok(head_bytes as usize)
    }

    /// Checks a whole head: checksum, sizes, and a directory that covers the block without a gap.
    pub fn parse(bytes: Bytes) -> Result<Self, &'static str> {
        if Self::head_bytes(&bytes)? != bytes.len() {
            return Err("the block head is cut short");
        }
        if crc32c::crc32c(&bytes[4..]) != u32_at(&bytes, 0) {
            return Err("the block head does not match its checksum");
        }
        let head = BlockHead { bytes };
        let end = head.first_seq().checked_add(head.count()).and_then(|seq| seq.checked_add(1));
        if end.is_none() || head.count() == 0 || head.count() > u64::from(u32::MAX) {
            return Err("the block's sequence numbers are impossible");
        }
        let end = head.check_frames(FrameKind::Leaves, head.bytes.len() as u64)?;
        let end = head.check_frames(FrameKind::Bodies, end)?;
        if end != head.block_bytes() {
            return Err("the block's frames do not fill it");
        }
        Ok(head)
    }

    /// A head that was parsed before and comes from the cache.
    pub fn cached(bytes: Bytes) -> Self {
        BlockHead { bytes }
    }

    /// The head's bytes, as on disk.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn check_frames(&self, kind: FrameKind, start: u64) -> Result<u64, &'static str> {
        let wrong = "the directory of the block's frames contradicts itself";
        let mut offset = start;
        let mut first_leaf = None;
        for index in 0..self.frame_count(kind) {
            let at = self.entry_at(kind, index);
            let first = u32_at(&self.bytes, at);
            let end = u64::from(u32_at(&self.bytes, at + 4));
            let raw_bytes = u32_at(&self.bytes, at + 8);
            let known = Compression::from_number(self.bytes[at + 16]).is_some();
            let ascends = first_leaf.map_or(first == 0, |previous| first > previous)
                && u64::from(first) < self.count();
            if !known || !ascends || end <= offset {
                return Err(wrong);
            }
            // Two bytes of offset table a leaf: what a directory claims bounds what readers allocate.
            let count = self.frame(kind, index).count as u64;
            let max = match kind {
                FrameKind::Leaves => LEAF_FRAME_RAW_BYTES_MAX,
                FrameKind::Bodies => FRAME_RAW_BYTES_MAX,
            };
            if raw_bytes > max || count > u64::from(raw_bytes) / 2 {
                return Err(wrong);
            }
            first_leaf = Some(first);
            offset = end;
        }
        first_leaf.map(|_| offset).ok_or(wrong)
    }

    /// Bytes of the whole block.
    pub fn block_bytes(&self) -> u64 {
        u64::from(u32_at(&self.bytes, 12))
    }

    /// Uncompressed size: encoded leaves and bodies, the header's included.
    pub fn raw_bytes(&self) -> u64 {
        u64_at(&self.bytes, 24)
    }

    /// The block's number.
    pub fn id(&self) -> u64 {
        u64_at(&self.bytes, 32)
    }

    /// Its first leaf.
    pub fn first_seq(&self) -> u64 {
        u64_at(&self.bytes, 40)
    }

    /// Its leaves without the header.
    pub fn count(&self) -> u64 {
        u64_at(&self.bytes, 48)
    }

    /// The sequence number after its header leaf.
    pub fn end_seq(&self) -> u64 {
        self.first_seq() + self.count() + 1
    }

    /// The hash of its header leaf, as stored.
    pub fn hash(&self) -> Hash {
        hash_at(&self.bytes, 128)
    }

    /// The header fields.
    pub fn header(&self) -> BlockHeader {
        BlockHeader {
            id: self.id(),
            previous_hash: hash_at(&self.bytes, 64),
            first_seq: self.first_seq(),
            count: self.count(),
            merkle_root: hash_at(&self.bytes, 96),
            timestamp: u64_at(&self.bytes, 56) as i64,
        }
    }

    /// Frames of `kind`.
    pub fn frame_count(&self, kind: FrameKind) -> usize {
        u32_at(&self.bytes, if kind == FrameKind::Leaves { 16 } else { 20 }) as usize
    }

    fn entry_at(&self, kind: FrameKind, index: usize) -> usize {
        let before = match kind {
            FrameKind::Leaves => 0,
            FrameKind::Bodies => self.frame_count(FrameKind::Leaves),
        };
        HEAD_FIXED_BYTES + (before + index) * ENTRY_BYTES
    }

    /// Frame `index` of `kind`.
    pub fn frame(&self, kind: FrameKind, index: usize) -> FrameRef {
        let at = self.entry_at(kind, index);
        let first_leaf = u64::from(u32_at(&self.bytes, at));
        let end_leaf = match index + 1 < self.frame_count(kind) {
            true => u64::from(u32_at(&self.bytes, at + ENTRY_BYTES)),
            false => self.count(),
        };
        let offset = match at {
            HEAD_FIXED_BYTES => self.bytes.len() as u64,
            _ => u64::from(u32_at(&self.bytes, at + 4 - ENTRY_BYTES)),
        };
        let end = u64::from(u32_at(&self.bytes, at + 4));
        FrameRef {
            first_leaf,
            count: end_leaf.saturating_sub(first_leaf) as usize,
            offset,
            stored_bytes: end.saturating_sub(offset) as usize,
            raw_bytes: u32_at(&self.bytes, at + 8) as usize,
            crc: u32_at(&self.bytes, at + 12),
            codec: Compression::from_number(self.bytes[at + 16]).unwrap_or(Compression::None),
        }
    }

    /// The frame of `kind` that holds leaf `leaf` of the block.
    pub fn frame_of(&self, kind: FrameKind, leaf: u64) -> FrameRef {
        let (mut low, mut high) = (0, self.frame_count(kind));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match u64::from(u32_at(&self.bytes, self.entry_at(kind, middle))) <= leaf {
                true => low = middle,
                false => high = middle,
            }
        }
        self.frame(kind, low)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn hash_at(bytes: &[u8], at: usize) -> Hash {
    bytes[at..at + 32].try_into().expect("32 bytes")
}

/// A directory entry before its place in the block is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltFrame {
    pub first_leaf: u32,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub crc: u32,
    pub codec: Compression,
}

/// The stored frames of one kind, one after the other.
#[derive(Debug, Default)]
struct FrameRun {
    stored: Vec<u8>,
    frames: Vec<BuiltFrame>,
}

impl FrameRun {
    fn add(&mut self, first_leaf: u32, raw: &[u8], compression: Compression) {
        let start = self.stored.len();
        let codec = compression.compress(raw, &mut self.stored);
        let stored = &self.stored[start..];
        self.frames.push(BuiltFrame {
            first_leaf,
            stored_bytes: stored.len() as u32,
            raw_bytes: raw.len() as u32,
            crc: crc32c::crc32c(stored),
            codec,
        });
    }

    fn clear(&mut self, keep_bytes: usize) {
        self.stored.clear();
        self.stored.shrink_to(keep_bytes);
        self.frames.clear();
    }
}

/// Scratch memory that turns leaves into the bytes of a block; reused from block to block.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    leaves: FrameRun,
    bodies: FrameRun,
    leaf_frame: LeafFrame,
    body_frame: BodyFrame,
    leaf_count: u32,
    body_count: u32,
}

/// Scratch kept between blocks: a default block (4 MiB) needs no more.
const SCRATCH_BYTES_KEPT: usize = 6 << 20;

impl BlockBuilder {
    /// Adds the next leaf and its body.
    pub fn push(
        &mut self,
        seq: u64,
        leaf: &PendingLeaf<'_>,
        frame_bytes: usize,
        compression: Compression,
    ) {
        self.leaf_frame.push(seq, leaf);
        self.leaf_count += 1;
        // Offsets mark where entries begin, and none begins past `frame_bytes`: 16 bits suffice.
        if self.leaf_frame.raw_bytes() >= frame_bytes {
            self.close_leaves(compression);
        }
        self.push_slot(SlotRef::Live(&leaf.salt, leaf.body), frame_bytes, compression);
    }

    /// Adds the next slot alone, for a block whose leaf frames exist already.
    pub fn push_slot(&mut self, slot: SlotRef<'_>, frame_bytes: usize, compression: Compression) {
        let added = 16
            + match slot {
                SlotRef::Live(_, body) => body.len(),
                SlotRef::Erased(_) => 32,
            };
        if self.body_frame.count() > 0 && self.body_frame.raw_bytes() + added > frame_bytes {
            self.close_bodies(compression);
        }
        match slot {
            SlotRef::Live(salt, body) => self.body_frame.push_live(salt, body),
            SlotRef::Erased(commitment) => self.body_frame.push_erased(commitment),
        }
        self.body_count += 1;
    }

    /// Takes over a stored leaf frame as it is.
    pub fn push_stored_leaves(&mut self, frame: &FrameRef, stored: &[u8]) {
        self.leaves.stored.extend_from_slice(stored);
        self.leaves.frames.push(BuiltFrame {
            first_leaf: frame.first_leaf as u32,
            stored_bytes: frame.stored_bytes as u32,
            raw_bytes: frame.raw_bytes as u32,
            crc: frame.crc,
            codec: frame.codec,
        });
    }

    fn close_leaves(&mut self, compression: Compression) {
        let count = self.leaf_frame.count() as u32;
        if count > 0 {
            self.leaves.add(self.leaf_count - count, self.leaf_frame.finish(), compression);
            self.leaf_frame.clear();
        }
    }

    fn close_bodies(&mut self, compression: Compression) {
        let count = self.body_frame.count() as u32;
        if count > 0 {
            self.bodies.add(self.body_count - count, self.body_frame.finish(), compression);
            self.body_frame.clear();
        }
    }

    /// The bytes of the block; the builder is ready for the next one.
    pub fn finish(
        &mut self,
        header: &BlockHeader,
        hash: &Hash,
        raw_bytes: u64,
        compression: Compression,
    ) -> Result<Vec<u8>> {
        self.close_leaves(compression);
        self.close_bodies(compression);
        let result = self.assemble(header, hash, raw_bytes);
        self.clear();
        result
    }

    /// Drops whatever was gathered.
    pub fn clear(&mut self) {
        self.leaves.clear(SCRATCH_BYTES_KEPT);
        self.bodies.clear(SCRATCH_BYTES_KEPT);
        self.leaf_frame.clear();
        self.body_frame.clear();
        (self.leaf_count, self.body_count) = (0, 0);
    }

    fn assemble(&self, header: &BlockHeader, hash: &Hash, raw_bytes: u64) -> Result<Vec<u8>> {
        let frames = self.leaves.frames.len() + self.bodies.frames.len();
        let head_bytes = HEAD_FIXED_BYTES + frames * ENTRY_BYTES;
        let block_bytes = head_bytes + self.leaves.stored.len() + self.bodies.stored.len();
        if block_bytes > u32::MAX as usize {
            let max = u64::from(u32::MAX);
            return Err(Error::too_large("a sealed block", block_bytes as u64, max));
        }
        let mut bytes = Vec::with_capacity(block_bytes);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(MAGIC);
        let runs = [self.leaves.frames.len(), self.bodies.frames.len()];
        for size in [head_bytes, block_bytes, runs[0], runs[1]] {
            bytes.extend_from_slice(&(size as u32).to_le_bytes());
        }
        for number in [raw_bytes, header.id, header.first_seq, header.count] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&header.timestamp.to_le_bytes());
        for hash in [&header.previous_hash, &header.merkle_root, hash] {
            bytes.extend_from_slice(hash);
        }
        let mut end = head_bytes as u32;
        for frame in self.leaves.frames.iter().chain(&self.bodies.frames) {
            end += frame.stored_bytes;
            for number in [frame.first_leaf, end, frame.raw_bytes, frame.crc] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.push(frame.codec as u8);
        }
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&self.leaves.stored);
        bytes.extend_from_slice(&self.bodies.stored);
        Ok(bytes)
    }
}

/// A slot to write, borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) enum SlotRef<'a> {
    Live(&'a [u8; 16], &'a [u8]),
    Erased(&'a Hash),
}
