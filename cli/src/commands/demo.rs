//! `demo`: the main job end to end, on a temporary database and a sample of real records shipped
//! with this program. It tells what it does and checks what it tells: if any step goes otherwise,
//! the command fails. Later abilities add their steps here.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use blockdb::{
    Code, Collection, CollectionOptions, Db, Document, Error, Fault, IndexOptions, InsertMany,
    Options, Result, VerifyOptions, VerifyReport, doc,
};
use indicatif::HumanCount;
use serde_json::json;

use crate::commands::verify;
use crate::exit::Outcome;
use crate::files;
use crate::input::{Line, Lines};
use crate::output::Output;
use crate::stopwatch::Stopwatch;

/// Packages of a Linux distribution, one a line; see cli/data/README.md.
const SAMPLE: &[u8] = include_bytes!("../../data/packages-sample.jsonl.gz");
const NAME: &str = "packages";
const KEY: &str = "bash";

/// Runs the demonstration.
pub fn run(output: &mut Output) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("blockdb-demo-")
        .tempdir()
        .map_err(|error| Error::storage("make a temporary folder", Path::new("demo"), error))?;
    let dir = folder.path().join("data");
    let mut story = Story { output, steps: 0 };
    story.say("BlockDB from end to end, on a temporary database that is gone afterwards.\n")?;
    let total = Stopwatch::start();
    let keys = write(&mut story, &dir)?;
    tamper(&mut story, &dir, &keys)?;
    let steps = story.steps;
    story.say(&format!(
        "\nAll {steps} steps went as told, in {:.1} s. Your own data: \
         blockdb import NAME FILE.jsonl.gz",
        total.seconds()
    ))?;
    folder
        .close()
        .map_err(|error| Error::storage("remove the temporary folder", &dir, error).into())
}

/// The honest half: create, import, read, revise, seal, verify. Returns the key of each record.
fn write(story: &mut Story<'_>, dir: &Path) -> Outcome<BTreeMap<u64, String>> {
    let (db, packages) = story.step("Create a database and a collection in it", || {
        let db = Db::open(dir)?;
        let options = CollectionOptions::new().key_field("name").revisions(true);
        let packages = db.create_collection(NAME, options)?;
        Ok(((db, packages), vec![format!("{NAME:?}, keyed by the field \"name\", revisions on")]))
    })?;
    story.step("Import records", || import(&packages))?;
    let old = story.step("Get one by its key", || {
        let record = packages.get(KEY)?.ok_or_else(|| unlike("the record is missing"))?;
        let told = format!("{KEY}: seq {}, {}", record.seq, short(&record.document)?);
        Ok((record.document, vec![told]))
    })?;
    story.step("Scan keys that begin with \"lib\"", || scan(&packages))?;
    story.step("Set a schema; what breaks it is refused", || model(&packages))?;
    story.step("Index two fields and ask by them", || query(&packages))?;
    story.step("Append a revision; the one before stays", || revise(&packages, &old))?;
    story.step("Seal what is pending into a block", || {
        let block = packages.seal()?.ok_or_else(|| unlike("nothing was sealed"))?;
        let last = block.first_seq + block.count.max(1) - 1;
        let leaves = format!("leaves {} to {last}", block.first_seq);
        let told = format!("block {}: {leaves}, hash {}", block.id, block.hash);
        Ok(((), vec![told, "each block holds the hash of the one before".to_owned()]))
    })?;
    story.step("Verify: re-hash everything", || {
        let report = db.verify(&VerifyOptions::default(), &|_, _| {})?;
        expect(report.is_clean(), "an untouched database has faults")?;
        Ok(((), clean(&report)))
    })?;
    let keys = packages.scan(..).into_iter().map(|record| record.map(|one| (one.seq, one.key)));
    let keys = keys.collect::<Result<_>>()?;
    db.close()?;
    Ok(keys)
}

