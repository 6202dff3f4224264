//! What a transaction is to its callers: it sees its own writes, nobody else does before the commit,
//! a refused call leaves it open and any other failure leaves nothing, and whichever way it ends, it
//! holds nothing afterwards.

#![allow(clippy::disallowed_methods)] // Time and threads of a test are outside the engine.

use std::time::{Duration, Instant};

use blockdb::{
    Code, Collection, CollectionOptions, Db, Durability, IndexOptions, Options, Record,
    TransactionOptions, TransactionState, Value, doc,
};

struct Bench {
    _folder: tempfile::TempDir,
    db: Db,
    notes: Collection,
    events: Collection,
}

fn bench() -> Bench {
    bench_with(Durability::Sync)
}

fn bench_with(durability: Durability) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new().durability(durability);
    let db = options.open(folder.path().join("db")).expect("it opens");
    let revisions = CollectionOptions::new().revisions(true);
    let notes = db.create_collection("notes", revisions).expect("it is made");
    let events = db.create_collection("events", CollectionOptions::new()).expect("it is made");
    Bench { _folder: folder, db, notes, events }
}

impl Bench {
    fn begin(&self) -> blockdb::Transaction {
        self.db.begin(TransactionOptions::default()).expect("it begins")
    }

    /// Nothing is held, and everything that is stored verifies.
    fn end(self) {
        assert_eq!(self.db.stats().expect("figures").transactions.active, 0);
        let figures = self.db.database().locks.figures();
        assert_eq!(figures, Default::default(), "everything was freed");
        self.db.settle().expect("it settles");
        let report = self.db.verify(&Default::default(), &|_, _| {}).expect("verify runs");
        assert!(report.is_clean(), "{:?}", report.faults);
        self.db.close().expect("it closes");
    }
}

fn number(record: &Record) -> i64 {
    match record.document.get("n").expect("whole") {
        Some(Value::Int(n)) => n,
        other => panic!("{other:?}"),
    }
}

fn keys(records: Vec<Record>) -> Vec<String> {
    records.into_iter().map(|record| record.key).collect()
}

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_else_does_before_the_commit() {
    let bench = bench();
    for (key, n) in [("b", 2), ("d", 4), ("f", 6)] {
        bench.notes.put(key, doc! { "n": n }, None).expect("put");
    }
    bench.notes.create_index("by_n", &["n"], IndexOptions::default()).expect("an index");
    let tx = bench.begin();
    let notes = tx.collection("notes");
    notes.insert(("c", doc! { "n": 30 })).expect("inserted");
    notes.put("d", doc! { "n": 1 }, Some(1)).expect("put");
    notes.put("d", doc! { "n": 5 }, Some(2)).expect("put again");
    notes.put("g", doc! { "n": 7 }, Some(0)).expect("a new key");

    let own = notes.get("d").expect("a read").expect("it is there");
    assert_eq!((own.seq, own.revision, number(&own)), (0, 3, 5));
    assert!(!own.to_json().contains("timestamp"), "{}", own.to_json());
    let all =
        || notes.scan(..).expect("a scan").collect::<blockdb::Result<Vec<_>>>().expect("read");
    assert_eq!(keys(all()), ["b", "c", "d", "f", "g"]);
    let mut range = blockdb::shard::read::KeyRange::prefix(b"");
    range.reverse = true;
    let reversed = notes.scan_range(range, Some(3)).expect("a scan");
    assert_eq!(keys(reversed.collect::<blockdb::Result<_>>().expect("read")), ["g", "f", "d"]);

    let find = |filter| notes.find(filter).expect("a query");
    let sorted = find(doc! { "n": { "$gt": 2 } }).sort("-n").expect("a sort");
    assert_eq!(keys(sorted.clone().all().expect("read")), ["c", "g", "f", "d"]);
    assert_eq!(keys(sorted.limit(2).all().expect("read")), ["c", "g"]);
    assert_eq!(find(doc! { "n": 4 }).count().expect("a count"), 0, "its revision was replaced");
    assert_eq!(find(doc! { "n": 4 }).all().expect("read").len(), 0);
    assert_eq!(notes.count().expect("a count"), 5);
    let newest = find(doc! {}).sort("-$seq").expect("a sort").limit(1).all().expect("read");
    assert_eq!(keys(newest), ["g"], "its own writes are the newest");

    assert_eq!(bench.notes.count().expect("a count"), 3);
    assert_eq!(number(&bench.notes.get("d").expect("a read").expect("there")), 4);
    let done = tx.commit().expect("it commits");
    let written: Vec<(&str, u64)> =
        done.records.iter().map(|one| (one.key.as_str(), one.revision)).collect();
    assert_eq!(written, [("c", 1), ("d", 2), ("d", 3), ("g", 1)]);

    let history = bench.notes.history("d").expect("a history");
    assert_eq!(history.iter().map(number).collect::<Vec<_>>(), [4, 1, 5]);
    let ids: Vec<_> = history.iter().map(|record| record.transaction.clone()).collect();
    assert_eq!(ids, [None, Some(done.transaction.clone()), Some(done.transaction)]);
    assert_eq!(history[1].timestamp, history[2].timestamp, "one moment for all");
    let find = bench.notes.find(doc! { "n": { "$in": [1, 4, 5] } }).expect("a query");
    assert_eq!(keys(find.all().expect("read")), ["d"], "the index finds the newest alone");
    bench.end();
}

