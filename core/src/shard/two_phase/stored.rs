//! The part of a restart point: `floor_ms u64`, then `count u32` prepared transactions and `count
//! u32` decisions, each `len u32` and the bytes of its entry, then `count u32` tombstones, each `txn
//! 16, verdict u8, time_us i64, since_us i64, parts u16, first_seq u64 each`. All by ascending id.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use super::state::{Contents, Tombstone, TwoPhase};
use super::step::{Step, verdict};
use super::terms::TxnId;
use crate::error::Result;
use crate::shard::entry::{Reader, malformed};

impl TwoPhase {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Contents { floor_ms, prepared, decisions, tombstones } = self.contents();
        out.extend_from_slice(&floor_ms.to_le_bytes());
        let prepared = prepared.values().map(|prepared| Step::Prepare(prepared.clone()));
        put_steps(prepared, out);
        let decisions = decisions.iter().map(|(txn, decided)| Step::Decide(*txn, decided.clone()));
        put_steps(decisions, out);
        out.extend_from_slice(&(tombstones.len() as u32).to_le_bytes());
        for (txn, tombstone) in &tombstones {
            out.extend_from_slice(&txn.0);
            out.push(tombstone.verdict as u8);
            out.extend_from_slice(&tombstone.time_us.to_le_bytes());
            out.extend_from_slice(&tombstone.since_us.to_le_bytes());
            out.extend_from_slice(&(tombstone.first_seqs.len() as u16).to_le_bytes());
            for first_seq in &tombstone.first_seqs {
                out.extend_from_slice(&first_seq.to_le_bytes());
            }
        }
    }

    /// Reads the bytes, and takes them off `rest`.
    pub fn decode(rest: &mut &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes: rest, at: 0 };
        let floor_ms = reader.u64()?;
        let mut prepared = OrdMap::new();
        for _ in 0..reader.u32()? {
            match take_step(&mut reader)? {
                Step::Prepare(found) => drop(prepared.insert(found.terms.txn, found)),
                step => return Err(malformed(&format!("{step:?} where a Prepare should stand"))),
            }
        }
        let mut decisions = OrdMap::new();
        for _ in 0..reader.u32()? {
            match take_step(&mut reader)? {
                Step::Decide(txn, decision) => drop(decisions.insert(txn, decision)),
                step => return Err(malformed(&format!("{step:?} where a Decide should stand"))),
            }
        }
        let mut tombstones = OrdMap::new();
        for _ in 0..reader.u32()? {
            let txn = TxnId(reader.array()?);
            let verdict = verdict(&mut reader)?;
            let (time_us, since_us) = (reader.u64()? as i64, reader.u64()? as i64);
            let count = reader.u16()?;
            let first_seqs = (0..count).map(|_| reader.u64()).collect::<Result<Vec<_>>>()?;
            let tombstone = Tombstone { verdict, time_us, first_seqs, since_us };
            tombstones.insert(txn, Arc::new(tombstone));
        }
        *rest = &rest[reader.at..];
        Ok(TwoPhase::restore(Contents { floor_ms, prepared, decisions, tombstones }))
    }
}

fn put_steps(steps: impl ExactSizeIterator<Item = Step>, out: &mut Vec<u8>) {
    out.extend_from_slice(&(steps.len() as u32).to_le_bytes());
    for step in steps {
        let bytes = step.encode();
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
}

fn take_step(reader: &mut Reader<'_>) -> Result<Step> {
    let len = reader.u32()? as usize;
    Step::decode(Bytes::copy_from_slice(reader.take(len)?))
}
