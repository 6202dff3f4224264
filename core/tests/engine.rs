//! The engine end to end through the public API, on real files.

#![allow(clippy::unwrap_used)] // A test says by failing what was wrong.

use blockdb::{Code, CollectionOptions, Db, InsertMany, OnError, Options, VerifyOptions, doc};

fn clean(db: &Db) {
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{:#?}", report.faults);
}

#[test]
fn records_survive_closing_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    for number in 0..3000 {
        events.insert((format!("k-{number:05}"), doc! { "n": number })).unwrap();
    }
    assert_eq!(events.count().unwrap(), 3000);
    clean(&db);
    db.close().unwrap();
    assert_eq!(events.count().unwrap_err().code(), Code::Closed);

    let db = Db::open(&path).unwrap();
    assert!(db.recovery().clean);
    let events = db.collection("events");
    assert_eq!(events.count().unwrap(), 3000);
    let record = events.get("k-01234").unwrap().unwrap();
    assert_eq!(record.document.to_json(), r#"{"n":1234}"#);
    let keys: Vec<String> =
        events.scan("k-0001".."k-00020").into_iter().map(|r| r.unwrap().key).collect();
    assert_eq!(keys.len(), 10);
    assert!(keys.is_sorted());
    clean(&db);
}

#[test]
fn an_unclosed_database_recovers_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    let items = (0..5000).map(|number| (format!("{number:06}"), doc! { "n": number }));
    events.insert_many(items).unwrap();
    let copy = dir.path().join("copy");
    copy_dir(&path, &copy);
    db.close().unwrap();

    let db = Db::open(&copy).unwrap();
    assert!(!db.recovery().clean);
    assert_eq!(db.collection("events").count().unwrap(), 5000);
    db.settle().unwrap();
    clean(&db);
}

#[test]
fn duplicates_are_refused_and_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("db")).unwrap();
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    let first = events.insert(("a", doc! { "n": 1 })).unwrap();
    let same = events.insert(("a", doc! { "n": 1 })).unwrap_err();
    let other = events.insert(("a", doc! { "n": 2 })).unwrap_err();
    assert_eq!((same.code(), other.code()), (Code::DuplicateKey, Code::DuplicateKey));
    assert!(same.detail().contains("identical"), "{same}");
    assert!(other.detail().contains(&format!("seq {}", first.seq)), "{other}");
    let options = InsertMany { batch: 2, on_error: OnError::Skip };
    let items = ["b", "a", "c", "b"].map(|key| (key, doc! { "k": key }));
    let result = events.insert_many_with(items, options, &mut |_, _| {}).unwrap();
    assert_eq!((result.inserted, result.rejected), (2, 2));
    assert_eq!(result.errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1, 3]);
    clean(&db);
}

#[test]
fn revisions_are_dense_and_all_readable() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("db")).unwrap();
    let notes = db.create_collection("notes", CollectionOptions::new().revisions(true)).unwrap();
    notes.put("a", doc! { "v": 1 }, Some(0)).unwrap();
    notes.put("a", doc! { "v": 2 }, Some(1)).unwrap();
    notes.put("a", doc! { "v": 3 }, None).unwrap();
    let late = notes.put("a", doc! { "v": 4 }, Some(2)).unwrap_err();
    assert_eq!(late.code(), Code::PreconditionFailed);
    assert_eq!(notes.get("a").unwrap().unwrap().revision, 3);
    assert_eq!(notes.get_revision("a", 1).unwrap().unwrap().document.to_json(), r#"{"v":1}"#);
    let history: Vec<u64> = notes.history("a").unwrap().iter().map(|r| r.revision).collect();
    assert_eq!(history, [1, 2, 3]);
    assert_eq!((notes.count().unwrap(), notes.scan(..).all().unwrap().len()), (1, 1));
    let plain = db.create_collection("plain", CollectionOptions::new()).unwrap();
    assert_eq!(plain.put("a", doc! {}, None).unwrap_err().code(), Code::Unsupported);
    clean(&db);
}

#[test]
fn a_dropped_name_is_free_and_shares_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    for purge in [false, true] {
        let events = db.create_collection("events", CollectionOptions::new()).unwrap();
        events.insert(("a", doc! { "purge": purge })).unwrap();
        let tombstone = db.drop_collection("events", purge).unwrap();
        assert!(tombstone.size >= 3);
        assert_eq!(events.get("a").unwrap_err().code(), Code::CollectionNotFound);
    }
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    assert_eq!(events.get("a").unwrap(), None);
    clean(&db);
    db.close().unwrap();
    let db = Db::open(&path).unwrap();
    assert_eq!(db.collections("").unwrap().len(), 1);
    assert_eq!(db.collection("_system").count().unwrap(), 3);
    clean(&db);
}

#[test]
fn a_second_writer_is_refused_and_a_reader_sees_what_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    let options = CollectionOptions::new().seal_interval_ms(0);
    let events = db.create_collection("events", options).unwrap();
    events.insert(("a", doc! {})).unwrap();
    events.seal().unwrap();
    db.settle().unwrap();
    events.insert(("b", doc! {})).unwrap();
    let refused = Db::open(&path).unwrap_err();
    assert_eq!(refused.code(), Code::Locked);
    assert!(refused.detail().contains("process"), "{refused}");

    let reader = Options::new().read_only(true).open(&path).unwrap();
    let seen = reader.collection("events");
    assert!(seen.get("a").unwrap().is_some());
    assert!(seen.get("b").unwrap().is_none());
    assert_eq!(seen.insert(("c", doc! {})).unwrap_err().code(), Code::ReadOnly);
}

#[test]
fn opening_read_only_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    events.insert(("a", doc! { "n": 1 })).unwrap();
    let copy = dir.path().join("copy");
    copy_dir(&path, &copy);
    let before = read_dir(&copy);
    let reader = Options::new().read_only(true).open(&copy).unwrap();
    assert_eq!(reader.collection("events").count().unwrap(), 1);
    clean(&reader);
    reader.close().unwrap();
    assert_eq!(read_dir(&copy), before);
    let missing = Options::new().read_only(true).open(dir.path().join("no")).unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[test]
fn many_writers_each_see_their_own_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = Db::open(&path).unwrap();
    let events = db.create_collection("events", CollectionOptions::new()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let events = events.clone();
            scope.spawn(move || {
                for number in 0..200 {
                    let key = format!("{thread}-{number}");
                    events.insert((key.clone(), doc! { "n": number })).unwrap();
                    assert!(events.get(&key).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(events.count().unwrap(), 1600);
    let seqs: Vec<u64> = events.changes(None, None).unwrap().map(|r| r.unwrap().seq).collect();
    assert!(seqs.is_sorted() && seqs.len() == 1600);
    clean(&db);
}

#[allow(clippy::disallowed_methods)] // A copy of a live folder stands for what a killed process leaves.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[allow(clippy::disallowed_methods)] // The test compares files from outside.
fn read_dir(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(read_dir(&path)),
            false => files.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}
