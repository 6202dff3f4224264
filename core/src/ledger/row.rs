//! A leaf with its body, alone, as the block cache keeps it for point reads: a leaf frame of one and
//! a body frame of one behind each other. Hot records so cost one look into the cache instead of
//! three (head, leaf frame, body frame), and a cache of hot records holds some thirty times as many
//! of them as a cache of frames. Never written to disk.

use bytes::Bytes;

use super::frame::{BodyFrame, LeafFrame, read_leaf, read_slot};
use super::leaf::{PendingLeaf, Slot, StoredLeaf};

/// Longer bodies fill a frame of their own: a second copy would gain nothing.
const ROW_BODY_BYTES_MAX: usize = 4096;
const SIZE_BYTES: usize = 4;

/// The row of a leaf; `None` if it is not worth keeping, or its body is erased.
pub(super) fn encode(leaf: &StoredLeaf) -> Option<Bytes> {
    let Slot::Live { salt, body } = &leaf.slot else { return None };
    if body.len() > ROW_BODY_BYTES_MAX {
        return None;
    }
    let mut leaves = LeafFrame::default();
    let pending = PendingLeaf {
        kind: leaf.kind,
        key: leaf.key.as_deref(),
        revision: leaf.revision,
        prev_seq: leaf.prev_seq,
        time_us: leaf.time_us,
        schema: leaf.schema,
        txn: leaf.txn.as_deref(),
        actor: leaf.actor.as_deref(),
        salt: *salt,
        body,
        commitment: [0; 32],
    };
    leaves.push(leaf.seq, &pending);
    let mut bodies = BodyFrame::default();
    bodies.push_live(salt, body);
    let (leaves, bodies) = (leaves.finish(), bodies.finish());
    let mut row = Vec::with_capacity(SIZE_BYTES + leaves.len() + bodies.len());
    row.extend_from_slice(&(leaves.len() as u32).to_le_bytes());
    row.extend_from_slice(leaves);
    row.extend_from_slice(bodies);
    Some(row.into())
}

/// The leaf of a row that [`encode`] made.
#[inline]
pub(super) fn decode(row: &Bytes, seq: u64) -> Option<StoredLeaf> {
    let size = u32::from_le_bytes(row.get(..SIZE_BYTES)?.try_into().ok()?) as usize;
    let middle = SIZE_BYTES.checked_add(size).filter(|middle| *middle <= row.len())?;
    let mut leaf = read_leaf(&row.slice(SIZE_BYTES..middle), 1, 0, seq)?;
    leaf.slot = read_slot(&row.slice(middle..), 1, 0)?;
    Some(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{COMMITMENT_SHA256, LeafKind};

    #[test]
    fn a_row_gives_back_its_leaf() {
        let leaf = StoredLeaf {
            seq: 900,
            kind: LeafKind::Record,
            key: Some(Bytes::from_static(b"k-1")),
            revision: Some(3),
            prev_seq: Some(17),
            time_us: 1_700_000_000_000_000,
            schema: Some(2),
            txn: Some(Bytes::from_static(&[9; 16])),
            actor: Some("ada".to_owned()),
            commit_alg: COMMITMENT_SHA256,
            body_len: 5,
            slot: Slot::Live { salt: [7; 16], body: Bytes::from_static(b"\xa1\x61a\x01\x02") },
        };
        let row = encode(&leaf).expect("small and live");
        assert_eq!(decode(&row, 900), Some(leaf.clone()));
        for size in 0..row.len() {
            assert_ne!(decode(&row.slice(..size), 900), Some(leaf.clone()));
        }
    }
}
