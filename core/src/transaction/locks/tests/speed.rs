//! Measurements, to be run by hand in a release build with `--ignored --nocapture`. They print and
//! assert nothing about time.

use std::collections::HashSet;
use std::hint::black_box;

use parking_lot::Mutex;

use super::*;
use crate::collection::CollectionId;
use crate::doc;

fn measure(what: &str, per: usize, mut work: impl FnMut()) {
    const ROUNDS: usize = 2000;
    let mut best_ns = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        let ns = start.elapsed().as_nanos() as f64 / (ROUNDS * per) as f64;
        best_ns = best_ns.min(ns);
    }
    println!("{what}: {best_ns:.0} ns");
}

/// The least that locks of single operations can be: sets of what is held, and nobody waits.
#[derive(Default)]
struct Sets([Mutex<HashSet<u64>>; 32]);

impl Sets {
    fn acquire(&self, mut locks: Vec<u64>) -> Vec<u64> {
        locks.sort_unstable();
        locks.dedup();
        for lock in &locks {
            assert!(self.0[(lock >> 59) as usize].lock().insert(*lock));
        }
        locks
    }

    fn release(&self, locks: Vec<u64>) {
        for lock in locks {
            self.0[(lock >> 59) as usize].lock().remove(&lock);
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn uncontended_locks() {
    let manager = manager();
    for count in [1u64, 4, 10, 100, 1000] {
        let mut number = 0;
        let mut keys = || -> Vec<u64> {
            number += count;
            let keys = number..number + count;
            keys.map(|key| lock_of(CollectionId([7; 16]), &key.to_le_bytes())).collect()
        };
        measure(&format!("batch of {count}, hashing, a key"), count as usize, || {
            black_box(keys());
        });
        measure(&format!("batch of {count}, hashed, taken, freed, a key"), count as usize, || {
            let mut owner = manager.begin();
            owner.lock_all(keys(), Mode::Exclusive, Deadline::NEVER).expect("free");
            black_box(owner.held_count());
        });
        let sets = Sets::default();
        measure(
            &format!("batch of {count}, the same with plain sets, a key"),
            count as usize,
            || {
                sets.release(black_box(sets.acquire(keys())));
            },
        );
        measure(&format!("batch of {count}, one by one, a key"), count as usize, || {
            let mut owner = manager.begin();
            for key in keys() {
                owner.lock(key, Mode::Shared, Deadline::NEVER).expect("free");
            }
        });
    }
    let (owner, document) = (manager.begin(), doc! {});
    measure("check of a write without predicates", 1, || {
        let writes = [(&b"k"[..], &document)];
        black_box(owner.check_writes(CollectionId([7; 16]), writes)).expect("none");
    });
    measure("begin and drop", 1, || drop(black_box(manager.begin())));
}
