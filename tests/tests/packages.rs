//! Real documents under a schema with every type and rule, and four indexes, one of each kind, created
//! while the import runs: unique on (name, architecture), composite on (section, size), sparse on
//! multi_arch, and on the elements of tags. `BLOCKDB_PACKAGES=FILE` takes all packages of a file
//! instead of the project's sample.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use blockdb::{
    Collection, CollectionOptions, Db, Document, IndexOptions, InsertMany, Object, OnError,
    Timestamp, Value, doc,
};
use blockdb_tests::packages::packages;

const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "required": ["name", "version", "architecture", "section", "size", "sha256", "depends", "tags"],
  "properties": {
    "name": {"type": "string", "minLength": 2, "maxLength": 80, "pattern": "^[a-z0-9][a-z0-9+.-]+$"},
    "version": {"type": "string", "minLength": 1, "maxLength": 64},
    "architecture": {"enum": ["all", "amd64"]},
    "description": {"type": "string"},
    "section": {"type": "string", "pattern": "^[a-z0-9-]+$"},
    "priority": {"enum": ["required", "important", "standard", "optional", "extra"]},
    "filename": {"type": "string", "pattern": "\\.deb$"},
    "sha256": {"format": "binary", "minLength": 32, "maxLength": 32},
    "installed_kib": {"type": ["integer", "null"], "minimum": 0, "maximum": 100000000},
    "size": {"type": "integer", "minimum": 1},
    "depends": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    "source": {"type": "string"},
    "multi_arch": {"enum": ["foreign", "same", "allowed", "no"]},
    "essential": {"type": "boolean", "default": false},
    "density": {"type": "number", "minimum": 0.0},
    "seen_at": {"format": "timestamp"},
    "origin": {
      "type": "object",
      "properties": {"suite": {"type": "string"}, "mirror": {"type": "null"}},
      "required": ["suite"]
    }
  },
  "$defs": {"tag": {"type": "string", "pattern": "^[a-z0-9-]+::"}}
}"##;

/// The package with a field of each type that JSON alone does not have, or that packages lack.
fn typed(document: &Document, at: usize) -> Document {
    let mut object = document.to_object();
    let hex = object.remove("sha256").expect("every package has one");
    let hex = hex.as_str().expect("text").as_bytes();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    let bytes = hex.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect();
    object.insert("sha256", Value::Binary(bytes));
    if let (Some(Value::Int(size)), Some(Value::Int(kib))) =
        (object.get("size"), object.get("installed_kib"))
    {
        let density = *size as f64 / 1024.0 / (*kib).max(1) as f64;
        object.insert("density", density);
    }
    object.insert(
        "seen_at",
        Value::Timestamp(Timestamp::from_micros(1_700_000_000_000_000 + at as i64)),
    );
    let mut origin = Object::new();
    origin.insert("suite", "bookworm");
    origin.insert("mirror", Value::Null);
    object.insert("origin", Value::Object(origin));
    Document::from_value(&object).expect("it encodes")
}

/// Lets the import wait in its middle until the indexes have been asked for.
#[derive(Default)]
struct Meeting {
    stage: Mutex<u32>,
    changed: Condvar,
}

impl Meeting {
    fn reach(&self, stage: u32) {
        *self.stage.lock().expect("nobody panicked") = stage;
        self.changed.notify_all();
    }

    fn wait_for(&self, stage: u32) {
        let reached = self.stage.lock().expect("nobody panicked");
        let _end = self.changed.wait_while(reached, |reached| *reached < stage).expect("as above");
    }
}

fn ask_for_indexes(collection: &Collection) {
    let background = IndexOptions { background: true, ..IndexOptions::default() };
    let unique = IndexOptions { unique: true, ..background.clone() };
    let sparse = IndexOptions { sparse: true, ..background.clone() };
    let ask = |name, fields: &[&str], options: &IndexOptions| {
        collection.create_index(name, fields, options.clone()).expect("it is asked for");
    };
    ask("by_name", &["name", "architecture"], &unique);
    ask("by_section", &["section", "size"], &background);
    ask("by_multi_arch", &["multi_arch"], &sparse);
    ask("by_tag", &["tags"], &background);
}

