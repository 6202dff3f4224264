//! The index of a table: for each data block a separator (not before the block's last entry, before
//! the next block's first) and the block's place. All separators begin with what the table's first
//! and last key have in common; the next eight bytes stand in an array of their own, so a lookup is
//! a binary search over plain numbers and, mostly, no comparison of keys at all.
//!
//! Layout: first key, last key, then per block: varint suffix length, suffix (the separator without
//! the common prefix), varint rank, varint offset, varint length; then per block the first eight
//! suffix bytes as a number (u64, zero-padded), then per block the u32 offset of its entry; then
//! u32 length of the first key, u32 length of the last key, u32 count of blocks.

use super::block::shared_bytes;
use super::varint::{self, get_slice};
use super::{Boundary, Malformed, Parsed};

const TAIL_BYTES: usize = 12;

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes with the trailer.
    pub bytes: u32,
}

/// Collects separators, then writes the index.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    separators: Vec<u8>,
    blocks: Vec<(usize, u64, Place)>,
}

impl IndexBuilder {
    /// Appends a block with its separator.
    pub fn add(&mut self, separator: &[u8], rank: u64, place: Place) {
        self.separators.extend_from_slice(separator);
        self.blocks.push((self.separators.len(), rank, place));
    }

    /// Number of blocks.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    /// About the bytes the index would have now.
    pub fn bytes_len(&self) -> usize {
        self.separators.len() + self.blocks.len() * 24 + TAIL_BYTES
    }

    /// The bytes of the index of a table from `first_key` to `last_key`.
    pub fn finish(&self, first_key: &[u8], last_key: &[u8]) -> Vec<u8> {
        let common = shared_bytes(first_key, last_key);
        let mut out = Vec::with_capacity(self.bytes_len() + first_key.len() + last_key.len());
        out.extend_from_slice(first_key);
        out.extend_from_slice(last_key);
        let (mut heads, mut offsets, mut start) = (Vec::new(), Vec::new(), 0);
        for &(end, rank, place) in &self.blocks {
            let suffix = &self.separators[start + common..end];
            start = end;
            heads.extend_from_slice(&head(suffix).to_le_bytes());
            offsets.extend_from_slice(&(out.len() as u32).to_le_bytes());
            varint::put(&mut out, suffix.len() as u64);
            out.extend_from_slice(suffix);
            varint::put(&mut out, rank);
            varint::put(&mut out, place.offset);
            varint::put(&mut out, u64::from(place.bytes));
        }
        out.extend_from_slice(&heads);
        out.extend_from_slice(&offsets);
        for number in [first_key.len(), last_key.len(), self.blocks.len()] {
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
        out
    }
}

/// The first eight bytes as a number that orders as the bytes do, zero-padded.
pub(crate) fn head(suffix: &[u8]) -> u64 {
    if let Some(bytes) = suffix.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..suffix.len()].copy_from_slice(suffix);
    u64::from_be_bytes(bytes)
}

/// An index, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    bytes: &'a [u8],
    first_key: &'a [u8],
    last_key: &'a [u8],
    common: usize,
    heads: &'a [u8],
    offsets: &'a [u8],
    count: usize,
}

/// One entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry<'a> {
    /// The separator without the common prefix.
    pub suffix: &'a [u8],
    /// Its rank.
    pub rank: u64,
    /// The block.
    pub place: Place,
}

