//! Merkle tiles on disk and in memory: one flat file per level, hash i of level L being the root of
//! the perfect subtree over leaves [i * 256^L, (i + 1) * 256^L) (the tile height of C2SP
//! tlog-tiles). Only complete hashes are stored, so every published tile, full or partial, is a
//! slice of a file. Tiles are derived from the ledger and carry no checksums of their own.
//!
//! Reading goes through the block cache in expanded form: a tile's hashes and all perfect nodes
//! above them, so that a node of a proof costs one look-up and no hashing once its tile is warm.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::store::Store;
use crate::disk::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::error::{Error, Result};
use crate::proof::tile::{TILE_HEIGHT, TILE_WIDTH, tile_level_hashes, tile_span};
use crate::proof::{Frontier, Hash, HashSource, hash_node};

/// Tile levels that 64-bit sizes can have.
pub(super) const LEVELS_MAX: u8 = 8;
const HASH_BYTES: usize = 32;

/// Complete hashes of `level` in a log of `size` leaves.
pub(super) fn hashes_at(level: u8, size: u64) -> u64 {
    tile_level_hashes(size, level)
}

/// Offset of hash `index` in the file of its level.
pub(super) fn hash_offset(index: u64) -> u64 {
    HEADER_BYTES as u64 + index * HASH_BYTES as u64
}

/// Exact length of the file of `level` in a log of `size` leaves; `None` if there is no such file.
pub(super) fn file_bytes(level: u8, size: u64) -> Option<u64> {
    let hashes = hashes_at(level, size);
    (hashes > 0).then(|| hash_offset(hashes))
}

/// Adds a leaf hash to the tree's edge; `complete(level, hash)` gets each tile hash that this
/// completes, lowest level first.
pub(super) fn push(frontier: &mut Frontier, leaf: Hash, mut complete: impl FnMut(u8, Hash)) {
    complete(0, leaf);
    frontier.push_with(leaf, |height, _, hash| {
        if height % TILE_HEIGHT == 0 {
            complete(height / TILE_HEIGHT, *hash);
        }
    });
}

/// The perfect nodes over a tile's hashes: the hashes themselves, then each height above them.
fn expand(hashes: Vec<u8>) -> Bytes {
    let mut nodes = hashes;
    let (mut start, mut count) = (0, nodes.len() / HASH_BYTES);
    nodes.reserve(nodes.len());
    while count > 1 {
        let end = start + count * HASH_BYTES;
        for pair in 0..count / 2 {
            let at = start + pair * 2 * HASH_BYTES;
            let node = hash_node(&hash_at(&nodes, at), &hash_at(&nodes, at + HASH_BYTES));
            nodes.extend_from_slice(&node);
        }
        (start, count) = (end, count / 2);
    }
    nodes.into()
}

fn hash_at(bytes: &[u8], at: usize) -> Hash {
    bytes[at..at + HASH_BYTES].try_into().expect("32 bytes")
}

/// The hashes of a ledger's tree, as stored: what proofs are made of.
#[derive(Clone, Debug)]
pub struct LedgerTiles {
    pub(super) store: Arc<Store>,
    pub(super) size: u64,
}

impl LedgerTiles {
    /// Leaves of the tree: a node is available if it lies in them whole.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `count` stored hashes of tile level `level` from hash `first`, 32 bytes each: what a
    /// tlog-tiles server answers. `not_found` if they are not complete yet.
    pub fn tile(&self, level: u8, first: u64, count: u64) -> Result<Vec<u8>> {
        let available = hashes_at(level, self.size);
        if count > TILE_WIDTH || first.checked_add(count).is_none_or(|end| end > available) {
            let detail = format!("tile level {level} has {available} hashes");
            return Err(Error::new(crate::error::Code::NotFound, detail));
        }
        self.store.read_tile_bytes(level, first, count)
    }
}

impl HashSource for LedgerTiles {
    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        self.store.node(self.size, level, index)
    }
}

impl Store {
    /// Path of the file of `level`.
    pub(super) fn tile_path(&self, level: u8) -> PathBuf {
        self.tiles_dir().join(format!("{level}.dat"))
    }

    /// The header of the file of `level`.
    pub(super) fn tile_header(&self, level: u8) -> FileHeader {
        FileHeader { kind: FileKind::Tiles, owner: self.collection(), number: u32::from(level) }
    }

    /// The root of the 2^`height` leaves from `index` << `height` on, in a log of `size` leaves.
    fn node(&self, size: u64, height: u8, index: u64) -> Result<Hash> {
        let missing = || Error::invalid(format!("a log of {size} leaves has no such node"));
        let end =
            index.checked_add(1).and_then(|end| end.checked_mul(1u64.checked_shl(height.into())?));
        if end.is_none_or(|end| end > size) {
            return Err(missing());
        }
        let span = tile_span(height, index);
        let tile = span.first / TILE_WIDTH;
        let width = (hashes_at(span.level, size) - tile * TILE_WIDTH).min(TILE_WIDTH);
        let nodes = self.expanded_tile(span.level, tile, width)?;
        let height = height % TILE_HEIGHT;
        let below: u64 = (0..height).map(|height| width >> height).sum();
        let place = below + ((span.first % TILE_WIDTH) >> height);
        Ok(hash_at(&nodes, place as usize * HASH_BYTES))
    }

    /// The edge of the tree over the first `size` leaves.
    pub(super) fn frontier(&self, size: u64) -> Result<Frontier> {
        let heights = (0..64u8).rev().filter(|height| size >> height & 1 == 1);
        let peaks = heights.map(|height| self.node(size, height, (size >> height) - 1));
        Frontier::from_peaks(size, peaks.collect::<Result<_>>()?)
    }

    /// `count` hashes of `level` from hash `first`, straight from the file.
    pub(super) fn read_tile_bytes(&self, level: u8, first: u64, count: u64) -> Result<Vec<u8>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let path = self.tile_path(level);
        let file = self.existing(&path)?;
        let mut bytes = vec![0; count as usize * HASH_BYTES];
        let offset = hash_offset(first);
        file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&path, offset, "the tile file ends too early")
            }
            _ => Error::storage("read", &path, error),
        })?;
        Ok(bytes)
    }

    /// The same as hashes.
    pub(super) fn read_tile_hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>> {
        let bytes = self.read_tile_bytes(level, first, count)?;
        Ok(bytes.chunks_exact(HASH_BYTES).map(|hash| hash_at(hash, 0)).collect())
    }

    /// Tile `tile` of `level` with its first `width` hashes and the nodes above them.
    fn expanded_tile(&self, level: u8, tile: u64, width: u64) -> Result<Bytes> {
        let key = (self.tiles_file_id(), u64::from(level) << 60 | tile << 9 | width);
        if let Some(nodes) = self.cache().get(key) {
            return Ok(nodes);
        }
        let nodes = expand(self.read_tile_bytes(level, tile * TILE_WIDTH, width)?);
        self.cache().insert(key, nodes.clone());
        Ok(nodes)
    }
}
