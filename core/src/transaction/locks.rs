//! Locks on keys, held from evaluation to acknowledgement. A lock is a 64-bit hash of collection
//! and key: two keys with one hash wait for each other needlessly and nothing worse. Whoever needs
//! several takes them in ascending order, so no cycle of waits can form.

use std::collections::HashSet;

use parking_lot::{Condvar, Mutex};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::collection::CollectionId;

const STRIPES: usize = 64;

#[derive(Debug, Default)]
struct Stripe {
    held: Mutex<HashSet<u64>>,
    freed: Condvar,
}

/// All key locks of a shard.
#[derive(Debug)]
pub struct KeyLocks {
    stripes: Vec<Stripe>,
}

impl Default for KeyLocks {
    fn default() -> Self {
        KeyLocks { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }
}

/// The lock that stands for `key` of `collection`.
pub fn lock_of(collection: CollectionId, key: &[u8]) -> u64 {
    let seed = u64::from_le_bytes(collection.0[8..].try_into().expect("eight bytes"));
    xxh3_64_with_seed(key, seed)
}

impl KeyLocks {
    /// Takes all of `locks`, waiting as long as it must; they are freed when the guard is dropped.
    pub fn acquire(&self, mut locks: Vec<u64>) -> KeyGuard<'_> {
        locks.sort_unstable();
        locks.dedup();
        for lock in &locks {
            let stripe = self.stripe(*lock);
            let mut held = stripe.held.lock();
            while !held.insert(*lock) {
                stripe.freed.wait(&mut held);
            }
        }
        KeyGuard { owner: self, locks }
    }

    fn stripe(&self, lock: u64) -> &Stripe {
        &self.stripes[(lock >> 58) as usize % STRIPES]
    }
}

/// Held locks.
#[derive(Debug)]
pub struct KeyGuard<'a> {
    owner: &'a KeyLocks,
    locks: Vec<u64>,
}

impl Drop for KeyGuard<'_> {
    fn drop(&mut self) {
        for lock in &self.locks {
            let stripe = self.owner.stripe(*lock);
            stripe.held.lock().remove(lock);
            stripe.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn overlapping_sets_exclude_each_other_and_never_deadlock() {
        let locks = KeyLocks::default();
        let inside: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let name = |index: u64| lock_of(CollectionId([7; 16]), &index.to_le_bytes());
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (locks, inside) = (&locks, &inside);
                scope.spawn(move || {
                    for round in 0..500u64 {
                        let mine = [(thread + round) % 8, (thread * 3 + round * 5) % 8, round % 8];
                        let guard = locks.acquire(mine.iter().map(|index| name(*index)).collect());
                        for index in mine.iter().collect::<HashSet<_>>() {
                            let before = inside[*index as usize].fetch_add(1, Ordering::SeqCst);
                            assert_eq!(before, 0, "two holders of one lock");
                        }
                        for index in mine.iter().collect::<HashSet<_>>() {
                            inside[*index as usize].fetch_sub(1, Ordering::SeqCst);
                        }
                        drop(guard);
                    }
                });
            }
        });
        assert!(locks.stripes.iter().all(|stripe| stripe.held.lock().is_empty()));
    }
}
