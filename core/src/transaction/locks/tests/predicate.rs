//! Predicates: nobody writes into what somebody has read by range or filter.

use super::*;
use crate::collection::CollectionId;
use crate::doc;
use crate::document::Document;
use Mode::Exclusive;

const EVENTS: CollectionId = CollectionId([1; 16]);
/// Shares the slot of `EVENTS`.
const ORDERS: CollectionId = CollectionId([65; 16]);

fn range(from: &'static str, to: &'static str) -> Arc<dyn Predicate> {
    Arc::new(move |key: &[u8], _: &Document| key >= from.as_bytes() && key < to.as_bytes())
}

fn scanned(manager: &LockManager, from: &'static str, to: &'static str) -> Owner {
    let mut owner = manager.begin();
    owner.add_predicate(EVENTS, range(from, to)).expect("nobody writes");
    owner
}

fn check(owner: &Owner, collection: CollectionId, keys: &[&str]) -> Result<(), Blocked> {
    let document = doc! {};
    owner.check_writes(collection, keys.iter().map(|key| (key.as_bytes(), &document)))
}

/// As a writer does: checks, waits, checks again.
fn writing(key: &'static str) -> impl FnOnce(&mut Owner) -> Result<()> + Send {
    move |owner| {
        while let Err(blocked) = check(owner, EVENTS, &[key]) {
            owner.wait_for(blocked, SOME_DAY)?;
        }
        Ok(())
    }
}

/// As a reader does: registers, waits, registers again.
fn scanning(from: &'static str, to: &'static str) -> impl FnOnce(&mut Owner) -> Result<()> + Send {
    move |owner| {
        while let Err(blocked) = owner.add_predicate(EVENTS, range(from, to)) {
            owner.wait_for(blocked, SOME_DAY)?;
        }
        Ok(())
    }
}

