//! Generated filters, sorts and limits give exactly what SQLite gives for the same question over the
//! same JSON: without indexes, with indexes of every kind, and where a key has several revisions and
//! only the newest counts. The records are Debian packages: the sample of the project, or, with
//! `BLOCKDB_PACKAGES=FILE`, all of a file. `BLOCKDB_SEED` and `BLOCKDB_IMAGES` (the number of
//! questions) repeat a run.

#![allow(clippy::disallowed_methods)] // The judge and its input are outside the engine.

use std::collections::BTreeMap;

use blockdb::{Collection, CollectionOptions, Db, Document, IndexOptions, Object, Value};
use blockdb_tests::packages::packages;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params};

const FIELDS: [&str; 8] = [
    "section",
    "priority",
    "architecture",
    "source",
    "multi_arch",
    "size",
    "installed_kib",
    "tags",
];

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Chance that is the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A filter in both languages.
struct Question {
    filter: Value,
    sql: String,
    values: Vec<Sql>,
}

fn object(name: &str, value: impl Into<Value>) -> Value {
    let mut object = Object::new();
    object.insert(name, value);
    Value::Object(object)
}

fn sql_value(value: &Value) -> Sql {
    match value {
        Value::Int(number) => Sql::Integer(*number),
        Value::Float(number) => Sql::Real(*number),
        Value::String(text) => Sql::Text(text.clone()),
        _ => Sql::Null,
    }
}

/// Values that occur, by field.
type Values = BTreeMap<&'static str, Vec<Value>>;

fn values_of(packages: &[(String, Document)]) -> Values {
    let mut values = Values::new();
    for (at, (_, document)) in packages.iter().enumerate() {
        for field in FIELDS.iter().filter(|_| at % 7 == 0) {
            let found = match document.get(field).expect("whole") {
                Some(Value::Array(elements)) => elements,
                Some(value) => vec![value],
                None => Vec::new(),
            };
            values.entry(field).or_default().extend(found);
        }
    }
    values
}

impl Question {
    /// One condition on one field.
    fn condition(chance: &mut Chance, values: &Values) -> Question {
        let field = *chance.pick(&FIELDS);
        let value = chance.pick(&values[field]).clone();
        let is_text = matches!(value, Value::String(_));
        let path = format!("'$.{field}'");
        // The value itself, or an element of an array, as rows of (v, t).
        let rows = match field {
            "tags" => format!("(SELECT e.value AS v, e.type AS t FROM json_each(doc, {path}) e)"),
            _ => format!("(SELECT json_extract(doc, {path}) AS v, json_type(doc, {path}) AS t)"),
        };
        let kind = if is_text { "t = 'text'" } else { "t IN ('integer', 'real')" };
        let some = |test: &str| format!("EXISTS (SELECT 1 FROM {rows} WHERE {kind} AND {test})");
        let one = |filter: Value, sql: String, values: Vec<Sql>| Question {
            filter: object(field, filter),
            sql,
            values,
        };
        let sql = sql_value(&value);
        match chance.below(12) {
            0 | 1 => one(value, some("v = ?"), vec![sql]),
            2 => one(object("$ne", value), format!("NOT {}", some("v = ?")), vec![sql]),
            operator @ 3..=6 => {
                let (name, sign) =
                    [("$gt", ">"), ("$gte", ">="), ("$lt", "<"), ("$lte", "<=")][operator - 3];
                one(object(name, value), some(&format!("v {sign} ?")), vec![sql])
            }
            7 => {
                let mut range = Object::new();
                let other = chance.pick(&values[field]).clone();
                let bounds = vec![sql, sql_value(&other)];
                range.insert("$gte", value);
                range.insert("$lt", other);
                let sql = format!("({} AND {})", some("v >= ?"), some("v < ?"));
                one(Value::Object(range), sql, bounds)
            }
            operator @ (8 | 9) => {
                let listed: Vec<Value> =
                    (0..3).map(|_| chance.pick(&values[field]).clone()).collect();
                let bound = listed.iter().map(sql_value).collect();
                let found = some("v IN (?, ?, ?)");
                match operator {
                    8 => one(object("$in", Value::Array(listed)), found, bound),
                    _ => one(object("$nin", Value::Array(listed)), format!("NOT {found}"), bound),
                }
            }
            10 if is_text => {
                let prefix: String = value.as_str().expect("text").chars().take(3).collect();
                let bound = [Sql::Text(prefix.clone())];
                let found = some("substr(v, 1, length(?1)) = ?1").replace("?1", "?");
                let bound = bound.iter().cloned().chain(bound.iter().cloned()).collect();
                one(object("$prefix", prefix), found, bound)
            }
            _ => {
                let exists = chance.below(2) == 0;
                let sql = format!("coalesce(json_type(doc, {path}), 'null') <> 'null'");
                let sql = if exists { sql } else { format!("NOT {sql}") };
                one(object("$exists", exists), sql, Vec::new())
            }
        }
    }

