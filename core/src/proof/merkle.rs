//! Verification of inclusion and consistency paths, RFC 9162 sections 2.1.3.2 and 2.1.4.2, with the
//! edges the RFC leaves to implementations fixed: length exact and at most 63, no consistency from
//! the empty tree, equal sizes only with an empty path. Every refusal is `integrity_violation`.

use super::{Hash, hash_node};
use crate::error::{Code, Error, Result};

/// The longest path that is ever accepted.
pub const PATH_HASHES_MAX: usize = 63;

/// Accepts exactly if `path` proves that the leaf at `index` of the tree of `size` leaves with
/// `root` has the hash `leaf_hash`.
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<()> {
    if index >= size {
        return Err(violation(format!("leaf {index} is not in a tree of {size}")));
    }
    // `position` and `last` are the places of the node at hand and of the tree's last node, on the
    // level that the path has reached.
    let (mut position, mut last) = (index, size - 1);
    check_length(path, inclusion_length(index, size))?;
    let mut hash = *leaf_hash;
    for sibling in path {
        if last == 0 {
            return Err(violation("the inclusion path is too long"));
        }
        if position & 1 == 1 || position == last {
            hash = hash_node(sibling, &hash);
            skip_missing_siblings(&mut position, &mut last);
        } else {
            hash = hash_node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 || hash != *root {
        return Err(violation(format!(
            "the path does not lead from leaf {index} to the root of {size} leaves"
        )));
    }
    Ok(())
}

/// Accepts exactly if `path` proves that the tree of `old_size` leaves with `old_root` is the
/// beginning of the tree of `new_size` leaves with `new_root`.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<()> {
    if old_size == 0 || old_size > new_size {
        return Err(violation(format!("nothing leads from size {old_size} to size {new_size}")));
    }
    if old_size == new_size {
        return if path.is_empty() && old_root == new_root {
            Ok(())
        } else {
            Err(violation(format!("two trees of {old_size} leaves have one root and no path")))
        };
    }
    // A complete old tree is itself the first node on the way up and is left out of the path.
    let (start, rest) = match path.split_first() {
        _ if old_size.is_power_of_two() => (old_root, path),
        Some((start, rest)) => (start, rest),
        None => return Err(violation("the consistency path is empty")),
    };
    let shift = (old_size - 1).trailing_ones();
    let (position, last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    check_length(rest, path_length(position, last))?;
    let (old, new) = climb_both(start, position, last, rest)?;
    if old != *old_root || new != *new_root {
        return Err(violation(format!(
            "the path does not lead from the root of {old_size} to that of {new_size} leaves"
        )));
    }
    Ok(())
}

/// The old and the new root as `path` makes them from the node at `position`.
fn climb_both(
    start: &Hash,
    mut position: u64,
    mut last: u64,
    path: &[Hash],
) -> Result<(Hash, Hash)> {
    let (mut old, mut new) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return Err(violation("the consistency path is too long"));
        }
        if position & 1 == 1 || position == last {
            old = hash_node(sibling, &old);
            new = hash_node(sibling, &new);
            skip_missing_siblings(&mut position, &mut last);
        } else {
            new = hash_node(&new, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(violation("the consistency path is too short"));
    }
    Ok((old, new))
}

/// A node that is the last of its level and a left child has no sibling: it moves up as it is.
fn skip_missing_siblings(position: &mut u64, last: &mut u64) {
    while *position & 1 == 0 && *position != 0 {
        *position >>= 1;
        *last >>= 1;
    }
}

/// The number of hashes on the path of leaf `index` in a tree of `size` leaves.
pub fn inclusion_length(index: u64, size: u64) -> usize {
    path_length(index, size.saturating_sub(1))
}

/// Below the level where the ways of `position` and `last` meet, every level has a sibling; above
/// it, only those where the node is a right child.
fn path_length(position: u64, last: u64) -> usize {
    let inner = u64::BITS - (position ^ last).leading_zeros();
    let border = position.checked_shr(inner).unwrap_or(0).count_ones();
    (inner + border) as usize
}

fn check_length(path: &[Hash], expected: usize) -> Result<()> {
    if path.len() != expected || path.len() > PATH_HASHES_MAX {
        let found = path.len();
        return Err(violation(format!("a path of {expected} hashes is due, found {found}")));
    }
    Ok(())
}

fn violation(detail: impl Into<String>) -> Error {
    Error::new(Code::IntegrityViolation, detail)
}
