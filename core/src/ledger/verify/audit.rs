//! The judge of a verification: takes inspected blocks in order and compares numbers, chain, roots
//! and tiles. Leaves that are lost are replaced by their hashes in the tiles, so that a local
//! damage stays local; without those, roots can no longer be judged and one fault says so.

use std::path::PathBuf;

use super::walk::{Job, Lost, missing_is_none, report};
use super::{Fault, FaultKind, Report, VerifySummary};
use crate::error::Result;
use crate::ledger::block::FrameKind;
use crate::ledger::inspect::Inspection;
use crate::ledger::leaf::{Slot, StoredLeaf, Tally};
use crate::ledger::position::LedgerPosition;
use crate::ledger::store::Store;
use crate::ledger::tiles::{LEVELS_MAX, hash_offset, hashes_at, push};
use crate::ledger::window::{STREAM_BYTES, Window};
use crate::proof::{BlockHeader, Frontier, Hash};

pub(super) struct Auditor<'a> {
    store: &'a Store,
    end: LedgerPosition,
    tiles: Vec<Tiles>,
    /// `None` once a leaf hash is lost.
    frontier: Option<Frontier>,
    /// Whether roots agreed so far, so that the next one says something about its own block.
    roots_hold: bool,
    seq: u64,
    blocks: u64,
    head: Hash,
    tally: Tally,
    blocks_read: u64,
    /// Whether all leaves were read, so that counts can be compared.
    whole: bool,
}

/// The stored hashes of one level, read forward.
struct Tiles {
    window: Option<Window>,
    path: PathBuf,
}

impl Tiles {
    fn open(store: &Store, level: u8, size: u64, fault: Report<'_>) -> Result<Tiles> {
        let path = store.tile_path(level);
        if hashes_at(level, size) == 0 {
            return Ok(Tiles { window: None, path });
        }
        let file = missing_is_none(store.existing(&path))?;
        let window = match file {
            None => None,
            Some(file) => {
                if let Err(error) = store.tile_header(level).read(file.as_ref(), &path) {
                    report(&error, &path, fault)?;
                }
                Some(Window::new(file, path.clone(), STREAM_BYTES)?)
            }
        };
        Ok(Tiles { window, path })
    }

    fn hash(&mut self, index: u64) -> Result<Option<Hash>> {
        let Some(window) = &mut self.window else { return Ok(None) };
        let bytes = window.get(hash_offset(index), 32)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
    }

    fn fault(&self, index: u64, seq: Option<u64>, what: &str) -> Fault {
        let (kind, offset) = (FaultKind::Damaged, hash_offset(index));
        Fault { kind, path: self.path.clone(), offset, block: None, seq, what: what.to_owned() }
    }
}

impl<'a> Auditor<'a> {
    pub fn new(store: &'a Store, end: LedgerPosition, fault: Report<'_>) -> Result<Self> {
        let tiles = (0..LEVELS_MAX)
            .map(|level| Tiles::open(store, level, end.end_seq, fault))
            .collect::<Result<_>>()?;
        Ok(Auditor {
            store,
            end,
            tiles,
            frontier: Some(Frontier::new()),
            roots_hold: true,
            seq: 0,
            blocks: 0,
            head: [0; 32],
            tally: Tally { last_time_us: i64::MIN, ..Tally::default() },
            blocks_read: 0,
            whole: true,
        })
    }

    /// Leaves passed so far.
    pub fn leaves(&self) -> u64 {
        self.seq
    }

