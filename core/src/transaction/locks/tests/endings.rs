//! Transactions that end in every way there is leave nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::collection::CollectionId;
use crate::doc;
use crate::document::Document;
use crate::host::simulated::Dice;

const THREADS: u64 = 8;
const TRANSACTIONS: u64 = 100_000;
const KEYS: u64 = 60;
const COLLECTION: CollectionId = CollectionId([1; 16]);

/// How many transactions ended in which way.
#[derive(Debug, Default)]
struct Tally {
    released: AtomicU64,
    dropped: AtomicU64,
    panicked: AtomicU64,
    prepared: AtomicU64,
    victims: AtomicU64,
    timed_out: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn any_mode(dice: &mut Dice) -> Mode {
    if dice.chance(1, 2) { Mode::Shared } else { Mode::Exclusive }
}

/// A few steps of one transaction, in no order that would spare it a cycle.
fn work(manager: &LockManager, owner: &mut Owner, dice: &mut Dice) -> Result<()> {
    // Now and then a wait is not worth much patience; most waits end by grant or as victims.
    let deadline = match dice.chance(1, 10) {
        true => manager.deadline_in_ms(dice.below(2)),
        false => SOME_DAY,
    };
    for _ in 0..dice.below(4) + 1 {
        match dice.below(8) {
            0..5 => owner.lock(spread(dice.below(KEYS)), any_mode(dice), deadline)?,
            5 => {
                let locks = (0..dice.below(12)).map(|_| spread(dice.below(KEYS))).collect();
                owner.lock_all(locks, any_mode(dice), deadline)?;
            }
            6 => {
                let low = dice.below(250) as u8;
                let covers = move |key: &[u8], _: &Document| (low..low + 5).contains(&key[0]);
                let predicate: Arc<dyn Predicate> = Arc::new(covers);
                while let Err(blocked) = owner.add_predicate(COLLECTION, predicate.clone()) {
                    owner.wait_for(blocked, deadline)?;
                }
            }
            _ => {
                let (keys, document) =
                    ([[dice.below(256) as u8], [dice.below(256) as u8]], doc! {});
                let writes = || keys.iter().map(|key| (&key[..], &document));
                while let Err(blocked) = owner.check_writes(COLLECTION, writes()) {
                    owner.wait_for(blocked, deadline)?;
                }
            }
        }
        if dice.chance(1, 4) {
            std::thread::yield_now();
        }
    }
    Ok(())
}

fn end(manager: &LockManager, owner: Owner, dice: &mut Dice, tally: &Tally) {
    match dice.below(8) {
        0..3 => {
            owner.release();
            count(&tally.released);
        }
        3..6 => {
            drop(owner);
            count(&tally.dropped);
        }
        6 => {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _owner = owner;
                resume_unwind(Box::new("a client's defect"));
            }));
            assert!(unwound.is_err());
            count(&tally.panicked);
        }
        _ => {
            let id = owner.detach();
            std::thread::yield_now();
            assert!(manager.release_detached(id));
            count(&tally.prepared);
        }
    }
}

#[test]
fn a_hundred_thousand_transactions_leave_no_lock_no_waiter_and_no_edge() {
    let (manager, tally, start) = (manager(), Tally::default(), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (manager, tally) = (&manager, &tally);
            scope.spawn(move || {
                let mut dice = Dice::new(thread);
                for _ in 0..TRANSACTIONS / THREADS {
                    let mut owner = manager.begin();
                    match work(manager, &mut owner, &mut dice).map_err(|error| error.code()) {
                        Ok(()) => end(manager, owner, &mut dice, tally),
                        Err(Code::Deadlock) => count(&tally.victims),
                        Err(Code::LockTimeout) => count(&tally.timed_out),
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    println!("{:?}, {tally:?}", start.elapsed());
    assert!(start.elapsed() < 3 * PATIENCE, "somebody waited for some day");
    assert_eq!(manager.figures(), LockFigures::default());
    let ways = [
        &tally.released,
        &tally.dropped,
        &tally.panicked,
        &tally.prepared,
        &tally.victims,
        &tally.timed_out,
    ];
    let ended: u64 = ways.iter().map(|way| way.load(Ordering::Relaxed)).sum();
    assert_eq!(ended, TRANSACTIONS);
    assert!(ways.iter().all(|way| way.load(Ordering::Relaxed) > 10), "{tally:?}");
}
