//! The filter of a table: a split-block Bloom filter over its keys, which answers most lookups of
//! absent keys without touching a data block.
//!
//! The method is that of the Apache Parquet format (specification "Parquet Bloom Filter", after
//! Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): a hash
//! picks one block of 256 bits and sets one bit in each of its eight words, so a probe touches 32
//! adjacent bytes. It differs from Parquet in the hash, which is XXH3 (64 bits, seed 0) and not
//! XXH64. The blocks are stored in pages of [`PAGE_BYTES`], cached one by one: a filter of
//! megabytes never has to be read, or held, whole.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of one block: eight words of 32 bits.
pub const BLOCK_BYTES: usize = 32;
/// Bytes of a page, the last one excepted.
pub const PAGE_BYTES: usize = 4096;
const PAGE_BLOCKS: u32 = (PAGE_BYTES / BLOCK_BYTES) as u32;

/// Odd multipliers from the Parquet specification.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// The hash that the filter knows a key by.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The bit of word `word` that `hash` selects.
#[inline]
fn mask(hash: u64, word: usize) -> u32 {
    1 << ((hash as u32).wrapping_mul(SALTS[word]) >> 27)
}

/// The block of `hash` among `blocks`.
#[inline]
fn block_of(hash: u64, blocks: u32) -> u32 {
    (((hash >> 32) * u64::from(blocks)) >> 32) as u32
}

/// Where the block of a hash lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Number of the page.
    pub page: u32,
    offset: usize,
    hash: u64,
}

impl Probe {
    /// The probe for `hash` in a filter of `blocks` blocks.
    #[inline]
    pub fn new(hash: u64, blocks: u32) -> Self {
        let block = block_of(hash, blocks);
        let offset = (block % PAGE_BLOCKS) as usize * BLOCK_BYTES;
        Probe { page: block / PAGE_BLOCKS, offset, hash }
    }

    /// Whether `page` may know the key; `None` if the page is too short to tell.
    #[inline]
    pub fn test(&self, page: &[u8]) -> Option<bool> {
        let block = page.get(self.offset..self.offset + BLOCK_BYTES)?;
        let mut missing = 0;
        for (word, bytes) in block.chunks_exact(4).enumerate() {
            let bits = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            missing |= mask(self.hash, word) & !bits;
        }
        Some(missing == 0)
    }
}

/// Bytes of page `page` of a filter of `blocks` blocks; 0 beyond the last.
pub fn page_bytes(page: u32, blocks: u32) -> usize {
    let left = blocks.saturating_sub(page.saturating_mul(PAGE_BLOCKS));
    left.min(PAGE_BLOCKS) as usize * BLOCK_BYTES
}

/// Number of pages of a filter of `blocks` blocks.
pub fn page_count(blocks: u32) -> u32 {
    blocks.div_ceil(PAGE_BLOCKS)
}

/// Collects the hashes of a table's keys; the filter is sized when all are known.
#[derive(Debug, Default)]
pub struct FilterBuilder {
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// Adds one distinct key.
    pub fn add(&mut self, key: &[u8]) {
        self.hashes.push(hash(key));
    }

    /// Number of keys added.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }

    /// The blocks of the filter, for `bits_per_key`; at least one block.
    pub fn finish(&self, bits_per_key: u32) -> Vec<u8> {
        let bits = self.hashes.len() as u64 * u64::from(bits_per_key);
        let blocks = bits.div_ceil(8 * BLOCK_BYTES as u64).clamp(1, u64::from(u32::MAX)) as u32;
        let mut bytes = vec![0; blocks as usize * BLOCK_BYTES];
        for &hash in &self.hashes {
            let start = block_of(hash, blocks) as usize * BLOCK_BYTES;
            for (word, slot) in bytes[start..start + BLOCK_BYTES].chunks_exact_mut(4).enumerate() {
                let bits = u32::from_le_bytes((&*slot).try_into().expect("four bytes"));
                slot.copy_from_slice(&(bits | mask(hash, word)).to_le_bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_contain(filter: &[u8], key: &[u8]) -> bool {
        let blocks = (filter.len() / BLOCK_BYTES) as u32;
        let probe = Probe::new(hash(key), blocks);
        let start = probe.page as usize * PAGE_BYTES;
        let page = &filter[start..start + page_bytes(probe.page, blocks)];
        probe.test(page).expect("the page is whole")
    }

    #[test]
    fn every_added_key_is_found_and_few_others_are() {
        // What the Parquet specification leads to expect, with some room.
        for (bits_per_key, wrong_max) in [(8, 4000), (10, 1600), (12, 800)] {
            let mut builder = FilterBuilder::default();
            for number in 0u32..20_000 {
                builder.add(&number.to_be_bytes());
            }
            let filter = builder.finish(bits_per_key);
            assert!((0u32..20_000).all(|number| may_contain(&filter, &number.to_be_bytes())));
            let wrong = (20_000u32..120_000)
                .filter(|number| may_contain(&filter, &number.to_be_bytes()))
                .count();
            assert!(wrong < wrong_max, "{wrong} of 100000 absent keys pass at {bits_per_key} bits");
        }
    }

    #[test]
    fn an_empty_filter_knows_nothing_and_a_short_page_is_not_trusted() {
        let filter = FilterBuilder::default().finish(10);
        assert_eq!(filter.len(), BLOCK_BYTES);
        assert!(!may_contain(&filter, b"a"));
        assert_eq!(Probe::new(hash(b"a"), 1).test(&filter[..31]), None);
        assert_eq!(page_bytes(1, 129), BLOCK_BYTES);
        assert_eq!(page_bytes(2, 129), 0);
        assert_eq!(page_count(129), 2);
    }
}
