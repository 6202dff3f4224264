//! Schemas and indexes through crashes: whatever the moment of a crash, during the building of an
//! index, a change of the schema, a drop and a creation under the same name, the database opens, has
//! every acknowledged record, shows each act wholly or not at all, finishes the building, and each
//! index equals one built anew: `verify` compares them, and queries by index equal queries without.

use blockdb::disk::simulated::CrashMode;
use blockdb::host::simulated::Dice;
use blockdb::{
    Code, Collection, CollectionOptions, Db, Document, Durability, Error, IndexOptions, Object,
    Options, Result, Value, VerifyOptions, doc,
};
use blockdb_tests::simulation::{FOLDER, Machine, mixed, tiny};

/// What the workload has been told is done.
#[derive(Clone, Debug, Default)]
struct Told {
    records: Vec<(String, Document)>,
    schema: u32,
    indexes: Vec<&'static str>,
    dropped: Vec<&'static str>,
    /// The collection is being dropped, and may be gone.
    dropping: bool,
}

fn item(number: u64, dice: &mut Dice) -> (String, Document) {
    let tags: Vec<Value> =
        (0..dice.below(4)).map(|_| Value::String(format!("t{}", dice.below(6)))).collect();
    let mut object = Object::new();
    object.insert("n", Value::Int(dice.below(9) as i64));
    object.insert("id", Value::Int(number as i64));
    object.insert("tags", Value::Array(tags));
    if dice.below(3) == 0 {
        object.insert("rare", Value::String(format!("r{}", dice.below(4))));
    }
    (format!("k{:03}", number.wrapping_mul(37) % 1000), Document::from_value(&object).expect("ok"))
}

struct Work {
    db: Db,
    things: Collection,
    dice: Dice,
    next: u64,
}

impl Work {
    fn insert(&mut self, count: u64, told: &mut Told) -> Result<()> {
        for _ in 0..count {
            let (key, document) = item(self.next, &mut self.dice);
            self.next += 1;
            self.things.insert((&key[..], document.clone()))?;
            told.records.push((key, document));
        }
        Ok(())
    }

    fn index(
        &mut self,
        name: &'static str,
        fields: &[&str],
        unique: bool,
        sparse: bool,
        told: &mut Told,
    ) -> Result<()> {
        let options = IndexOptions { unique, sparse, ..IndexOptions::default() };
        self.things.create_index(name, fields, options)?;
        told.indexes.push(name);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.db.rotate("things")?;
        self.db.run_background()
    }
}

fn schema(required: &[&str]) -> Document {
    doc! {
        "type": "object",
        "properties": { "n": { "type": "integer", "minimum": 0 }, "tags": { "type": "array" } },
        "required": required.iter().map(|name| Value::String((*name).to_owned())).collect::<Vec<_>>()
    }
}

/// The workload; `told` says how far it came.
fn run(machine: &Machine, seed: u64, told: &mut Told) -> Result<()> {
    let db = machine.open()?;
    let things = db.create_collection("things", CollectionOptions::new().block_records(7))?;
    let mut work = Work { db, things, dice: Dice::new(seed), next: 0 };
    work.insert(25, told)?;
    work.flush()?;
    work.index("by_n", &["n", "-id"], false, false, told)?;
    work.insert(10, told)?;
    work.index("by_tag", &["tags"], false, false, told)?;
    work.things.set_schema(&schema(&["n"]))?;
    told.schema = 1;
    work.flush()?;
    work.index("by_id", &["id"], true, false, told)?;
    work.insert(15, told)?;
    work.index("by_rare", &["rare"], false, true, told)?;
    work.things.set_schema(&schema(&["n", "id"]))?;
    told.schema = 2;
    work.db.make_restart_point()?;
    work.things.drop_index("by_tag")?;
    told.indexes.retain(|name| *name != "by_tag");
    told.dropped.push("by_tag");
    work.insert(9, told)?;
    work.flush()?;
    work.index("by_tag", &["-tags"], false, false, told)?;
    told.dropping = true;
    work.db.drop_collection("things", false)?;
    *told = Told::default();
    work.things = work.db.create_collection("things", CollectionOptions::new().block_records(5))?;
    work.insert(12, told)?;
    work.index("by_n", &["n"], false, false, told)?;
    work.flush()?;
    work.db.close()
}