    /// Conditions nested up to `depth`.
    fn generate(chance: &mut Chance, values: &Values, depth: usize) -> Question {
        if depth == 0 || chance.below(3) == 0 {
            return Question::condition(chance, values);
        }
        if chance.below(5) == 0 {
            let inner = Question::generate(chance, values, depth - 1);
            let sql = format!("NOT ({})", inner.sql);
            return Question { filter: object("$not", inner.filter), sql, values: inner.values };
        }
        let parts: Vec<Question> = (0..2 + chance.below(2))
            .map(|_| Question::generate(chance, values, depth - 1))
            .collect();
        let (name, word) = *chance.pick(&[("$and", " AND "), ("$and", " AND "), ("$or", " OR ")]);
        let sql: Vec<String> = parts.iter().map(|part| format!("({})", part.sql)).collect();
        Question {
            sql: sql.join(word),
            values: parts.iter().flat_map(|part| part.values.clone()).collect(),
            filter: object(name, Value::Array(parts.into_iter().map(|p| p.filter).collect())),
        }
    }
}

/// An order in both languages; empty for none.
fn order(chance: &mut Chance) -> (Vec<String>, String) {
    let names = ["section", "size", "installed_kib", "source", "$key", "$seq"];
    let mut fields: Vec<String> = Vec::new();
    let mut sql: Vec<String> = Vec::new();
    for _ in 0..chance.below(3) {
        let name = *chance.pick(&names);
        if fields.iter().any(|field| field.trim_start_matches('-') == name) {
            continue;
        }
        let descending = chance.below(2) == 0;
        let column = match name {
            "$key" => "key".to_owned(),
            "$seq" => "seq".to_owned(),
            field => format!("json_extract(doc, '$.{field}')"),
        };
        fields.push(format!("{}{name}", if descending { "-" } else { "" }));
        sql.push(format!("{column}{}", if descending { " DESC" } else { "" }));
    }
    sql.push("seq".to_owned());
    (fields, sql.join(", "))
}

/// The judge: the newest revision of each key, with its sequence number.
fn judge(collection: &Collection) -> Connection {
    let sqlite = Connection::open_in_memory().expect("SQLite opens");
    sqlite
        .execute_batch("CREATE TABLE t (key TEXT PRIMARY KEY, seq INTEGER, doc TEXT)")
        .expect("SQLite answers");
    sqlite.execute_batch("BEGIN").expect("SQLite answers");
    for record in collection.changes(None, None).expect("changes") {
        let record = record.expect("a record");
        sqlite
            .prepare_cached("INSERT OR REPLACE INTO t VALUES (?, ?, ?)")
            .and_then(|mut insert| {
                let (seq, json) = (record.seq as i64, record.document.to_json());
                insert.execute(params![record.key, seq, json])
            })
            .expect("SQLite takes it");
    }
    sqlite.execute_batch("COMMIT").expect("SQLite answers");
    sqlite
}

