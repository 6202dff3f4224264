//! Where a ledger ends. A restart point keeps one position per collection; on open everything in the
//! files above it is cut, so the position is the only authority on how much of a ledger is durable.
//!
//! Encoded (100 bytes, little-endian): segment u32, offset u64, end_seq u64, blocks u64, head 32,
//! segment_raw_bytes u64, records u64, keys u64, body_bytes u64, last_time_us i64.

use crate::error::{Code, Error, Result};
use crate::proof::Hash;

/// Segments of one ledger. At the default segment size this is 4 PiB; it bounds what a position may
/// make the reader allocate.
const SEGMENTS_MAX: u32 = 1 << 24;

/// Where a ledger ends, durably (in a restart point) or currently. The default is the empty ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerPosition {
    /// Number of the last segment, from 1; 0 when there is none.
    pub segment: u32,
    /// Byte offset in that segment at which its blocks end.
    pub offset: u64,
    /// Leaves in the ledger, block headers included: the next sequence number.
    pub end_seq: u64,
    /// Blocks in the ledger: the next block id.
    pub blocks: u64,
    /// Hash of the last block's header leaf; zeros when there is no block.
    pub head: Hash,
    /// Uncompressed bytes of the last segment: encoded leaves and bodies, by which segments roll.
    pub segment_raw_bytes: u64,
    /// Leaves of kind record.
    pub records: u64,
    /// Records with revision 1, one per key.
    pub keys: u64,
    /// Bytes of the bodies of all records, erased ones included.
    pub body_bytes: u64,
    /// The greatest time of any leaf, in microseconds since 1970.
    pub last_time_us: i64,
}

impl LedgerPosition {
    /// Bytes of an encoded position.
    pub const ENCODED_BYTES: usize = 100;

    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segment.to_le_bytes());
        for number in [self.offset, self.end_seq, self.blocks] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.head);
        for number in [self.segment_raw_bytes, self.records, self.keys, self.body_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.last_time_us.to_le_bytes());
    }

    /// Takes one encoding off the front of `input`; `corrupt` if it is short or impossible.
    pub fn decode(input: &mut &[u8]) -> Result<LedgerPosition> {
        let wrong = |what: &str| Error::new(Code::Corrupt, format!("ledger position: {what}"));
        let Some((bytes, rest)) = input.split_first_chunk::<{ Self::ENCODED_BYTES }>() else {
            return Err(wrong("too short"));
        };
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let position = LedgerPosition {
            segment: u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")),
            offset: number(4),
            end_seq: number(12),
            blocks: number(20),
            head: bytes[28..60].try_into().expect("32 bytes"),
            segment_raw_bytes: number(60),
            records: number(68),
            keys: number(76),
            body_bytes: number(84),
            last_time_us: number(92) as i64,
        };
        if position.segment > SEGMENTS_MAX
            || u64::from(position.segment) > position.blocks
            || position.blocks > position.end_seq
            || (position.segment == 0) != (position.blocks == 0)
        {
            return Err(wrong("its numbers contradict each other"));
        }
        *input = rest;
        Ok(position)
    }
}
