//! Log entries of a shard and their bytes. An entry is unconditional: everything that needs a
//! decision (duplicates, timestamps, salts, seals) was decided before it was logged, so applying
//! it never refuses and gives the same leaves on every replica.
//!
//! Batch: `1, time_us i64, parts u16`, then per part `collection 16, first_seq u64, count u32` and
//! its records. Record: `kind u8, flags u8, key_len u16, body_len u32, salt 16`, then by flag
//! `revision u64 (1), prev_seq u64 (2), schema u32 (4), actor_len u16 + actor (8)`, then key and
//! body. Seal: `2, count u16`, then per seal `collection 16, first_seq u64, count u64,
//! timestamp_us i64, head_known u8, head_id u64, head_hash 32`. All integers little-endian. Kinds 3
//! to 6 are those of two-phase commit (`two_phase/step.rs`); the first of them carries a batch whose
//! numbers are still zero.
//!
//! A record's commitment is not logged: it is recomputed from salt and body.

use bytes::Bytes;

use crate::collection::CollectionId;
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::PendingLeaf;
use crate::proof::{self, Hash, LeafKind};
use crate::shard::index::RecordKeys;
use crate::shard::two_phase::{self, Step};

const TAG_BATCH: u8 = 1;
const TAG_SEAL: u8 = 2;
const FLAG_REVISION: u8 = 1;
const FLAG_PREV_SEQ: u8 = 2;
const FLAG_SCHEMA: u8 = 4;
const FLAG_ACTOR: u8 = 8;
const BATCH_HEAD_BYTES: usize = 11;
const TIME_OFFSET: usize = 1;
const PARTS_OFFSET: usize = 9;

/// One log entry.
#[derive(Debug)]
pub enum Entry {
    /// Records of one operation or transaction, over one or more collections.
    Batch(Batch),
    /// Ends of blocks.
    Seals(Vec<Seal>),
    /// A step of two-phase commit.
    TwoPhase(Step),
}

/// The end of one block: the run of leaves from `first_seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Whose block it is.
    pub collection: CollectionId,
    /// First leaf of the block.
    pub first_seq: u64,
    /// Leaves in it, without the header leaf that closes it.
    pub count: u64,
    /// When it was sealed, microseconds since the epoch.
    pub timestamp_us: i64,
    /// Id and hash of the newest block header known when this was logged: a replica whose own
    /// header differs has diverged and stops.
    pub head: Option<(u64, Hash)>,
}

/// Records committed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Commit time of all its records, microseconds since the epoch.
    pub time_us: i64,
    /// The transaction, if it was an explicit one.
    pub txn: Option<[u8; 16]>,
    /// The records by collection.
    pub parts: Vec<Part>,
    /// The encoded entry, which the slots point into.
    pub payload: Bytes,
}

/// The records of one collection within a batch, in sequence order.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whose records they are.
    pub collection: CollectionId,
    /// Sequence number of the first.
    pub first_seq: u64,
    /// The records.
    pub slots: Vec<Slot>,
    /// Where this part's head lies in the payload.
    head_offset: usize,
}

/// One record as offsets into its batch's payload.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Kind of leaf.
    pub kind: LeafKind,
    /// Revision, 1 for a new key.
    pub revision: u64,
    /// Sequence number of the previous revision.
    pub prev_seq: Option<u64>,
    /// Schema version it was written under, 0 for none.
    pub schema: u32,
    /// Commitment to salt and body.
    pub commitment: Hash,
    /// Its entries in the collection's indexes, if they were found already: they are not logged.
    pub index_keys: Option<RecordKeys>,
    salt: u32,
    key: (u32, u16),
    actor: Option<(u32, u16)>,
    body: (u32, u32),
}

/// A record to be logged.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Kind of leaf.
    pub kind: LeafKind,
    /// Its key; `None` for kinds without one.
    pub key: Option<&'a [u8]>,
    /// Revision, 1 for a new key.
    pub revision: u64,
    /// Sequence number of the previous revision, or [`own_seq`] if that is in the same batch.
    pub prev_seq: Option<u64>,
    /// Schema version, 0 for none.
    pub schema: u32,
    /// The authenticated principal.
    pub actor: Option<&'a str>,
    /// Canonical bytes of the document.
    pub body: &'a [u8],
    /// Sixteen random bytes that hide the body behind its commitment.
    pub salt: [u8; 16],
    /// The commitment to salt and body, if it was computed already.
    pub commitment: Option<Hash>,
}