fn all_keys(found: blockdb::Find) -> Result<Vec<String>> {
    let mut keys: Vec<String> = found.all()?.into_iter().map(|record| record.key).collect();
    keys.sort();
    Ok(keys)
}

/// Judges what a crash has left.
fn judge(machine: &Machine, told: &Told) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let db = machine.open().map_err(text)?;
    for _ in 0..50 {
        db.run_background().map_err(text)?;
    }
    let things = db.collection("things");
    let info = match things.describe() {
        Err(error) if error.code() == Code::CollectionNotFound => {
            // Not yet made, or dropped and not yet made again.
            let allowed = told.records.is_empty() || told.dropping;
            return if allowed { Ok(()) } else { Err("the collection is gone".to_owned()) };
        }
        info => info.map_err(text)?,
    };
    // The drop may have come through without its answer: then the collection is a new one.
    let anew = told.dropping && things.count().map_err(text)? < 30;
    if !anew {
        for (key, document) in &told.records {
            let found = things.get(key).map_err(text)?;
            if found.as_ref().map(|record| &record.document) != Some(document) {
                return Err(format!("record {key} was acknowledged, found {found:?}"));
            }
        }
        if info.schema.as_ref().map_or(0, |schema| schema.version) < told.schema {
            return Err(format!("schema {} was acknowledged: {:?}", told.schema, info.schema));
        }
        for name in &told.indexes {
            let index = info.indexes.iter().find(|index| index.name == *name);
            // A drop that was not answered may have come through.
            if index.is_none() && *name != "by_tag" {
                return Err(format!("index {name} was acknowledged and is gone"));
            }
        }
    }
    for index in things.indexes().map_err(text)? {
        if index.state != "ready" || index.built < 1.0 {
            return Err(format!("index {} is {} ({})", index.name, index.state, index.built));
        }
    }
    by_index_and_without(&things).map_err(text)?;
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).map_err(text)?;
    if !report.is_clean() {
        return Err(format!("verify finds {:?}", report.faults));
    }
    db.close().map_err(text)?;
    // And whatever of it is derived can be made anew.
    let options = machine.options();
    options.repair(std::path::Path::new(FOLDER), None).map_err(text)?;
    let db = machine.open().map_err(text)?;
    by_index_and_without(&db.collection("things")).map_err(text)?;
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).map_err(text)?;
    match report.is_clean() {
        true => Ok(()),
        false => Err(format!("after a repair verify finds {:?}", report.faults)),
    }
}

/// Every question gives the same by the indexes there are and by a look at each record.
fn by_index_and_without(things: &Collection) -> Result<()> {
    let records = things.changes(None, None)?.collect::<Result<Vec<_>>>()?;
    let ask = |filter: Document, holds: &dyn Fn(&Object) -> bool| -> Result<()> {
        let mut expected = Vec::new();
        for record in &records {
            if holds(&record.document.try_to_object()?) {
                expected.push(record.key.clone());
            }
        }
        expected.sort();
        let found = all_keys(things.find(filter.clone())?)?;
        match found == expected {
            true => Ok(()),
            false => {
                Err(Error::new(Code::Internal, format!("{filter:?}: {found:?}, not {expected:?}")))
            }
        }
    };
    for n in 0..9i64 {
        ask(doc! { "n": n }, &|object| object.get("n") == Some(&Value::Int(n)))?;
    }
    for tag in ["t0", "t3", "t5"] {
        let holds = |object: &Object| {
            let tags = object.get("tags").and_then(Value::as_array).unwrap_or_default();
            tags.iter().any(|value| value.as_str() == Some(tag))
        };
        ask(doc! { "tags": tag }, &holds)?;
    }
    let id = |object: &Object| object.get("id").and_then(Value::as_i64).unwrap_or(-1);
    ask(doc! { "id": { "$gte": 10, "$lt": 20 } }, &|object| (10..20).contains(&id(object)))?;
    ask(doc! { "rare": { "$exists": true } }, &|object| object.contains("rare"))
}

