//! Any one flipped byte of any file of a closed database is told: opening refuses with a typed error
//! or `verify` reports a fault, and both name the file; no read ever answers with a wrong record.
//! Every byte, three masks, over a small database that has every kind of file.

#![allow(clippy::unwrap_used)] // A test says by failing what was wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blockdb::disk::simulated::SimDisk;
use blockdb::host::Host;
use blockdb::host::simulated::SimClock;
use blockdb::{
    Code, CollectionOptions, Db, IndexOptions, Options, Tuning, Value, VerifyOptions, doc,
};

const MASKS: [u8; 3] = [0x01, 0x80, 0xff];
const START_US: i64 = 1_767_225_600_000_000;

fn options(disk: &SimDisk) -> Options {
    let mut tuning = Tuning::for_memory(4 << 20);
    tuning.close_flush_entries_min = 8;
    tuning.ledger_segment_bytes = 2048;
    tuning.frame_bytes = 512;
    let host = Host::simulated(Arc::new(disk.clone()), SimClock::new(START_US), 7);
    Options::new().host(host).tuning(tuning)
}

type Records = BTreeMap<(String, u64), String>;

fn records(db: &Db) -> Result<Records, blockdb::Error> {
    let mut found = Records::new();
    for info in db.collections("")? {
        for record in db.collection(&info.name).scan(..) {
            let record = record?;
            let document = record.document.to_json();
            found.insert((format!("{}/{}", info.name, record.key), record.seq), document);
        }
    }
    Ok(found)
}

/// A closed database with log, restart point, statistics, several ledger segments, tiles, tables,
/// indexes, manifests and rendered files, of live, configured and dropped collections.
fn fixture() -> (SimDisk, Records) {
    let disk = SimDisk::new();
    let db = options(&disk).open("/db").unwrap();
    let settings = CollectionOptions::new().block_records(5).revisions(true);
    let schema = doc! { "type": "object", "properties": { "n": { "type": "integer" } } };
    let settings = settings.schema(schema.to_object());
    let events = db.create_collection("events", settings).unwrap();
    events.create_index("by_n", &["n"], IndexOptions::default()).unwrap();
    for number in 0..24 {
        events
            .insert((format!("e-{number:02}"), doc! { "n": number, "t": "text text text" }))
            .unwrap();
        if number % 8 == 7 {
            db.rotate("events").unwrap();
            db.run_background().unwrap();
        }
    }
    events.put("e-03", doc! { "n": 3, "again": true }, Some(1)).unwrap();
    events.configure(&[("description".to_owned(), Value::String("things".to_owned()))]).unwrap();
    let plain = CollectionOptions::new().set("compression", "none");
    db.create_collection("plain", plain).unwrap().insert(("p", doc! { "b": "x" })).unwrap();
    for (name, purge) in [("gone", false), ("purged", true)] {
        let doomed = db.create_collection(name, CollectionOptions::new()).unwrap();
        doomed.insert(("d", doc! { "n": 1 })).unwrap();
        db.drop_collection(name, purge).unwrap();
    }
    let expected = records(&db).unwrap();
    db.close().unwrap();
    (disk, expected)
}

/// What came of one changed file; `Err` says what went unnoticed.
fn judge(disk: &SimDisk, path: &Path, expected: &Records) -> Result<(), String> {
    let db = match options(disk).read_only(true).open("/db") {
        Ok(db) => db,
        Err(error) => return named(&error, path),
    };
    match records(&db) {
        Ok(found) => {
            let wrong = found.iter().find(|(place, text)| expected.get(place) != Some(text));
            if let Some((place, text)) = wrong {
                return Err(format!("a wrong record at {place:?}: {text}"));
            }
        }
        Err(error) if matches!(error.code(), Code::Corrupt | Code::Unsupported) => {}
        Err(error) => return Err(format!("a read failed with {error}")),
    }
    match db.verify(&VerifyOptions { threads: 1, ..Default::default() }, &|_, _| {}) {
        Ok(report) if report.is_clean() => Err("verify found nothing".to_owned()),
        Ok(report) => match report.faults.iter().any(|fault| same(&fault.file, path)) {
            true => Ok(()),
            false => Err(format!("verify names other files: {:?}", report.faults)),
        },
        Err(error) => named(&error, path),
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a.file_name() == b.file_name()
        && a.parent().map(Path::file_name) == b.parent().map(Path::file_name)
}

/// A refusal must be typed and name the file.
fn named(error: &blockdb::Error, path: &Path) -> Result<(), String> {
    let typed = matches!(error.code(), Code::Corrupt | Code::Unsupported);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match typed && error.to_string().contains(&name) {
        true => Ok(()),
        false => Err(format!("refused without naming the file: {error}")),
    }
}

fn run(cases: Vec<(PathBuf, u64, u8)>, disk: &SimDisk, expected: &Records) {
    let next = AtomicU64::new(0);
    let (cases, next) = (&cases, &next);
    let faults: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut faults = Vec::new();
                    while let Some((path, offset, mask)) =
                        cases.get(next.fetch_add(1, Ordering::Relaxed) as usize)
                    {
                        let changed = disk.process_crash_image();
                        changed.flip(path, *offset, *mask);
                        let outcome =
                            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                                judge(&changed, path, expected)
                            }));
                        let outcome = outcome.unwrap_or_else(|_| Err("a panic".to_owned()));
                        if let Err(what) = outcome {
                            faults.push(format!(
                                "{} byte {offset} ^ {mask:#04x}: {what}",
                                path.display()
                            ));
                        }
                        if faults.len() > 10 {
                            break;
                        }
                    }
                    faults
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} flips went wrong:\n{}", faults.len(), faults.join("\n"));
    println!("{} flips, all told and named", cases.len());
}