impl<'a> NewRecord<'a> {
    /// A leaf of a kind that has no key: it is no revision of anything.
    pub fn unkeyed(kind: LeafKind, body: &'a Document, salt: [u8; 16]) -> Self {
        NewRecord {
            kind,
            key: None,
            revision: 1,
            prev_seq: None,
            schema: 0,
            actor: None,
            body: body.as_bytes(),
            salt,
            commitment: None,
        }
    }
}

/// Marks the previous revision of a record as one of the same batch: sequence numbers are below it.
const OWN_SEQ: u64 = 1 << 63;

/// Stands for the sequence number that record `index` of the same part is going to get.
pub fn own_seq(index: usize) -> u64 {
    OWN_SEQ | index as u64
}

/// Builds a batch: encodes and hashes on the writer's own thread, so that the committer only fills
/// in the sequence numbers and the time.
#[derive(Debug)]
pub struct BatchBuilder {
    payload: Vec<u8>,
    parts: Vec<Part>,
    txn: Option<[u8; 16]>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(txn: Option<[u8; 16]>) -> Self {
        let mut payload = Vec::with_capacity(512);
        payload.resize(BATCH_HEAD_BYTES, 0);
        payload[0] = TAG_BATCH;
        BatchBuilder { payload, parts: Vec::new(), txn }
    }

    /// Begins the records of `collection`; each collection at most once.
    pub fn part(&mut self, collection: CollectionId) {
        let head_offset = self.payload.len();
        self.payload.extend_from_slice(&collection.0);
        self.payload.extend_from_slice(&[0; 12]);
        self.parts.push(Part { collection, first_seq: 0, slots: Vec::new(), head_offset });
    }

    /// Adds a record to the collection begun last.
    pub fn record(&mut self, record: &NewRecord<'_>) {
        let commitment =
            record.commitment.unwrap_or_else(|| proof::commitment(&record.salt, record.body));
        let key = record.key.unwrap_or_default();
        let flags = if record.revision > 1 { FLAG_REVISION } else { 0 }
            | if record.prev_seq.is_some() { FLAG_PREV_SEQ } else { 0 }
            | if record.schema > 0 { FLAG_SCHEMA } else { 0 }
            | if record.actor.is_some() { FLAG_ACTOR } else { 0 };
        let out = &mut self.payload;
        out.push(record.kind as u8);
        out.push(flags);
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(&(record.body.len() as u32).to_le_bytes());
        let salt = out.len() as u32;
        out.extend_from_slice(&record.salt);
        if record.revision > 1 {
            out.extend_from_slice(&record.revision.to_le_bytes());
        }
        if let Some(prev_seq) = record.prev_seq {
            out.extend_from_slice(&prev_seq.to_le_bytes());
        }
        if record.schema > 0 {
            out.extend_from_slice(&record.schema.to_le_bytes());
        }
        let actor = record.actor.map(|actor| {
            out.extend_from_slice(&(actor.len() as u16).to_le_bytes());
            let place = (out.len() as u32, actor.len() as u16);
            out.extend_from_slice(actor.as_bytes());
            place
        });
        let key_place = (out.len() as u32, key.len() as u16);
        out.extend_from_slice(key);
        let body = (out.len() as u32, record.body.len() as u32);
        out.extend_from_slice(record.body);
        let part = self.parts.last_mut().expect("a part was begun");
        part.slots.push(Slot {
            kind: record.kind,
            revision: record.revision,
            prev_seq: record.prev_seq,
            schema: record.schema,
            commitment,
            index_keys: None,
            salt,
            key: key_place,
            actor,
            body,
        });
    }

    /// Hands the entries of the record added last to whoever applies it.
    pub fn index_keys(&mut self, keys: RecordKeys) {
        let slot = self.parts.last_mut().and_then(|part| part.slots.last_mut());
        slot.expect("a record was added").index_keys = Some(keys);
    }

    /// Encoded bytes so far.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.parts.iter().map(|part| part.slots.len()).sum()
    }

    /// The batch, still without sequence numbers and time.
    pub fn finish(self) -> Proposal {
        Proposal { payload: self.payload, parts: self.parts, txn: self.txn }
    }
}

/// An evaluated batch on its way to the committer.
#[derive(Debug)]
pub struct Proposal {
    payload: Vec<u8>,
    parts: Vec<Part>,
    txn: Option<[u8; 16]>,
}

