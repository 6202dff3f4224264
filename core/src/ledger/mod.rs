//! The ledger room: the permanent home of a collection's data, and of its Merkle tree.
//!
//! ```text
//!   leaves ──seal──▶ block ──append──▶ blockchain_000001.dat │ header │ block │ block │ … │ footer │
//!             │                        blockchain_000002.dat │ header │ block │ …
//!             └──── hashes ──────────▶ tiles/0.dat, 1.dat, …   (complete hashes of each level)
//!
//!   block = head (header fields, directory) │ leaf frames │ body frames
//!   read(seq) = segment ─▶ index ─▶ head ─▶ leaf frame + body frame      (each through the cache)
//! ```
//!
//! A block is a run of leaves under one header; the header is itself the leaf that closes the run.
//! Sequence numbers count leaves, so a block of `count` leaves from `first_seq` has its header at
//! `first_seq + count`. The header commits to the tree over everything before it and to the header
//! of the block before; the tree contains the headers.
//!
//! Invariants
//! - Only whole blocks are ever visible, and they are never changed. Two things rewrite a segment's
//!   body frames and keep every leaf: an erasure and [`Ledger::purge_bodies`].
//! - What can be recomputed is stored once: sequence numbers follow from the block, commitments
//!   from salt and body, header leaves from the head. Tiles are the exception that pays for proofs.
//! - Appending never syncs. What is durable is what the last restart point names
//!   ([`LedgerPosition`]); on open, [`Ledger::cut`] removes the rest and the log brings it again.
//! - Every byte of a segment is under a checksum, and checked before it is believed. Tiles have
//!   none: they are compared with the ledger ([`verify()`]), and a wrong proof does not verify.
//! - Opening reads nothing. An idle ledger costs a few hundred bytes; what reading and sealing
//!   gathered is given back by [`Ledger::release`].
//!
//! Sealing, appending and reading run side by side: a seal only computes, an append publishes a new
//! immutable view, and readers never wait.

mod append;
mod block;
mod footer;
mod frame;
mod inspect;
mod iter;
mod leaf;
mod locate;
mod position;
mod purge;
mod reader;
mod rebuild;
mod recover;
mod row;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod tiles;
mod varint;
mod verify;
mod view;
mod window;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::DirEntry;
use crate::disk::compression::Compression;
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};
use crate::proof::{BlockHeader, Hash};
use crate::table::cache::BlockCache;

pub use iter::LedgerIter;
pub use leaf::{PendingLeaf, Slot, StoredLeaf};
pub use position::LedgerPosition;
pub use reader::LedgerReader;
pub use seal::SealedBlock;
pub use tiles::LedgerTiles;
pub use verify::{Fault, FaultKind, VerifySummary, verify};

use footer::Wanted;
use seal::Sealer;
use store::Store;

/// The largest useful frame: a point read decompresses one.
const FRAME_BYTES_MAX: usize = 32 << 10;

/// How a ledger lays out what it writes; what it reads says so itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Uncompressed bytes (encoded leaves and bodies) after which a new segment begins. Equal on
    /// all replicas, so that their segments hold the same blocks.
    pub segment_bytes: u64,
    /// Bytes of a frame before compression, at most 32 KiB.
    pub frame_bytes: usize,
    /// Compression of frames.
    pub compression: Compression,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        let compression = Compression::Lz4;
        LedgerOptions { segment_bytes: 256 << 20, frame_bytes: 8 << 10, compression }
    }
}

/// One collection's chain of blocks and its tree.
#[derive(Debug)]
pub struct Ledger {
    store: Arc<Store>,
    /// Where the next seal continues; locked before the store's appender, never after.
    sealer: Mutex<Option<Box<Sealer>>>,
}

impl Ledger {
    /// The ledger of `collection` in the existing folder `dir`, ending at `position`. Touches no
    /// file.
    pub fn open(
        pool: Arc<FilePool>,
        cache: Arc<BlockCache>,
        dir: PathBuf,
        collection: [u8; 16],
        mut options: LedgerOptions,
        position: LedgerPosition,
    ) -> Ledger {
        options.frame_bytes = options.frame_bytes.clamp(1, FRAME_BYTES_MAX);
        let store = Store::new(pool, cache, dir, collection, options, position);
        Ledger { store: Arc::new(store), sealer: Mutex::new(None) }
    }

    /// Compresses frames written from now on in this way; what is there stays as it is.
    pub fn set_compression(&self, compression: Compression) {
        self.store.set_compression(compression);
    }

    /// Removes everything above the position the ledger was opened at: tails of files, later
    /// segments and tile levels, what an interrupted purge left. Returns the bytes removed. For a
    /// writer, before its first seal. `corrupt` if a file ends before the position or is missing.
    pub fn cut(&self) -> Result<u64> {
        self.cut_listed(&self.store.list(self.store.dir())?)
    }

    /// [`Ledger::cut`] by a caller that has listed the collection's folder.
    pub fn cut_listed(&self, entries: &[DirEntry]) -> Result<u64> {
        let mut sealer = self.sealer.lock();
        *sealer = None;
        self.store.cut(entries)
    }

    /// For a reader beside a writer: moves the end over the whole, chained blocks that follow it on
    /// disk and returns how many leaves that gave. Writes nothing; stops without an error at the
    /// first block that is not whole.
    pub fn extend_from_disk(&self) -> Result<u64> {
        let mut sealer = self.sealer.lock();
        *sealer = None;
        self.store.extend()
    }

