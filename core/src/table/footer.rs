//! The last bytes of a table file: where the index and the filter lie, what the table holds, and
//! the checksum that stands for the whole file. A manifest repeats that checksum, so a file that is
//! valid in itself but not the one that was published is refused.

use std::path::Path;

use super::frame::checksum;
use super::varint::{u32_at, u64_at};
use super::{Malformed, Parsed};
use crate::error::{Error, Result};

/// Bytes of a footer.
pub const FOOTER_BYTES: usize = 88;
const MAGIC: &[u8; 8] = b"BDBTABLE";

/// What a manifest says about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// The number in its file name.
    pub number: u32,
    /// The level it is in.
    pub level: u8,
    /// Length of the file.
    pub file_bytes: u64,
    /// Number of entries.
    pub entries: u64,
    /// The least key.
    pub first_key: Vec<u8>,
    /// The greatest key.
    pub last_key: Vec<u8>,
    /// The least sequence number.
    pub min_seq: u64,
    /// The greatest sequence number.
    pub max_seq: u64,
    /// The checksum of the footer, which covers a checksum of everything before it.
    pub checksum: u32,
}

impl TableMeta {
    /// Whether the keys of the two tables interleave.
    pub fn overlaps(&self, other: &TableMeta) -> bool {
        self.first_key <= other.last_key && other.first_key <= self.last_key
    }
}

/// The footer of a table file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Where the index frame begins, right after the filter.
    pub index_offset: u64,
    /// Bytes of the index frame; the footer follows it.
    pub index_bytes: u32,
    /// Number of data blocks.
    pub data_blocks: u32,
    /// Where the filter begins, right after the data blocks.
    pub filter_offset: u64,
    /// Number of filter blocks.
    pub filter_blocks: u32,
    /// Number of entries.
    pub entries: u64,
    /// The least sequence number.
    pub min_seq: u64,
    /// The greatest sequence number.
    pub max_seq: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Number of distinct keys.
    pub keys: u64,
    /// CRC-32C of all bytes before the footer.
    pub contents_checksum: u32,
}

impl Footer {
    /// Where the footer begins.
    pub fn offset(&self) -> u64 {
        self.file_bytes - FOOTER_BYTES as u64
    }

    /// The bytes on disk, for a file whose header checksum is `seed`, and their checksum.
    pub fn encode(&self, seed: u32) -> ([u8; FOOTER_BYTES], u32) {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.index_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.data_blocks.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.filter_offset.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.filter_blocks.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.entries.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.min_seq.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.max_seq.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.keys.to_le_bytes());
        bytes[80..84].copy_from_slice(&self.contents_checksum.to_le_bytes());
        let sum = checksum(seed, self.offset(), &bytes[..84]);
        bytes[84..].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    /// Reads the footer at the end of a file of `file_bytes`; its own checksum must be `expected`,
    /// the one that the manifest names.
    pub fn decode(
        bytes: &[u8; FOOTER_BYTES],
        seed: u32,
        file_bytes: u64,
        expected: u32,
        path: &Path,
    ) -> Result<Self> {
        let offset = file_bytes.saturating_sub(FOOTER_BYTES as u64);
        let wrong = |at: u64, what: &str| Error::corrupt(path, offset + at, what);
        let found = u32_at(bytes, 84).map_err(|error| error.at(path, offset))?;
        if &bytes[..8] != MAGIC {
            return Err(wrong(0, "the file does not end as a table: wrong magic"));
        }
        if checksum(seed, offset, &bytes[..84]) != found {
            return Err(wrong(84, "the table footer does not match its checksum"));
        }
        if found != expected {
            return Err(wrong(84, "the table is not the one that the manifest names"));
        }
        let footer = Self::parse(bytes).map_err(|error| error.at(path, offset))?;
        if footer.file_bytes != file_bytes || !footer.is_contiguous() {
            return Err(wrong(8, "the parts of the table do not fill the file"));
        }
        Ok(footer)
    }

    fn parse(bytes: &[u8; FOOTER_BYTES]) -> Parsed<Self> {
        if u32_at(bytes, 36)? != 0 {
            return Err(Malformed("a reserved field of the table footer is used"));
        }
        Ok(Footer {
            index_offset: u64_at(bytes, 8)?,
            index_bytes: u32_at(bytes, 16)?,
            data_blocks: u32_at(bytes, 20)?,
            filter_offset: u64_at(bytes, 24)?,
            filter_blocks: u32_at(bytes, 32)?,
            entries: u64_at(bytes, 40)?,
            min_seq: u64_at(bytes, 48)?,
            max_seq: u64_at(bytes, 56)?,
            file_bytes: u64_at(bytes, 64)?,
            keys: u64_at(bytes, 72)?,
            contents_checksum: u32_at(bytes, 80)?,
        })
    }

    /// Whether filter, index and footer follow each other without a gap, and none is empty.
    fn is_contiguous(&self) -> bool {
        let filter_end = self.filter_page_offset(super::filter::page_count(self.filter_blocks));
        let index_end = self.index_offset.checked_add(u64::from(self.index_bytes));
        self.filter_blocks > 0
            && self.data_blocks > 0
            && self.filter_offset > crate::disk::header::HEADER_BYTES as u64
            && filter_end == Some(self.index_offset)
            && index_end == self.file_bytes.checked_sub(FOOTER_BYTES as u64)
    }

    /// Where filter page `page` begins; for the page count, where the filter ends.
    #[inline]
    pub(crate) fn filter_page_offset(&self, page: u32) -> Option<u64> {
        let trailers = u64::from(page) * super::frame::TRAILER_BYTES as u64;
        let whole = u64::from(page) * super::filter::PAGE_BYTES as u64;
        let blocks = u64::from(self.filter_blocks) * super::filter::BLOCK_BYTES as u64;
        self.filter_offset.checked_add(whole.min(blocks) + trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_footers_are_refused_and_never_panic(
            bytes in proptest::array::uniform32(any::<u8>()),
            seal in any::<bool>(),
            file_bytes in any::<u64>(),
        ) {
            let mut footer = [0; FOOTER_BYTES];
            footer[..8].copy_from_slice(MAGIC);
            footer[8..40].copy_from_slice(&bytes);
            footer[40..72].copy_from_slice(&bytes);
            let offset = file_bytes.saturating_sub(FOOTER_BYTES as u64);
            let sum = if seal { checksum(1, offset, &footer[..84]) } else { 0 };
            footer[84..].copy_from_slice(&sum.to_le_bytes());
            let path = Path::new("t.sst");
            prop_assert!(Footer::decode(&footer, 1, file_bytes, sum, path).is_err());
        }
    }
}
