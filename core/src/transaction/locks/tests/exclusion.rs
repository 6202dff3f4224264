//! Who may hold what beside whom, and who is served first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::collection::CollectionId;
use crate::host::Clock;
use crate::host::simulated::SimClock;
use Mode::{Exclusive, Shared};

fn try_lock(manager: &LockManager, owner: &mut Owner, lock: u64, mode: Mode) -> Option<Code> {
    let now = manager.deadline_in_ms(0);
    owner.lock(lock, mode, now).err().map(|error| error.code())
}

#[test]
fn shared_holders_stand_beside_each_other_and_exclusive_ones_alone() {
    let manager = manager();
    for (held, wanted, free) in [
        (Shared, Shared, true),
        (Shared, Exclusive, false),
        (Exclusive, Shared, false),
        (Exclusive, Exclusive, false),
    ] {
        let first = holding(&manager, 7, held);
        let mut second = manager.begin();
        let refused = (!free).then_some(Code::LockTimeout);
        assert_eq!(try_lock(&manager, &mut second, 7, wanted), refused, "{held} {wanted}");
        assert_eq!(try_lock(&manager, &mut second, 8, wanted), None, "another lock");
        drop(first);
        assert_eq!(try_lock(&manager, &mut second, 7, wanted), None, "freed by the drop");
    }
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn what_is_held_is_granted_again_and_released_once() {
    let manager = manager();
    let mut owner = holding(&manager, 7, Exclusive);
    for mode in [Shared, Exclusive, Shared] {
        assert_eq!(try_lock(&manager, &mut owner, 7, mode), None);
    }
    assert_eq!((owner.held_count(), manager.figures().locks), (1, 1));
    let mut other = manager.begin();
    assert!(try_lock(&manager, &mut other, 7, Shared).is_some(), "still exclusive");
    owner.release();
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_lone_reader_becomes_a_writer_without_a_wait_even_before_those_who_wait() {
    let manager = manager();
    std::thread::scope(|scope| {
        let mut reader = holding(&manager, 7, Shared);
        let writer = Taking::start(scope, &manager, manager.begin(), taking(7, Exclusive), 1);
        assert_eq!(try_lock(&manager, &mut reader, 7, Exclusive), None);
        assert!(writer.is_over().is_none());
        assert_eq!(reader.held_count(), 1);
        drop(reader);
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn an_upgrade_waits_for_other_readers_and_goes_before_all_who_wait() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (one, two) = (holding(&manager, 7, Shared), holding(&manager, 7, Shared));
        let writer = Taking::start(scope, &manager, manager.begin(), taking(7, Exclusive), 1);
        let upgrade = Taking::start(scope, &manager, one, taking(7, Exclusive), 2);
        drop(two);
        let one = upgrade.granted();
        assert!(writer.is_over().is_none());
        drop(one);
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn those_who_wait_are_served_in_the_order_they_began() {
    let manager = manager();
    std::thread::scope(|scope| {
        let mut current = holding(&manager, 7, Exclusive);
        let mut waiting = std::collections::VecDeque::new();
        for place in 1..=12 {
            let owner = manager.begin();
            waiting.push_back(Taking::start(scope, &manager, owner, taking(7, Exclusive), place));
        }
        while let Some(next) = waiting.pop_front() {
            drop(current);
            current = next.granted();
            assert!(waiting.iter().all(|later| later.is_over().is_none()), "nobody overtakes");
        }
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn whoever_began_earlier_goes_before_those_who_asked_earlier() {
    let manager = manager();
    std::thread::scope(|scope| {
        let current = holding(&manager, 7, Exclusive);
        let [old, middle, young] = [(); 3].map(|()| manager.begin());
        let middle = Taking::start(scope, &manager, middle, taking(7, Exclusive), 1);
        let young = Taking::start(scope, &manager, young, taking(7, Exclusive), 2);
        let old = Taking::start(scope, &manager, old, taking(7, Exclusive), 3);
        drop(current);
        let old = old.granted();
        assert!(middle.is_over().is_none() && young.is_over().is_none());
        drop(old);
        let middle = middle.granted();
        assert!(young.is_over().is_none());
        drop(middle);
        drop(young.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_writer_is_not_overtaken_by_readers_and_those_behind_it_come_in_together() {
    let manager = manager();
    std::thread::scope(|scope| {
        let first = holding(&manager, 7, Shared);
        let writer = Taking::start(scope, &manager, manager.begin(), taking(7, Exclusive), 1);
        let readers: Vec<Taking> = (2..=6)
            .map(|place| Taking::start(scope, &manager, manager.begin(), taking(7, Shared), place))
            .collect();
        assert!(readers.iter().all(|reader| reader.is_over().is_none()));
        drop(first);
        let writer = writer.granted();
        until_waiting(&manager, 5);
        drop(writer);
        let together: Vec<Owner> = readers.into_iter().map(Taking::granted).collect();
        assert_eq!(together.len(), 5);
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_wait_ends_at_its_deadline_and_frees_the_way_for_those_behind() {
    let manager = manager();
    std::thread::scope(|scope| {
        let reader = holding(&manager, 7, Shared);
        let soon = manager.deadline_in_ms(50);
        let patient = move |owner: &mut Owner| owner.lock(7, Exclusive, soon);
        let writer = Taking::start(scope, &manager, manager.begin(), patient, 1);
        let behind = Taking::start(scope, &manager, manager.begin(), taking(7, Shared), 2);
        let (mut writer, error) = writer.refused();
        assert_eq!(error.code(), Code::LockTimeout);
        let holder = format!("held by {}", reader.id());
        assert!(error.detail().contains(&holder), "{}", error.detail());
        drop(behind.granted());
        assert_eq!(writer.held_count(), 0);
        drop(reader);
        assert_eq!(try_lock(&manager, &mut writer, 7, Exclusive), None, "it may try again");
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn on_a_host_with_one_thread_no_wait_hangs() {
    let clock = SimClock::new(0);
    let manager = LockManager::new(Arc::new(clock.clone()), Background::Manual);
    let _holder = holding(&manager, 7, Exclusive);
    let mut other = manager.begin();
    let error = other.lock(7, Shared, Deadline::NEVER).expect_err("cannot be granted");
    assert_eq!((error.code(), clock.monotonic_us()), (Code::LockTimeout, 0));
    assert_eq!(manager.figures().waiting, 0);
}

#[test]
fn a_batch_takes_each_lock_once_and_goes_on_behind_a_busy_one() {
    let manager = manager();
    std::thread::scope(|scope| {
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let blocker = holding(&manager, spread(500), Exclusive);
        let batch = move |owner: &mut Owner| {
            let locks = (0..1000).chain(0..1000).map(spread).collect();
            owner.lock_all(locks, Exclusive, SOME_DAY)?;
            Ok(())
        };
        let taking = Taking::start(scope, &manager, manager.begin(), batch, 1);
        drop(blocker);
        let owner = taking.granted();
        assert_eq!((owner.held_count(), manager.figures().locks), (1000, 1000));
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn overlapping_batches_exclude_each_other_and_never_deadlock() {
    let manager = manager();
    let inside: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
    let name = |index: u64| lock_of(CollectionId([7; 16]), &index.to_le_bytes());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (manager, inside) = (&manager, &inside);
            scope.spawn(move || {
                for round in 0..2000u64 {
                    let mine = [(thread + round) % 8, (thread * 3 + round * 5) % 8, round % 8];
                    let mut owner = manager.begin();
                    let locks = mine.iter().map(|index| name(*index)).collect();
                    owner.lock_all(locks, Exclusive, SOME_DAY).expect("no cycle");
                    for index in mine.iter().collect::<HashSet<_>>() {
                        let before = inside[*index as usize].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0, "two holders of one lock");
                    }
                    for index in mine.iter().collect::<HashSet<_>>() {
                        inside[*index as usize].fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn thousands_may_read_one_key_and_each_leaves_by_itself() {
    let manager = manager();
    let mut readers: Vec<Owner> = (0..5000).map(|_| holding(&manager, 7, Shared)).collect();
    let mut writer = manager.begin();
    while let Some(reader) = readers.pop() {
        assert!(try_lock(&manager, &mut writer, 7, Exclusive).is_some());
        drop(reader);
        let middle = readers.len() / 2;
        drop((!readers.is_empty()).then(|| readers.swap_remove(middle)));
    }
    assert_eq!(try_lock(&manager, &mut writer, 7, Exclusive), None);
}