    /// Turns the next `count` leaves into a block. Computes only: nothing is written and no reader
    /// sees it before [`Ledger::append`]. Blocks are sealed in order; several may wait.
    pub fn seal(
        &self,
        timestamp: i64,
        leaves: &mut dyn Iterator<Item = PendingLeaf<'_>>,
        count: u64,
    ) -> Result<SealedBlock> {
        let mut sealer = self.sealer.lock();
        let sealer = match &mut *sealer {
            Some(sealer) => sealer,
            empty => {
                self.store.loaded()?;
                let end = self.store.current().end;
                empty.insert(Box::new(Sealer::load(&self.store, &end)?))
            }
        };
        sealer.seal(&self.store, timestamp, leaves, count)
    }

    /// Writes a sealed block and its tile hashes, without syncing, and lets readers see it.
    pub fn append(&self, block: SealedBlock) -> Result<()> {
        self.append_ref(&block)
    }

    /// [`Ledger::append`] of a block the caller keeps, to try again when the disk was full: a
    /// failed append has published nothing and may be repeated.
    pub fn append_ref(&self, block: &SealedBlock) -> Result<()> {
        self.store.append(block)
    }

    /// Forgets blocks that were sealed and not appended: the next seal continues at
    /// [`Ledger::position`].
    pub fn unseal(&self) {
        *self.sealer.lock() = None;
    }

    /// Where the next seal begins: the end of what was sealed, appended or not.
    pub fn sealed_end_seq(&self) -> u64 {
        match &*self.sealer.lock() {
            Some(sealer) => sealer.end_seq(),
            None => self.position().end_seq,
        }
    }

    /// The end of what was appended.
    pub fn position(&self) -> LedgerPosition {
        self.store.current().end
    }

    /// Syncs what was appended before the call and returns where that ends: the position to put
    /// into a restart point. After an error nothing is known about unsynced bytes; stop writing.
    pub fn sync(&self) -> Result<LedgerPosition> {
        self.store.sync()
    }

    /// The leaf at `seq`; `None` beyond the end, `corrupt` if its bytes are wrong. Small leaves stay
    /// in the cache by themselves, for the next read of the same.
    pub fn read(&self, seq: u64) -> Result<Option<StoredLeaf>> {
        self.store.read(seq, true)
    }

    /// The leaf at `seq` without its body ([`Slot::Skipped`]): half the cache misses.
    pub fn read_leaf(&self, seq: u64) -> Result<Option<StoredLeaf>> {
        self.store.read(seq, false)
    }

    /// A reader for many leaves in the order of their place: cheaper than as many single reads.
    pub fn reader(&self) -> LedgerReader {
        LedgerReader::new(self.store.clone())
    }

    /// All leaves from `from_seq` up to the present end, in sequence order, header leaves included.
    pub fn iter(&self, from_seq: u64, with_bodies: bool) -> LedgerIter {
        LedgerIter::new(self.store.clone(), from_seq, with_bodies)
    }

    /// Header and hash of block `id`.
    pub fn header(&self, id: u64) -> Result<Option<(BlockHeader, Hash)>> {
        let block = self.store.block(Wanted::Block(id))?;
        Ok(block.map(|head| (head.header(), head.hash())))
    }

    /// Header and hash of the block that holds leaf `seq`, its own header leaf included.
    pub fn header_of_seq(&self, seq: u64) -> Result<Option<(BlockHeader, Hash)>> {
        let block = self.store.block(Wanted::Seq(seq))?;
        Ok(block.map(|head| (head.header(), head.hash())))
    }

    /// The tree's hashes up to the present end, for proofs and for tile servers.
    pub fn tiles(&self) -> LedgerTiles {
        LedgerTiles { store: self.store.clone(), size: self.position().end_seq }
    }

    /// Bytes of the segments and tiles. A segment that cannot be read counts nothing.
    pub fn bytes_on_disk(&self) -> u64 {
        let view = self.store.loaded().unwrap_or_else(|_| self.store.current());
        let tail = if view.tail.is_some() { view.end.offset } else { 0 };
        let finished: u64 = (0..view.finished.len())
            .filter_map(|place| self.store.segment(&view, place).ok())
            .map(|segment| segment.trailer.footer_offset + segment.trailer.footer_bytes())
            .sum();
        let levels = 0..tiles::LEVELS_MAX;
        let tiles: u64 =
            levels.filter_map(|level| tiles::file_bytes(level, view.end.end_seq)).sum();
        tail + finished + tiles
    }

    /// For a dropped collection: erases the body of every record, segment by segment, and keeps
    /// every leaf, root and proof. May be repeated after a crash. Refuses (`corrupt`) to erase what
    /// differs from the tree.
    pub fn purge_bodies(&self) -> Result<()> {
        if self.sealed_end_seq() != self.position().end_seq {
            let detail = "blocks are sealed and not yet appended; append or unseal them first";
            return Err(Error::new(Code::Internal, detail));
        }
        self.store.purge()
    }

    /// For a repair, before anything else is done with the ledger: writes the tiles anew as the leaves
    /// up to the position the ledger was opened at say. `corrupt` if leaves and headers contradict
    /// each other.
    pub fn rebuild_tiles(&self) -> Result<()> {
        self.store.rebuild_tiles()
    }

    /// Gives back the memory that an idle ledger does not need: the index of the unfinished
    /// segment, the list of trailers and the tree's edge. They are read again when needed.
    pub fn release(&self) {
        let mut sealer = self.sealer.lock();
        if sealer.as_ref().is_some_and(|sealer| sealer.end_seq() == self.position().end_seq) {
            *sealer = None;
        }
        let mut appender = self.store.lock();
        self.store.forget_indexes(&mut appender);
    }
}
