//! One block under the lens: every frame read and checked, every body and leaf hashed again. Used
//! by `verify`, by a reader that follows a writer, and by a purge before it destroys what it could
//! no longer check. Collects faults instead of stopping at the first.

use bytes::Bytes;

use super::block::{BlockHead, FrameKind, FrameRef};
use super::frame::{read_leaf, read_slot};
use super::leaf::{StoredLeaf, Tally};
use super::seal::add_header;
use super::store::slot_fits;
use super::window::Window;
use crate::error::{Code, Error};
use crate::proof::{Hash, encode_leaf, hash_leaf};

/// Something wrong inside a block.
#[derive(Debug)]
pub(super) struct BlockFault {
    pub offset: u64,
    pub seq: Option<u64>,
    pub what: String,
}

/// What a block was found to hold.
#[derive(Debug)]
pub(super) struct Inspection {
    /// The leaves that could be read, without the header leaf; a body that could not be read is
    /// [`super::Slot::Skipped`].
    pub leaves: Vec<StoredLeaf>,
    /// Leaf hashes by place in the block; `None` where the bytes are lost.
    pub hashes: Vec<Option<Hash>>,
    pub tally: Tally,
    pub faults: Vec<BlockFault>,
}

impl Inspection {
    /// All leaf hashes, if none is lost.
    pub fn whole_hashes(&self) -> Option<Vec<Hash>> {
        self.hashes.iter().copied().collect()
    }

    fn fault(&mut self, offset: u64, seq: Option<u64>, error: &Error) {
        let offset = error.place().and_then(|(_, offset)| offset).unwrap_or(offset);
        let what = match error.code() {
            Code::Corrupt => error.detail().to_owned(),
            _ => error.to_string(),
        };
        self.faults.push(BlockFault { offset, seq, what });
    }
}

/// Reads the block at `offset` whole and hashes what it holds.
pub(super) fn inspect(
    window: &mut Window,
    offset: u64,
    head: &BlockHead,
    collection: [u8; 16],
) -> Inspection {
    let mut found = Inspection {
        leaves: Vec::new(),
        hashes: Vec::new(),
        tally: Tally { last_time_us: i64::MIN, ..Tally::default() },
        faults: Vec::new(),
    };
    let leaves = read_leaves(window, offset, head, &mut found);
    found.hashes = vec![None; leaves.len()];
    found.leaves.reserve(leaves.len());
    let mut bodies = Bodies { window, offset, head, next: 0, held: None };
    let mut encoded = Vec::new();
    for (place, leaf) in leaves.into_iter().enumerate() {
        let mut leaf = match leaf {
            Some(leaf) => leaf,
            None => continue,
        };
        found.tally.add(leaf.kind, leaf.revision, leaf.time_us, leaf.body_len);
        bodies.fill(&mut leaf, place, &mut found);
        let commitment = leaf.commitment();
        encoded.clear();
        encode_leaf(&leaf.leaf_ref(collection, commitment.unwrap_or_default()), &mut encoded);
        found.hashes[place] = commitment.map(|_| hash_leaf(&encoded));
        found.tally.raw_bytes += encoded.len() as u64 + leaf.body_len;
        found.leaves.push(leaf);
    }
    bodies.check_rest(&mut found);
    add_header(&mut found.tally, &head.header(), collection);
    if found.faults.is_empty() && found.tally.raw_bytes != head.raw_bytes() {
        let error = Error::new(Code::Corrupt, "the block's uncompressed size is not as stated");
        found.fault(offset + 24, None, &error);
    }
    found
}

/// Leaves by place, `None` where a frame is damaged.
fn read_leaves(
    window: &mut Window,
    offset: u64,
    head: &BlockHead,
    found: &mut Inspection,
) -> Vec<Option<StoredLeaf>> {
    let mut leaves = Vec::new();
    for index in 0..head.frame_count(FrameKind::Leaves) {
        let frame = head.frame(FrameKind::Leaves, index);
        let first_seq = head.first_seq() + frame.first_leaf;
        let at = offset + frame.offset;
        let raw = match window.frame(offset, &frame) {
            Ok(raw) => Some(raw),
            Err(error) => {
                found.fault(at, Some(first_seq), &error);
                None
            }
        };
        for place in 0..frame.count {
            let seq = first_seq + place as u64;
            let leaf = raw.as_ref().and_then(|raw| read_leaf(raw, frame.count, place, seq));
            if raw.is_some() && leaf.is_none() {
                found.fault(at, Some(seq), &malformed());
            }
            leaves.push(leaf);
        }
    }
    leaves
}

fn malformed() -> Error {
    Error::new(Code::Corrupt, "the frame's content is malformed")
}

/// The body frames of a block, read one after the other.
struct Bodies<'a> {
    window: &'a mut Window,
    offset: u64,
    head: &'a BlockHead,
    next: usize,
    held: Option<(FrameRef, Option<Bytes>)>,
}

impl Bodies<'_> {
    /// Puts the slot at `place` of the block into `leaf`.
    fn fill(&mut self, leaf: &mut StoredLeaf, place: usize, found: &mut Inspection) {
        let place = place as u64;
        while self
            .held
            .as_ref()
            .is_none_or(|(frame, _)| place >= frame.first_leaf + frame.count as u64)
        {
            if !self.advance(found) {
                return;
            }
        }
        let Some((frame, Some(raw))) = &self.held else { return };
        let slot = read_slot(raw, frame.count, (place - frame.first_leaf) as usize);
        match slot.filter(|slot| slot_fits(slot, leaf.body_len)) {
            Some(slot) => leaf.slot = slot,
            None => found.fault(self.offset + frame.offset, Some(leaf.seq), &malformed()),
        }
    }

    fn advance(&mut self, found: &mut Inspection) -> bool {
        if self.next >= self.head.frame_count(FrameKind::Bodies) {
            return false;
        }
        let frame = self.head.frame(FrameKind::Bodies, self.next);
        self.next += 1;
        let raw = match self.window.frame(self.offset, &frame) {
            Ok(raw) => Some(raw),
            Err(error) => {
                let seq = self.head.first_seq() + frame.first_leaf;
                found.fault(self.offset + frame.offset, Some(seq), &error);
                None
            }
        };
        self.held = Some((frame, raw));
        true
    }

    /// Frames that no readable leaf led to are checked all the same.
    fn check_rest(&mut self, found: &mut Inspection) {
        while self.advance(found) {}
    }
}