impl Proposal {
    /// The collections written to, with the number of records each.
    pub fn parts(&self) -> impl Iterator<Item = (CollectionId, usize)> + '_ {
        self.parts.iter().map(|part| (part.collection, part.slots.len()))
    }

    /// Encoded bytes.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// The transaction's id.
    pub fn txn(&self) -> Option<[u8; 16]> {
        self.txn
    }

    /// Fills in the time and each part's first sequence number, in order.
    pub fn number(mut self, time_us: i64, first_seqs: &[u64]) -> Batch {
        let payload = &mut self.payload;
        payload[TIME_OFFSET..TIME_OFFSET + 8].copy_from_slice(&time_us.to_le_bytes());
        let count = (self.parts.len() as u16).to_le_bytes();
        payload[PARTS_OFFSET..PARTS_OFFSET + 2].copy_from_slice(&count);
        for (part, first_seq) in self.parts.iter_mut().zip(first_seqs) {
            part.first_seq = *first_seq;
            for slot in &mut part.slots {
                let Some(own) = slot.prev_seq.filter(|seq| seq & OWN_SEQ != 0) else { continue };
                let prev_seq = first_seq + (own & !OWN_SEQ);
                slot.prev_seq = Some(prev_seq);
                let at = slot.prev_seq_offset();
                payload[at..at + 8].copy_from_slice(&prev_seq.to_le_bytes());
            }
            let at = part.head_offset + 16;
            payload[at..at + 8].copy_from_slice(&first_seq.to_le_bytes());
            payload[at + 8..at + 12].copy_from_slice(&(part.slots.len() as u32).to_le_bytes());
        }
        Batch { time_us, txn: self.txn, parts: self.parts, payload: Bytes::from(self.payload) }
    }

    /// The batch for a Prepare: counted, and without sequence numbers and time. What
    /// [`Proposal::number`] fills in stays as it is until [`Proposal::of_staged`] gives a proposal
    /// again.
    pub fn stage(mut self) -> (Vec<u8>, Vec<Part>) {
        let count = (self.parts.len() as u16).to_le_bytes();
        self.payload[PARTS_OFFSET..PARTS_OFFSET + 2].copy_from_slice(&count);
        for part in &self.parts {
            let at = part.head_offset + 16 + 8;
            let count = (part.slots.len() as u32).to_le_bytes();
            self.payload[at..at + 4].copy_from_slice(&count);
        }
        (self.payload, self.parts)
    }

    /// A proposal of staged records, to be numbered when they are resolved.
    pub fn of_staged(staged: &[u8], parts: &[Part], txn: [u8; 16]) -> Self {
        Proposal { payload: staged.to_vec(), parts: parts.to_vec(), txn: Some(txn) }
    }
}

impl Slot {
    /// The key's bytes, `None` for kinds without a key.
    pub fn key<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let (start, len) = (self.key.0 as usize, self.key.1 as usize);
        (len > 0).then(|| &payload[start..start + len])
    }

    /// Where the key lies.
    pub fn key_bytes(&self, payload: &Bytes) -> Option<Bytes> {
        let (start, len) = (self.key.0 as usize, self.key.1 as usize);
        (len > 0).then(|| payload.slice(start..start + len))
    }

    /// The body, sharing the payload's memory.
    pub fn body_bytes(&self, payload: &Bytes) -> Bytes {
        payload.slice(self.body.0 as usize..self.body.0 as usize + self.body.1 as usize)
    }

    /// Where the previous revision's sequence number lies, if there is one.
    fn prev_seq_offset(&self) -> usize {
        self.salt as usize + 16 + if self.revision > 1 { 8 } else { 0 }
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> u32 {
        self.body.1
    }

    /// The salt.
    pub fn salt(&self, payload: &[u8]) -> [u8; 16] {
        let at = self.salt as usize;
        payload[at..at + 16].try_into().expect("sixteen bytes")
    }

    /// The principal.
    pub fn actor<'a>(&self, payload: &'a [u8]) -> Option<&'a str> {
        let (start, len) = self.actor?;
        std::str::from_utf8(&payload[start as usize..start as usize + len as usize]).ok()
    }

    /// The record as the ledger seals it.
    pub fn leaf<'a>(
        &self,
        payload: &'a [u8],
        time_us: i64,
        txn: Option<&'a [u8]>,
    ) -> PendingLeaf<'a> {
        let keyed = self.kind == LeafKind::Record;
        let (start, len) = (self.body.0 as usize, self.body.1 as usize);
        PendingLeaf {
            kind: self.kind,
            key: self.key(payload),
            revision: keyed.then_some(self.revision),
            prev_seq: self.prev_seq,
            time_us,
            schema: keyed.then_some(u64::from(self.schema)),
            txn,
            actor: self.actor(payload),
            salt: self.salt(payload),
            body: &payload[start..start + len],
            commitment: self.commitment,
        }
    }
}

