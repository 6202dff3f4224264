//! Log entries of two-phase commit and their bytes (`docs/format/shard.md`). All integers are
//! little-endian.
//!
//! Prepare: `3, txn 16, attempt u32, home u32, own u32, time_us i64, participants u16 + u32 each,
//! locks u32 + u64 each`, then a batch entry whose time and sequence numbers are zero. Decide: `4,
//! txn 16, verdict u8, attempt u32, time_us i64, shares u16`, per share `shard u32, known u8`, and
//! `digest 32` if it is 1.
//! Resolve: `5, txn 16, verdict u8, time_us i64, parts u16`, per part `first_seq u64`. Acknowledge:
//! `6, txn 16, time_us i64`.

use std::sync::Arc;

use bytes::Bytes;

use super::terms::{Decision, PrepareTerms, PreparedInfo, Share, TxnId, Verdict, staged_digest};
use crate::collection::CollectionId;
use crate::error::Result;
use crate::proof::Hash;
use crate::shard::entry::{Batch, Part, Proposal, Reader, decode_batch, malformed};

const TAG_PREPARE: u8 = 3;
const TAG_DECIDE: u8 = 4;
const TAG_RESOLVE: u8 = 5;
const TAG_ACKNOWLEDGE: u8 = 6;
/// Where a Prepare's time lies.
const PREPARE_TIME_OFFSET: usize = 29;

/// Whether `tag` begins one of these entries.
pub fn is_tag(tag: u8) -> bool {
    (TAG_PREPARE..=TAG_ACKNOWLEDGE).contains(&tag)
}

/// One step of a transaction in this shard's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Its records wait for the decision.
    Prepare(Arc<Prepared>),
    /// The decision, at home.
    Decide(TxnId, Arc<Decision>),
    /// Its records become visible, or are dropped.
    Resolve(Resolve),
    /// Every participant has resolved: the decision becomes a tombstone.
    Acknowledge {
        /// The transaction.
        txn: TxnId,
        /// When this was logged, microseconds since the epoch.
        time_us: i64,
    },
}

/// The end of a transaction at one participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The transaction.
    pub txn: TxnId,
    /// What home has decided.
    pub verdict: Verdict,
    /// Time of its records, microseconds since the epoch.
    pub time_us: i64,
    /// The first sequence number of each part; none if it is aborted.
    pub first_seqs: Vec<u64>,
}

/// A prepared transaction: what it will write, and what it holds until then. The bytes are those of
/// its entry.
#[derive(Debug)]
pub struct Prepared {
    /// The transaction and its participants.
    pub terms: PrepareTerms,
    /// When it was prepared, microseconds since the epoch.
    pub time_us: i64,
    /// Its exclusive locks.
    pub locks: Vec<u64>,
    /// Digest of its records.
    pub digest: Hash,
    /// The whole entry.
    pub payload: Bytes,
    parts: Vec<Part>,
    /// Where the batch begins.
    staged_at: usize,
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload
    }
}

impl Prepared {
    /// The entry of evaluated records, still without its time.
    pub(super) fn draft(terms: PrepareTerms, locks: Vec<u64>, proposal: Proposal) -> Draft {
        let (staged, parts) = proposal.stage();
        let digest = staged_digest(terms.txn, &staged);
        let head_bytes = 64 + terms.participants.len() * 4 + locks.len() * 8;
        let mut payload = Vec::with_capacity(head_bytes + staged.len());
        payload.push(TAG_PREPARE);
        payload.extend_from_slice(&terms.txn.0);
        for number in [terms.attempt, terms.home, terms.own] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        payload.extend_from_slice(&[0; 8]);
        payload.extend_from_slice(&(terms.participants.len() as u16).to_le_bytes());
        for shard in &terms.participants {
            payload.extend_from_slice(&shard.to_le_bytes());
        }
        payload.extend_from_slice(&(locks.len() as u32).to_le_bytes());
        for lock in &locks {
            payload.extend_from_slice(&lock.to_le_bytes());
        }
        let staged_at = payload.len();
        payload.extend_from_slice(&staged);
        Draft { terms, locks, digest, payload, parts, staged_at }
    }

    /// The collections it writes to, with the number of records each.
    pub fn parts(&self) -> impl Iterator<Item = (CollectionId, usize)> + '_ {
        self.parts.iter().map(|part| (part.collection, part.slots.len()))
    }

    /// The keys it writes, by collection.
    pub fn keys(&self) -> impl Iterator<Item = (CollectionId, Bytes)> + '_ {
        self.parts.iter().flat_map(move |part| {
            // A slot's places count from the batch's beginning.
            let keys = part.slots.iter().filter_map(move |slot| slot.key(self.staged()));
            keys.map(move |key| (part.collection, self.payload.slice_ref(key)))
        })
    }

    fn staged(&self) -> &[u8] {
        &self.payload[self.staged_at..]
    }

    /// Encoded bytes of its records.
    pub fn staged_bytes(&self) -> usize {
        self.payload.len() - self.staged_at
    }

    /// Its records as a batch.
    pub fn land(&self, time_us: i64, first_seqs: &[u64]) -> Batch {
        let txn = self.terms.txn.0;
        Proposal::of_staged(self.staged(), &self.parts, txn).number(time_us, first_seqs)
    }

    /// What whoever ends it has to know.
    pub fn info(&self) -> PreparedInfo {
        PreparedInfo { terms: self.terms.clone(), since_us: self.time_us, digest: self.digest }
    }

    pub(super) fn decode(payload: Bytes) -> Result<Self> {
        let mut reader = Reader { bytes: &payload, at: 1 };
        let txn = TxnId(reader.array()?);
        let (attempt, home, own) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let time_us = reader.u64()? as i64;
        let count = reader.u16()?;
        let participants = (0..count).map(|_| reader.u32()).collect::<Result<Vec<_>>>()?;
        let count = reader.u32()?;
        let locks = (0..count).map(|_| reader.u64()).collect::<Result<Vec<_>>>()?;
        let staged_at = reader.at;
        let batch = decode_batch(payload.slice(staged_at..), Some(txn.0))?;
        let terms = PrepareTerms { txn, attempt, home, own, participants };
        let digest = staged_digest(txn, &batch.payload);
        Ok(Prepared { terms, time_us, locks, digest, parts: batch.parts, staged_at, payload })
    }
}

