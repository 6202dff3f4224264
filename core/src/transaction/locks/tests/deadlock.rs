//! Cycles of waits: each is found when it closes, and ended by its youngest member alone.

use std::sync::Barrier;

use super::*;
use crate::error::Error;
use Mode::{Exclusive, Shared};

/// Each of `parties` holds a lock and wants the next one's, closing the ring in the order of
/// `arrivals`; returns the owners and what became of each, by place in the ring.
fn ring(parties: usize, arrivals: &[usize]) -> (Vec<OwnerId>, Vec<Option<Error>>) {
    let manager = manager();
    let owners: Vec<Owner> =
        (0..parties).map(|place| holding(&manager, place as u64, Exclusive)).collect();
    let ids = owners.iter().map(Owner::id).collect();
    let mut owners: Vec<Option<Owner>> = owners.into_iter().map(Some).collect();
    let start = Instant::now();
    let mut ends: Vec<Option<Error>> = (0..parties).map(|_| None).collect();
    std::thread::scope(|scope| {
        let mut takings: Vec<(usize, Taking)> = Vec::new();
        for (order, place) in arrivals.iter().enumerate() {
            let next = (place + 1) % parties;
            let owner = owners[*place].take().expect("each arrives once");
            let all_but_last = (order + 1).min(parties - 1);
            let taking = Taking::start(
                scope,
                &manager,
                owner,
                taking(next as u64, Exclusive),
                // The last one's wait closes the ring, and some wait is over at once.
                all_but_last,
            );
            takings.push((*place, taking));
        }
        while !takings.is_empty() {
            takings.retain(|(place, taking)| match taking.is_over() {
                Some((owner, result)) => {
                    ends[*place] = result.err();
                    drop(owner);
                    false
                }
                None => true,
            });
            assert!(start.elapsed() < PATIENCE, "the ring of {parties} is stuck");
            std::thread::yield_now();
        }
    });
    assert_eq!(manager.figures(), LockFigures::default());
    (ids, ends)
}

#[test]
fn a_ring_of_two_to_ten_costs_its_youngest_member_alone_whoever_closes_it() {
    for parties in 2..=10 {
        for last in 0..parties {
            let mut arrivals: Vec<usize> = (0..parties).collect();
            arrivals.rotate_left(last);
            let (ids, ends) = ring(parties, &arrivals);
            let victims: Vec<OwnerId> =
                ids.iter().zip(&ends).filter_map(|(id, end)| end.as_ref().map(|_| *id)).collect();
            assert_eq!(victims, [*ids.last().expect("two or more")], "{parties} parties");
            let error = ends.into_iter().flatten().next().expect("one victim");
            assert_eq!(error.code(), Code::Deadlock);
            for pair in ids.windows(2) {
                let told = format!("{} waits for {}", pair[0], pair[1]);
                assert!(error.detail().contains(&told), "{}", error.detail());
            }
        }
    }
}

