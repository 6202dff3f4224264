//! The leaf: what the log says of one entry, in an array of fourteen fields whose order is fixed.
//! Its bytes are hashed into the tree, so they have one form: the reader encodes what it read once
//! more and refuses bytes that differ.

use minicbor::Decoder;
use minicbor::data::Type;

use super::{Hash, commitment};
use crate::error::{Code, Error, Result};
use crate::limits::LEAF_BYTES_MAX;

/// The first field of every leaf: the version of this layout.
const LEAF_VERSION: u8 = 1;
/// The number of fields.
const LEAF_FIELDS: u8 = 14;
/// `commit_alg` of [`commitment`]. Number 2 is kept for bodies encrypted before hashing.
pub const COMMITMENT_SHA256: u8 = 1;

/// CBOR's major types, in the upper three bits of an item's first byte.
const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const NULL: u8 = 0xf6;

/// What an entry of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LeafKind {
    /// Leaf 0: collection and database id, settings, key policy.
    Genesis = 0,
    /// A record, or a revision of one.
    Record = 1,
    /// The header that closes a block.
    BlockHeader = 2,
    /// A record's body and salt were erased.
    Erasure = 3,
    /// A change of schema or settings.
    Settings = 4,
    /// The collection goes on from an earlier point, under a new origin.
    Incarnation = 5,
}

impl LeafKind {
    /// The kind of a number found in a leaf.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(LeafKind::Genesis),
            1 => Some(LeafKind::Record),
            2 => Some(LeafKind::BlockHeader),
            3 => Some(LeafKind::Erasure),
            4 => Some(LeafKind::Settings),
            5 => Some(LeafKind::Incarnation),
            _ => None,
        }
    }
}

/// A leaf whose texts are borrowed; what encoding takes and decoding gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRef<'a> {
    /// What the entry is.
    pub kind: LeafKind,
    /// Its position in the collection's log, and in the tree.
    pub seq: u64,
    /// The collection's id.
    pub collection: [u8; 16],
    /// The record's key; null for kinds without one.
    pub key: Option<&'a [u8]>,
    /// The record's revision, from 1; null for kinds without one.
    pub revision: Option<u64>,
    /// Where the revision before lies; null for the first one.
    pub prev_seq: Option<u64>,
    /// Commit time in microseconds since 1970, UTC.
    pub time_us: i64,
    /// The schema version a record was checked against, 0 for none; null for kinds without one.
    pub schema: Option<u64>,
    /// The transaction the entry belongs to.
    pub txn: Option<&'a [u8]>,
    /// The authenticated principal.
    pub actor: Option<&'a str>,
    /// How the commitment is made; see [`COMMITMENT_SHA256`].
    pub commit_alg: u8,
    /// The hash that stands for salt and body.
    pub commitment: Hash,
    /// The length of the body in bytes.
    pub body_len: u64,
}

/// A leaf that owns its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of LeafRef")]
pub struct Leaf {
    pub kind: LeafKind,
    pub seq: u64,
    pub collection: [u8; 16],
    pub key: Option<Vec<u8>>,
    pub revision: Option<u64>,
    pub prev_seq: Option<u64>,
    pub time_us: i64,
    pub schema: Option<u64>,
    pub txn: Option<Vec<u8>>,
    pub actor: Option<String>,
    pub commit_alg: u8,
    pub commitment: Hash,
    pub body_len: u64,
}

impl Leaf {
    /// The leaf as encoding takes it.
    pub fn as_ref(&self) -> LeafRef<'_> {
        LeafRef {
            kind: self.kind,
            seq: self.seq,
            collection: self.collection,
            key: self.key.as_deref(),
            revision: self.revision,
            prev_seq: self.prev_seq,
            time_us: self.time_us,
            schema: self.schema,
            txn: self.txn.as_deref(),
            actor: self.actor.as_deref(),
            commit_alg: self.commit_alg,
            commitment: self.commitment,
            body_len: self.body_len,
        }
    }

    /// The bytes of the leaf.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode_leaf(&self.as_ref(), &mut out);
        out
    }

    /// Reads a leaf as strictly as [`decode_leaf`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode_leaf(bytes).map(|leaf| leaf.to_owned())
    }
}

