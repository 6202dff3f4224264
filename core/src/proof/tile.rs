//! Where the nodes of the tree lie in tiles (C2SP tlog-tiles): only every eighth level is stored,
//! and the levels between are folded from at most 255 neighbours. On disk, one flat file a level.

use super::{Hash, hash_node};
use crate::error::{Error, Result};

/// Levels of the tree that one level of tiles covers.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes of a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// A run of neighbouring hashes of one tile level, within one tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSpan {
    /// The tile level; its hash `i` is the node (`TILE_HEIGHT` * level, `i`).
    pub level: u8,
    /// The first hash, counted from the beginning of the level.
    pub first: u64,
    /// The number of hashes: a power of two up to 128.
    pub count: u64,
}

/// The hashes that [`perfect_root`] folds into the node at `level` and `index`.
pub fn tile_span(level: u8, index: u64) -> TileSpan {
    let folded = level % TILE_HEIGHT;
    TileSpan { level: level / TILE_HEIGHT, first: index << folded, count: 1 << folded }
}

/// How many hashes the tile level holds for a tree of `size` leaves.
pub fn tile_level_hashes(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The root over neighbours whose number is a power of two.
pub fn perfect_root(hashes: &[Hash]) -> Result<Hash> {
    if !hashes.len().is_power_of_two() {
        return Err(Error::invalid(format!("{} hashes are no perfect subtree", hashes.len())));
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        for pair in 0..level.len() / 2 {
            level[pair] = hash_node(&level[2 * pair], &level[2 * pair + 1]);
        }
        level.truncate(level.len() / 2);
    }
    Ok(level[0])
}