/// The other half: one byte is changed behind the engine's back.
fn tamper(story: &mut Story<'_>, dir: &Path, keys: &BTreeMap<u64, String>) -> Outcome {
    let (path, offset) = story.step("Flip one bit of one byte in the ledger on disk", || {
        let (path, length) = ledger_file(dir)?;
        let offset = length / 2;
        let (before, after) = files::flip_bit(&path, offset)?;
        let file = relative(&path, dir);
        let told = format!("{file} at byte {offset}: {before:#04x} is now {after:#04x}");
        Ok(((path, offset), vec![told]))
    })?;
    let db = Options::new().create(false).read_only(true).open(dir)?;
    let fault = story.step("Verify again", || {
        let report = db.verify(&VerifyOptions::default(), &|_, _| {})?;
        let fault = named(&report, &path)
            .ok_or_else(|| unlike(&format!("the flip at byte {offset} was not named")))?;
        let mut fault = fault.clone();
        fault.file = fault.file.strip_prefix(dir).unwrap_or(&fault.file).to_owned();
        let told = vec![verify::describe(&fault)];
        Ok((fault, told))
    })?;
    story.step("Read the damaged record", || {
        let key = fault.seq.and_then(|seq| keys.get(&seq));
        let key = key.ok_or_else(|| unlike("the fault names no record"))?;
        match db.collection(NAME).get(key) {
            Err(error) if error.code() == Code::Corrupt => {
                let told = format!("{key}: refused as corrupt; never a wrong record");
                Ok(((), vec![told]))
            }
            Err(error) => Err(error),
            Ok(_) => Err(unlike(&format!("{key} was read as if nothing had happened"))),
        }
    })?;
    Ok(db.close()?)
}

fn import(packages: &Collection) -> Result<((), Vec<String>)> {
    let mut lines = Lines::new(Box::new(Cursor::new(SAMPLE)), Path::new("the sample"))?;
    let mut documents = Vec::new();
    while let Some((_, line)) = lines.next_line()? {
        match line {
            Line::Text(text) => documents.push(Document::from_json_slice(text)?),
            Line::TooLong => return Err(unlike("the sample holds a line too long")),
        }
    }
    let sum = documents.len() as u64;
    let result = packages.insert_many_with(documents, InsertMany::default(), &mut |_, _| {})?;
    expect(result.inserted == sum && packages.count()? == sum, "records are missing")?;
    let told = format!("{} packages of a Linux distribution, durable on disk", HumanCount(sum));
    Ok(((), vec![told]))
}

fn scan(packages: &Collection) -> Result<((), Vec<String>)> {
    let found = packages.scan_prefix("lib").limit(5).all()?;
    let keys: Vec<&str> = found.iter().map(|record| record.key.as_str()).collect();
    expect(keys.len() == 5 && keys.is_sorted(), "keys are missing or out of order")?;
    Ok(((), vec![format!("the first five in byte order: {}", keys.join(", "))]))
}

fn model(packages: &Collection) -> Result<((), Vec<String>)> {
    let schema = doc! {
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 2 },
            "section": { "type": "string" },
            "size": { "type": "integer", "minimum": 0 },
            "tags": { "type": "array", "items": { "type": "string" } }
        },
        "required": ["name", "version", "size"]
    };
    packages.set_schema(&schema)?;
    let wrong = doc! { "name": "x", "version": "1", "size": -1 };
    match packages.insert(wrong) {
        Err(error) if error.code() == Code::SchemaViolation => {
            let mut told = vec!["all documents there fit it; one that does not:".to_owned()];
            for each in error.errors() {
                told.push(format!("{}: {}, found {}", each.path, each.rule, each.found));
            }
            Ok(((), told))
        }
        _ => Err(unlike("a document that breaks the schema was not refused")),
    }
}

