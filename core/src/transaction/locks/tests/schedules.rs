//! Thousands of random schedules of the room's own code (`explored`), each reproducible by its
//! seed. Waits have no deadline unless a test is about deadlines, so a lost wakeup or a
//! cycle nobody found is a schedule that cannot go on, which shuttle reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Runner, thread};

use super::explored::{Deadline, LockFigures, LockManager, Mode, Owner, OwnerId, Predicate};
use crate::collection::CollectionId;
use crate::doc;
use crate::document::Document;
use crate::error::{Code, Result};
use crate::host::{Background, Clock};
use Mode::{Exclusive, Shared};

const COLLECTION: CollectionId = CollectionId([1; 16]);

/// Time that passes by being looked at.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn wall_us(&self) -> i64 {
        0
    }

    fn monotonic_us(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn manager() -> LockManager {
    LockManager::new(Arc::new(Ticking::default()), Background::Threads)
}

/// Runs the threads of one schedule to their ends; then nothing may be left.
fn run<T: Send + 'static>(
    manager: &LockManager,
    threads: Vec<Box<dyn FnOnce(LockManager) -> T + Send>>,
) -> Vec<T> {
    let started: Vec<_> = threads
        .into_iter()
        .map(|work| {
            let manager = manager.clone();
            thread::spawn(move || work(manager))
        })
        .collect();
    let ends = started.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert_eq!(manager.figures(), LockFigures::default());
    ends
}

