//! One checksummed piece of a table file: a data block, a filter page, the index. The checksum is
//! seeded with the file's identity and the piece's offset, so bytes that belong to another file or
//! another place never look valid. Nothing is decompressed, or allocated by a stored length, before
//! the checksum holds.
//!
//! Layout: the stored bytes, then codec u8, raw length u32, CRC-32C u32 over everything before it.

use std::path::Path;

use bytes::Bytes;

use crate::disk::compression::Compression;
use crate::error::{Error, Result};

/// Bytes after the stored bytes.
pub(crate) const TRAILER_BYTES: usize = 9;
/// LZ4 yields at most 255 bytes for one; a longer claim is a lie.
const EXPANSION_MAX: usize = 255;

/// The checksum of `bytes` at `offset` of the file whose header checksum is `seed`.
pub(crate) fn checksum(seed: u32, offset: u64, bytes: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..4].copy_from_slice(&seed.to_le_bytes());
    place[4..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// Appends `raw` as a frame that will lie at `offset`; returns its length.
pub(crate) fn seal(
    raw: &[u8],
    compression: Compression,
    seed: u32,
    offset: u64,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let codec = compression.compress(raw, out);
    out.push(codec as u8);
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    let sum = checksum(seed, offset, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.len() - start
}

/// The raw bytes of the frame `stored`, read at `offset` of `path`.
pub(crate) fn open(mut stored: Vec<u8>, seed: u32, offset: u64, path: &Path) -> Result<Bytes> {
    let wrong = |what: &str| Error::corrupt(path, offset, what);
    let Some(end) = stored.len().checked_sub(TRAILER_BYTES) else {
        return Err(wrong("a table frame is shorter than its trailer"));
    };
    let sum = u32::from_le_bytes(stored[end + 5..].try_into().expect("four bytes"));
    if checksum(seed, offset, &stored[..end + 5]) != sum {
        return Err(wrong("a table frame does not match its checksum"));
    }
    let raw_bytes = u32::from_le_bytes(stored[end + 1..end + 5].try_into().expect("four bytes"));
    let raw_bytes = raw_bytes as usize;
    let codec = Compression::from_number(stored[end])
        .ok_or_else(|| wrong("a table frame names an unknown codec"))?;
    stored.truncate(end);
    match codec {
        Compression::None if raw_bytes == end => Ok(Bytes::from(stored)),
        Compression::None => Err(wrong("a table frame has another length than it says")),
        _ if raw_bytes > end.saturating_mul(EXPANSION_MAX) => {
            Err(wrong("a table frame claims an impossible length"))
        }
        codec => Ok(Bytes::from(codec.decompress(&stored, raw_bytes, path, offset)?)),
    }
}
