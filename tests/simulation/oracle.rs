//! The judge of everything: what a database shows must be one of the states its history allows, to
//! the byte, and all of it must verify. Every suite asks here and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use blockdb::collection::SYSTEM_NAME;
use blockdb::document::{Timestamp, Value};
use blockdb::{
    BlockInfo, Collection, CollectionInfo, CollectionOptions, Db, Record, VerifyOptions, doc,
};

use super::Machine;
use super::history::History;
use super::model::{Effect, Entry, Model, ModelCollection, Receipt};

/// How much is asked of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It opens, shows an allowed state, verifies.
    State,
    /// Also: a read-only opening before and after changes no byte, and it takes new writes.
    Life,
}

/// Judges the disk a crash has left; returns the state it was found in.
pub fn judge(machine: &Machine, history: &History, depth: Depth) -> Result<Model, String> {
    if depth == Depth::Life {
        look_only(machine, history).map_err(|what| format!("opening read-only first: {what}"))?;
    }
    let db = machine.open().map_err(|error| format!("it does not open: {error}"))?;
    let found = find_state(&db, history)?;
    known_blocks_are_there(&db, &found)?;
    verify(&db)?;
    if depth == Depth::Life {
        live_on(machine, db, &found).map_err(|what| format!("living on: {what}"))?;
    }
    Ok(found)
}

/// Opening for writing brings every block that was ever shown back to the ledger.
fn known_blocks_are_there(db: &Db, found: &Model) -> Result<(), String> {
    for (name, expected) in &found.collections {
        let info = db.collection(name).describe().map_err(|error| format!("{name}: {error}"))?;
        if info.blocks < expected.blocks.len() as u64 {
            let known = expected.blocks.len();
            return Err(format!(
                "collection {name} has {} blocks, {known} were sealed",
                info.blocks
            ));
        }
    }
    Ok(())
}

/// A read-only opening shows an allowed state and changes no byte.
fn look_only(machine: &Machine, history: &History) -> Result<(), String> {
    let before = machine.files();
    match machine.open_read_only() {
        Ok(db) => {
            find_state(&db, history)?;
            verify(&db)?;
        }
        Err(_) if !history.exists => {}
        Err(error) => return Err(error.to_string()),
    }
    same_files(&before, &machine.files())
}