    /// Judges the next block.
    pub fn take(
        &mut self,
        job: &Job,
        found: Inspection,
        each: &mut dyn FnMut(&StoredLeaf),
        fault: Report<'_>,
    ) -> Result<()> {
        let header = job.head.header();
        if header.first_seq < self.seq || job.head.end_seq() > self.end.end_seq {
            fault(block_fault(job, 40, "the block's leaves are not the next ones"));
            self.whole = false;
            return Ok(());
        }
        if header.first_seq > self.seq {
            let place = job.lost.clone().unwrap_or((job.path.clone(), job.offset));
            self.skip_to(header.first_seq, place, fault)?;
        } else {
            self.check_chain(job, &header, fault);
        }
        let collection = self.store.collection();
        let seq = header.first_seq + header.count;
        if header.hash(collection, seq) != job.head.hash() {
            fault(block_fault(job, 128, "the block's hash is not that of its header"));
        }
        self.whole &= found.faults.is_empty();
        for inner in &found.faults {
            let mut outer = block_fault(job, 0, &inner.what);
            (outer.offset, outer.seq) = (inner.offset, inner.seq);
            fault(outer);
        }
        for leaf in found.leaves.iter().filter(|_| job.purged) {
            if matches!(leaf.slot, Slot::Live { .. }) {
                let what = "a segment that says `purged` holds a body";
                fault(Fault { seq: Some(leaf.seq), ..block_fault(job, 0, what) });
            }
        }
        self.check_leaves(job, &header, &found.hashes, fault)?;
        self.push(Some(job.head.hash()), fault)?;
        self.check_header_tile(job, seq, fault)?;
        self.count(job, &found.tally);
        found.leaves.iter().for_each(&mut *each);
        each(&StoredLeaf::of_header(header));
        Ok(())
    }

    fn check_chain(&self, job: &Job, header: &BlockHeader, fault: Report<'_>) {
        if header.id != self.blocks {
            fault(block_fault(job, 32, "the block's number is not the next one"));
        }
        if header.previous_hash != self.head {
            fault(block_fault(job, 64, "the block does not name the hash of the block before"));
        }
    }

    fn count(&mut self, job: &Job, tally: &Tally) {
        self.seq = job.head.end_seq();
        self.blocks = job.head.id().saturating_add(1);
        self.head = job.head.hash();
        self.blocks_read += 1;
        self.tally.records += tally.records;
        self.tally.keys += tally.keys;
        self.tally.body_bytes = self.tally.body_bytes.saturating_add(tally.body_bytes);
        self.tally.last_time_us = self.tally.last_time_us.max(tally.last_time_us);
    }

    /// Compares a block's leaf hashes with the tiles and the root, and adds them to the tree.
    fn check_leaves(
        &mut self,
        job: &Job,
        header: &BlockHeader,
        hashes: &[Option<Hash>],
        fault: Report<'_>,
    ) -> Result<()> {
        let mut pairs = Vec::with_capacity(hashes.len());
        for place in 0..header.count {
            let tile = self.tiles[0].hash(header.first_seq + place)?;
            pairs.push((hashes.get(place as usize).copied().flatten(), tile));
        }
        let by_leaves: Vec<_> = pairs.iter().map(|(leaf, tile)| leaf.or(*tile)).collect();
        let differ: Vec<u64> = (0..)
            .zip(&pairs)
            .filter(|(_, (leaf, tile))| leaf.is_some() && tile.is_some() && leaf != tile)
            .map(|(place, _)| place)
            .collect();
        let root_is_right = |hashes: &[Option<Hash>]| {
            let mut frontier = self.frontier.clone()?;
            for hash in hashes {
                frontier.push((*hash)?);
            }
            Some(frontier.root() == header.merkle_root)
        };
        let leaves_right = if self.roots_hold { root_is_right(&by_leaves) } else { None };
        if leaves_right == Some(false) && !differ.is_empty() {
            let by_tiles: Vec<_> = pairs.iter().map(|(leaf, tile)| tile.or(*leaf)).collect();
            if root_is_right(&by_tiles) == Some(true) {
                for place in differ {
                    fault(self.leaf_fault(job, place, "the leaf is not the one in the tree"));
                }
                return self.push_all(&by_tiles, fault);
            }
        }
        if leaves_right == Some(false) {
            let what = "the leaves do not give the block's Merkle root; later roots are not judged";
            fault(block_fault(job, 96, what));
            self.roots_hold = false;
        }
        for place in differ {
            let seq = header.first_seq + place;
            fault(match leaves_right {
                Some(true) => {
                    self.tiles[0].fault(seq, Some(seq), "the tile is not the leaf's hash")
                }
                _ => self.leaf_fault(job, place, "leaf and tile differ"),
            });
        }
        self.push_all(&by_leaves, fault)
    }

