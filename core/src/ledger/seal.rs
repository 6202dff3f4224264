//! Sealing: from leaves in memory to the bytes of a block, its header and its tile hashes. A seal
//! computes and never writes; blocks are sealed in order, and any number of them may wait to be
//! appended. The right edge of the tree is kept between seals; after an open it is read from the
//! tiles and accepted only if it gives the root in the last block's header.

use std::cell::Cell;

use super::block::BlockBuilder;
use super::footer::Wanted;
use super::leaf::{PendingLeaf, Tally, is_encodable};
use super::position::LedgerPosition;
use super::store::Store;
use super::tiles::{self, LEVELS_MAX};
use crate::error::{Code, Error, Result};
use crate::proof::{BlockHeader, Frontier, Hash, LeafKind, encode_leaf, hash_leaf};

/// A body the ledger stores: twice the largest document, for what the engine wraps around one.
const BODY_BYTES_MAX: u64 = 2 * crate::limits::DOCUMENT_BYTES_MAX as u64;

/// A block that was sealed and waits to be appended.
#[derive(Debug)]
pub struct SealedBlock {
    /// The header fields.
    pub header: BlockHeader,
    /// Hash of the header leaf.
    pub hash: Hash,
    /// Sequence number of the first leaf.
    pub first_seq: u64,
    /// Leaves without the header leaf.
    pub count: u64,
    /// The block as it will stand in its segment.
    pub(super) bytes: Vec<u8>,
    /// Tile hashes it completes, by level.
    pub(super) tiles: Vec<Vec<Hash>>,
    pub(super) tally: Tally,
}

impl SealedBlock {
    /// The sequence number after the header leaf.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + self.count + 1
    }

    /// The bytes it will take in its segment: what waiting blocks cost in memory.
    pub fn stored_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Where the next block continues.
#[derive(Clone, Debug)]
pub(super) struct Sealer {
    frontier: Frontier,
    blocks: u64,
    head: Hash,
}

/// Memory reused from seal to seal. It belongs to the thread: collections are many, sealing threads
/// few.
#[derive(Debug, Default)]
struct Scratch {
    builder: BlockBuilder,
    leaf: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Sealer {
    /// Continues at `end`, with the tree's edge from the tiles.
    pub fn load(store: &Store, end: &LedgerPosition) -> Result<Sealer> {
        if end.end_seq == 0 {
            return Ok(Sealer { frontier: Frontier::new(), blocks: 0, head: [0; 32] });
        }
        let frontier = load_frontier(store, end)?;
        Ok(Sealer { frontier, blocks: end.blocks, head: end.head })
    }

    /// The next sequence number.
    pub fn end_seq(&self) -> u64 {
        self.frontier.size()
    }

    /// Seals the next `count` leaves; on failure nothing has changed.
    pub fn seal(
        &mut self,
        store: &Store,
        timestamp: i64,
        leaves: &mut dyn Iterator<Item = PendingLeaf<'_>>,
        count: u64,
    ) -> Result<SealedBlock> {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let mut next = self.clone();
        let sealed = next.seal_with(&mut scratch, store, timestamp, leaves, count);
        scratch.builder.clear();
        SCRATCH.set(Some(scratch));
        let sealed = sealed?;
        *self = next;
        Ok(sealed)
    }

    fn seal_with(
        &mut self,
        scratch: &mut Scratch,
        store: &Store,
        timestamp: i64,
        leaves: &mut dyn Iterator<Item = PendingLeaf<'_>>,
        count: u64,
    ) -> Result<SealedBlock> {
        let (collection, options) = (store.collection(), store.options());
        let first_seq = self.frontier.size();
        let mut hashes = vec![Vec::new(); usize::from(LEVELS_MAX)];
        let mut tally = Tally { last_time_us: i64::MIN, ..Tally::default() };
        let mut complete = |level: u8, hash| hashes[usize::from(level)].push(hash);
        for leaf in leaves {
            let seq = self.frontier.size();
            check(&leaf, seq - first_seq < count)?;
            scratch.leaf.clear();
            encode_leaf(&leaf.leaf_ref(collection, seq), &mut scratch.leaf);
            tiles::push(&mut self.frontier, hash_leaf(&scratch.leaf), &mut complete);
            tally.add(leaf.kind, leaf.revision, leaf.time_us, leaf.body.len() as u64);
            tally.raw_bytes += (scratch.leaf.len() + leaf.body.len()) as u64;
            scratch.builder.push(seq, &leaf, options.frame_bytes, options.compression);
        }
        if count == 0 || self.frontier.size() - first_seq != count {
            return Err(Error::new(Code::Internal, "a seal has other leaves than its count"));
        }
        let merkle_root = self.frontier.root();
        let previous_hash = self.head;
        let id = self.blocks;
        let header = BlockHeader { id, previous_hash, first_seq, count, merkle_root, timestamp };
        let hash = header.hash(collection, first_seq + count);
        tiles::push(&mut self.frontier, hash, &mut complete);
        (self.blocks, self.head) = (id + 1, hash);
        add_header(&mut tally, &header, collection);
        let bytes = scratch.builder.finish(&header, &hash, tally.raw_bytes, options.compression)?;
        Ok(SealedBlock { header, hash, first_seq, count, bytes, tiles: hashes, tally })
    }
}

fn check(leaf: &PendingLeaf<'_>, expected: bool) -> Result<()> {
    if !expected {
        return Err(Error::new(Code::Internal, "a seal has other leaves than its count"));
    }
    let texts = [leaf.key, leaf.txn, leaf.actor.map(str::as_bytes)];
    let texts = texts.map(|text| text.map(<[u8]>::len));
    if !is_encodable(leaf.kind, leaf.revision, leaf.schema, texts) {
        return Err(Error::new(Code::Internal, "a leaf lacks fields of its kind or is too long"));
    }
    match leaf.body.len() as u64 {
        ..=BODY_BYTES_MAX => Ok(()),
        found => Err(Error::too_large("a body", found, BODY_BYTES_MAX)),
    }
}

/// Counts the header leaf that closes a block.
pub(super) fn add_header(tally: &mut Tally, header: &BlockHeader, collection: [u8; 16]) {
    let leaf = header.leaf(collection, header.first_seq + header.count);
    tally.add(LeafKind::BlockHeader, None, header.timestamp, 0);
    tally.raw_bytes += (leaf.len() + header.body().len()) as u64;
}

/// The tree's edge at `end`, from the tiles: that before the last header leaf, judged by the root
/// in that header, then the header leaf itself.
pub(super) fn load_frontier(store: &Store, end: &LedgerPosition) -> Result<Frontier> {
    let Some(before) = end.end_seq.checked_sub(1) else {
        return Ok(Frontier::new());
    };
    let mut frontier = store.frontier(before)?;
    let view = store.loaded()?;
    let (head, place) = store.find(&view, Wanted::Seq(before))?;
    if head.end_seq() != end.end_seq || head.hash() != end.head {
        let path = store.segment_path(place.number);
        return Err(Error::corrupt(
            &path,
            place.offset,
            "the last block is not the restart point's",
        ));
    }
    if frontier.root() != head.header().merkle_root {
        let path = store.tile_path(0);
        let what = "the tiles do not give the root in the last block's header";
        return Err(Error::corrupt(&path, 0, what));
    }
    frontier.push(head.hash());
    Ok(frontier)
}