#[test]
fn a_refused_call_leaves_the_transaction_open_and_nothing_of_itself() {
    let bench = bench();
    bench.events.insert(("taken", doc! { "n": 1 })).expect("inserted");
    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    bench.events.create_index("by_n", &["n"], unique).expect("an index");
    let tx = bench.begin();
    let events = tx.collection("events");
    let refused = |result: blockdb::Result<String>| result.expect_err("it is refused").code();
    assert_eq!(refused(events.insert(("taken", doc! { "n": 2 }))), Code::DuplicateKey);
    assert_eq!(refused(events.insert(("other", doc! { "n": 1 }))), Code::DuplicateKey);
    assert_eq!(refused(events.put("taken", doc! {}, None)), Code::Unsupported);
    assert_eq!(refused(events.insert(("", doc! {}))), Code::InvalidArgument);
    events.insert(("fine", doc! { "n": 3 })).expect("inserted");
    assert_eq!(refused(events.insert(("fine", doc! { "n": 4 }))), Code::DuplicateKey);
    assert_eq!(refused(events.insert(("again", doc! { "n": 3 }))), Code::DuplicateKey);
    let notes = tx.collection("notes");
    assert_eq!(refused(notes.put("x", doc! {}, Some(1))), Code::PreconditionFailed);
    assert_eq!(refused(tx.collection("none").insert(doc! {})), Code::CollectionNotFound);
    assert_eq!(tx.state(), TransactionState::Active);
    assert_eq!(tx.commit().expect("it commits").records.len(), 1);
    assert_eq!(bench.events.count().expect("a count"), 2);
    bench.end();
}

#[test]
fn a_key_that_moves_its_unique_value_frees_it_within_the_same_transaction() {
    let bench = bench();
    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    bench.notes.create_index("by_n", &["n"], unique).expect("an index");
    bench.notes.put("a", doc! { "n": 1 }, None).expect("put");
    bench.notes.put("b", doc! { "n": 2 }, None).expect("put");
    let swapped = bench.db.transaction(|tx| {
        let notes = tx.collection("notes");
        notes.put("a", doc! { "n": 3 }, None)?;
        notes.put("b", doc! { "n": 1 }, None)?;
        notes.put("a", doc! { "n": 2 }, None)?;
        let taken = notes.put("c", doc! { "n": 1 }, None).expect_err("b holds it now");
        Ok(taken.code())
    });
    assert_eq!(swapped.expect("it commits"), Code::DuplicateKey);
    let by =
        |n: i64| keys(bench.notes.find(doc! { "n": n }).expect("a query").all().expect("read"));
    assert_eq!((by(1), by(2), by(3)), (vec!["b".into()], vec!["a".into()], vec![]));
    bench.end();
}

#[test]
fn what_was_rolled_back_or_dropped_leaves_nothing() {
    let bench = bench();
    let tx = bench.begin();
    tx.collection("events").insert(("e", doc! {})).expect("inserted");
    tx.rollback();
    assert_eq!(tx.state(), TransactionState::RolledBack);
    let error = tx.collection("events").get("e").expect_err("it has ended");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert_eq!(tx.commit().expect_err("it has ended").code(), Code::InvalidArgument);
    let tx = bench.begin();
    tx.collection("events").insert(("e", doc! {})).expect("nobody holds it");
    drop(tx);
    let panicked = std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let tx = bench.begin();
            tx.collection("events").insert(("e", doc! {})).expect("nobody holds it");
            panic!("on purpose");
        });
        panicking.join().is_err()
    });
    assert!(panicked);
    assert_eq!(bench.events.count().expect("a count"), 0);
    bench.events.insert(("e", doc! {})).expect("nobody holds it");
    bench.end();
}

