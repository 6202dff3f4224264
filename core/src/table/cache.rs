//! The block cache: decompressed blocks of tables and frames of the ledger, by file and offset,
//! under one byte capacity taken from the memory budget. Shared by every collection.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

/// Names one cached piece: a file id of [`BlockCache::new_file_id`] and an offset in that file.
pub type CacheKey = (u64, u64);

/// What an entry costs beyond its bytes: key, hash table slot, reference count.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

#[derive(Clone)]
struct ByBytes;

impl Weighter<CacheKey, Bytes> for ByBytes {
    fn weight(&self, _: &CacheKey, block: &Bytes) -> u64 {
        block.len() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// Hashes a [`CacheKey`] by folded multiplication. Keys are chosen by the engine and not by its
/// callers, and a lookup hashes three of them, so the default's protection is not worth its time.
#[derive(Clone, Copy, Debug, Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        // An odd constant with bits spread evenly: the golden ratio in 64 bits.
        let product = u128::from(self.0 ^ value) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Blocks = Cache<CacheKey, Bytes, ByBytes, BuildHasherDefault<PlaceHasher>>;

/// A concurrent cache of immutable blocks.
pub struct BlockCache {
    blocks: Blocks,
    next_file: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} of {} bytes)", self.blocks.weight(), self.blocks.capacity())
    }
}

impl BlockCache {
    /// A cache of at most `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let items = (capacity / 8192).max(64) as usize;
        BlockCache {
            blocks: Cache::with(
                items,
                capacity,
                ByBytes,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            next_file: AtomicU64::new(1),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// A number no other file of this process has: file numbers on disk repeat across collections.
    pub fn new_file_id(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// The block at `key`, if cached.
    pub fn get(&self, key: CacheKey) -> Option<Bytes> {
        let found = self.blocks.get(&key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The block at `key`, if cached; a miss counts as none, since there is another way.
    pub fn find(&self, key: CacheKey) -> Option<Bytes> {
        let found = self.blocks.get(&key)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    /// Keeps `block` under `key`.
    pub fn insert(&self, key: CacheKey, block: Bytes) {
        self.blocks.insert(key, block);
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// Hits and misses since the start.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}