#[test]
fn a_write_is_blocked_by_predicates_of_others_over_it_and_by_nothing_else() {
    let manager = manager();
    let (reader, writer) = (scanned(&manager, "b", "d"), manager.begin());
    let also = scanned(&manager, "a", "c");
    let blocked = check(&writer, EVENTS, &["x", "c"]).expect_err("covered");
    assert_eq!(blocked.owners(), [reader.id()]);
    let blocked = check(&writer, EVENTS, &["b"]).expect_err("covered twice");
    assert_eq!(blocked.owners(), [reader.id(), also.id()]);
    assert!(check(&writer, EVENTS, &["d", "x"]).is_ok(), "outside the range");
    assert!(check(&writer, ORDERS, &["b"]).is_ok(), "another collection");
    assert!(check(&reader, EVENTS, &["c"]).is_ok(), "its own predicate");
    drop((reader, also));
    assert!(check(&writer, EVENTS, &["b"]).is_ok());
    drop(writer);
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_predicate_may_ask_for_the_document() {
    let manager = manager();
    let mut reader = manager.begin();
    let wanted = doc! { "user": "u1" };
    let filter = move |_: &[u8], document: &Document| *document == wanted;
    reader.add_predicate(EVENTS, Arc::new(filter)).expect("nobody writes");
    let writer = manager.begin();
    let (other, same) = (doc! { "user": "u2" }, doc! { "user": "u1" });
    assert!(writer.check_writes(EVENTS, [(&b"k"[..], &other)]).is_ok());
    assert!(writer.check_writes(EVENTS, [(&b"k"[..], &same)]).is_err());
}

#[test]
fn a_blocked_writer_goes_on_when_the_last_reader_has_ended() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (one, two) = (scanned(&manager, "a", "c"), scanned(&manager, "b", "d"));
        let writer = Taking::start(scope, &manager, manager.begin(), writing("b"), 1);
        drop(one);
        until_waiting(&manager, 1);
        assert!(writer.is_over().is_none());
        drop(two);
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn whoever_ended_before_the_wait_began_is_not_waited_for() {
    let manager = manager();
    let reader = scanned(&manager, "a", "c");
    let mut writer = manager.begin();
    let blocked = check(&writer, EVENTS, &["b"]).expect_err("covered");
    drop(reader);
    writer.wait_for(blocked, SOME_DAY).expect("nothing is in the way");
}

#[test]
fn a_blocked_write_times_out_and_forgets_its_intent() {
    let manager = manager();
    let reader = scanned(&manager, "a", "c");
    let mut writer = manager.begin();
    let blocked = check(&writer, EVENTS, &["b"]).expect_err("covered");
    let error = writer.wait_for(blocked, manager.deadline_in_ms(20)).expect_err("too late");
    assert_eq!(error.code(), Code::LockTimeout);
    assert!(error.detail().contains(&format!("held by {}", reader.id())), "{}", error.detail());
    assert_eq!(manager.figures().predicates, 1, "the reader's alone");
}

#[test]
fn a_writer_that_waits_is_not_overtaken_by_new_scans() {
    let manager = manager();
    std::thread::scope(|scope| {
        let first = scanned(&manager, "a", "c");
        let writer = Taking::start(scope, &manager, manager.begin(), writing("b"), 1);
        let elsewhere = scanned(&manager, "x", "z");
        let later = Taking::start(scope, &manager, manager.begin(), scanning("a", "z"), 2);
        drop(first);
        let writer = writer.granted();
        assert!(later.is_over().is_none(), "it waits until the write is committed");
        drop(writer);
        drop((later.granted(), elsewhere));
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_reader_in_the_way_already_may_scan_again() {
    let manager = manager();
    std::thread::scope(|scope| {
        let mut reader = scanned(&manager, "a", "c");
        let writer = Taking::start(scope, &manager, manager.begin(), writing("b"), 1);
        reader.add_predicate(EVENTS, range("a", "z")).expect("the writer waits for it anyway");
        drop(reader);
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_courtesy_that_would_close_a_cycle_is_given_up_and_costs_no_victim() {
    let manager = manager();
    std::thread::scope(|scope| {
        // The writer waits for the first reader, the first reader for the second one's lock, and
        // the second reader would wait for the writer out of courtesy.
        let first = scanned(&manager, "a", "c");
        let second = holding(&manager, 7, Exclusive);
        let writer = Taking::start(scope, &manager, manager.begin(), writing("b"), 1);
        let first = Taking::start(scope, &manager, first, taking(7, Exclusive), 2);
        let second = Taking::start(scope, &manager, second, scanning("a", "c"), 2);
        drop(second.granted());
        drop(first.granted());
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_courtesy_is_given_up_when_somebody_else_closes_the_cycle_later() {
    let manager = manager();
    std::thread::scope(|scope| {
        let first = scanned(&manager, "a", "c");
        let second = holding(&manager, 7, Exclusive);
        let writer = Taking::start(scope, &manager, manager.begin(), writing("b"), 1);
        let second = Taking::start(scope, &manager, second, scanning("a", "c"), 2);
        let first = Taking::start(scope, &manager, first, taking(7, Exclusive), 2);
        drop(second.granted());
        drop(first.granted());
        drop(writer.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn two_that_scan_and_write_into_each_others_range_are_a_cycle() {
    let manager = manager();
    std::thread::scope(|scope| {
        let (older, younger) = (scanned(&manager, "a", "c"), scanned(&manager, "a", "c"));
        let older = Taking::start(scope, &manager, older, writing("b"), 1);
        let younger = Taking::start(scope, &manager, younger, writing("b"), 1);
        let (younger, error) = younger.refused();
        assert_eq!(error.code(), Code::Deadlock);
        assert!(error.detail().contains("a scan that covers"), "{}", error.detail());
        drop(younger);
        drop(older.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_cycle_may_mix_predicates_keys_and_upgrades() {
    let manager = manager();
    std::thread::scope(|scope| {
        let mut scanner = scanned(&manager, "a", "c");
        scanner.lock(7, Mode::Shared, SOME_DAY).expect("free");
        let mut reader = holding(&manager, 7, Mode::Shared);
        reader.lock(8, Exclusive, SOME_DAY).expect("free");
        let writer = holding(&manager, 9, Exclusive);
        // reader upgrades 7 and waits for scanner; scanner waits for 9; writer waits for scanner's
        // range, and nobody for writer but scanner: that is the cycle.
        let reader = Taking::start(scope, &manager, reader, taking(7, Exclusive), 1);
        let scanner = Taking::start(scope, &manager, scanner, taking(9, Mode::Shared), 2);
        let writer = Taking::start(scope, &manager, writer, writing("b"), 2);
        let (writer, error) = writer.refused();
        assert_eq!(error.code(), Code::Deadlock);
        drop(writer);
        drop(scanner.granted());
        drop(reader.granted());
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_writer_leaves_word_of_all_its_writes() {
    let manager = manager();
    std::thread::scope(|scope| {
        let first = scanned(&manager, "a", "c");
        let both = |owner: &mut Owner| {
            while let Err(blocked) = check(owner, EVENTS, &["b", "m"]) {
                owner.wait_for(blocked, SOME_DAY)?;
            }
            Ok(())
        };
        let writer = Taking::start(scope, &manager, manager.begin(), both, 1);
        let later = Taking::start(scope, &manager, manager.begin(), scanning("m", "n"), 2);
        let mut ahead = manager.begin();
        ahead.add_predicate(EVENTS, range("x", "z")).expect("not over the writes");
        assert_eq!(manager.figures().predicates, 3, "two predicates and one intent");
        drop(first);
        let writer = writer.granted();
        assert_eq!(manager.figures().predicates, 2);
        assert!(later.is_over().is_none());
        drop(writer);
        drop((later.granted(), ahead));
    });
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_predicate_that_panics_harms_nobody_else() {
    let manager = manager();
    let broken = |_: &[u8], _: &Document| -> bool { std::panic::resume_unwind(Box::new("broken")) };
    let mut reader = manager.begin();
    reader.add_predicate(EVENTS, Arc::new(broken)).expect("nobody writes");
    let writer = manager.begin();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _blocked = check(&writer, EVENTS, &["b"]);
    }));
    assert!(unwound.is_err());
    let mut other = scanned(&manager, "a", "c");
    other.lock(7, Exclusive, SOME_DAY).expect("free");
    drop(reader);
    assert_eq!(check(&writer, EVENTS, &["b"]).expect_err("covered").owners(), [other.id()]);
    drop((other, writer));
    assert_eq!(manager.figures(), LockFigures::default());
}

#[test]
fn a_wait_that_fails_tells_what_it_was_for() {
    let manager = manager();
    let reader = scanned(&manager, "a", "c");
    let holder = holding(&manager, 7, Exclusive);
    let mut writer = manager.begin();
    assert_eq!(writer.missed(), None);
    let soon = manager.deadline_in_ms(0);
    writer.lock_all(vec![5, 7, 9], Exclusive, soon).expect_err("held");
    assert_eq!(writer.missed(), Some(&Wanted::Lock(7)));
    let blocked = check(&writer, EVENTS, &["x", "b", "a"]).expect_err("covered");
    writer.wait_for(blocked, soon).expect_err("covered");
    assert_eq!(writer.missed(), Some(&Wanted::Write(EVENTS, b"b"[..].into())));
    writer.restart();
    assert_eq!(writer.missed(), None);
    drop((reader, holder));
}

#[test]
fn a_writer_that_waits_again_leaves_word_but_once() {
    let manager = manager();
    let reader = scanned(&manager, "a", "c");
    let mut writer = manager.begin();
    let blocked = [(); 2].map(|()| check(&writer, EVENTS, &["b"]).expect_err("covered"));
    drop(reader);
    for blocked in blocked {
        writer.wait_for(blocked, SOME_DAY).expect("nothing is in the way");
        assert_eq!(manager.figures().predicates, 1);
    }
}