#[test]
fn a_transaction_whose_time_is_over_is_ended_by_itself() {
    let bench = bench();
    let tx = bench.db.begin(TransactionOptions::default().timeout_ms(50)).expect("it begins");
    tx.collection("events").insert(("e", doc! {})).expect("inserted");
    let begun = Instant::now();
    bench.events.insert(("e", doc! {})).expect("it waits for the other's end, no longer");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(tx.state(), TransactionState::RolledBack);
    let error = tx.collection("events").get("e").expect_err("it has ended");
    assert_eq!(error.code(), Code::TransactionExpired);
    assert_eq!(tx.commit().expect_err("it has ended").code(), Code::TransactionExpired);
    assert_eq!(bench.db.stats().expect("figures").transactions.expired, 1);
    for timeout_ms in [0, 3_600_001] {
        let options = TransactionOptions::default().timeout_ms(timeout_ms);
        assert_eq!(bench.db.begin(options).expect_err("refused").code(), Code::TooLarge);
    }
    bench.end();
}

#[test]
fn a_call_waits_for_a_lock_no_longer_than_it_may_and_then_ends_its_transaction() {
    let bench = bench();
    let first = bench.begin();
    first.collection("events").insert(("e", doc! {})).expect("inserted");
    let options = TransactionOptions::default().lock_timeout_ms(30);
    let second = bench.db.begin(options).expect("it begins");
    let error = second.collection("events").insert(("e", doc! {})).expect_err("it is held");
    assert_eq!(error.code(), Code::LockTimeout);
    assert!(error.detail().contains(r#"key "e" of collection "events""#), "{error}");
    assert_eq!(second.commit().expect_err("it has ended").code(), Code::LockTimeout);
    let short = TransactionOptions::default().timeout_ms(40);
    let third = bench.db.begin(short).expect("it begins");
    let error = third.collection("events").get("e").expect_err("it is held");
    assert_eq!(error.code(), Code::TransactionExpired, "{error}");
    first.commit().expect("it commits");
    bench.end();
}

#[test]
fn a_read_only_transaction_reads_its_beginning_locks_nothing_and_writes_nothing() {
    let bench = bench();
    bench.notes.put("a", doc! { "n": 1 }, None).expect("put");
    let reader = bench.db.begin(TransactionOptions::read_only()).expect("it begins");
    let writer = bench.begin();
    writer.collection("notes").put("a", doc! { "n": 2 }, None).expect("put");
    writer.collection("notes").put("b", doc! { "n": 3 }, None).expect("put");
    writer.commit().expect("it waits for no reader");
    let notes = reader.collection("notes");
    assert_eq!(number(&notes.get("a").expect("a read").expect("there")), 1);
    assert_eq!(notes.scan(..).expect("a scan").count(), 1);
    assert_eq!(notes.find(doc! { "n": { "$gt": 1 } }).expect("a query").count().expect("count"), 0);
    assert_eq!(notes.count().expect("a count"), 1);
    let error = notes.put("a", doc! {}, None).expect_err("it only reads");
    assert_eq!(error.code(), Code::ReadOnly);
    assert_eq!(reader.commit().expect("it ends").timestamp, None);
    bench.end();
}

#[test]
fn the_model_of_a_collection_may_change_while_a_transaction_is_open() {
    let bench = bench();
    let schema = |required: &str| {
        doc! { "type": "object", "required": [required], "properties": { "n": { "type": "integer", "minimum": 0 } } }
    };
    bench.events.insert(("old", doc! { "n": 1 })).expect("inserted");
    let tx = bench.begin();
    tx.collection("events").insert(("e", doc! { "n": 5 })).expect("inserted");
    bench.events.create_index("by_n", &["n"], IndexOptions::default()).expect("an index");
    let done = tx.commit().expect("its record is indexed as the index wants it");
    assert_eq!(done.records.len(), 1);
    let found = bench.events.find(doc! { "n": 5 }).expect("a query");
    assert_eq!(found.explain().expect("a plan").index.as_deref(), Some("by_n"));
    assert_eq!(keys(found.all().expect("read")), ["e"]);

    let other = bench.db.create_collection("checked", CollectionOptions::new()).expect("made");
    let tx = bench.begin();
    tx.collection("checked").insert(("e", doc! { "m": 5 })).expect("inserted");
    other.set_schema(&schema("n")).expect("a schema");
    let error = tx.commit().expect_err("it does not fit the schema");
    assert_eq!(error.code(), Code::Conflict, "{error}");
    assert_eq!(other.count().expect("a count"), 0);

    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    other.insert(("first", doc! { "n": 1 })).expect("inserted");
    let tx = bench.begin();
    tx.collection("checked").insert(("second", doc! { "n": 1 })).expect("inserted");
    other.create_index("by_n", &["n"], unique).expect("an index");
    assert_eq!(tx.commit().expect_err("not unique any more").code(), Code::Conflict);

    let tx = bench.begin();
    tx.collection("checked").insert(("third", doc! { "n": 3 })).expect("inserted");
    tx.collection("events").insert(("third", doc! { "n": 3 })).expect("inserted");
    bench.db.drop_collection("checked", false).expect("dropped");
    assert_eq!(tx.commit().expect_err("it is gone").code(), Code::CollectionNotFound);
    assert!(bench.events.get("third").expect("a read").is_none(), "all or nothing");
    bench.end();
}

#[test]
fn a_transaction_beyond_the_limits_is_told_which() {
    let bench = bench();
    let tx = bench.begin();
    let body = "x".repeat(15 << 20);
    let events = tx.collection("events");
    let error = (0..5)
        .find_map(|n| events.insert((&*format!("k{n}"), doc! { "body": body.as_str() })).err())
        .expect("64 MiB are reached");
    assert_eq!(error.code(), Code::TooLarge);
    assert!(error.detail().contains("bytes of a transaction"), "{error}");
    assert_eq!(tx.commit().expect("what fits stays").records.len(), 4);
    bench.end();
}

#[test]
fn a_closed_database_refuses_calls_of_open_transactions() {
    let bench = bench();
    let tx = bench.begin();
    tx.collection("events").insert(("e", doc! {})).expect("inserted");
    bench.db.close().expect("it closes");
    assert_eq!(tx.collection("events").get("e").expect_err("closed").code(), Code::Closed);
    assert_eq!(tx.commit().expect_err("closed").code(), Code::Closed);
}

#[test]
fn a_function_is_run_again_until_it_need_not_give_way() {
    let bench = bench();
    bench.notes.put("n", doc! { "n": 0 }, None).expect("put");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let counted = loop {
                        let counted = bench.db.transaction(|tx| {
                            let notes = tx.collection("notes");
                            let n = number(&notes.get("n")?.expect("it is there"));
                            notes.put("n", doc! { "n": n + 1 }, None)
                        });
                        match counted {
                            Err(error) if error.code() == Code::Deadlock => {}
                            counted => break counted,
                        }
                    };
                    counted.expect("it counts");
                }
            });
        }
    });
    assert_eq!(number(&bench.notes.get("n").expect("a read").expect("there")), 200);
    let error =
        bench.db.transaction(|_| -> blockdb::Result<()> { Err(blockdb::Error::invalid("mine")) });
    assert_eq!(error.expect_err("its own error").detail(), "mine");
    bench.end();
}