impl LeafRef<'_> {
    /// The leaf with texts of its own.
    pub fn to_owned(&self) -> Leaf {
        Leaf {
            kind: self.kind,
            seq: self.seq,
            collection: self.collection,
            key: self.key.map(<[u8]>::to_vec),
            revision: self.revision,
            prev_seq: self.prev_seq,
            time_us: self.time_us,
            schema: self.schema,
            txn: self.txn.map(<[u8]>::to_vec),
            actor: self.actor.map(str::to_owned),
            commit_alg: self.commit_alg,
            commitment: self.commitment,
            body_len: self.body_len,
        }
    }

    /// Accepts exactly if the leaf commits to `salt` and `body`; `unsupported` if it commits in a
    /// way this version does not know.
    pub fn check_body(&self, salt: &[u8; 16], body: &[u8]) -> Result<()> {
        if self.commit_alg != COMMITMENT_SHA256 {
            let detail = format!("commitment algorithm {} is newer than this", self.commit_alg);
            return Err(Error::new(Code::Unsupported, detail));
        }
        if body.len() as u64 != self.body_len || commitment(salt, body) != self.commitment {
            let detail = format!("the body is not the one that leaf {} commits to", self.seq);
            return Err(Error::new(Code::IntegrityViolation, detail));
        }
        Ok(())
    }

    /// Whether the fields that are null are those that the kind leaves so.
    fn has_fields_of_kind(&self) -> bool {
        match self.kind {
            LeafKind::Record => {
                self.key.is_some() && self.revision.is_some() && self.schema.is_some()
            }
            LeafKind::BlockHeader => {
                self.key.is_none()
                    && self.revision.is_none()
                    && self.prev_seq.is_none()
                    && self.schema.is_none()
                    && self.txn.is_none()
                    && self.actor.is_none()
            }
            _ => true,
        }
    }
}

/// Appends the bytes of `leaf`, the hot path of every write. A leaf that [`decode_leaf`] would
/// refuse (fields not of its kind, longer than 65,535 bytes) is the caller's fault.
pub fn encode_leaf(leaf: &LeafRef<'_>, out: &mut Vec<u8>) {
    debug_assert!(leaf.has_fields_of_kind(), "fields of another kind: {leaf:?}");
    let start = out.len();
    let texts = leaf.key.map_or(0, <[u8]>::len)
        + leaf.txn.map_or(0, <[u8]>::len)
        + leaf.actor.map_or(0, str::len);
    out.reserve(160 + texts);
    out.extend_from_slice(&[ARRAY | LEAF_FIELDS, LEAF_VERSION, leaf.kind as u8]);
    put_head(out, UNSIGNED, leaf.seq);
    put_bytes(out, &leaf.collection);
    put_optional(out, leaf.key, put_bytes);
    put_optional(out, leaf.revision, put_unsigned);
    put_optional(out, leaf.prev_seq, put_unsigned);
    if leaf.time_us < 0 {
        put_head(out, NEGATIVE, !leaf.time_us as u64);
    } else {
        put_head(out, UNSIGNED, leaf.time_us as u64);
    }
    put_optional(out, leaf.schema, put_unsigned);
    put_optional(out, leaf.txn, put_bytes);
    put_optional(out, leaf.actor, |out, actor| {
        put_head(out, TEXT, actor.len() as u64);
        out.extend_from_slice(actor.as_bytes());
    });
    put_head(out, UNSIGNED, u64::from(leaf.commit_alg));
    put_bytes(out, &leaf.commitment);
    put_head(out, UNSIGNED, leaf.body_len);
    debug_assert!(out.len() - start <= LEAF_BYTES_MAX, "a leaf of {} bytes", out.len() - start);
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => put(out, value),
        None => out.push(NULL),
    }
}