#[test]
fn a_crash_at_every_step_of_an_index_or_schema_leaves_all_or_nothing() {
    let seed = std::env::var("BLOCKDB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let whole = Machine::new(tiny(), Durability::Sync, seed);
    let mut told = Told::default();
    run(&whole, seed, &mut told).expect("without a crash all of it works");
    judge(&whole, &told).expect("and is as told");
    let operations = whole.disk.ops();
    // Each operation is crashed at in one run of CI; a build for debugging takes a sample.
    let stride = if blockdb_tests::is_debug_build() { 23 } else { 1 };
    let mut judged = 0;
    for step in (1..operations).step_by(stride) {
        let machine = Machine::new(tiny(), Durability::Sync, seed);
        machine.disk.crash_at(step);
        let mut told = Told::default();
        // The drop's answer and what follows may be lost: what was told before stands.
        let _ = run(&machine, seed, &mut told);
        let modes = [CrashMode::M0, CrashMode::M3];
        for (at, mode) in modes.into_iter().enumerate() {
            let image = machine.disk.crash_image(mode, mixed(seed, step * 2 + at as u64));
            let left = machine.with_disk(image, step);
            if let Err(what) = judge(&left, &told) {
                panic!(
                    "a crash at operation {step} of {operations}, mode {mode:?}: {what}\n  told: \
                     {told:?}\n  repeat: BLOCKDB_SEED={seed} cargo test -p blockdb-tests --test \
                     indexes"
                );
            }
            judged += 1;
        }
    }
    println!("{judged} crash images of {operations} operations, seed {seed}");
    assert!(judged > 20);
}

#[test]
fn of_two_writers_of_one_value_exactly_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Options::new().open(folder.path().join("db")).expect("it opens");
    let users = db.create_collection("users", CollectionOptions::new()).expect("made");
    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    users.create_index("by_email", &["email"], unique).expect("built");
    for round in 0..200 {
        let wins: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let users = users.clone();
                    scope.spawn(move || {
                        let key = format!("u-{round}-{writer}");
                        let document = doc! { "email": format!("mail-{round}"), "writer": writer };
                        match users.insert((&key[..], document)) {
                            Ok(_) => 1,
                            Err(error) if error.code() == Code::DuplicateKey => 0,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).sum()
        });
        assert_eq!(wins, 1, "round {round}");
    }
    assert_eq!(users.count().expect("count"), 200);
}