#[test]
fn no_lock_is_left_after_transactions_that_ended_in_every_way() {
    let rounds = if blockdb_tests::is_debug_build() { 500 } else { 12_500 };
    // Locks are the matter here, not the disk.
    let bench = bench_with(Durability::None);
    bench.notes.create_index("by_m", &["m"], IndexOptions::default()).expect("an index");
    std::thread::scope(|scope| {
        for worker in 0..8u64 {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..rounds as u64 {
                    let options = match round % 7 {
                        6 => TransactionOptions::default().timeout_ms(1),
                        5 => TransactionOptions::default().lock_timeout_ms(1),
                        _ => TransactionOptions::default(),
                    };
                    let tx = bench.db.begin(options).expect("it begins");
                    let notes = tx.collection("notes");
                    let key = |n: u64| format!("{}", (worker * 31 + round * 7 + n) % 20);
                    // Any of these may be chosen to give way, or run out of time.
                    let _ = notes.get(&key(0));
                    let _ = notes.put(&key(1), doc! { "n": 1 }, None);
                    if round % 5 == 0 {
                        let _ = notes.find(doc! { "m": 2 }).expect("a query").count();
                    }
                    match round % 4 {
                        0 => drop(tx.commit()),
                        1 => tx.rollback(),
                        2 => drop(tx),
                        _ => {
                            let _ = notes.put(&key(2), doc! { "n": 2 }, None);
                            drop(tx.commit());
                        }
                    }
                }
            });
        }
    });
    let stats = bench.db.stats().expect("figures").transactions;
    println!("{stats:?}");
    let ended =
        stats.committed + stats.rolled_back + stats.expired + stats.deadlocks + stats.failed;
    assert_eq!(ended, 8 * rounds as u64);
    assert!(stats.committed > 0 && stats.rolled_back > 0, "{stats:?}");
    bench.end();
}
