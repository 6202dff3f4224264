//! Everything a collection's tree commits to, read out leaf by leaf: for comparing databases that
//! applied the same entries under other circumstances.

use std::collections::BTreeMap;

use blockdb::database::Database;
use blockdb::ledger::Slot;
use blockdb::proof::{BlockHeader, Hash, hash_leaf, hash_node};

/// What one collection commits to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// The encoded leaves, headers included.
    pub leaves: Vec<Vec<u8>>,
    /// Salt and body of each leaf, where they are kept.
    pub bodies: Vec<Option<([u8; 16], Vec<u8>)>>,
    /// Every block's header and hash.
    pub headers: Vec<(BlockHeader, Hash)>,
    /// The root over all leaves, computed here.
    pub root: Hash,
}

/// Reads out every collection, dropped ones included, by id.
pub fn committed(database: &Database) -> Result<BTreeMap<[u8; 16], Committed>, String> {
    let state = database.shard.snapshot();
    let mut all = BTreeMap::new();
    for (id, view) in &state.collections {
        let mut found = Committed::default();
        let mut hashes = Vec::new();
        for leaf in view.leaves(0) {
            let leaf = leaf.map_err(|error| format!("collection {id}: {error}"))?;
            let mut encoded = Vec::new();
            leaf.encode(id.0, &mut encoded)
                .map_err(|error| format!("leaf {}: {error}", leaf.seq))?;
            if leaf.seq != found.leaves.len() as u64 {
                return Err(format!(
                    "collection {id}: leaf {} at place {}",
                    leaf.seq,
                    found.leaves.len()
                ));
            }
            hashes.push(hash_leaf(&encoded));
            found.leaves.push(encoded);
            found.bodies.push(match leaf.slot {
                Slot::Live { salt, body } => Some((salt, body.to_vec())),
                _ => None,
            });
        }
        for block in 0..view.core.ledger.position().blocks {
            let header = view.core.ledger.header(block);
            let (header, hash) = header
                .map_err(|error| format!("collection {id}: {error}"))?
                .ok_or_else(|| format!("collection {id} has no block {block}"))?;
            check_header(&header, &hash, &hashes)?;
            found.headers.push((header, hash));
        }
        found.root = root(&hashes);
        all.insert(id.0, found);
    }
    Ok(all)
}

/// A header commits to the tree before it, and is itself the leaf behind its block.
fn check_header(header: &BlockHeader, hash: &Hash, hashes: &[Hash]) -> Result<(), String> {
    let place = (header.first_seq + header.count) as usize;
    let holds = hashes.get(place) == Some(hash)
        && hashes.get(..place).is_some_and(|before| root(before) == header.merkle_root);
    match holds {
        true => Ok(()),
        false => {
            Err(format!("block {} does not commit to the {place} leaves before it", header.id))
        }
    }
}

/// The Merkle tree hash of RFC 6962 section 2.1, as written there.
pub fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => [0; 32],
        [one] => *one,
        _ => {
            let split = hashes.len().next_power_of_two() / 2;
            hash_node(&root(&hashes[..split]), &root(&hashes[split..]))
        }
    }
}

/// Where two databases first differ.
pub fn differ(
    left: &BTreeMap<[u8; 16], Committed>,
    right: &BTreeMap<[u8; 16], Committed>,
) -> Option<String> {
    if left.keys().ne(right.keys()) {
        return Some(format!("{} collections and {}", left.len(), right.len()));
    }
    for ((id, left), right) in left.iter().zip(right.values()) {
        let place = left.leaves.iter().zip(&right.leaves).position(|(left, right)| left != right);
        if let Some(place) = place {
            return Some(format!("collection {id:02x?}: leaf {place}"));
        }
        if left != right {
            return Some(format!(
                "collection {id:02x?}: {} and {} leaves, {} and {} headers, or bodies, or roots",
                left.leaves.len(),
                right.leaves.len(),
                left.headers.len(),
                right.headers.len()
            ));
        }
    }
    None
}