fn query(packages: &Collection) -> Result<((), Vec<String>)> {
    packages.create_index("by_section", &["section", "-size"], IndexOptions::default())?;
    let find = packages.find(doc! { "section": "games", "tags": "role::program" })?;
    let find = find.sort("-size")?.limit(3);
    let explain = find.explain()?;
    expect(explain.index.as_deref() == Some("by_section"), "the index is not used")?;
    let found = find.all()?;
    expect(found.len() == 3, "games are missing")?;
    let mut told = Vec::new();
    for record in &found {
        told.push(format!("{}: {}", record.key, short(&record.document)?));
    }
    told.push(format!(
        "the three largest games, by {} of {} records",
        explain.records_read,
        HumanCount(packages.count()?)
    ));
    Ok(((), told))
}

fn revise(packages: &Collection, old: &Document) -> Result<((), Vec<String>)> {
    let mut changed = old.to_object();
    changed.insert("priority", "important");
    let document = Document::from_value(&changed)?;
    packages.put(KEY, document, Some(1))?;
    let history = packages.history(KEY)?;
    let revisions: Vec<u64> = history.iter().map(|record| record.revision).collect();
    expect(revisions == [1, 2] && history[0].document == *old, "the first revision changed")?;
    let mut told = Vec::new();
    for record in &history {
        told.push(format!("revision {}: {}", record.revision, short(&record.document)?));
    }
    Ok(((), told))
}

/// A package in a few words.
fn short(document: &Document) -> Result<String> {
    let mut words = Vec::new();
    for field in ["version", "priority", "size"] {
        if let Some(value) = document.get(field)? {
            let value = serde_json::to_string(&value)
                .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
            words.push(format!("{field} {value}"));
        }
    }
    Ok(words.join(", "))
}

fn clean(report: &VerifyReport) -> Vec<String> {
    let mut told = Vec::new();
    for each in report.collections.iter().filter(|each| each.name == NAME) {
        told.push(format!(
            "clean: {} leaves in {} blocks, root {}",
            HumanCount(each.leaves),
            each.blocks,
            each.root
        ));
    }
    told
}

/// The ledger segment of the demonstration's collection, and its length.
fn ledger_file(dir: &Path) -> Result<(PathBuf, u64)> {
    let db = Options::new().create(false).read_only(true).open(dir)?;
    let id = db.collection(NAME).describe()?.id;
    db.close()?;
    let folder = dir.join("collections").join(format!("col_{id}"));
    files::largest(&folder, "blockchain_")?.ok_or_else(|| unlike("there is no ledger file"))
}

/// The fault that tells most of the damage in `path`.
fn named<'a>(report: &'a VerifyReport, path: &Path) -> Option<&'a Fault> {
    let name = path.file_name()?;
    let here = report.faults.iter().filter(|fault| fault.file.file_name() == Some(name));
    here.max_by_key(|fault| (fault.seq.is_some(), fault.offset.is_some()))
}

fn relative(path: &Path, dir: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(unlike(otherwise)),
    }
}

fn unlike(what: &str) -> Error {
    Error::new(Code::Internal, format!("the demonstration did not go as told: {what}"))
}

/// Numbered steps, each told with what came of it and how long it took.
struct Story<'a> {
    output: &'a mut Output,
    steps: u32,
}

impl Story<'_> {
    fn say(&mut self, sentence: &str) -> Outcome {
        if !self.output.is_json() {
            self.output.line(sentence)?;
        }
        Ok(self.output.flush()?)
    }

    fn step<T>(
        &mut self,
        title: &str,
        act: impl FnOnce() -> Result<(T, Vec<String>)>,
    ) -> Outcome<T> {
        self.steps += 1;
        let clock = Stopwatch::start();
        let (done, told) = act()?;
        let took_ms = clock.elapsed().as_secs_f64() * 1000.0;
        if self.output.is_json() {
            let step = json!({ "step": self.steps, "title": title, "told": told, "ms": took_ms });
            self.output.line(&step.to_string())?;
        } else {
            self.output.line(&format!("{:2}. {title} ({took_ms:.1} ms)", self.steps))?;
            for line in told {
                self.output.line(&format!("      {line}"))?;
            }
        }
        self.output.flush()?;
        Ok(done)
    }
}