/// A Prepare before it has a time.
#[derive(Debug)]
pub(super) struct Draft {
    pub terms: PrepareTerms,
    pub locks: Vec<u64>,
    pub digest: Hash,
    pub payload: Vec<u8>,
    pub parts: Vec<Part>,
    pub staged_at: usize,
}

impl Draft {
    /// The entry of a Prepare at `time_us`.
    pub fn at(self, time_us: i64) -> Prepared {
        let Draft { terms, locks, digest, mut payload, parts, staged_at } = self;
        let place = PREPARE_TIME_OFFSET..PREPARE_TIME_OFFSET + 8;
        payload[place].copy_from_slice(&time_us.to_le_bytes());
        let payload = Bytes::from(payload);
        Prepared { terms, time_us, locks, digest, payload, parts, staged_at }
    }
}

impl Step {
    /// The transaction.
    pub fn txn(&self) -> TxnId {
        match self {
            Step::Prepare(prepared) => prepared.terms.txn,
            Step::Decide(txn, _) | Step::Acknowledge { txn, .. } => *txn,
            Step::Resolve(resolve) => resolve.txn,
        }
    }

    /// When it was logged; for a Resolve, the time of its records.
    pub fn time_us(&self) -> i64 {
        match self {
            Step::Prepare(prepared) => prepared.time_us,
            Step::Decide(_, decision) => decision.time_us,
            Step::Resolve(resolve) => resolve.time_us,
            Step::Acknowledge { time_us, .. } => *time_us,
        }
    }

    /// The entry's bytes.
    pub fn encode(&self) -> Bytes {
        let head = |tag: u8| {
            let mut out = Vec::with_capacity(64);
            out.push(tag);
            out.extend_from_slice(&self.txn().0);
            out
        };
        match self {
            Step::Prepare(prepared) => prepared.payload.clone(),
            Step::Decide(_, decision) => {
                let mut out = head(TAG_DECIDE);
                out.push(decision.verdict as u8);
                out.extend_from_slice(&decision.attempt.to_le_bytes());
                out.extend_from_slice(&decision.time_us.to_le_bytes());
                out.extend_from_slice(&(decision.shares.len() as u16).to_le_bytes());
                for share in &decision.shares {
                    out.extend_from_slice(&share.shard.to_le_bytes());
                    out.push(u8::from(share.digest.is_some()));
                    out.extend_from_slice(share.digest.as_ref().map_or(&[], |digest| digest));
                }
                out.into()
            }
            Step::Resolve(resolve) => {
                let mut out = head(TAG_RESOLVE);
                out.push(resolve.verdict as u8);
                out.extend_from_slice(&resolve.time_us.to_le_bytes());
                out.extend_from_slice(&(resolve.first_seqs.len() as u16).to_le_bytes());
                for first_seq in &resolve.first_seqs {
                    out.extend_from_slice(&first_seq.to_le_bytes());
                }
                out.into()
            }
            Step::Acknowledge { time_us, .. } => {
                let mut out = head(TAG_ACKNOWLEDGE);
                out.extend_from_slice(&time_us.to_le_bytes());
                out.into()
            }
        }
    }

    /// Reads an entry's bytes.
    pub fn decode(payload: Bytes) -> Result<Self> {
        let mut reader = Reader { bytes: &payload, at: 0 };
        let tag = reader.u8()?;
        if tag == TAG_PREPARE {
            return Ok(Step::Prepare(Arc::new(Prepared::decode(payload)?)));
        }
        let txn = TxnId(reader.array()?);
        let step = match tag {
            TAG_DECIDE => {
                let verdict = verdict(&mut reader)?;
                let (attempt, time_us) = (reader.u32()?, reader.u64()? as i64);
                let count = reader.u16()?;
                let shares = (0..count).map(|_| take_share(&mut reader));
                let shares = shares.collect::<Result<Vec<_>>>()?;
                Step::Decide(txn, Arc::new(Decision { verdict, attempt, time_us, shares }))
            }
            TAG_RESOLVE => {
                let (verdict, time_us) = (verdict(&mut reader)?, reader.u64()? as i64);
                let count = reader.u16()?;
                let first_seqs = (0..count).map(|_| reader.u64()).collect::<Result<Vec<_>>>()?;
                Step::Resolve(Resolve { txn, verdict, time_us, first_seqs })
            }
            TAG_ACKNOWLEDGE => Step::Acknowledge { txn, time_us: reader.u64()? as i64 },
            tag => return Err(malformed(&format!("a step of kind {tag}"))),
        };
        reader.end()?;
        Ok(step)
    }
}

fn take_share(reader: &mut Reader<'_>) -> Result<Share> {
    let shard = reader.u32()?;
    let digest = match reader.u8()? {
        0 => None,
        1 => Some(reader.array()?),
        _ => return Err(malformed("a digest that is neither known nor unknown")),
    };
    Ok(Share { shard, digest })
}

pub(super) fn verdict(reader: &mut Reader<'_>) -> Result<Verdict> {
    Verdict::from_number(reader.u8()?).ok_or_else(|| malformed("an unknown verdict"))
}
