//! Makes paths and roots from whoever can tell the hashes of perfect subtrees: tiles on disk, a
//! vector in a test. RFC 9162 sections 2.1.3.1 and 2.1.4.1, unrolled from the root downwards.

use super::{Hash, empty_root, hash_node};
use crate::error::{Error, Result};

/// Knows the hashes of perfect subtrees.
pub trait HashSource {
    /// The root of the 2^`level` leaves from `index` << `level` on.
    fn node(&self, level: u8, index: u64) -> Result<Hash>;
}

/// The path that proves the leaf at `index` in the tree of the first `size` leaves, lowest first.
pub fn inclusion_path(source: &impl HashSource, index: u64, size: u64) -> Result<Vec<Hash>> {
    if index >= size {
        return Err(Error::invalid(format!("leaf {index} is not in a tree of {size}")));
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + left_leaves(end - start);
        if index < middle {
            path.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The path that proves the tree of the first `old_size` leaves to be the beginning of that of
/// `new_size`. The empty tree is the beginning of every tree, and has no path.
pub fn consistency_path(
    source: &impl HashSource,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>> {
    if old_size == 0 || old_size > new_size {
        let detail = format!("no consistency path leads from size {old_size} to size {new_size}");
        return Err(Error::invalid(detail));
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, new_size);
    while end > old_size {
        let middle = start + left_leaves(end - start);
        if old_size <= middle {
            path.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    // The old tree itself is known to whoever asks; only a part of it is told.
    if start > 0 {
        path.push(range_root(source, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The root of the tree of the first `size` leaves.
pub fn root_at(source: &impl HashSource, size: u64) -> Result<Hash> {
    if size == 0 { Ok(empty_root()) } else { range_root(source, 0, size) }
}

/// The root of the leaves from `start` to `end`, which is a subtree of RFC 9162: `start` is a
/// multiple of the power of two that holds the range.
fn range_root(source: &impl HashSource, start: u64, end: u64) -> Result<Hash> {
    let mut peaks = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        peaks.push(source.node(level as u8, at >> level)?);
        at += 1 << level;
    }
    let mut peaks = peaks.into_iter().rev();
    let smallest = peaks.next().ok_or_else(|| Error::invalid("a range of no leaves"))?;
    Ok(peaks.fold(smallest, |right, left| hash_node(&left, &right)))
}

/// How many of `leaves`, at least two, are in the left subtree: the largest power of two below.
fn left_leaves(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
