//! Tells most keys that a memtable does not hold without searching it. Every insert first asks
//! whether its key is there, and with scattered keys a search of a large skip list costs a dozen
//! cache misses; this costs one.
//!
//! A Bloom filter whose four bits of a key share one 64-bit word (Putze, Sanders, Singler, "Cache-,
//! Hash- and Space-Efficient Bloom Filters", 2007), at sixteen bits a key. It grows with the
//! memtable by adding filters, so that a small one costs nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64;

/// Keys from which on there is a filter: below, a search is cheap.
pub(super) const FIRST_KEYS: usize = 1024;
/// Keys of each filter. A memtable of 32 MiB has some 300,000.
const CAPACITIES: [usize; 4] = [1 << 14, 1 << 18, 1 << 22, 1 << 26];
const KEYS_OF_WORD: usize = 4;
const BITS: u32 = 4;

/// Which keys may be in a memtable.
#[derive(Debug, Default)]
pub(super) struct Presence {
    filters: [OnceLock<Box<[AtomicU64]>>; CAPACITIES.len()],
}

impl Presence {
    /// Whether nothing is known yet: every key may be there.
    pub fn is_unknown(&self) -> bool {
        self.filters[0].get().is_none()
    }

    /// Makes the first filter of `keys`, all there are; returns the memory that cost. Readers see it
    /// whole or not at all.
    pub fn begin<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> u64 {
        let words = new_words(0);
        for key in keys {
            let hash = xxh3_64(key);
            words[word(hash, words.len())].fetch_or(mask(hash), Relaxed);
        }
        let bytes = words.len() as u64 * 8;
        // One thread at a time writes to a memtable, so nobody was here first.
        let _ = self.filters[0].set(words);
        bytes
    }

    /// Notes a key that is the memtable's `count`th, from 0; returns the memory that cost anew. Only
    /// after [`Presence::begin`].
    pub fn add(&self, key: &[u8], count: usize) -> u64 {
        let mut first = 0;
        let found = CAPACITIES.iter().position(|capacity| {
            first += capacity;
            count < first
        });
        let at = found.unwrap_or(CAPACITIES.len() - 1);
        let mut bytes = 0;
        let words = self.filters[at].get_or_init(|| {
            let words = new_words(at);
            bytes = words.len() as u64 * 8;
            words
        });
        let hash = xxh3_64(key);
        words[word(hash, words.len())].fetch_or(mask(hash), Relaxed);
        bytes
    }

    /// Whether the key may be there; never wrongly no.
    pub fn may_contain(&self, key: &[u8]) -> bool {
        if self.is_unknown() {
            return true;
        }
        let hash = xxh3_64(key);
        let mask = mask(hash);
        let filters = self.filters.iter().map_while(OnceLock::get);
        filters.into_iter().any(|words| words[word(hash, words.len())].load(Relaxed) & mask == mask)
    }
}

fn new_words(at: usize) -> Box<[AtomicU64]> {
    (0..CAPACITIES[at] / KEYS_OF_WORD).map(|_| AtomicU64::new(0)).collect()
}

/// The word of a hash: its upper half, scaled.
fn word(hash: u64, words: usize) -> usize {
    (((hash >> 32) * words as u64) >> 32) as usize
}

/// The bits of a hash: four times six bits of its lower half.
fn mask(hash: u64) -> u64 {
    (0..BITS).fold(0, |mask, at| mask | 1 << (hash >> (6 * at) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_is_never_denied_and_others_mostly_are() {
        let presence = Presence::default();
        assert!(presence.may_contain(b"anything"), "nothing is known at first");
        let key = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let count = CAPACITIES[0] + 50_000;
        let first: Vec<[u8; 8]> = (0..FIRST_KEYS as u64).map(key).collect();
        let mut bytes = presence.begin(first.iter().map(|key| &key[..]));
        bytes += (FIRST_KEYS..count).map(|at| presence.add(&key(at as u64), at)).sum::<u64>();
        assert_eq!(bytes, (CAPACITIES[0] + CAPACITIES[1]) as u64 * 2);
        assert!((0..count as u64).all(|number| presence.may_contain(&key(number))));
        let absent = 1_000_000..1_100_000u64;
        let wrong = absent.filter(|number| presence.may_contain(&key(*number))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000 absent keys pass");
    }
}
