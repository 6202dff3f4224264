//! Prepared transactions: their locks outlive handle and process, and nothing but a decision ends
//! them.

use super::*;
use crate::collection::CollectionId;
use crate::doc;
use Mode::{Exclusive, Shared};

#[test]
fn a_detached_owner_keeps_its_locks_until_it_is_released_by_id() {
    let manager = manager();
    let mut owner = holding(&manager, 7, Exclusive);
    owner.lock(8, Shared, SOME_DAY).expect("free");
    let id = owner.detach();
    assert_eq!((manager.detached(), manager.figures().locks), (vec![id], 2));
    let mut other = manager.begin();
    let error = other.lock(7, Shared, manager.deadline_in_ms(10)).expect_err("prepared");
    assert_eq!(error.code(), Code::LockTimeout);
    let told = format!("held by {id} (prepared, undecided)");
    assert!(error.detail().contains(&told), "{}", error.detail());
    assert!(manager.release_detached(id));
    assert!(!manager.release_detached(id), "resolving twice does nothing");
    other.lock(7, Exclusive, SOME_DAY).expect("free again");
}

#[test]
fn whoever_waits_for_a_prepared_transaction_goes_on_when_it_is_resolved() {
    let manager = manager();
    std::thread::scope(|scope| {
        let id = holding(&manager, 7, Exclusive).detach();
        let waiter = Taking::start(scope, &manager, manager.begin(), taking(7, Shared), 1);
        manager.release_detached(id);
        drop(waiter.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn locks_adopted_at_recovery_hold_and_later_owners_are_younger() {
    let manager = manager();
    manager.adopt(OwnerId(41), &[(7, Exclusive), (8, Shared), (7, Exclusive)]).expect("free");
    manager.adopt(OwnerId(3), &[(8, Shared), (9, Exclusive)]).expect("free");
    assert_eq!(manager.detached(), [OwnerId(3), OwnerId(41)]);
    let mut owner = manager.begin();
    assert!(owner.id() > OwnerId(41));
    owner.lock(8, Shared, SOME_DAY).expect("beside the others");
    for lock in [7, 9] {
        assert!(owner.lock(lock, Shared, manager.deadline_in_ms(0)).is_err());
    }
    assert!(manager.release_detached(OwnerId(41)) && manager.release_detached(OwnerId(3)));
    owner.lock(7, Exclusive, SOME_DAY).expect("free");
    drop(owner);
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn contradicting_prepared_transactions_are_refused_whole() {
    let manager = manager();
    manager.adopt(OwnerId(1), &[(7, Exclusive)]).expect("free");
    for (id, locks) in [(1, vec![(9, Shared)]), (2, vec![(9, Exclusive), (7, Shared)])] {
        let error = manager.adopt(OwnerId(id), &locks).expect_err("contradicts");
        assert_eq!(error.code(), Code::Internal);
        assert_eq!((manager.figures().locks, manager.figures().detached), (1, 1));
    }
}

#[test]
fn a_prepared_transaction_is_never_a_victim() {
    let manager = manager();
    std::thread::scope(|scope| {
        let mut one = holding(&manager, 1, Exclusive);
        one.lock(2, Exclusive, SOME_DAY).expect("free");
        let two = holding(&manager, 3, Exclusive);
        let one = one.detach();
        let soon = manager.deadline_in_ms(30);
        let impatient = move |owner: &mut Owner| owner.lock(1, Exclusive, soon);
        let (two, error) = Taking::start(scope, &manager, two, impatient, 1).refused();
        assert_eq!(error.code(), Code::LockTimeout, "no cycle: the prepared one waits for nothing");
        drop(two);
        assert!(manager.release_detached(one));
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn what_a_prepare_logs_is_what_a_restart_takes_again() {
    let manager = manager();
    let mut owner = holding(&manager, 9, Shared);
    owner.lock_all(vec![4, 2, 9], Exclusive, SOME_DAY).expect("free");
    owner.lock(3, Shared, SOME_DAY).expect("free");
    let logged = owner.locks();
    assert_eq!(logged, [(2, Exclusive), (3, Shared), (4, Exclusive), (9, Exclusive)]);
    let id = owner.detach();

    let restarted = super::manager();
    restarted.adopt(id, &logged).expect("nobody asked before");
    std::thread::scope(|scope| {
        let writers = [2, 3, 4, 9].map(|lock| (lock, restarted.begin()));
        let mut waiting = 0;
        let writers = writers.map(|(lock, owner)| {
            assert!(owner.id() > id);
            waiting += 1;
            Taking::start(scope, &restarted, owner, taking(lock, Exclusive), waiting)
        });
        let mut reader = restarted.begin();
        let error = reader.lock(3, Shared, restarted.deadline_in_ms(0)).expect_err("queued");
        assert_eq!(error.code(), Code::LockTimeout, "a writer waits before it");
        assert!(restarted.release_detached(id));
        writers.into_iter().for_each(|writer| drop(writer.granted()));
    });
    assert_eq!(restarted.figures(), LockFigures::default());
}

#[test]
fn a_scan_over_prepared_writes_waits_for_the_decision_also_after_a_restart() {
    let events = CollectionId([1; 16]);
    let (manager, restarted) = (manager(), super::manager());
    let document = doc! { "n": 1 };
    let write = [(&b"k"[..], &document)];
    let mut owner = holding(&manager, 7, Exclusive);
    owner.check_writes(events, write).expect("nobody scans");
    owner.hold_writes(events, write);
    let logged = owner.locks();
    let id = owner.detach();
    restarted.adopt(id, &logged).expect("nobody asked before");
    assert!(restarted.adopt_writes(id, events, write));
    assert!(!restarted.adopt_writes(OwnerId(77), events, write), "nobody of that id");

    for manager in [manager, restarted] {
        std::thread::scope(|scope| {
            let elsewhere = Scanned::keys(b"l".to_vec(), None);
            let mut reader = manager.begin();
            reader.add_predicate(events, Arc::new(elsewhere)).expect("not over the write");
            let scan = |owner: &mut Owner| {
                while let Err(blocked) =
                    owner.add_predicate(events, Arc::new(Scanned::everything()))
                {
                    owner.wait_for(blocked, SOME_DAY)?;
                }
                Ok(())
            };
            let waiting = Taking::start(scope, &manager, reader, scan, 1);
            let mut impatient = manager.begin();
            let blocked = impatient.add_predicate(events, Arc::new(Scanned::everything()));
            let blocked = blocked.expect_err("prepared");
            assert_eq!(blocked.owners(), [id]);
            let error = impatient.wait_for(blocked, manager.deadline_in_ms(0)).expect_err("soon");
            let told = format!("prepared writes its scan covers, held by {id} (prepared");
            assert!(error.detail().contains(&told), "{}", error.detail());
            assert!(waiting.is_over().is_none());
            assert!(manager.release_detached(id));
            drop(waiting.granted());
        });
        assert_eq!(manager.figures(), LockFigures::default());
    }
}

#[test]
fn a_scan_never_goes_ahead_of_prepared_writes_to_break_a_cycle() {
    let events = CollectionId([1; 16]);
    let manager = manager();
    let document = doc! {};
    std::thread::scope(|scope| {
        // The reader has scanned and another wants to write; going ahead by courtesy, the reader
        // comes upon writes that are prepared, and waits for these all the same.
        let mut prepared = holding(&manager, 9, Exclusive);
        prepared.hold_writes(events, [(&b"p"[..], &document)]);
        let id = prepared.detach();
        let mut first = manager.begin();
        let over_k = Scanned::keys(b"k".to_vec(), Some(b"l".to_vec()));
        first.add_predicate(events, Arc::new(over_k)).expect("nobody writes there");
        let second = holding(&manager, 7, Exclusive);
        let write = |owner: &mut Owner| {
            let document = doc! {};
            while let Err(blocked) = owner.check_writes(events, [(&b"k"[..], &document)]) {
                owner.wait_for(blocked, SOME_DAY)?;
            }
            Ok(())
        };
        let writer = Taking::start(scope, &manager, manager.begin(), write, 1);
        let first = Taking::start(scope, &manager, first, taking(7, Exclusive), 2);
        let scan = |owner: &mut Owner| {
            while let Err(blocked) = owner.add_predicate(events, Arc::new(Scanned::everything())) {
                owner.wait_for(blocked, SOME_DAY)?;
            }
            Ok(())
        };
        let second = Taking::start(scope, &manager, second, scan, 3);
        assert!(second.is_over().is_none());
        assert!(manager.release_detached(id));
        drop(second.granted());
        drop(first.granted());
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}
