//! The right edge of a growing tree: the roots of the perfect subtrees that its leaves fill, one
//! for every bit set in its size. It is all that appending needs, a few hundred bytes for any size.

use super::{Hash, empty_root, hash_node};
use crate::error::{Code, Error, Result};

/// A compact range from leaf 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of perfect subtrees, largest (leftmost) first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of the tree without leaves.
    pub fn new() -> Self {
        Frontier::default()
    }

    /// The edge of a tree of `size` leaves from its kept peaks; `corrupt` if their number is not
    /// the one that `size` has.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self> {
        if peaks.len() != size.count_ones() as usize {
            let detail = format!("a tree of {size} leaves does not have {} peaks", peaks.len());
            return Err(Error::new(Code::Corrupt, detail));
        }
        Ok(Frontier { size, peaks })
    }

    /// Appends a leaf by its hash; costs one hashing on average.
    pub fn push(&mut self, leaf_hash: Hash) {
        self.push_with(leaf_hash, |_, _, _| ());
    }

    /// [`Frontier::push`] that shows every inner node it completes, lowest first, as
    /// (level, index, hash), so that tiles grow from the same hashing.
    pub fn push_with(&mut self, leaf_hash: Hash, mut completed: impl FnMut(u8, u64, &Hash)) {
        let mut hash = leaf_hash;
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = hash_node(&left, &hash);
            completed(level as u8, self.size >> level, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Leaves appended.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of all leaves appended.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return empty_root() };
        peaks.fold(*smallest, |right, left| hash_node(left, &right))
    }

    /// The roots of the perfect subtrees, largest first; with [`Frontier::size`] enough to go on.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }
}