/// Records by a value of the field, counted without any index; an array counts for each element.
fn tally(documents: &[(String, Document)], field: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, document) in documents {
        let mut values = match document.get(field).expect("whole") {
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
            None => Vec::new(),
        };
        values.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
        values.dedup();
        for value in values {
            *counts.entry(value.as_str().expect("text").to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn indexes_created_while_an_import_runs_hold_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Db::open(folder.path().join("db")).expect("it opens");
    let schema = Document::from_json(SCHEMA).expect("JSON").to_object();
    let options = CollectionOptions::new().key_field("name").schema(schema);
    let collection = db.create_collection("packages", options).expect("it is made");
    let documents: Vec<(String, Document)> = packages()
        .into_iter()
        .enumerate()
        .map(|(at, (name, document))| (name, typed(&document, at)))
        .collect();

    let meeting = Meeting::default();
    std::thread::scope(|scope| {
        let import = scope.spawn(|| {
            let items = documents.iter().enumerate().map(|(at, (_, document))| {
                if at == documents.len() / 4 {
                    meeting.reach(1);
                }
                if at == documents.len() / 2 {
                    meeting.wait_for(2);
                }
                document.clone()
            });
            let options = InsertMany { batch: 100, ..InsertMany::default() };
            collection.insert_many_with(items, options, &mut |_, _| {}).expect("all are accepted")
        });
        meeting.wait_for(1);
        ask_for_indexes(&collection);
        meeting.reach(2);
        let result = import.join().expect("it does not panic");
        assert_eq!(result.inserted, documents.len() as u64);
    });
    db.settle().expect("all of it is built");
    assert!(collection.indexes().expect("indexes").iter().all(|index| index.state == "ready"));

    for (field, index) in
        [("section", "by_section"), ("multi_arch", "by_multi_arch"), ("tags", "by_tag")]
    {
        for (value, count) in tally(&documents, field) {
            let find = || collection.find(doc! { (field): value.as_str() }).expect("a query");
            let found = find().all().expect("an answer").len() as u64;
            assert_eq!(found, count, "{field} {value}");
            let plan = find().explain().expect("a plan");
            let used = plan.index.as_deref();
            assert!(
                count * 10 > documents.len() as u64 || used == Some(index),
                "{value}: {plan:?}"
            );
        }
    }
    for (name, document) in documents.iter().step_by(97) {
        let architecture = document.get("architecture").expect("whole").expect("required");
        let filter = doc! { "name": name.as_str(), "architecture": architecture };
        let find = || collection.find(filter.clone()).expect("a query");
        assert_eq!(find().all().expect("an answer").len(), 1, "{name}");
        assert_eq!(find().explain().expect("a plan").index.as_deref(), Some("by_name"));
    }

    // The same again is refused by the key, and under other keys by the unique index.
    let skip = InsertMany { on_error: OnError::Skip, ..InsertMany::default() };
    let again = documents.iter().map(|(_, document)| document.clone());
    let result = collection.insert_many_with(again, skip, &mut |_, _| {}).expect("a result");
    assert_eq!((result.inserted, result.rejected), (0, documents.len() as u64));
    let stats = collection.stats().expect("figures");
    assert_eq!(stats.growth.leaves_last_hour, stats.leaves, "all of it is new");

    // Each index equals a rebuild: that is what verify compares.
    let report = db.verify(&Default::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
    db.close().expect("it closes");
}

#[test]
fn a_document_that_breaks_every_rule_is_told_of_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Db::open(folder.path().join("db")).expect("it opens");
    let schema = Document::from_json(SCHEMA).expect("JSON").to_object();
    let options = CollectionOptions::new().schema(schema);
    let collection = db.create_collection("packages", options).expect("it is made");
    let (name, document) = packages().into_iter().next().expect("there are some");
    let good = typed(&document, 0);
    collection.insert((name.as_str(), good.clone())).expect("it keeps the schema");
    let read = collection.get(&name).expect("a read").expect("it is there");
    assert_eq!(read.document.get("essential").expect("whole"), Some(Value::Bool(false)));

    let mut bad = good.to_object();
    bad.insert("name", "X");
    bad.remove("version");
    bad.insert("architecture", "vax");
    bad.insert("section", "Games!");
    bad.insert("sha256", Value::Binary(vec![0; 31]));
    bad.insert("installed_kib", -1);
    bad.insert("size", 1.5);
    bad.insert("depends", Value::Array(vec!["libc6".into(), "".into()]));
    bad.insert("tags", Value::Array(vec!["use::gaming".into(), "none".into()]));
    bad.insert("essential", "yes");
    bad.insert("density", -0.5);
    bad.insert("seen_at", "2026-11-24T00:00:00Z");
    bad.insert("origin", Value::Object(Object::new()));
    bad.insert("maintainer", "nobody");
    let bad = Document::from_value(&bad).expect("it encodes");
    let error = collection.insert(("other", bad)).expect_err("it breaks the schema");
    assert_eq!(error.code().as_str(), "schema_violation");
    let mut told: Vec<String> = error
        .errors()
        .iter()
        .map(|violation| format!("{} {} {}", violation.path, violation.rule, violation.found))
        .collect();
    told.sort();
    let expected = [
        r#"architecture enum "vax""#,
        "density minimum -0.5",
        "depends.1 minLength 0 characters",
        r#"essential type "yes""#,
        "installed_kib minimum -1",
        r#"maintainer additionalProperties "nobody""#,
        "name minLength 1 character",
        r#"name pattern "X""#,
        "origin.suite required nothing",
        r#"section pattern "Games!""#,
        r#"seen_at format "2026-11-24T00:00:00Z""#,
        "sha256 minLength 31 bytes",
        "size type 1.5",
        r#"tags.1 pattern "none""#,
        "version required nothing",
    ];
    assert_eq!(told, expected);
    let stats = collection.stats().expect("figures");
    assert_eq!((stats.validation_accepted, stats.validation_rejected), (1, 1));
    db.close().expect("it closes");
}