#[test]
fn an_index_is_built_while_records_come_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Options::new().open(folder.path().join("db")).expect("it opens");
    let things = db.create_collection("things", CollectionOptions::new()).expect("made");
    std::thread::scope(|scope| {
        let writer = things.clone();
        let writing = scope.spawn(move || {
            let items = (0..20_000i64).map(|n| (format!("k{n:06}"), doc! { "n": n % 97, "id": n }));
            writer.insert_many(items).expect("inserted");
        });
        for (name, fields) in [("a", ["n", "id"]), ("b", ["-id", "n"])] {
            let options = IndexOptions { unique: true, ..IndexOptions::default() };
            things.create_index(name, &fields, options).expect("built in use");
        }
        writing.join().expect("no panic");
    });
    let found = things.find(doc! { "n": 5, "id": { "$gte": 1_000 } }).expect("a query");
    let explain = found.explain().expect("a plan");
    assert_eq!(explain.index.as_deref(), Some("a"));
    assert_eq!(explain.records_read, explain.records_found);
    assert_eq!(
        found.count().expect("count"),
        (1_000..20_000).filter(|n| n % 97 == 5).count() as u64
    );
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn a_unique_index_over_values_that_are_not_fails_and_names_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Options::new().open(folder.path().join("db")).expect("it opens");
    let things = db.create_collection("things", CollectionOptions::new()).expect("made");
    things.insert(("a", doc! { "n": 1 })).expect("inserted");
    things.insert(("b", doc! { "n": 1.0 })).expect("inserted");
    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    let error = things.create_index("by_n", &["n"], unique.clone()).expect_err("not unique");
    assert_eq!(error.code(), Code::DuplicateKey);
    assert!(error.errors()[0].found.contains("\"a\""), "{:?}", error.errors());
    assert_eq!(things.indexes().expect("indexes")[0].state, "failed");
    things.drop_index("by_n").expect("dropped");
    things.create_index("by_n", &["n"], IndexOptions::default()).expect("built");
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn counters_of_operations_and_refusals_go_on_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    for round in 1..=3u64 {
        let db = Options::new().open(&path).expect("it opens");
        let options = CollectionOptions::new().schema(schema(&["n"]).to_object());
        let things = db.create_collection("things", options.if_not_exists(true)).expect("made");
        things.insert((&format!("k{round}")[..], doc! { "n": 1 })).expect("fits");
        let refused = things.insert(("other", doc! { "n": -1 })).expect_err("breaks the schema");
        assert_eq!(refused.code(), Code::SchemaViolation);
        things.get("k1").expect("read").expect("there");
        let stats = things.stats().expect("figures");
        assert_eq!((stats.validation_accepted, stats.validation_rejected), (round, round));
        assert_eq!(stats.operations["insert"].count, 2 * round);
        assert_eq!(stats.operations["get"].count, round);
        db.close().expect("it closes");
    }
    let db = Options::new().read_only(true).open(&path).expect("it opens to read");
    assert_eq!(db.collection("things").stats().expect("figures").operations["insert"].count, 6);
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn dropping_a_collection_ends_what_is_being_read_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Options::new().open(folder.path().join("db")).expect("it opens");
    let things = db.create_collection("things", CollectionOptions::new()).expect("made");
    things.insert_many((0..2_000i64).map(|n| (format!("k{n:05}"), doc! { "n": n }))).expect("in");
    things.create_index("by_n", &["n"], IndexOptions::default()).expect("built");
    let mut scan = things.scan(..).into_iter();
    let mut find = things.find(doc! { "n": { "$gte": 0 } }).expect("a query").into_iter();
    let mut changes = things.changes(None, None).expect("changes");
    for _ in 0..3 {
        scan.next().expect("a record").expect("read");
        find.next().expect("a record").expect("read");
        changes.next().expect("a record").expect("read");
    }
    db.drop_collection("things", true).expect("dropped");
    let again = db.create_collection("things", CollectionOptions::new()).expect("made again");
    again.insert(("k00000", doc! { "other": true })).expect("inserted");
    for ended in
        [scan.find(Result::is_err), find.find(Result::is_err), changes.find(Result::is_err)]
    {
        let error = ended.expect("it does not go on to the end").expect_err("an error");
        assert_eq!(error.code(), Code::CollectionNotFound);
    }
    assert_eq!(again.count().expect("count"), 1);
    assert!(again.indexes().expect("indexes").is_empty(), "nothing is shared with the old one");
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn indexes_asked_for_at_once_are_each_built_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Options::new().memory_mb(16).open(folder.path().join("db")).expect("it opens");
    let things = db.create_collection("things", CollectionOptions::new()).expect("made");
    let total = 60_000i64;
    things.insert_many((0..total).map(|n| (format!("k{n:06}"), doc! { "n": n }))).expect("in");
    let unique = IndexOptions { unique: true, background: true, ..IndexOptions::default() };
    for (name, fields) in [("a", ["n"]), ("b", ["-n"]), ("c", ["n"])] {
        things.create_index(name, &fields, unique.clone()).expect("asked for");
    }
    db.settle().expect("all is built");
    for index in things.indexes().expect("indexes") {
        assert_eq!((&index.state[..], index.entries), ("ready", total as u64), "{index:?}");
    }
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}
