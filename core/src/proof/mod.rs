//! What makes an answer checkable by a stranger: the Merkle tree, the leaf and the block header.
//!
//! ```text
//!   salt, body ──commitment──┐
//!                            ▼
//!   seq, key, time … ───▶  leaf  ──hash_leaf──▶ tree of SHA-256 ──▶ root (signed with its size)
//!                            ▲                        │
//!   block header (a body) ───┘          inclusion and consistency paths
//! ```
//!
//! Everything here is pure: bytes in, bytes or a verdict out. No file, clock, thread or other room
//! is needed, so a verifier can be built of this folder alone. Invariants:
//! - The tree is that of RFC 6962 section 2.1 and RFC 9162 section 2.1, nothing else.
//! - A verdict is exact: a path that is one hash too long, too short or swapped is refused, and a
//!   leaf or header has one encoding, which is the only one that is read.
//! - Nothing is proved by walking the chain of headers; a header is a leaf like any other.
//! - Verification hashes stored bytes and never encodes anything again.
//!
//! `docs/format/proof.md` accounts for every byte, with worked examples that the tests assert.

pub mod frontier;
pub mod header;
pub mod leaf;
pub mod merkle;
pub mod source;
pub mod tile;

use sha2::{Digest, Sha256};

pub use frontier::Frontier;
pub use header::BlockHeader;
pub use leaf::{COMMITMENT_SHA256, Leaf, LeafKind, LeafRef, decode_leaf, encode_leaf};
pub use merkle::{verify_consistency, verify_inclusion};
pub use source::{HashSource, consistency_path, inclusion_path, root_at};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// What keeps commitments apart from every other hash of salted bytes.
const BODY_DOMAIN: &[u8] = b"blockdb/body/v1\n";
/// The first byte of a hashed leaf, RFC 9162 section 2.1.1.
const LEAF_PREFIX: u8 = 0;
/// The first byte of a hashed node.
const NODE_PREFIX: u8 = 1;

/// The hash of a leaf: `SHA-256(0x00 || leaf)`.
pub fn hash_leaf(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF_PREFIX]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn hash_node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE_PREFIX; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of the tree without leaves: the hash of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// What a leaf says of its body: `SHA-256("blockdb/body/v1\n" || salt || body)`. With salt and body
/// erased, the commitment tells nothing and every proof still holds.
pub fn commitment(salt: &[u8; 16], body: &[u8]) -> Hash {
    Sha256::new().chain_update(BODY_DOMAIN).chain_update(salt).chain_update(body).finalize().into()
}

#[cfg(test)]
mod tests;