/// A number from the environment.
fn variable(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Half the schedules change threads everywhere, half rarely (probabilistic concurrency testing:
/// Burckhardt and others, ASPLOS 2010), which finds what needs one long interruption. All follow
/// from `BLOCKDB_SEED`; `BLOCKDB_SCHEDULES` asks for another number of them.
fn explore(schedules: usize, work: impl Fn() + Send + Sync + Clone + 'static) {
    let seed = variable("BLOCKDB_SEED").unwrap_or(1) as u64;
    let half = variable("BLOCKDB_SCHEDULES").unwrap_or(schedules).div_ceil(2);
    let mut config = shuttle::Config::new();
    // Shuttle takes every atomic for sequentially consistent. The relaxed ones of the room only
    // number owners and entries; the others stand for what a mutex or a gate orders anyway.
    config.silence_warnings = true;
    let everywhere = RandomScheduler::new_from_seed(seed, half);
    Runner::new(everywhere, config.clone()).run(work.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 3, half), config).run(work);
}

/// How many are inside: writers count a thousand.
#[derive(Clone, Default)]
struct Room(Arc<AtomicI64>);

impl Room {
    fn visit(&self, mode: Mode) {
        let weight = if mode == Exclusive { 1000 } else { 1 };
        let before = self.0.fetch_add(weight, Ordering::SeqCst);
        assert!(before == 0 || (mode == Shared && before < 1000), "{mode} beside {before}");
        thread::yield_now();
        self.0.fetch_sub(weight, Ordering::SeqCst);
    }
}

#[test]
fn readers_writers_and_upgrades_exclude_each_other_in_every_schedule() {
    explore(2000, || {
        let (manager, room) = (manager(), Room::default());
        let visit = |mode: Mode, then: Option<Mode>| {
            let room = room.clone();
            let work = move |manager: LockManager| {
                let mut owner = manager.begin();
                owner.lock(7, mode, Deadline::NEVER).expect("no cycle with one lock");
                room.visit(mode);
                match then.map(|then| (then, owner.lock(7, then, Deadline::NEVER))) {
                    Some((then, Ok(()))) => room.visit(then),
                    Some((_, Err(error))) => assert_eq!(error.code(), Code::Deadlock),
                    None => {}
                }
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) + Send>
        };
        let threads = vec![
            visit(Shared, None),
            visit(Exclusive, None),
            visit(Shared, Some(Exclusive)),
            visit(Shared, Some(Exclusive)),
            visit(Exclusive, Some(Shared)),
        ];
        run(&manager, threads);
    });
}

/// Each takes two locks of a ring; returns who gave way.
fn ring(manager: &LockManager, parties: u64) -> Vec<(OwnerId, bool)> {
    let owners: Vec<Owner> = (0..parties).map(|_| manager.begin()).collect();
    let threads = (0..).zip(owners).map(|(place, mut owner)| {
        let work = move |_: LockManager| {
            let taken = owner
                .lock(place, Exclusive, Deadline::NEVER)
                .and_then(|()| owner.lock((place + 1) % parties, Exclusive, Deadline::NEVER));
            if let Err(error) = &taken {
                assert_eq!(error.code(), Code::Deadlock);
            }
            (owner.id(), taken.is_err())
        };
        Box::new(work) as Box<dyn FnOnce(LockManager) -> (OwnerId, bool) + Send>
    });
    run(manager, threads.collect())
}

#[test]
fn a_ring_closes_once_at_most_and_costs_its_youngest_in_every_schedule() {
    for parties in [2, 3, 5] {
        explore(600, move || {
            let ends = ring(&manager(), parties);
            let victims: Vec<OwnerId> =
                ends.iter().filter(|(_, victim)| *victim).map(|(id, _)| *id).collect();
            let youngest = ends.iter().map(|(id, _)| *id).max();
            assert!(victims.len() <= 1 && victims.iter().all(|id| Some(*id) == youngest));
        });
    }
}

#[test]
fn deadlines_timeouts_and_grants_may_race_in_every_schedule() {
    explore(1500, || {
        let (manager, room) = (manager(), Room::default());
        let threads = (0..4u64).map(|number| {
            let room = room.clone();
            let work = move |manager: LockManager| {
                let mut owner = manager.begin();
                let deadline = match number {
                    0 => Deadline::NEVER,
                    _ => Deadline::at_us(4 * number),
                };
                let mode = if number == 2 { Shared } else { Exclusive };
                match owner.lock(7, mode, deadline) {
                    Ok(()) => room.visit(mode),
                    Err(error) => assert_eq!(error.code(), Code::LockTimeout),
                }
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) + Send>
        });
        run(&manager, threads.collect());
    });
}

fn everything() -> Arc<dyn Predicate> {
    Arc::new(|_: &[u8], _: &Document| true)
}

/// Registers and reads under the gate, as a scan does.
fn scan(owner: &mut Owner, gate: &shuttle::sync::RwLock<()>, read: impl FnOnce()) -> Result<()> {
    let mut read = Some(read);
    loop {
        let guard = gate.write().expect("no panic");
        match owner.add_predicate(COLLECTION, everything()) {
            Ok(()) => {
                read.take().expect("once")();
                return Ok(());
            }
            Err(blocked) => {
                drop(guard);
                owner.wait_for(blocked, Deadline::NEVER)?;
            }
        }
    }
}

/// Checks and writes under the gate, as a commit does.
fn write(owner: &mut Owner, gate: &shuttle::sync::RwLock<()>, commit: impl FnOnce()) -> Result<()> {
    let guard = checked(owner, gate)?;
    commit();
    drop(guard);
    Ok(())
}

/// Checks and leaves word under the gate, as a prepare does.
fn prepare(owner: &mut Owner, gate: &shuttle::sync::RwLock<()>) -> Result<()> {
    let guard = checked(owner, gate)?;
    owner.hold_writes(COLLECTION, [(&b"k"[..], &doc! {})]);
    drop(guard);
    Ok(())
}

fn checked<'a>(
    owner: &mut Owner,
    gate: &'a shuttle::sync::RwLock<()>,
) -> Result<shuttle::sync::RwLockReadGuard<'a, ()>> {
    let document = doc! {};
    loop {
        let guard = gate.read().expect("no panic");
        match owner.check_writes(COLLECTION, [(&b"k"[..], &document)]) {
            Ok(()) => return Ok(guard),
            Err(blocked) => {
                drop(guard);
                owner.wait_for(blocked, Deadline::NEVER)?;
            }
        }
    }
}

#[test]
fn what_was_scanned_stays_the_same_until_its_reader_ends_in_every_schedule() {
    explore(2000, || {
        let manager = manager();
        let (gate, records) =
            (Arc::new(shuttle::sync::RwLock::new(())), Arc::new(AtomicU64::new(0)));
        let threads = (0..5u64).map(|number| {
            let (gate, records) = (gate.clone(), records.clone());
            let work = move |manager: LockManager| -> Result<()> {
                let mut owner = manager.begin();
                let look = || records.load(Ordering::SeqCst);
                let add = || {
                    records.fetch_add(1, Ordering::SeqCst);
                };
                match number {
                    0 | 1 => {
                        // Scans, and scans again.
                        let (mut first, mut second) = (0, 0);
                        scan(&mut owner, &gate, || first = look())?;
                        thread::yield_now();
                        scan(&mut owner, &gate, || second = look())?;
                        assert_eq!(first, second, "a phantom");
                        assert_eq!(first, look(), "a phantom");
                    }
                    2 => {
                        // Scans, then writes what it saw.
                        let mut seen = 0;
                        scan(&mut owner, &gate, || seen = look())?;
                        owner.lock(7, Exclusive, Deadline::NEVER)?;
                        write(&mut owner, &gate, || {
                            assert_eq!(seen, look(), "a phantom");
                            add();
                        })?;
                    }
                    3 => {
                        // Prepares; the decision comes later, and asks nobody.
                        owner.lock(7, Exclusive, Deadline::NEVER)?;
                        prepare(&mut owner, &gate)?;
                        let id = owner.detach();
                        thread::yield_now();
                        add();
                        assert!(manager.release_detached(id));
                    }
                    _ => {
                        owner.lock(7, Exclusive, Deadline::NEVER)?;
                        write(&mut owner, &gate, add)?;
                    }
                }
                Ok(())
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) -> Result<()> + Send>
        });
        let ends = run(&manager, threads.collect());
        assert!(ends.iter().any(Result::is_ok), "nobody got through");
        for error in ends.into_iter().filter_map(Result::err) {
            assert_eq!(error.code(), Code::Deadlock);
        }
    });
}