fn same_files(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)]) -> Result<(), String> {
    let names = |files: &[(String, Vec<u8>)]| {
        files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    if names(before) != names(after) {
        return Err(format!("files changed from {:?} to {:?}", names(before), names(after)));
    }
    match before.iter().zip(after).find(|(before, after)| before != after) {
        Some(((name, _), _)) => Err(format!("bytes of {name} changed")),
        None => Ok(()),
    }
}

/// The database takes new writes, closes, and shows all of it to a reader that changes no byte.
fn live_on(machine: &Machine, db: Db, found: &Model) -> Result<(), String> {
    let mut model = found.clone();
    let mut write = |name: &str, key: &str| {
        let body = doc! { "written": "after the crash" };
        let record = db.collection(name).insert((key, body.clone()));
        let record = record.map_err(|error| format!("inserting into {name}: {error}"))?;
        let receipt = Some(Receipt { seq: record.seq, timestamp: Some(record.timestamp) });
        let key = key.to_owned();
        let entries = vec![Entry { key, revision: 1, body, receipt, transaction: None }];
        model.apply(&Effect::Append { name: name.to_owned(), entries });
        Ok::<_, String>(())
    };
    for name in found.collections.keys().take(2) {
        // The judge may look at a database that a judge has written to.
        if found.collections[name].newest("~judge").is_some() {
            continue;
        }
        write(name, "~judge")?;
    }
    let created = db.create_collection("judge", CollectionOptions::new());
    created.map_err(|error| format!("creating a collection: {error}"))?;
    model.apply(&Effect::Create { name: "judge".to_owned(), settings: Vec::new() });
    compare(&db, &model)?;
    db.run_background().map_err(|error| format!("background work: {error}"))?;
    db.close().map_err(|error| format!("closing: {error}"))?;
    drop(db);

    let before = machine.files();
    let db = machine.open_read_only().map_err(|error| format!("opening again: {error}"))?;
    compare(&db, &model)?;
    verify(&db)?;
    drop(db);
    same_files(&before, &machine.files())
}

/// The one state among those the history allows that the database shows.
pub fn find_state(db: &Db, history: &History) -> Result<Model, String> {
    let mut nearest = None;
    let mut count = 0;
    for state in history.candidates() {
        count += 1;
        match compare(db, &state) {
            Ok(()) => return Ok(state),
            Err(what) => nearest = nearest.or(Some(what)),
        }
    }
    Err(format!(
        "none of {count} allowed states; from the first it differs: {}",
        nearest.unwrap_or_default()
    ))
}

/// Verifies everything.
pub fn verify(db: &Db) -> Result<(), String> {
    let report = db.verify(&VerifyOptions::default(), &|_, _| {});
    let report = report.map_err(|error| format!("verify fails: {error}"))?;
    match report.is_clean() {
        true => Ok(()),
        false => Err(format!("verify finds {:?}", report.faults)),
    }
}

/// Compares all a reader can see with the model.
pub fn compare(db: &Db, model: &Model) -> Result<(), String> {
    let infos = db.collections("").map_err(|error| format!("collections: {error}"))?;
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    let expected: Vec<&str> = model.collections.keys().map(String::as_str).collect();
    if names != expected {
        return Err(format!("collections are {names:?}, expected {expected:?}"));
    }
    let system = db.collection(SYSTEM_NAME).describe();
    let acts = system.map_err(|error| format!("_system: {error}"))?.records;
    if acts != model.acts {
        return Err(format!("_system holds {acts} acts, expected {}", model.acts));
    }
    let mut commits = Commits::new();
    for (info, expected) in infos.iter().zip(model.collections.values()) {
        let found = Found { collection: db.collection(&info.name), info, expected };
        found.compare(&mut commits).map_err(|what| format!("collection {}: {what}", info.name))?;
    }
    Ok(())
}

/// When each transaction was committed, as the first of its records says.
type Commits = BTreeMap<String, Timestamp>;

/// One collection beside its model.
struct Found<'a> {
    collection: Collection,
    info: &'a CollectionInfo,
    expected: &'a Arc<ModelCollection>,
}

