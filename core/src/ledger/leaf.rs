//! One leaf on its way into the ledger ([`PendingLeaf`]) and out of it ([`StoredLeaf`]). Both are
//! views of the fields that the encoded leaf of `proof` is made of; the ledger keeps no encoded
//! leaves, because sequence number, collection and commitment can be recomputed.

use bytes::Bytes;

use crate::error::{Code, Error, Result};
use crate::limits::LEAF_BYTES_MAX;
use crate::proof::header::HEADER_SALT;
use crate::proof::{
    BlockHeader, COMMITMENT_SHA256, Hash, LeafKind, LeafRef, commitment, encode_leaf,
};

/// Key, transaction and actor of one leaf: with these an encoded leaf keeps its limit, because
/// everything else in it takes at most 160 bytes.
const TEXT_BYTES_MAX: usize = LEAF_BYTES_MAX - 160;

/// Whether a leaf can be encoded: the fields its kind needs are there, and its texts (the lengths of
/// key, transaction and actor) are short.
#[inline]
pub(super) fn is_encodable(
    kind: LeafKind,
    revision: Option<u64>,
    schema: Option<u64>,
    texts: [Option<usize>; 3],
) -> bool {
    let complete = match kind {
        LeafKind::Record => texts[0].is_some() && revision.is_some() && schema.is_some(),
        LeafKind::BlockHeader => false,
        _ => true,
    };
    complete && texts.into_iter().flatten().sum::<usize>() <= TEXT_BYTES_MAX
}

/// One leaf to seal, borrowed from memory.
#[derive(Clone, Copy, Debug)]
pub struct PendingLeaf<'a> {
    /// What the leaf records; never a block header, which the seal makes itself.
    pub kind: LeafKind,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's revision, from 1.
    pub revision: Option<u64>,
    /// Sequence number of the key's previous revision.
    pub prev_seq: Option<u64>,
    /// Microseconds since 1970, UTC.
    pub time_us: i64,
    /// The schema the body was checked against.
    pub schema: Option<u64>,
    /// The transaction it belongs to.
    pub txn: Option<&'a [u8]>,
    /// Who wrote it.
    pub actor: Option<&'a str>,
    /// The random salt of the commitment.
    pub salt: [u8; 16],
    /// The document.
    pub body: &'a [u8],
    /// `proof::commitment(&salt, body)`, computed where the record was accepted.
    pub commitment: Hash,
}

impl<'a> PendingLeaf<'a> {
    /// The leaf as `proof` encodes it.
    pub(super) fn leaf_ref(&self, collection: [u8; 16], seq: u64) -> LeafRef<'a> {
        LeafRef {
            kind: self.kind,
            seq,
            collection,
            key: self.key,
            revision: self.revision,
            prev_seq: self.prev_seq,
            time_us: self.time_us,
            schema: self.schema,
            txn: self.txn,
            actor: self.actor,
            commit_alg: COMMITMENT_SHA256,
            commitment: self.commitment,
            body_len: self.body.len() as u64,
        }
    }
}

/// What stands in a leaf's place among the bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The body and its salt.
    Live {
        /// The commitment's salt.
        salt: [u8; 16],
        /// The document: a slice of the cached frame, not a copy.
        body: Bytes,
    },
    /// The body was erased; its commitment still proves what it was.
    Erased(Hash),
    /// The leaf is a block header; its body is made of these fields.
    Header(Box<BlockHeader>),
    /// The caller asked for no bodies.
    Skipped,
}

/// One leaf as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Its position in the collection's Merkle log.
    pub seq: u64,
    /// What it records.
    pub kind: LeafKind,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's revision, from 1.
    pub revision: Option<u64>,
    /// Sequence number of the key's previous revision.
    pub prev_seq: Option<u64>,
    /// Microseconds since 1970, UTC.
    pub time_us: i64,
    /// The schema the body was checked against.
    pub schema: Option<u64>,
    /// The transaction it belongs to.
    pub txn: Option<Bytes>,
    /// Who wrote it.
    pub actor: Option<String>,
    /// How the commitment is made.
    pub commit_alg: u8,
    /// Length of the body, known even when it is erased.
    pub body_len: u64,
    /// The body, or what is left of it.
    pub slot: Slot,
}

impl StoredLeaf {
    /// The leaf that closes a block: everything about it follows from its header.
    pub(super) fn of_header(header: BlockHeader) -> StoredLeaf {
        StoredLeaf {
            seq: header.first_seq + header.count,
            kind: LeafKind::BlockHeader,
            key: None,
            revision: None,
            prev_seq: None,
            time_us: header.timestamp,
            schema: None,
            txn: None,
            actor: None,
            commit_alg: COMMITMENT_SHA256,
            body_len: header.body().len() as u64,
            slot: Slot::Header(Box::new(header)),
        }
    }

    /// The body: of a live record as stored, of a header re-encoded; `None` if erased or skipped.
    pub fn body(&self) -> Option<Bytes> {
        match &self.slot {
            Slot::Live { body, .. } => Some(body.clone()),
            Slot::Header(header) => Some(Bytes::from(header.body())),
            Slot::Erased(_) | Slot::Skipped => None,
        }
    }

    /// The commitment the leaf carries, hashed from salt and body unless erased; `None` if the body
    /// was skipped.
    pub fn commitment(&self) -> Option<Hash> {
        match &self.slot {
            Slot::Live { salt, body } => Some(commitment(salt, body)),
            Slot::Erased(commitment) => Some(*commitment),
            Slot::Header(header) => Some(commitment(&HEADER_SALT, &header.body())),
            Slot::Skipped => None,
        }
    }

    /// Appends the encoded leaf of `collection`, the bytes whose hash is in the Merkle log. Fails
    /// with `invalid_argument` if the leaf was read without its body.
    pub fn encode(&self, collection: [u8; 16], out: &mut Vec<u8>) -> Result<()> {
        if let Slot::Header(header) = &self.slot {
            out.extend_from_slice(&header.leaf(collection, self.seq));
            return Ok(());
        }
        let commitment = self.commitment().ok_or_else(|| {
            Error::new(Code::InvalidArgument, "the leaf was read without its body")
        })?;
        encode_leaf(&self.leaf_ref(collection, commitment), out);
        Ok(())
    }

    /// The leaf as `proof` encodes it, with a commitment the caller already has.
    pub(super) fn leaf_ref(&self, collection: [u8; 16], commitment: Hash) -> LeafRef<'_> {
        LeafRef {
            kind: self.kind,
            seq: self.seq,
            collection,
            key: self.key.as_deref(),
            revision: self.revision,
            prev_seq: self.prev_seq,
            time_us: self.time_us,
            schema: self.schema,
            txn: self.txn.as_deref(),
            actor: self.actor.as_deref(),
            commit_alg: self.commit_alg,
            commitment,
            body_len: self.body_len,
        }
    }
}

/// What a run of leaves adds to a [`super::LedgerPosition`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub records: u64,
    pub keys: u64,
    pub body_bytes: u64,
    pub last_time_us: i64,
    /// Encoded leaves and bodies, by which segments roll.
    pub raw_bytes: u64,
}

impl Tally {
    /// Counts one leaf.
    pub fn add(&mut self, kind: LeafKind, revision: Option<u64>, time_us: i64, body_bytes: u64) {
        if kind == LeafKind::Record {
            self.records += 1;
            self.keys += u64::from(revision == Some(1));
            self.body_bytes += body_bytes;
        }
        self.last_time_us = self.last_time_us.max(time_us);
    }
}
