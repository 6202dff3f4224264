//! The insides of frames, before compression. A leaf frame holds what cannot be recomputed about a
//! run of leaves, a body frame their salts and bodies or what an erasure left. Both end in a table
//! of offsets, so that one entry is reached without looking at the others; no offset is believed
//! before it is checked. The byte layouts are in `docs/format/ledger.md`.
//!
//! Leaf frames never change once written; body frames may be rewritten by an erasure, which is why
//! the state of a slot stands in the body frame.

use bytes::Bytes;

use super::leaf::{PendingLeaf, Slot, StoredLeaf, is_encodable};
use super::varint;
use crate::proof::{COMMITMENT_SHA256, Hash, LeafKind};

const HAS_KEY: u8 = 1 << 3;
const HAS_REVISION: u8 = 1 << 4;
const HAS_PREV_SEQ: u8 = 1 << 5;
const HAS_SCHEMA: u8 = 1 << 6;
const HAS_MORE: u8 = 1 << 7;
const KIND_MASK: u8 = 7;
const HAS_TXN: u8 = 1;
const HAS_ACTOR: u8 = 1 << 1;

/// Bytes of the base time a leaf frame begins with.
const BASE_TIME_BYTES: usize = 8;
/// Raw frames of at most this many bytes have 16-bit offsets, larger ones 32-bit.
const NARROW_BYTES_MAX: usize = u16::MAX as usize;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Gathers the leaves of one frame.
#[derive(Debug, Default)]
pub(super) struct LeafFrame {
    raw: Vec<u8>,
    offsets: Vec<u16>,
    base_time_us: i64,
}

impl LeafFrame {
    /// Leaves gathered so far.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes the finished frame will have.
    pub fn raw_bytes(&self) -> usize {
        self.raw.len() + 2 * self.offsets.len()
    }

    /// Adds a leaf. The caller closes the frame before an entry would begin past 64 KiB.
    pub fn push(&mut self, seq: u64, leaf: &PendingLeaf<'_>) {
        if self.offsets.is_empty() {
            self.base_time_us = leaf.time_us;
            self.raw.extend_from_slice(&leaf.time_us.to_le_bytes());
        }
        self.offsets.push(self.raw.len() as u16);
        let out = &mut self.raw;
        let more = leaf.txn.is_some() || leaf.actor.is_some();
        out.push(
            leaf.kind as u8
                | flag(leaf.key.is_some(), HAS_KEY)
                | flag(leaf.revision.is_some(), HAS_REVISION)
                | flag(leaf.prev_seq.is_some(), HAS_PREV_SEQ)
                | flag(leaf.schema.is_some(), HAS_SCHEMA)
                | flag(more, HAS_MORE),
        );
        if more {
            out.push(flag(leaf.txn.is_some(), HAS_TXN) | flag(leaf.actor.is_some(), HAS_ACTOR));
        }
        varint::put(out, varint::zigzag(leaf.time_us.wrapping_sub(self.base_time_us)));
        varint::put(out, leaf.body.len() as u64);
        if let Some(revision) = leaf.revision {
            varint::put(out, revision);
        }
        if let Some(prev_seq) = leaf.prev_seq {
            varint::put(out, seq.wrapping_sub(prev_seq));
        }
        if let Some(schema) = leaf.schema {
            varint::put(out, schema);
        }
        let texts = [leaf.key, leaf.txn, leaf.actor.map(str::as_bytes)];
        for text in texts.into_iter().flatten() {
            varint::put(out, text.len() as u64);
            out.extend_from_slice(text);
        }
    }

    /// The finished frame; the builder is empty afterwards, `clear` makes it ready again.
    pub fn finish(&mut self) -> &[u8] {
        for offset in self.offsets.drain(..) {
            self.raw.extend_from_slice(&offset.to_le_bytes());
        }
        &self.raw
    }

    /// Forgets the finished frame.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.offsets.clear();
    }
}

fn flag(present: bool, bit: u8) -> u8 {
    if present { bit } else { 0 }
}