#[test]
fn every_flipped_byte_of_every_file_is_named() {
    let (disk, expected) = fixture();
    assert_eq!(judge(&disk, Path::new("none"), &expected), Err("verify found nothing".to_owned()));
    let every = if blockdb_tests::is_debug_build() { 7 } else { 1 };
    let mut kinds = std::collections::BTreeSet::new();
    let mut cases = Vec::new();
    for path in disk.files() {
        let bytes = disk.read_file(&path).len() as u64;
        let kind: String = path
            .file_name()
            .map(|name| name.to_string_lossy().chars().filter(|c| !c.is_ascii_digit()).collect())
            .unwrap_or_default();
        if bytes > 0 {
            kinds.insert(kind);
        }
        let offsets = (0..bytes).step_by(every);
        cases.extend(offsets.flat_map(|at| MASKS.map(|mask| (path.clone(), at, mask))));
    }
    println!("files: {kinds:?}");
    for kind in [
        "wal_.log",
        "restart",
        "blockchain_.dat",
        ".dat",
        "sstable_.sst",
        "MANIFEST",
        "metadata.toml",
        "collections.toml",
    ] {
        assert!(kinds.contains(kind), "the fixture has no {kind}: {kinds:?}");
    }
    run(cases, &disk, &expected);
}

/// A file cut short, emptied, removed or replaced by its sibling is told as well.
#[test]
fn cut_emptied_removed_and_swapped_files_are_told() {
    use blockdb::disk::Vfs;
    let (disk, expected) = fixture();
    let files: Vec<PathBuf> =
        disk.files().into_iter().filter(|path| !path.ends_with("LOCK")).collect();
    let mut faults = Vec::new();
    let mut check = |what: String, changed: &SimDisk| {
        let clean = match options(changed).read_only(true).open("/db") {
            Err(error) => {
                matches!(error.code(), Code::Corrupt | Code::Unsupported | Code::NotFound)
                    .then_some(())
                    .ok_or(error.to_string())
            }
            Ok(db) => match records(&db) {
                Ok(found) if found.iter().any(|(at, text)| expected.get(at) != Some(text)) => {
                    Err("a wrong record".to_owned())
                }
                _ => match db.verify(&VerifyOptions::default(), &|_, _| {}) {
                    Ok(report) if report.is_clean() => Err("nothing was told".to_owned()),
                    _ => Ok(()),
                },
            },
        };
        if let Err(outcome) = clean {
            faults.push(format!("{what}: {outcome}"));
        }
    };
    for path in &files {
        let bytes = disk.read_file(path);
        for keep in [0, 1, 63, 64, bytes.len() / 2, bytes.len() - 1] {
            let changed = disk.process_crash_image();
            changed.write_file(path, &bytes[..keep.min(bytes.len() - 1)]);
            check(format!("{} cut to {keep}", path.display()), &changed);
        }
        // Without its statistics a database counts anew; nothing else depends on them.
        if !path.ends_with("statistics") {
            let changed = disk.process_crash_image();
            changed.unlink(path).unwrap();
            check(format!("{} removed", path.display()), &changed);
        }
        for sibling in files
            .iter()
            .filter(|other| other.extension() == path.extension() && disk.read_file(other) != bytes)
        {
            let changed = disk.process_crash_image();
            changed.write_file(path, disk.read_file(sibling));
            check(format!("{} replaced by {}", path.display(), sibling.display()), &changed);
        }
    }
    assert!(faults.is_empty(), "{} changes went unnoticed:\n{}", faults.len(), faults.join("\n"));
}
