//! Databases written by released formats open for ever, with every record as it was. A golden
//! database is a folder `tests/golden/<name>/db` beside `expected.jsonl`, the records it must give;
//! `cargo xtask golden --write NAME` makes a new one, and nobody ever changes an old one.

#![allow(clippy::disallowed_methods)] // The test copies folders of the checkout.

use std::path::{Path, PathBuf};

use blockdb::{CollectionOptions, Db, IndexOptions, Options, Tuning, Value, VerifyOptions, doc};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Every revision of every record, one JSON line each, by collection and sequence number.
fn contents(db: &Db) -> String {
    let mut text = String::new();
    let mut names: Vec<String> =
        db.collections("").expect("they are listed").into_iter().map(|info| info.name).collect();
    names.push("_system".to_owned());
    for name in names {
        for record in db.collection(&name).changes(None, None).expect("it is there") {
            text.push_str(&record.expect("a record can be read").to_json());
            text.push('\n');
        }
    }
    text
}

/// A database with every kind of file and leaf. With `closed` it is left as a kill leaves it: the
/// newest records are in the log alone.
fn write(folder: &Path, closed: bool) {
    let mut tuning = Tuning::for_memory(4 << 20);
    tuning.close_flush_entries_min = 8;
    tuning.ledger_segment_bytes = 4096;
    tuning.log_segment_bytes = 64 << 10;
    let live = tempfile::tempdir().expect("a temporary folder");
    let path = live.path().join("db");
    let db = Options::new().tuning(tuning).open(&path).expect("it opens");
    let settings = CollectionOptions::new().block_records(7).revisions(true).seal_interval_ms(0);
    let events = db.create_collection("events", settings).expect("it is made");
    for number in 0..40 {
        let document = doc! {
            "n": number, "f": 0.5, "t": format!("text {number}"), "b": Value::Binary(vec![0, 255]),
            "a": [1, null, "x"], "o": { "deep": true },
        };
        events.insert((format!("e-{number:02}"), document)).expect("it is inserted");
    }
    events.put("e-07", doc! { "again": 7 }, Some(1)).expect("it is put");
    db.rotate("events").expect("it rotates");
    db.settle().expect("it settles");
    events
        .configure(&[("description".to_owned(), Value::String("golden".to_owned()))])
        .expect("it is configured");
    let schema = doc! {
        "type": "object",
        "properties": { "n": { "type": "integer" }, "again": { "type": "integer" } },
    };
    events.set_schema(&schema).expect("the documents fit it");
    for (name, fields, unique) in [("by_n", ["n", "-f"], false), ("by_a", ["a", "t"], false)] {
        let options = IndexOptions { unique, ..IndexOptions::default() };
        events.create_index(name, &fields, options).expect("it is built");
    }
    events.insert(("e-90", doc! { "n": 90, "a": ["y"] })).expect("it is inserted");
    db.rotate("events").expect("it rotates");
    db.settle().expect("it settles");
    for (name, purge) in [("dropped", false), ("purged", true)] {
        let doomed = db.create_collection(name, CollectionOptions::new()).expect("it is made");
        doomed.insert(("d", doc! { "n": 1 })).expect("it is inserted");
        db.drop_collection(name, purge).expect("it is dropped");
    }
    let plain = CollectionOptions::new().set("compression", "none").seal_interval_ms(0);
    let plain = db.create_collection("plain", plain).expect("it is made");
    plain.insert(("ключ", doc! { "name": "Ада" })).expect("it is inserted");
    std::fs::create_dir_all(folder).expect("a folder can be made");
    std::fs::write(folder.join("expected.jsonl"), contents(&db)).expect("it is written");
    if closed {
        db.close().expect("it closes");
    }
    copy_dir(&path, &folder.join("db"));
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be listed").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().map(|kind| kind.is_dir()) {
            Ok(true) => copy_dir(&entry.path(), &target),
            _ => drop(std::fs::copy(entry.path(), target).expect("a file can be copied")),
        }
    }
}

fn check(name: &str) {
    let folder = golden().join(name);
    let expected = std::fs::read_to_string(folder.join("expected.jsonl")).expect("it is there");
    let copy = tempfile::tempdir().expect("a temporary folder");
    let path = copy.path().join("db");
    copy_dir(&folder.join("db"), &path);
    for options in [Options::new().read_only(true), Options::new().create(false)] {
        let db = options.open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A writer purges what was dropped long enough ago, and records that.
        assert!(contents(&db).starts_with(&expected), "{name}");
        let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
        assert!(report.is_clean(), "{name}: {:?}", report.faults);
        db.close().expect("it closes");
    }
    let db = Options::new().create(false).open(&path).expect("it opens again");
    assert!(contents(&db).starts_with(&expected), "{name}, after a writer");
    db.collection("events").insert(("new", doc! {})).expect("it takes new records");
}

#[test]
fn golden_databases_open_with_every_record_as_it_was() {
    if let Ok(name) = std::env::var("BLOCKDB_GOLDEN_WRITE") {
        for (suffix, closed) in [("closed", true), ("killed", false)] {
            let folder = golden().join(format!("{name}-{suffix}"));
            assert!(
                !folder.exists(),
                "{} exists; a golden database is never changed",
                folder.display()
            );
            write(&folder, closed);
        }
    }
    let mut count = 0;
    for entry in std::fs::read_dir(golden()).expect("there are golden databases").flatten() {
        check(&entry.file_name().to_string_lossy());
        count += 1;
    }
    assert!(count >= 2, "there are {count} golden databases");
}