/// The bytes of a seal entry.
pub fn encode_seals(seals: &[Seal]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + seals.len() * 81);
    out.push(TAG_SEAL);
    out.extend_from_slice(&(seals.len() as u16).to_le_bytes());
    for seal in seals {
        let (id, hash) = seal.head.unwrap_or_default();
        out.extend_from_slice(&seal.collection.0);
        out.extend_from_slice(&seal.first_seq.to_le_bytes());
        out.extend_from_slice(&seal.count.to_le_bytes());
        out.extend_from_slice(&seal.timestamp_us.to_le_bytes());
        out.push(u8::from(seal.head.is_some()));
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&hash);
    }
    out
}

/// Reads the payload of a log frame; `txn` comes from the frame.
pub fn decode(payload: Bytes, txn: Option<[u8; 16]>) -> Result<Entry> {
    let mut reader = Reader { bytes: &payload, at: 0 };
    let entry = match reader.u8()? {
        TAG_BATCH => Entry::Batch(decode_batch(payload.clone(), txn)?),
        TAG_SEAL => {
            let count = reader.u16()?;
            let seals = (0..count).map(|_| decode_seal(&mut reader)).collect::<Result<_>>()?;
            reader.end()?;
            Entry::Seals(seals)
        }
        tag if two_phase::is_tag(tag) => Entry::TwoPhase(Step::decode(payload.clone())?),
        tag => return Err(malformed(&format!("an entry of kind {tag}"))),
    };
    Ok(entry)
}

/// Reads a batch, which may be a staged one.
pub(super) fn decode_batch(payload: Bytes, txn: Option<[u8; 16]>) -> Result<Batch> {
    let mut reader = Reader { bytes: &payload, at: 0 };
    if reader.u8()? != TAG_BATCH {
        return Err(malformed("no batch where one was expected"));
    }
    let time_us = reader.u64()? as i64;
    let count = reader.u16()?;
    let parts = (0..count).map(|_| decode_part(&mut reader)).collect::<Result<Vec<_>>>()?;
    reader.end()?;
    Ok(Batch { time_us, txn, parts, payload: payload.clone() })
}

fn decode_part(reader: &mut Reader<'_>) -> Result<Part> {
    let head_offset = reader.at;
    let collection = CollectionId(reader.array()?);
    let first_seq = reader.u64()?;
    let count = reader.u32()?;
    let slots = (0..count).map(|_| decode_slot(reader)).collect::<Result<Vec<_>>>()?;
    Ok(Part { collection, first_seq, slots, head_offset })
}

fn decode_slot(reader: &mut Reader<'_>) -> Result<Slot> {
    let kind = LeafKind::from_number(reader.u8()?).ok_or_else(|| malformed("an unknown kind"))?;
    let flags = reader.u8()?;
    let key_len = reader.u16()?;
    let body_len = reader.u32()?;
    let salt = reader.at as u32;
    let salt_bytes: [u8; 16] = reader.array()?;
    let revision = if flags & FLAG_REVISION != 0 { reader.u64()? } else { 1 };
    let prev_seq = if flags & FLAG_PREV_SEQ != 0 { Some(reader.u64()?) } else { None };
    let schema = if flags & FLAG_SCHEMA != 0 { reader.u32()? } else { 0 };
    let actor = if flags & FLAG_ACTOR != 0 {
        let len = reader.u16()?;
        let start = reader.at as u32;
        let bytes = reader.take(len as usize)?;
        std::str::from_utf8(bytes).map_err(|_| malformed("an actor that is not UTF-8"))?;
        Some((start, len))
    } else {
        None
    };
    let key = (reader.at as u32, key_len);
    reader.take(key_len as usize)?;
    let body = (reader.at as u32, body_len);
    let commitment = proof::commitment(&salt_bytes, reader.take(body_len as usize)?);
    let index_keys = None;
    Ok(Slot { kind, revision, prev_seq, schema, commitment, index_keys, salt, key, actor, body })
}

fn decode_seal(reader: &mut Reader<'_>) -> Result<Seal> {
    let collection = CollectionId(reader.array()?);
    let first_seq = reader.u64()?;
    let count = reader.u64()?;
    let timestamp_us = reader.u64()? as i64;
    let known = reader.u8()?;
    let id = reader.u64()?;
    let hash = reader.array()?;
    let head = (known != 0).then_some((id, hash));
    Ok(Seal { collection, first_seq, count, timestamp_us, head })
}

pub(super) fn malformed(what: &str) -> Error {
    Error::new(Code::Corrupt, format!("a log entry is malformed: {what}"))
}

/// What is left to read of an entry.
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| malformed("it ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many bytes as taken"))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn end(&self) -> Result<()> {
        match self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(malformed("it has bytes behind its end")),
        }
    }
}