fn answer(sqlite: &Connection, question: &Question, order: &str) -> Vec<String> {
    let sql = format!("SELECT key FROM t WHERE {} ORDER BY {order}", question.sql);
    let mut statement = sqlite.prepare(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let values = rusqlite::params_from_iter(question.values.iter());
    let rows = statement.query_map(values, |row| row.get(0)).expect("SQLite answers");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Asks both and compares: whole, with a limit, counted, and page by page.
fn compare(collection: &Collection, sqlite: &Connection, seed: u64, name: &str) {
    let documents: Vec<(String, Document)> = packages();
    let values = values_of(&documents);
    let questions = variable("BLOCKDB_IMAGES", 200);
    let mut indexed = 0;
    for number in 0..questions {
        let mut chance = Chance(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let question = Question::generate(&mut chance, &values, 2);
        let (fields, by) = order(&mut chance);
        let limit = 1 + chance.below(60);
        let filter = question.filter.as_object().expect("an object").clone();
        let told = || {
            format!(
                "{name}, question {number} of seed {seed}: {} sorted by {fields:?}, limit {limit}; \
                 again: BLOCKDB_SEED={seed} cargo test -p blockdb-tests --test queries",
                Document::from_value(&filter).expect("encodes").to_json()
            )
        };
        let expected = answer(sqlite, &question, &by);
        let find = || {
            let find =
                collection.find(filter.clone()).unwrap_or_else(|e| panic!("{e}: {}", told()));
            find.sort_by(&fields).expect("a sort")
        };
        let keys = |records: Vec<blockdb::Record>| -> Vec<String> {
            records.into_iter().map(|record| record.key).collect()
        };
        let mut found = keys(find().all().unwrap_or_else(|e| panic!("{e}: {}", told())));
        let mut limited = keys(find().limit(limit as u64).all().expect("an answer"));
        let mut first = expected[..limit.min(expected.len())].to_vec();
        let mut all = expected.clone();
        if fields.is_empty() {
            assert!(limited.iter().all(|key| expected.contains(key)), "{}", told());
            assert_eq!(limited.len(), first.len(), "{}", told());
            for list in [&mut found, &mut limited, &mut first, &mut all] {
                list.sort();
            }
        } else {
            assert_eq!(limited, first, "{}", told());
        }
        assert_eq!(found, all, "{}", told());
        assert_eq!(find().count().expect("a count"), expected.len() as u64, "{}", told());
        if number.is_multiple_of(4) {
            let (mut paged, mut cursor) = (Vec::new(), None);
            // Without an index each page reads all records: of many, not by so few.
            let size = limit.max(expected.len() / 20).min(1000) as u64;
            loop {
                let page = find().page(size, cursor.as_deref()).expect("a page");
                paged.extend(keys(page.records));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            if fields.is_empty() {
                paged.sort();
            }
            assert_eq!(paged, all, "paged, {}", told());
        }
        indexed += u64::from(find().limit(limit as u64).explain().expect("a plan").index.is_some());
    }
    println!("{name}: {questions} questions of seed {seed}, {indexed} answered by an index");
    let wants_indexes = !collection.indexes().expect("indexes").is_empty();
    assert_eq!(indexed > questions / 20, wants_indexes, "indexes are used where there are some");
}

fn make_indexes(collection: &Collection) {
    let unique = IndexOptions { unique: true, ..IndexOptions::default() };
    let sparse = IndexOptions { sparse: true, ..IndexOptions::default() };
    let plain = IndexOptions::default();
    let make = |name: &str, fields: &[&str], options: &IndexOptions| {
        collection.create_index(name, fields, options.clone()).expect("the index is built");
    };
    make("by_name", &["name", "architecture"], &unique);
    make("by_section", &["section", "-size"], &plain);
    make("by_multi_arch", &["multi_arch"], &sparse);
    make("by_tag", &["tags"], &plain);
    make("by_source", &["source", "installed_kib"], &plain);
    make("by_size", &["size"], &plain);
}

fn collection(db: &Db, revisions: bool) -> Collection {
    let options = CollectionOptions::new().key_field("name").revisions(revisions);
    let collection = db.create_collection("packages", options).expect("a collection");
    collection.insert_many(packages().into_iter().map(|(_, document)| document)).expect("inserted");
    collection
}

#[test]
fn queries_answer_as_sqlite_does_with_and_without_indexes() {
    let seed = variable("BLOCKDB_SEED", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let db = Db::open(folder.path().join("db")).expect("it opens");
    let packages = collection(&db, false);
    let sqlite = judge(&packages);
    compare(&packages, &sqlite, seed, "without indexes");
    make_indexes(&packages);
    compare(&packages, &sqlite, seed, "with indexes");
    db.close().expect("it closes");

    let db = Db::open(folder.path().join("db")).expect("it opens again");
    compare(&db.collection("packages"), &sqlite, seed + 1, "after reopening");
    let report = db.verify(&Default::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn queries_see_the_newest_revisions_alone_as_sqlite_does() {
    let seed = variable("BLOCKDB_SEED", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let db = Db::open(folder.path().join("db")).expect("it opens");
    let packages = collection(&db, true);
    make_indexes(&packages);
    let mut chance = Chance(seed);
    let documents = blockdb_tests::packages::packages();
    for _ in 0..documents.len() / 2 {
        let (key, document) = chance.pick(&documents);
        let mut changed = document.to_object();
        let (_, other) = chance.pick(&documents);
        for field in ["section", "size", "tags", "source", "multi_arch"] {
            match other.get(field).expect("whole") {
                Some(value) => drop(changed.insert(field, value)),
                None => drop(changed.remove(field)),
            }
        }
        let document = Document::from_value(&changed).expect("encodes");
        packages.put(key, document, None).expect("a further revision");
    }
    let sqlite = judge(&packages);
    compare(&packages, &sqlite, seed, "with revisions");
}
