//! Single operations among transactions: they wait for locks and predicates like anybody else, and
//! never in anybody's way.

use std::sync::Arc;
use std::time::Duration;

use super::locks::{Deadline, LockFigures, LockManager, Mode, Scanned, lock_of};
use crate::collection::CollectionOptions;
use crate::collection::query::Filter;
use crate::disk::simulated::SimDisk;
use crate::doc;
use crate::document::Document;
use crate::error::Code;
use crate::host::Host;
use crate::host::simulated::SimClock;
use crate::shard::state::View;
use crate::{Collection, Db, IndexOptions, Options};

struct Room {
    db: Db,
    events: Collection,
    view: View,
    _dir: tempfile::TempDir,
}

fn room() -> Room {
    let dir = tempfile::tempdir().expect("a folder");
    let db = Db::open(dir.path().join("data")).expect("a database");
    let options = CollectionOptions::new().revisions(true);
    let events = db.create_collection("events", options).expect("a collection");
    let state = db.database.shard.snapshot();
    let view = state.by_name("events").expect("just made").clone();
    Room { db, events, view, _dir: dir }
}

impl Room {
    fn locks(&self) -> &LockManager {
        &self.db.database.locks
    }

    fn lock_of(&self, key: &str) -> u64 {
        lock_of(self.view.core.id, key.as_bytes())
    }

    fn until_waiting(&self, count: usize) {
        let patience = self.locks().deadline_in_ms(30_000);
        while self.locks().figures().waiting != count {
            assert!(patience > self.locks().deadline_in_ms(0), "{:?}", self.locks().figures());
            std::thread::yield_now();
        }
    }

    /// Whether the collection's gate can be had exclusively.
    fn gate_is_open(&self) -> bool {
        self.view.core.gate.try_write_for(Duration::from_secs(60)).is_some()
    }
}

#[test]
fn an_insert_waits_for_a_lock_and_keeps_the_gate_open_meanwhile() {
    let room = room();
    let mut owner = room.locks().begin();
    owner.lock(room.lock_of("k"), Mode::Shared, Deadline::NEVER).expect("free");
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| room.events.insert(("k", doc! {})));
        room.until_waiting(1);
        assert!(room.gate_is_open());
        assert!(room.events.get("k").expect("readable").is_none());
        drop(owner);
        insert.join().expect("no panic").expect("inserted");
    });
    assert_eq!(room.locks().figures(), LockFigures::default());
}

#[test]
fn an_insert_waits_for_a_predicate_over_it_and_keeps_the_gate_open_meanwhile() {
    let room = room();
    let mut owner = room.locks().begin();
    let covers = |key: &[u8], _: &Document| *key >= *b"m".as_slice();
    owner.add_predicate(room.view.core.id, Arc::new(covers)).expect("nobody writes");
    room.events.insert(("a", doc! {})).expect("not covered");
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| room.events.insert(("z", doc! {})));
        room.until_waiting(1);
        assert!(room.gate_is_open());
        drop(owner);
        insert.join().expect("no panic").expect("inserted");
    });
    assert_eq!(room.locks().figures(), LockFigures::default());
}

#[test]
fn an_insert_that_gives_way_in_a_cycle_begins_again_by_itself() {
    let room = room();
    let mut keys = ["one", "two"];
    keys.sort_by_key(|key| room.lock_of(key));
    let [first, second] = keys;
    let mut owner = room.locks().begin();
    owner.lock(room.lock_of(second), Mode::Exclusive, Deadline::NEVER).expect("free");
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| room.events.insert_many([(first, doc! {}), (second, doc! {})]));
        room.until_waiting(1);
        owner.lock(room.lock_of(first), Mode::Exclusive, Deadline::NEVER).expect("the older one");
        drop(owner);
        assert_eq!(insert.join().expect("no panic").expect("inserted").inserted, 2);
    });
    assert_eq!(room.locks().figures(), LockFigures::default());
}

#[test]
fn on_a_host_with_one_thread_an_insert_that_would_wait_is_refused() {
    let host = Host::simulated(Arc::new(SimDisk::new()), SimClock::new(0), 1);
    let db = Options::new().host(host).open("/db").expect("a database");
    let events = db.create_collection("events", CollectionOptions::new()).expect("a collection");
    let id = db.database.shard.snapshot().by_name("events").expect("just made").core.id;
    let mut owner = db.database.locks.begin();
    owner.lock(lock_of(id, b"k"), Mode::Exclusive, Deadline::NEVER).expect("free");
    let error = events.insert(("k", doc! {})).expect_err("nobody could free it");
    assert_eq!(error.code(), Code::LockTimeout);
    let told = "key \"k\" of collection \"events\"";
    assert!(error.detail().contains(told), "{}", error.detail());
    let mut reader = db.database.locks.begin();
    reader.add_predicate(id, Arc::new(Scanned::everything())).expect("nobody writes");
    let error = events.insert(("l", doc! {})).expect_err("nobody could free it");
    assert!(error.detail().contains("key \"l\" of collection"), "{}", error.detail());
    reader.release();
    owner.release();
    events.insert(("k", doc! {})).expect("free");
}

#[test]
fn a_put_waits_for_whoever_read_what_it_replaces() {
    let room = room();
    room.events.put("k", doc! { "state": "open" }, None).expect("new");
    let open = Filter::parse(&doc! { "state": "open" }.to_object()).expect("a filter");
    let mut reader = room.locks().begin();
    let scanned = Scanned::everything().matching(open);
    reader.add_predicate(room.view.core.id, Arc::new(scanned)).expect("nobody writes");
    room.events.put("other", doc! { "state": "closed" }, None).expect("was never in the answer");
    std::thread::scope(|scope| {
        let put = scope.spawn(|| room.events.put("k", doc! { "state": "closed" }, None));
        room.until_waiting(1);
        drop(reader);
        assert_eq!(put.join().expect("no panic").expect("put").revision, 2);
    });
    assert_eq!(room.locks().figures(), LockFigures::default());
}

#[test]
fn an_insert_that_waited_is_checked_by_a_unique_index_made_meanwhile() {
    let room = room();
    room.events.insert(("first", doc! { "n": 1 })).expect("new");
    let mut owner = room.locks().begin();
    owner.lock(room.lock_of("second"), Mode::Exclusive, Deadline::NEVER).expect("free");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| room.events.insert(("second", doc! { "n": 1 })));
        room.until_waiting(1);
        let unique = IndexOptions { unique: true, ..IndexOptions::default() };
        room.events.create_index("by_n", &["n"], unique).expect("built while it waits");
        drop(owner);
        let error = second.join().expect("no panic").expect_err("not unique");
        assert_eq!(error.code(), Code::DuplicateKey);
    });
    let value = crate::shard::index::lock_of;
    let index = room.view.core.indexes.load()[0].clone();
    let document = doc! { "n": 2 }.to_object();
    let keys = index.fields.keys(&document).expect("short").keys;
    let mut owner = room.locks().begin();
    let lock = value(room.view.core.id, index.id, &keys[0]);
    owner.lock(lock, Mode::Exclusive, Deadline::NEVER).expect("free");
    std::thread::scope(|scope| {
        let third = scope.spawn(|| room.events.insert(("third", doc! { "n": 2 })));
        room.until_waiting(1);
        assert!(room.gate_is_open());
        drop(owner);
        third.join().expect("no panic").expect("unique");
    });
    assert_eq!(room.locks().figures(), LockFigures::default());
}
