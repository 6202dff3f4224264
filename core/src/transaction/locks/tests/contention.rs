//! Many clients, few keys: everybody gets through.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::host::simulated::Dice;

const KEYS: u64 = 10;

/// What a contest came to.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct Contest {
    /// How often a transaction had to give way and was run again.
    again: u64,
    /// Clients that had to more than five times.
    often: u64,
    /// The most that one client had to.
    again_max: u64,
}

/// Runs `threads` threads of `clients` clients each, one after the other. A client takes three of
/// the keys one by one, in any order, and lets others go on in between. When it must give way it
/// runs its transaction again, at its age, as `transaction` does.
fn contend(threads: u64, clients: u64, stack_bytes: usize) {
    let manager = manager();
    let inside: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let [done, again, often, again_max] = [0; 4].map(AtomicU64::new);
    let barrier = Barrier::new(threads as usize);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (manager, inside, barrier) = (&manager, &inside, &barrier);
            let (done, again, often, again_max) = (&done, &again, &often, &again_max);
            let client = move || {
                let mut dice = Dice::new(thread);
                barrier.wait();
                for _ in 0..clients {
                    let keys: [u64; 3] = std::array::from_fn(|_| dice.below(KEYS));
                    let mut owner = manager.begin();
                    let mut tries = 0;
                    while let Err(error) = transaction(&mut owner, inside, keys) {
                        assert_eq!(error.code(), Code::Deadlock);
                        tries += 1;
                        owner.restart();
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    again.fetch_add(tries, Ordering::Relaxed);
                    often.fetch_add(u64::from(tries > 5), Ordering::Relaxed);
                    again_max.fetch_max(tries, Ordering::Relaxed);
                }
            };
            let builder = std::thread::Builder::new().stack_size(stack_bytes);
            builder.spawn_scoped(scope, client).expect("a thread");
        }
    });
    let contest = Contest {
        again: again.into_inner(),
        often: often.into_inner(),
        again_max: again_max.into_inner(),
    };
    let clients = threads * clients;
    println!("{clients} clients, {threads} threads: {:?}, {contest:?}", start.elapsed());
    assert!(start.elapsed() < 3 * PATIENCE, "somebody waited for some day");
    assert_eq!(done.into_inner(), clients);
    assert_eq!(manager.figures(), LockFigures::default());
}

fn transaction(owner: &mut Owner, inside: &[AtomicU64], keys: [u64; 3]) -> Result<()> {
    for key in keys {
        owner.lock(key << 58, Mode::Exclusive, SOME_DAY)?;
        std::thread::yield_now();
    }
    for key in BTreeSet::from(keys) {
        assert_eq!(inside[key as usize].fetch_add(1, Ordering::SeqCst), 0, "two inside");
        inside[key as usize].fetch_sub(1, Ordering::SeqCst);
    }
    Ok(())
}

#[test]
fn ten_thousand_clients_of_ten_keys_all_get_through() {
    contend(64, 160, 1 << 20);
}

#[test]
#[ignore = "ten thousand threads"]
fn ten_thousand_clients_at_the_same_moment_all_get_through() {
    contend(10_000, 1, 64 << 10);
}