impl Found<'_> {
    fn compare(&self, commits: &mut Commits) -> Result<(), String> {
        self.sequence(commits)?;
        self.figures()?;
        self.keys()?;
        self.settings()?;
        self.chain()
    }

    /// All revisions of all records, in sequence order; those of one transaction have one time,
    /// whatever their collections.
    fn sequence(&self, commits: &mut Commits) -> Result<(), String> {
        let expected = &self.expected.entries;
        let records = self.collection.changes(None, None).map_err(|error| error.to_string())?;
        let (mut count, mut last) = (0, None::<Record>);
        for record in records {
            let record = record.map_err(|error| format!("record {count}: {error}"))?;
            let entry = expected.get(count).ok_or_else(|| {
                format!("{} {} too much, expected {count} records", record.key, record.revision)
            })?;
            same(&record, entry)?;
            if last.is_some_and(|last| last.seq >= record.seq || last.timestamp > record.timestamp)
            {
                return Err(format!("seq or time went back at {record:?}"));
            }
            if let Some(id) = &record.transaction {
                let time = *commits.entry(id.clone()).or_insert(record.timestamp);
                if time != record.timestamp {
                    return Err(format!("{record:?} is of a transaction committed at {time}"));
                }
            }
            last = Some(record);
            count += 1;
        }
        match count == expected.len() {
            true => Ok(()),
            false => Err(format!("{count} records, expected {}", expected.len())),
        }
    }

    fn figures(&self) -> Result<(), String> {
        let keys = self.expected.keys.len() as u64;
        let count = self.collection.count().map_err(|error| format!("count: {error}"))?;
        let found = (count, self.info.keys, self.info.records);
        let expected = (keys, keys, self.expected.entries.len() as u64);
        match found == expected {
            true => Ok(()),
            false => Err(format!("count, keys and records are {found:?}, expected {expected:?}")),
        }
    }

    /// By key: the scan as a whole, and some keys one by one.
    fn keys(&self) -> Result<(), String> {
        let mut expected = self.expected.newest_by_key();
        for record in self.collection.scan(..) {
            let record = record.map_err(|error| format!("scan: {error}"))?;
            let entry =
                expected.next().ok_or_else(|| format!("scan shows {} too much", record.key))?;
            same(&record, entry).map_err(|what| format!("scan: {what}"))?;
        }
        if let Some(entry) = expected.next() {
            return Err(format!("scan does not show {}", entry.key));
        }
        let step = (self.expected.keys.len() / 8).max(1);
        for key in self.expected.keys.keys().step_by(step) {
            self.one_key(key).map_err(|what| format!("key {key}: {what}"))?;
        }
        match self.collection.get("never written") {
            Ok(None) => Ok(()),
            other => Err(format!("a missing key gives {other:?}")),
        }
    }

    fn one_key(&self, key: &str) -> Result<(), String> {
        let history = self.collection.history(key).map_err(|error| error.to_string())?;
        let expected: Vec<&Entry> = self.expected.history(key).collect();
        if history.len() != expected.len() {
            return Err(format!("{} revisions, expected {}", history.len(), expected.len()));
        }
        for (record, entry) in history.iter().zip(&expected) {
            same(record, entry)?;
        }
        let newest = self.collection.get(key).map_err(|error| error.to_string())?;
        if newest.as_ref() != history.last() {
            return Err(format!("get shows {newest:?}, not the last of its history"));
        }
        let first = self.collection.get_revision(key, 1).map_err(|error| error.to_string())?;
        match first.as_ref() == history.first() {
            true => Ok(()),
            false => Err(format!("revision 1 is {first:?}, not the first of its history")),
        }
    }

    fn settings(&self) -> Result<(), String> {
        let found = &self.info.settings;
        let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let found = [
            ("block_records", Value::Int(found.block_records as i64)),
            ("seal_interval_ms", Value::Int(found.seal_interval_ms as i64)),
            ("revisions", Value::Bool(found.revisions)),
            ("key_field", optional(&found.key_field)),
            ("compression", Value::String(found.compression.clone())),
            ("flush_bytes", Value::Int(found.flush_bytes as i64)),
            ("flush_interval_ms", Value::Int(found.flush_interval_ms as i64)),
            ("description", optional(&self.info.description)),
        ];
        match found.iter().find(|(key, value)| self.expected.settings.get(*key) != Some(value)) {
            Some((key, value)) => Err(format!("setting {key} is {value:?}")),
            None => Ok(()),
        }
    }

    /// The chain of blocks, and every header that was ever shown to anyone.
    fn chain(&self) -> Result<(), String> {
        let mut last: Option<BlockInfo> = None;
        for id in 0..self.info.blocks {
            let block =
                self.collection.block(id).map_err(|error| format!("block {id}: {error}"))?;
            let follows = match &last {
                Some(last) => {
                    block.previous_hash == last.hash
                        && block.first_seq == last.first_seq + last.count + 1
                }
                None => block.first_seq == 0,
            };
            if block.id != id || !follows {
                return Err(format!("block {block:?} does not follow {last:?}"));
            }
            if let Some(known) =
                self.expected.blocks.get(id as usize).filter(|known| **known != block)
            {
                return Err(format!("block {id} was {known:?} and is {block:?}"));
            }
            last = Some(block);
        }
        if last.map(|last| last.hash) != self.info.head {
            return Err(format!("the head is not the hash of block {}", self.info.blocks));
        }
        // A sealed block may still be on its way: its records were compared above.
        Ok(())
    }
}

/// Whether a record is the one expected, of the transaction that wrote it or of none, and in its
/// place if that is known.
pub fn same(record: &Record, entry: &Entry) -> Result<(), String> {
    let equal = (&record.key, record.revision, &record.document, &record.transaction)
        == (&entry.key, entry.revision, &entry.body, &entry.transaction);
    let receipt = entry.receipt.is_none_or(|receipt| {
        receipt.seq == record.seq && receipt.timestamp.is_none_or(|time| time == record.timestamp)
    });
    match equal && receipt {
        true => Ok(()),
        false => Err(format!("found {record:?}, expected {entry:?}")),
    }
}