/// A ring of `parties` that all close it at the same moment: how many gave way, and how long after
/// that moment the last of them did.
fn free_ring(parties: u64) -> (usize, Duration) {
    let manager = manager();
    let barrier = Barrier::new(parties as usize);
    let owners: Vec<Owner> =
        (0..parties).map(|place| holding(&manager, place, Exclusive)).collect();
    let ends: Vec<Option<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(owners)
            .map(|(place, mut owner)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let next = (place + 1) % parties;
                    let error = owner.lock(next, Exclusive, SOME_DAY).err()?;
                    assert_eq!(error.code(), Code::Deadlock);
                    Some(start.elapsed())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(manager.figures(), LockFigures::default());
    let took: Vec<Duration> = ends.into_iter().flatten().collect();
    (took.len(), took.into_iter().max().unwrap_or_default())
}

#[test]
fn rings_of_two_to_ten_are_resolved_within_100_ms_by_one_victim_each() {
    for parties in 2..=10 {
        let rings: Vec<(usize, Duration)> = (0..20).map(|_| free_ring(parties)).collect();
        assert!(rings.iter().all(|(victims, _)| *victims == 1), "{parties} parties: {rings:?}");
        // A machine with other work may keep a thread from running that long; not half of the times.
        let mut took: Vec<Duration> = rings.into_iter().map(|(_, took)| took).collect();
        took.sort();
        println!("{parties} parties: {:?} at the most, {:?} in the middle", took[19], took[10]);
        assert!(took[10] < Duration::from_millis(100), "{took:?}");
    }
}

#[test]
fn of_two_readers_that_both_want_to_write_the_younger_gives_way() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (older, younger) = (holding(&manager, 7, Shared), holding(&manager, 7, Shared));
        let first = Taking::start(scope, &manager, younger, taking(7, Exclusive), 1);
        let second = Taking::start(scope, &manager, older, taking(7, Exclusive), 1);
        let (younger, error) = first.refused();
        assert_eq!(error.code(), Code::Deadlock);
        assert!(second.is_over().is_none(), "the victim still reads");
        drop(younger);
        drop(second.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_wait_that_closes_two_cycles_costs_one_victim_for_each_or_itself() {
    for wanted_is_oldest in [true, false] {
        let manager = manager();
        std::thread::scope(|scope| {
            let early = holding(&manager, 1, Exclusive);
            let readers = [holding(&manager, 7, Shared), holding(&manager, 7, Shared)];
            let late = holding(&manager, 2, Exclusive);
            let (closer, lock) = if wanted_is_oldest { (&early, 1) } else { (&late, 2) };
            let closer_id = closer.id();
            let mut place = 0;
            let waiting = readers.map(|reader| {
                place += 1;
                Taking::start(scope, &manager, reader, taking(lock, Shared), place)
            });
            let (closer, other) = if wanted_is_oldest { (early, late) } else { (late, early) };
            let left = if wanted_is_oldest { 1 } else { 2 };
            let writer = Taking::start(scope, &manager, closer, taking(7, Exclusive), left);
            if wanted_is_oldest {
                for reader in waiting {
                    assert_eq!(reader.refused().1.code(), Code::Deadlock);
                }
                assert_eq!(writer.granted().id(), closer_id);
            } else {
                let (closer, error) = writer.refused();
                assert_eq!((error.code(), closer.id()), (Code::Deadlock, closer_id));
                drop(closer);
                waiting.into_iter().for_each(|reader| drop(reader.granted()));
            }
            drop(other);
        });
        assert_eq!(manager.figures(), LockFigures::default());
    }
}

#[test]
fn a_reader_behind_a_writer_in_a_queue_may_close_a_cycle_over_it() {
    let manager = manager();
    std::thread::scope(|scope| {
        // The old reader waits for what the second reader holds; a writer waits for the old reader;
        // the second reader queues behind the writer.
        let old = holding(&manager, 7, Shared);
        let writer = manager.begin();
        let second = holding(&manager, 8, Exclusive);
        let second_id = second.id();
        let old = Taking::start(scope, &manager, old, taking(8, Exclusive), 1);
        let writer = Taking::start(scope, &manager, writer, taking(7, Exclusive), 2);
        let second = Taking::start(scope, &manager, second, taking(7, Shared), 2);
        let (second, error) = second.refused();
        assert_eq!((error.code(), second.id()), (Code::Deadlock, second_id));
        assert!(error.detail().contains("among 3 transactions"), "{}", error.detail());
        drop(second);
        drop(old.granted());
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_batch_and_an_interactive_transaction_may_meet_in_a_cycle() {
    let manager = manager();
    std::thread::scope(|scope| {
        let interactive = holding(&manager, 9, Exclusive);
        let batch = |owner: &mut Owner| owner.lock_all(vec![9, 3], Exclusive, SOME_DAY);
        let batch = Taking::start(scope, &manager, manager.begin(), batch, 1);
        let interactive = Taking::start(scope, &manager, interactive, taking(3, Exclusive), 1);
        let (batch, error) = batch.refused();
        assert_eq!((error.code(), batch.held_count()), (Code::Deadlock, 1));
        drop(batch);
        drop(interactive.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_victim_may_go_on_and_is_found_again_in_the_next_cycle() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (one, mut two) = (holding(&manager, 1, Exclusive), holding(&manager, 2, Exclusive));
        let one = Taking::start(scope, &manager, one, taking(2, Exclusive), 1);
        for _ in 0..3 {
            let error = two.lock(1, Exclusive, SOME_DAY).expect_err("a cycle each time");
            assert_eq!(error.code(), Code::Deadlock);
            assert!(one.is_over().is_none());
        }
        drop(two);
        drop(one.granted());
    });
}

#[test]
fn a_wait_that_timed_out_leaves_no_edge_behind() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (one, two) = (holding(&manager, 1, Exclusive), holding(&manager, 2, Exclusive));
        let soon = manager.deadline_in_ms(20);
        let impatient = move |owner: &mut Owner| owner.lock(2, Exclusive, soon);
        let (one, error) = Taking::start(scope, &manager, one, impatient, 1).refused();
        assert_eq!(error.code(), Code::LockTimeout);
        let two = Taking::start(scope, &manager, two, taking(1, Exclusive), 1);
        assert!(two.is_over().is_none(), "it waits: the other one does not any more");
        drop(one);
        drop(two.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}