/// Leaf `index` of `count` in a raw leaf frame, without its body; `None` if the bytes contradict
/// themselves. Key and transaction are slices of the frame.
#[inline]
pub(super) fn read_leaf(raw: &Bytes, count: usize, index: usize, seq: u64) -> Option<StoredLeaf> {
    let table = raw.len().checked_sub(count.checked_mul(2)?)?;
    let start = offset_at(raw, table, index, 2)?;
    let end = if index + 1 < count { offset_at(raw, table, index + 1, 2)? } else { table };
    if start < BASE_TIME_BYTES || end > table {
        return None;
    }
    let base_time_us = i64::from_le_bytes(raw.get(..BASE_TIME_BYTES)?.try_into().ok()?);
    let mut rest = raw.get(start..end)?;
    let flags = take_byte(&mut rest)?;
    let more = if flags & HAS_MORE != 0 { take_byte(&mut rest)? } else { 0 };
    let delta = varint::unzigzag(varint::take(&mut rest)?);
    let body_len = varint::take(&mut rest)?;
    let number = |rest: &mut &[u8], bit: u8| match flags & bit {
        0 => Some(None),
        _ => varint::take(rest).map(Some),
    };
    let revision = number(&mut rest, HAS_REVISION)?;
    let prev_delta = number(&mut rest, HAS_PREV_SEQ)?;
    let schema = number(&mut rest, HAS_SCHEMA)?;
    let key = take_text(&mut rest, flags & HAS_KEY != 0)?;
    let txn = take_text(&mut rest, more & HAS_TXN != 0)?;
    let actor = take_text(&mut rest, more & HAS_ACTOR != 0)?;
    let texts = [key, txn, actor].map(|text| text.map(<[u8]>::len));
    if !rest.is_empty() || more & !(HAS_TXN | HAS_ACTOR) != 0 {
        return None;
    }
    let leaf = StoredLeaf {
        seq,
        kind: LeafKind::from_number(flags & KIND_MASK)?,
        key: key.map(|text| raw.slice_ref(text)),
        revision,
        prev_seq: match prev_delta {
            None => None,
            Some(delta) => Some(seq.checked_sub(delta)?),
        },
        time_us: base_time_us.checked_add(delta)?,
        schema,
        txn: txn.map(|text| raw.slice_ref(text)),
        actor: match actor {
            None => None,
            Some(text) => Some(std::str::from_utf8(text).ok()?.to_owned()),
        },
        commit_alg: COMMITMENT_SHA256,
        body_len,
        slot: Slot::Skipped,
    };
    if is_encodable(leaf.kind, leaf.revision, leaf.schema, texts) { Some(leaf) } else { None }
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// A length-prefixed text if one is `present`.
fn take_text<'a>(input: &mut &'a [u8], present: bool) -> Option<Option<&'a [u8]>> {
    if !present {
        return Some(None);
    }
    let size = usize::try_from(varint::take(input)?).ok()?;
    let (text, rest) = input.split_at_checked(size)?;
    *input = rest;
    Some(Some(text))
}

fn offset_at(raw: &[u8], table: usize, index: usize, width: usize) -> Option<usize> {
    let at = table.checked_add(index.checked_mul(width)?)?;
    let bytes = raw.get(at..at.checked_add(width)?)?;
    Some(match width {
        2 => usize::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        _ => u32::from_le_bytes(bytes.try_into().ok()?) as usize,
    })
}

/// Gathers the slots of one body frame.
#[derive(Debug, Default)]
pub(super) struct BodyFrame {
    raw: Vec<u8>,
    payload: Vec<u8>,
    states: Vec<u8>,
    offsets: Vec<u32>,
}

impl BodyFrame {
    /// Slots gathered so far.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of salts and payload, by which frames are closed.
    pub fn raw_bytes(&self) -> usize {
        self.raw.len() + self.payload.len()
    }

    /// Adds a live slot.
    pub fn push_live(&mut self, salt: &[u8; 16], body: &[u8]) {
        self.push(salt, body, false);
    }

    /// Adds an erased slot.
    pub fn push_erased(&mut self, commitment: &Hash) {
        self.push(&[0; SALT_BYTES], commitment, true);
    }

    fn push(&mut self, salt: &[u8; 16], payload: &[u8], erased: bool) {
        let index = self.offsets.len();
        if index.is_multiple_of(8) {
            self.states.push(0);
        }
        self.states[index / 8] |= u8::from(erased) << (index % 8);
        self.offsets.push(self.payload.len() as u32);
        self.raw.extend_from_slice(salt);
        self.payload.extend_from_slice(payload);
    }

    /// The finished frame; the builder is empty afterwards, `clear` makes it ready again.
    pub fn finish(&mut self) -> &[u8] {
        self.raw.extend_from_slice(&self.payload);
        self.raw.extend_from_slice(&self.states);
        let narrow = self.raw.len() + 2 * self.offsets.len() <= NARROW_BYTES_MAX;
        for offset in self.offsets.drain(..) {
            match narrow {
                true => self.raw.extend_from_slice(&(offset as u16).to_le_bytes()),
                false => self.raw.extend_from_slice(&offset.to_le_bytes()),
            }
        }
        &self.raw
    }

    /// Forgets the finished frame; one large body does not keep its memory.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.payload.clear();
        self.states.clear();
        self.offsets.clear();
        self.raw.shrink_to(NARROW_BYTES_MAX);
        self.payload.shrink_to(NARROW_BYTES_MAX);
    }
}

/// Slot `index` of `count` in a raw body frame; `None` if the bytes contradict themselves.
#[inline]
pub(super) fn read_slot(raw: &Bytes, count: usize, index: usize) -> Option<Slot> {
    let width = if raw.len() <= NARROW_BYTES_MAX { 2 } else { 4 };
    let table = raw.len().checked_sub(count.checked_mul(width)?)?;
    let states = table.checked_sub(count.div_ceil(8))?;
    let payload = count.checked_mul(SALT_BYTES)?;
    let start = payload.checked_add(offset_at(raw, table, index, width)?)?;
    let end = match index + 1 < count {
        true => payload.checked_add(offset_at(raw, table, index + 1, width)?)?,
        false => states,
    };
    if start > end || end > states {
        return None;
    }
    let salt = raw.get(index * SALT_BYTES..(index + 1) * SALT_BYTES)?.try_into().ok()?;
    if raw.get(states + index / 8)? >> (index % 8) & 1 == 0 {
        return Some(Slot::Live { salt, body: raw.slice(start..end) });
    }
    if end - start != HASH_BYTES || salt != [0; SALT_BYTES] {
        return None;
    }
    Some(Slot::Erased(raw[start..end].try_into().ok()?))
}