fn put_unsigned(out: &mut Vec<u8>, number: u64) {
    put_head(out, UNSIGNED, number);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The shortest head, RFC 8949 section 3. By hand, because a library's would be most of the cost
/// of a leaf.
#[inline]
fn put_head(out: &mut Vec<u8>, major: u8, number: u64) {
    match number {
        0..=0x17 => out.push(major | number as u8),
        0x18..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            let [a, b] = (number as u16).to_be_bytes();
            out.extend_from_slice(&[major | 25, a, b]);
        }
        0x1_0000..=0xffff_ffff => {
            let [a, b, c, d] = (number as u32).to_be_bytes();
            out.extend_from_slice(&[major | 26, a, b, c, d]);
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
            out.extend_from_slice(&[major | 27, a, b, c, d, e, f, g, h]);
        }
    }
}

/// Reads a leaf. Accepts the exact bytes that [`encode_leaf`] writes and nothing else; all others
/// are `integrity_violation`, a newer layout is `unsupported`.
pub fn decode_leaf(bytes: &[u8]) -> Result<LeafRef<'_>> {
    if bytes.len() > LEAF_BYTES_MAX {
        return Err(Error::too_large("the length of a leaf", bytes.len() as u64, 65_535));
    }
    let leaf = read_leaf(&mut Decoder::new(bytes)).map_err(|fault| match fault {
        Fault::Newer(version) => {
            Error::new(Code::Unsupported, format!("leaf version {version} is newer than this"))
        }
        Fault::Malformed(error) => violation(format!("not a leaf: {error}")),
    })?;
    if !leaf.has_fields_of_kind() {
        return Err(violation(format!("a {:?} leaf with fields of another kind", leaf.kind)));
    }
    let mut again = Vec::with_capacity(bytes.len());
    encode_leaf(&leaf, &mut again);
    if again != bytes {
        return Err(violation("not the one encoding that this leaf has"));
    }
    Ok(leaf)
}

enum Fault {
    Newer(u64),
    Malformed(minicbor::decode::Error),
}

impl From<minicbor::decode::Error> for Fault {
    fn from(error: minicbor::decode::Error) -> Self {
        Fault::Malformed(error)
    }
}

fn read_leaf<'b>(decoder: &mut Decoder<'b>) -> Result<LeafRef<'b>, Fault> {
    let fields = decoder.array()?;
    let version = decoder.u64()?;
    if version > u64::from(LEAF_VERSION) {
        return Err(Fault::Newer(version));
    }
    if version != u64::from(LEAF_VERSION) || fields != Some(u64::from(LEAF_FIELDS)) {
        return Err(minicbor::decode::Error::message("the fields of another version").into());
    }
    let kind = LeafKind::from_number(decoder.u8()?)
        .ok_or_else(|| minicbor::decode::Error::message("an unknown kind"))?;
    Ok(LeafRef {
        kind,
        seq: decoder.u64()?,
        collection: fixed(decoder.bytes()?)?,
        key: optional(decoder, Decoder::bytes)?,
        revision: optional(decoder, Decoder::u64)?,
        prev_seq: optional(decoder, Decoder::u64)?,
        time_us: decoder.i64()?,
        schema: optional(decoder, Decoder::u64)?,
        txn: optional(decoder, Decoder::bytes)?,
        actor: optional(decoder, Decoder::str)?,
        commit_alg: decoder.u8()?,
        commitment: fixed(decoder.bytes()?)?,
        body_len: decoder.u64()?,
    })
}

type Decoded<T> = Result<T, minicbor::decode::Error>;

fn optional<'b, T>(
    decoder: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Decoded<T>,
) -> Decoded<Option<T>> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    read(decoder).map(Some)
}

pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Decoded<[u8; N]> {
    bytes.try_into().map_err(|_| minicbor::decode::Error::message("a byte string of another size"))
}

pub(super) fn violation(detail: impl Into<String>) -> Error {
    Error::new(Code::IntegrityViolation, detail)
}
