//! The header that closes a block: the body of a leaf of its own. It names the root of everything
//! before it and the hash of the header before it, so the log and the chain of headers commit to
//! each other; what proves anything is the tree alone.

use minicbor::{Decoder, Encoder};

use super::leaf::{COMMITMENT_SHA256, LeafKind, LeafRef, encode_leaf, fixed, violation};
use super::{Hash, commitment, hash_leaf};
use crate::error::Result;

/// The salt of a header's commitment: there is nothing to hide in it.
pub const HEADER_SALT: [u8; 16] = [0; 16];
/// The longest body: an array head, two hashes, and four numbers of nine bytes.
pub const HEADER_BODY_BYTES_MAX: usize = 1 + 2 * 34 + 4 * 9;

/// One block's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The block's place in the chain.
    pub id: u64,
    /// The [`BlockHeader::hash`] of the block before; zeros where there is none.
    pub previous_hash: Hash,
    /// The first leaf of the block.
    pub first_seq: u64,
    /// The leaves of the block, without the header's own.
    pub count: u64,
    /// The root of the tree of all leaves before the header's.
    pub merkle_root: Hash,
    /// When the block was sealed, in microseconds since 1970, UTC.
    pub timestamp: i64,
}

impl BlockHeader {
    /// The deterministic CBOR array `[id, previous_hash, first_seq, count, merkle_root, timestamp]`.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEADER_BODY_BYTES_MAX);
        self.write(&mut Encoder::new(&mut body)).expect("writing to a vector cannot fail");
        body
    }

    fn write(
        &self,
        encoder: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        encoder.array(6)?.u64(self.id)?.bytes(&self.previous_hash)?;
        encoder.u64(self.first_seq)?.u64(self.count)?.bytes(&self.merkle_root)?;
        encoder.i64(self.timestamp)?.ok()
    }

    /// Reads a body. Accepts the exact bytes of [`BlockHeader::body`] and nothing else.
    pub fn decode(body: &[u8]) -> Result<Self> {
        let header = BlockHeader::read(&mut Decoder::new(body))
            .map_err(|error| violation(format!("not a block header: {error}")))?;
        if header.body() != body {
            return Err(violation("not the one encoding that this block header has"));
        }
        Ok(header)
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        if decoder.array()? != Some(6) {
            return Err(minicbor::decode::Error::message("not an array of six"));
        }
        Ok(BlockHeader {
            id: decoder.u64()?,
            previous_hash: fixed(decoder.bytes()?)?,
            first_seq: decoder.u64()?,
            count: decoder.u64()?,
            merkle_root: fixed(decoder.bytes()?)?,
            timestamp: decoder.i64()?,
        })
    }

    /// The bytes of the leaf at `seq` of `collection` that carries this header.
    pub fn leaf(&self, collection: [u8; 16], seq: u64) -> Vec<u8> {
        let body = self.body();
        let leaf = LeafRef {
            kind: LeafKind::BlockHeader,
            seq,
            collection,
            key: None,
            revision: None,
            prev_seq: None,
            time_us: self.timestamp,
            schema: None,
            txn: None,
            actor: None,
            commit_alg: COMMITMENT_SHA256,
            commitment: commitment(&HEADER_SALT, &body),
            body_len: body.len() as u64,
        };
        let mut out = Vec::new();
        encode_leaf(&leaf, &mut out);
        out
    }

    /// The block's hash: that of its header's leaf.
    pub fn hash(&self, collection: [u8; 16], seq: u64) -> Hash {
        hash_leaf(&self.leaf(collection, seq))
    }
}