    fn leaf_fault(&self, job: &Job, place: u64, what: &str) -> Fault {
        let frame = job.head.frame_of(FrameKind::Bodies, place);
        let seq = Some(job.head.first_seq() + place);
        Fault { offset: job.offset + frame.offset, seq, ..block_fault(job, 0, what) }
    }

    fn check_header_tile(&mut self, job: &Job, seq: u64, fault: Report<'_>) -> Result<()> {
        if self.tiles[0].hash(seq)?.is_some_and(|tile| tile != job.head.hash()) {
            fault(self.tiles[0].fault(seq, Some(seq), "the tile is not the block's hash"));
        }
        Ok(())
    }

    fn push_all(&mut self, hashes: &[Option<Hash>], fault: Report<'_>) -> Result<()> {
        hashes.iter().try_for_each(|hash| self.push(*hash, fault))
    }

    /// Adds a leaf hash to the tree and compares the tile hashes above it that this completes.
    fn push(&mut self, hash: Option<Hash>, fault: Report<'_>) -> Result<()> {
        let Some((frontier, hash)) = self.frontier.as_mut().zip(hash) else {
            self.frontier = None;
            return Ok(());
        };
        let mut above = [None; LEVELS_MAX as usize];
        push(frontier, hash, |level, hash| above[usize::from(level)] = Some(hash));
        let size = frontier.size();
        for (level, hash) in (0u8..).zip(above).skip(1) {
            let Some(hash) = hash else { break };
            let tiles = &mut self.tiles[usize::from(level)];
            let index = hashes_at(level, size) - 1;
            if tiles.hash(index)?.is_some_and(|tile| tile != hash) {
                fault(tiles.fault(index, None, "the tile is not the hash of the tile below"));
            }
        }
        Ok(())
    }

    /// Passes over leaves that no block gave, by their hashes in the tiles.
    fn skip_to(&mut self, seq: u64, (path, offset): Lost, fault: Report<'_>) -> Result<()> {
        let what = format!("leaves {} to {} are lost", self.seq, seq - 1);
        let (kind, first) = (FaultKind::Missing, Some(self.seq));
        fault(Fault { kind, path, offset, block: None, seq: first, what });
        self.whole = false;
        for lost in self.seq..seq {
            if self.frontier.is_none() {
                break;
            }
            let hash = self.tiles[0].hash(lost)?;
            self.push(hash, fault)?;
        }
        self.seq = seq;
        Ok(())
    }

    /// The end: does the ledger end where the restart point says, with its counts?
    pub fn finish(mut self, lost: Option<Lost>, fault: Report<'_>) -> Result<VerifySummary> {
        let end = self.end;
        let path = match end.segment {
            0 => self.store.dir().to_owned(),
            number => self.store.segment_path(number),
        };
        if self.seq < end.end_seq {
            self.skip_to(end.end_seq, lost.unwrap_or((path, end.offset)), fault)?;
        } else {
            let last_time_us = if end.blocks == 0 { 0 } else { self.tally.last_time_us };
            let facts = [
                ("head", self.head == end.head),
                ("number of blocks", self.blocks == end.blocks),
                ("number of records", self.tally.records == end.records || !self.whole),
                ("number of keys", self.tally.keys == end.keys || !self.whole),
                ("size of bodies", self.tally.body_bytes == end.body_bytes || !self.whole),
                ("last time", last_time_us == end.last_time_us || !self.whole),
            ];
            for (name, _) in facts.into_iter().filter(|(_, agrees)| !agrees) {
                let what = format!("the ledger's {name} is not that of the restart point");
                let (kind, path, offset) = (FaultKind::Damaged, path.clone(), end.offset);
                fault(Fault { kind, path, offset, block: None, seq: None, what });
            }
        }
        Ok(VerifySummary {
            blocks: self.blocks_read,
            leaves: self.seq,
            records: self.tally.records,
            body_bytes: self.tally.body_bytes,
            root: self.frontier.map_or([0; 32], |frontier| frontier.root()),
        })
    }
}

/// A fault in the head of the job's block, `at` bytes into it.
fn block_fault(job: &Job, at: u64, what: &str) -> Fault {
    Fault {
        kind: FaultKind::Damaged,
        path: job.path.clone(),
        offset: job.offset + at,
        block: Some(job.head.id()),
        seq: None,
        what: what.to_owned(),
    }
}
