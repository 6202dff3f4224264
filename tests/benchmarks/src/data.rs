//! The records that every engine is given: 16-byte keys and 256-byte values, made from their number
//! alone, so that any run can be repeated and any answer checked without keeping what was written.
//!
//! Half of a value is pseudo-random and the other half repeats it, so that compression pays about
//! as much as it does for real documents (the same recipe as LevelDB's db_bench with a ratio of
//! 0.5).

pub const KEY_BYTES: usize = 16;
pub const VALUE_BYTES: usize = 256;
const RANDOM_BYTES: usize = VALUE_BYTES / 2;

/// In words, for the report.
pub const DESCRIPTION: &str =
    "16-byte text keys, 256-byte values: 128 pseudo-random bytes, then the same 128 again";

pub type Key = [u8; KEY_BYTES];

/// One record.
#[derive(Clone)]
pub struct Item {
    pub key: Key,
    pub value: [u8; VALUE_BYTES],
}

/// In which order keys arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Microsecond timestamps of 16 digits, growing.
    Time,
    /// Hexadecimal, scattered over the whole range.
    Random,
}

/// Record number `index`.
pub fn item(order: Order, index: u64) -> Item {
    Item { key: key(order, index), value: value(index) }
}

/// The key of record number `index`; different numbers give different keys.
pub fn key(order: Order, index: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let (mut rest, base, digits): (u64, u64, &[u8; 16]) = match order {
        Order::Time => (1_700_000_000_000_000 + 10 * index, 10, b"0123456789abcdef"),
        Order::Random => (mix(index), 16, b"0123456789abcdef"),
    };
    for place in key.iter_mut().rev() {
        *place = digits[(rest % base) as usize];
        rest /= base;
    }
    key
}

/// The value of record number `index`.
pub fn value(index: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let mut state = mix(index ^ 0x5eed);
    for word in value[..RANDOM_BYTES].chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word.copy_from_slice(&mix(state).to_le_bytes());
    }
    value.copy_within(..RANDOM_BYTES, RANDOM_BYTES);
    value
}

/// Reads every byte of a value. Sums of many values are compared with what they should be, so that
/// no engine can be fast by answering something else.
pub fn checksum(value: &[u8]) -> u64 {
    let words = value.chunks_exact(8);
    let tail = words.remainder().iter().fold(0, |sum, byte| sum * 257 + u64::from(*byte));
    let word = |word: &[u8]| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    words.fold(tail, |sum, bytes| sum.rotate_left(1).wrapping_add(word(bytes)))
}

/// A bijection of 64-bit numbers that leaves no pattern (the finaliser of SplitMix64: Steele, Lea,
/// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A repeatable sequence of record numbers below `bound`.
pub struct Numbers {
    state: u64,
    bound: u64,
}

impl Numbers {
    pub fn new(seed: u64, bound: u64) -> Self {
        Self { state: mix(seed ^ 0x0dd5), bound: bound.max(1) }
    }
}

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Some(mix(self.state) % self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_text_of_one_length_and_all_different() {
        for order in [Order::Time, Order::Random] {
            let keys: HashSet<Key> = (0..10_000).map(|index| key(order, index)).collect();
            assert_eq!(keys.len(), 10_000);
            assert!(keys.iter().flatten().all(u8::is_ascii_alphanumeric));
        }
    }

    #[test]
    fn time_ordered_keys_grow_as_bytes() {
        assert!((0..10_000).all(|i| key(Order::Time, i) < key(Order::Time, i + 1)));
    }

    #[test]
    fn a_changed_byte_changes_the_checksum() {
        let good = value(7);
        for place in 0..VALUE_BYTES {
            let mut bad = good;
            bad[place] ^= 1;
            assert_ne!(checksum(&good), checksum(&bad));
        }
    }
}