impl<'a> Index<'a> {
    /// The index that `bytes` hold.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Parsed<Self> {
        let wrong = Malformed("the index is shorter than it says");
        let tail = bytes.len().checked_sub(TAIL_BYTES).ok_or(wrong)?;
        let first_bytes = varint::u32_at(bytes, tail)? as usize;
        let last_bytes = varint::u32_at(bytes, tail + 4)? as usize;
        let count = varint::u32_at(bytes, tail + 8)? as usize;
        let offsets = count.checked_mul(4).and_then(|size| tail.checked_sub(size)).ok_or(wrong)?;
        let heads = count.checked_mul(8).and_then(|size| offsets.checked_sub(size)).ok_or(wrong)?;
        let keys = first_bytes.checked_add(last_bytes).filter(|end| *end <= heads).ok_or(wrong)?;
        if count == 0 {
            return Err(Malformed("the index names no block"));
        }
        let first_key = &bytes[..first_bytes];
        let last_key = &bytes[first_bytes..keys];
        Ok(Index {
            bytes: &bytes[..heads],
            first_key,
            last_key,
            common: shared_bytes(first_key, last_key),
            heads: &bytes[heads..offsets],
            offsets: &bytes[offsets..tail],
            count,
        })
    }

    /// Number of data blocks, at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The least key of the table.
    pub fn first_key(&self) -> &'a [u8] {
        self.first_key
    }

    /// The greatest key of the table.
    pub fn last_key(&self) -> &'a [u8] {
        self.last_key
    }

    /// Bytes that every separator begins with.
    pub fn common(&self) -> usize {
        self.common
    }

    /// Entry `number`.
    #[inline]
    pub fn entry(&self, number: usize) -> Parsed<IndexEntry<'a>> {
        let mut at = varint::u32_at(self.offsets, number.saturating_mul(4))? as usize;
        let suffix_bytes = varint::get(self.bytes, &mut at)?;
        let suffix = get_slice(self.bytes, &mut at, suffix_bytes)?;
        let rank = varint::get(self.bytes, &mut at)?;
        let offset = varint::get(self.bytes, &mut at)?;
        let bytes = u32::try_from(varint::get(self.bytes, &mut at)?)
            .map_err(|_| Malformed("a block is longer than blocks can be"))?;
        Ok(IndexEntry { suffix, rank, place: Place { offset, bytes } })
    }

    /// The number stored beside separator `number`: its first eight bytes.
    pub(crate) fn head(&self, number: usize) -> Parsed<u64> {
        varint::u64_at(self.heads, number.saturating_mul(8))
    }

    /// The first block whose separator is not before `boundary`, which is where the boundary lies,
    /// or at the very start of the block after; `count` if all are before.
    #[inline]
    pub(crate) fn seek(&self, boundary: &Boundary<'_>) -> Parsed<usize> {
        let prefix = &self.first_key[..self.common];
        let Some(rest) = boundary.key.strip_prefix(prefix) else {
            return Ok(if boundary.key < prefix { 0 } else { self.count });
        };
        let rest = Boundary { key: rest, ..*boundary };
        let wanted = head(rest.key);
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.head(middle)?;
            let before = found < wanted
                || found == wanted && {
                    let entry = self.entry(middle)?;
                    rest.follows(entry.suffix, entry.rank)
                };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// A short key that is at least `last` and less than `next` (given `last < next`).
pub(crate) fn separator(last: &[u8], next: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let common = shared_bytes(last, next);
    match (last.get(common), next.get(common)) {
        (Some(_), Some(_)) if next.len() > common + 1 => {
            out.extend_from_slice(&next[..=common]);
        }
        (Some(low), Some(high)) if high - low > 1 => {
            out.extend_from_slice(&last[..common]);
            out.push(low + 1);
        }
        _ => out.extend_from_slice(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_lie_between_and_are_short() {
        let cases: [(&[u8], &[u8], &[u8]); 5] = [
            (b"apple", b"banana", b"b"),
            (b"abc", b"abcd", b"abc"),
            (b"abcdef", b"abx", b"abd"),
            (b"abcdef", b"abd", b"abcdef"),
            (b"", b"a", b""),
        ];
        for (last, next, expected) in cases {
            let mut out = Vec::new();
            separator(last, next, &mut out);
            assert_eq!(out, expected);
            assert!(last <= out.as_slice() && out.as_slice() < next);
        }
    }

    #[test]
    fn seek_finds_the_block_of_every_key() {
        let mut builder = IndexBuilder::default();
        let key = |number: u32| format!("user:{:06}", number).into_bytes();
        for number in 0..500u32 {
            builder.add(&key(number * 10 + 9), 0, Place { offset: u64::from(number), bytes: 1 });
        }
        let bytes = builder.finish(&key(0), &key(4999));
        let index = Index::new(&bytes).unwrap();
        for number in 0..5000u32 {
            let block = index.seek(&Boundary::before(&key(number))).unwrap();
            assert_eq!(block as u32, number / 10);
            assert_eq!(index.entry(block).unwrap().place.offset, u64::from(number / 10));
        }
        assert_eq!(index.seek(&Boundary::after(&key(4999))).unwrap(), 500);
        assert_eq!(index.seek(&Boundary::before(b"a")).unwrap(), 0);
        assert_eq!(index.seek(&Boundary::before(b"z")).unwrap(), 500);
    }
}