#[test]
fn whoever_runs_again_at_its_age_gets_through_in_every_schedule() {
    explore(1000, || {
        let (manager, room) = (manager(), Room::default());
        let threads = [[0, 1], [1, 0], [1, 2], [2, 0]].map(|locks| {
            let room = room.clone();
            let work = move |manager: LockManager| {
                let mut owner = manager.begin();
                let transaction = |owner: &mut Owner| -> Result<()> {
                    for lock in locks {
                        owner.lock(lock, Exclusive, Deadline::NEVER)?;
                    }
                    // Any two of these pairs share a lock.
                    room.visit(Exclusive);
                    Ok(())
                };
                let mut tries = 0;
                while let Err(error) = transaction(&mut owner) {
                    assert_eq!(error.code(), Code::Deadlock);
                    tries += 1;
                    assert!(tries < 10, "three others end one after the other");
                    owner.restart();
                }
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) + Send>
        });
        run(&manager, threads.into_iter().collect());
    });
}

#[test]
fn no_cycle_is_seen_where_there_is_none_in_any_schedule() {
    explore(1500, || {
        let manager = manager();
        let threads = (0..5u64).map(|number| {
            let work = move |manager: LockManager| {
                let mut owner = manager.begin();
                // Ascending, so no cycle can form; some give up on the way and go on.
                for lock in 0..3 {
                    let mode = if (number + lock) % 3 == 0 { Exclusive } else { Shared };
                    let deadline = match (number * 3 + lock) % 4 {
                        0 => Deadline::at_us(8 * number),
                        _ => Deadline::NEVER,
                    };
                    let result = owner.lock(lock, mode, deadline);
                    let code = result.err().map(|error| error.code());
                    assert!(matches!(code, None | Some(Code::LockTimeout)), "{code:?}");
                }
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) + Send>
        });
        run(&manager, threads.collect());
    });
}

#[test]
fn transactions_of_every_kind_end_and_leave_nothing_in_every_schedule() {
    explore(1500, || {
        let manager = manager();
        let gate = Arc::new(shuttle::sync::RwLock::new(()));
        let threads = (0..5u64).map(|number| {
            let gate = gate.clone();
            let work = move |manager: LockManager| -> Result<()> {
                let mut owner = manager.begin();
                match number {
                    0 => {
                        owner.lock(1, Exclusive, Deadline::NEVER)?;
                        owner.lock(2, Shared, Deadline::NEVER)?;
                        let id = owner.detach();
                        thread::yield_now();
                        assert!(manager.release_detached(id));
                        return Ok(());
                    }
                    1 => {
                        owner.lock(2, Shared, Deadline::NEVER)?;
                        scan(&mut owner, &gate, || {})?;
                        owner.lock(2, Exclusive, Deadline::NEVER)?;
                    }
                    2 => {
                        owner.lock(2, Shared, Deadline::NEVER)?;
                        owner.lock(3, Exclusive, Deadline::NEVER)?;
                        write(&mut owner, &gate, || {})?;
                    }
                    3 => {
                        scan(&mut owner, &gate, || {})?;
                        owner.lock(3, Shared, Deadline::at_us(60))?;
                        owner.lock(1, Shared, Deadline::NEVER)?;
                    }
                    _ => {
                        owner.lock_all(vec![3, 1, 2], Exclusive, Deadline::NEVER)?;
                        write(&mut owner, &gate, || {})?;
                    }
                }
                Ok(())
            };
            Box::new(work) as Box<dyn FnOnce(LockManager) -> Result<()> + Send>
        });
        for end in run(&manager, threads.collect()) {
            let code = end.err().map(|error| error.code());
            assert!(matches!(code, None | Some(Code::Deadlock | Code::LockTimeout)), "{code:?}");
        }
    });
}
