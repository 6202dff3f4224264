//! A random walk: any call in any order, with any options, crashes between and within calls, and
//! after each step a look at the database from some side. The model must agree with every answer.

use std::collections::BTreeSet;
use std::ops::Bound;

use blockdb::document::Value;
use blockdb::host::simulated::Dice;
use blockdb::shard::read::KeyRange;
use blockdb::{Collection, Db, Document, Durability, Record, Tuning, doc};

use super::images::Crash;
use super::model::{Entry, Model, ModelCollection};
use super::oracle;
use super::script::{Step, TransactionWrite, document};
use super::session::{Outcome, Session};
use super::{Machine, tiny};

const NAMES: [&str; 5] = ["default", "a", "b", "a.sub", "z-9"];

/// A walk of `steps` steps from `seed`.
pub fn walk(seed: u64, steps: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let durability = match dice.below(6) {
        0 => Durability::None,
        1 => Durability::Interval(50),
        _ => Durability::Sync,
    };
    let machine = Machine::new(tuning(&mut dice), durability, dice.bits());
    let mut session = Session::new(machine, None);
    if let Outcome::Dead(error) = session.open() {
        return Err(format!("it does not open: {error}"));
    }
    for number in 0..steps {
        let step = step(&mut dice, &session.history.visible());
        let place = |what: String| format!("{what}\n  at step {number}: {step:.300?}");
        match dice.below(100) {
            0..3 => crash_within(&mut session, &step, &mut dice).map_err(place)?,
            3 => session
                .reboot(Crash { power: power(&mut dice), seed: dice.bits() })
                .map_err(place)?,
            _ => match session.perform(&step).map_err(place)? {
                Outcome::Done => {}
                outcome => return Err(place(format!("without any fault: {outcome:?}"))),
            },
        }
        look(&session, &mut dice).map_err(place)?;
    }
    session.check_all()?;
    match session.db() {
        Some(db) => oracle::verify(db),
        None => Ok(()),
    }
}

/// Sizes from tiny to usual, each by its own throw.
fn tuning(dice: &mut Dice) -> Tuning {
    let mut size = |small: u64, spread: u64| small << dice.below(spread);
    Tuning {
        file_handles_max: size(16, 4) as usize,
        log_bytes_max: size(32 << 10, 6),
        log_segment_bytes: size(4 << 10, 6),
        ledger_segment_bytes: size(2 << 10, 8),
        frame_bytes: size(128, 8) as usize,
        table_bytes_max: size(2 << 10, 8),
        flush_bytes_max: size(4 << 10, 6),
        close_flush_entries_min: size(4, 8) as usize,
        ..tiny()
    }
}

fn power(dice: &mut Dice) -> Option<blockdb::disk::simulated::CrashMode> {
    use blockdb::disk::simulated::CrashMode;
    match dice.below(5) {
        4 => None,
        mode => Some(CrashMode::HONEST[mode as usize]),
    }
}

/// The power goes while `step` is under way, or a little later.
fn crash_within(session: &mut Session, step: &Step, dice: &mut Dice) -> Result<(), String> {
    let at = session.machine.disk.ops() + dice.below(30);
    session.machine.disk.crash_at(at);
    session.blind = true;
    if !matches!(step, Step::Reopen | Step::Kill) {
        session.perform(step)?;
    } else if let Some(db) = session.db() {
        // An orderly end that is cut short acknowledges nothing.
        let _ = db.close();
    }
    session.reboot(Crash { power: power(dice), seed: dice.bits() })
}

fn key(dice: &mut Dice) -> String {
    let number = dice.below(48);
    match dice.below(6) {
        0 => format!("p/{number}"),
        1 => format!("é{number}"),
        2 => format!("{number:0>40}"),
        _ => format!("k{number}"),
    }
}

/// A key that is likely to exist.
fn known_key(dice: &mut Dice, collection: Option<&ModelCollection>) -> String {
    let entries = collection.map_or(&[][..], |collection| &collection.entries);
    match entries.get(dice.below(entries.len() as u64) as usize) {
        Some(entry) if dice.chance(3, 4) => entry.key.clone(),
        _ => key(dice),
    }
}

fn body(dice: &mut Dice) -> Document {
    match dice.below(20) {
        0 => doc! {},
        1 => doc! { "large": "y".repeat(dice.below(6_000) as usize) },
        _ => document(dice),
    }
}

fn step(dice: &mut Dice, model: &Model) -> Step {
    let name = NAMES[dice.below(NAMES.len() as u64) as usize].to_owned();
    let collection = model.collections.get(&name).map(|collection| &**collection);
    if collection.is_none() && name != "default" && dice.chance(3, 4) {
        return Step::Create { name, settings: settings(dice, true) };
    }
    match dice.below(100) {
        0..20 => Step::Insert { name, key: key(dice), body: body(dice) },
        20..40 => {
            let newest = |key: &str| {
                let newest = collection.and_then(|collection| collection.newest(key));
                newest.map_or(0, |entry| entry.revision)
            };
            let key = known_key(dice, collection);
            let expect = dice.chance(1, 2).then(|| newest(&key) + dice.below(4) / 3);
            Step::Put { name, key, body: body(dice), expect }
        }
        40..50 => transaction(dice, model),
        50..62 => {
            let count = dice.below(24);
            let items = (0..count).map(|_| (key(dice), body(dice))).collect();
            Step::InsertMany {
                name,
                items,
                batch: 1 + dice.below(12) as usize,
                skip: dice.chance(3, 4),
            }
        }
        62..68 => Step::Seal { name },
        68..73 => Step::Rotate { name },
        73..80 => Step::Background,
        80..83 => Step::RestartPoint,
        83 => Step::Settle,
        84..87 => Step::Elapse { ms: dice.below(3_000) },
        87 => Step::Jump { seconds: dice.below(7_200) as i64 - 3_600 },
        88..91 => Step::Create { name, settings: settings(dice, true) },
        91..94 => Step::Configure { name, settings: settings(dice, false) },
        94..96 => Step::Drop { name, purge: dice.chance(1, 2) },
        96..98 => Step::Reopen,
        _ => Step::Kill,
    }
}

/// Writes to any collections, most of them such as will not be refused, some keys several times.
fn transaction(dice: &mut Dice, model: &Model) -> Step {
    let existing: Vec<&String> = model.collections.keys().collect();
    let mut writes: Vec<TransactionWrite> = Vec::new();
    for _ in 0..dice.below(10) {
        let name = match existing.get(dice.below(existing.len() as u64) as usize) {
            Some(name) if dice.chance(19, 20) => (*name).clone(),
            _ => NAMES[dice.below(NAMES.len() as u64) as usize].to_owned(),
        };
        let collection = model.collections.get(&name).map(|collection| &**collection);
        let put = match collection.is_some_and(ModelCollection::revisions) {
            true => dice.chance(5, 6),
            false => dice.chance(1, 60),
        };
        let again = writes.iter().rev().find(|write| write.name == name && put);
        let key = match again {
            Some(write) if dice.chance(1, 3) => write.key.clone(),
            _ if put || dice.chance(1, 20) => known_key(dice, collection),
            _ => format!("t{}", dice.below(1 << 20)),
        };
        writes.push(TransactionWrite { name, key, body: body(dice), put });
    }
    Step::Transaction { writes, rolls_back: dice.chance(1, 8) }
}

fn settings(dice: &mut Dice, new: bool) -> Vec<(String, Value)> {
    let all = [
        ("block_records", Value::Int(1 + dice.below(20) as i64)),
        ("seal_interval_ms", Value::Int(dice.below(3) as i64 * 700)),
        ("compression", Value::String(["lz4", "none"][dice.below(2) as usize].to_owned())),
        ("flush_bytes", Value::Int(1024 << dice.below(8))),
        ("description", Value::String(format!("number {}", dice.below(3)))),
        ("revisions", Value::Bool(dice.chance(4, 5))),
        ("flush_interval_ms", Value::Null),
    ];
    let count = if new { 3 } else { 1 };
    let chosen = all.into_iter().filter(|_| dice.chance(count, 5));
    chosen.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Looks at one collection from one side.
fn look(session: &Session, dice: &mut Dice) -> Result<(), String> {
    let Some(db) = session.db() else { return Ok(()) };
    let model = session.history.visible();
    if dice.chance(1, 25) {
        return oracle::compare(db, &model);
    }
    let Some((name, expected)) =
        model.collections.iter().nth(dice.below(model.collections.len() as u64) as usize)
    else {
        return Ok(());
    };
    let side = Side { collection: db.collection(name), expected };
    side.look(dice, db).map_err(|what| format!("looking at {name}: {what}"))
}

struct Side<'a> {
    collection: Collection,
    expected: &'a ModelCollection,
}

impl Side<'_> {
    fn look(&self, dice: &mut Dice, db: &Db) -> Result<(), String> {
        match dice.below(7) {
            0 => self.one(dice),
            1 => self.several(dice),
            2 | 3 => self.scan(dice),
            4 => self.changes(dice),
            5 => self.history(dice),
            _ => {
                let count = self.collection.count().map_err(|error| error.to_string())?;
                let stats = self.collection.stats().map_err(|error| error.to_string())?;
                let listed =
                    db.collections(self.collection.name()).map_err(|error| error.to_string())?;
                let expected =
                    (self.expected.keys.len() as u64, self.expected.entries.len() as u64);
                match (count, stats.records) == expected && !listed.is_empty() {
                    true => Ok(()),
                    false => Err(format!("count {count} and {stats:?}, expected {expected:?}")),
                }
            }
        }
    }

    fn one(&self, dice: &mut Dice) -> Result<(), String> {
        let key = known_key(dice, Some(self.expected));
        let revision = dice.below(4);
        let newest = self.collection.get(&key).map_err(|error| error.to_string())?;
        same(newest.as_ref(), self.expected.newest(&key))
            .map_err(|what| format!("get {key}: {what}"))?;
        let one =
            self.collection.get_revision(&key, revision).map_err(|error| error.to_string())?;
        let expected = self.expected.history(&key).find(|entry| entry.revision == revision);
        same(one.as_ref(), expected).map_err(|what| format!("get {key} {revision}: {what}"))
    }

    fn several(&self, dice: &mut Dice) -> Result<(), String> {
        let keys: Vec<String> =
            (0..dice.below(9)).map(|_| known_key(dice, Some(self.expected))).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = self.collection.get_many(&keys).map_err(|error| error.to_string())?;
        if found.len() != keys.len() {
            return Err(format!("{} answers for {} keys", found.len(), keys.len()));
        }
        let mut pairs = keys.iter().zip(&found);
        pairs.try_for_each(|(key, found)| same(found.as_ref(), self.expected.newest(key)))
    }

    fn history(&self, dice: &mut Dice) -> Result<(), String> {
        let key = known_key(dice, Some(self.expected));
        let found = self.collection.history(&key).map_err(|error| error.to_string())?;
        let expected: Vec<&Entry> = self.expected.history(&key).collect();
        all_same(found.into_iter().map(Ok), expected.into_iter())
            .map_err(|what| format!("history of {key}: {what}"))
    }

    fn scan(&self, dice: &mut Dice) -> Result<(), String> {
        let bound = |dice: &mut Dice| match dice.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(known_key(dice, Some(self.expected))),
            _ => Bound::Excluded(known_key(dice, Some(self.expected))),
        };
        let (lower, upper) = (bound(dice), bound(dice));
        let prefix = ["", "k", "k1", "p/", "é", "00", "\u{10ffff}"][dice.below(7) as usize];
        let by_prefix = dice.chance(1, 3);
        let within = |key: &str| match by_prefix {
            true => key.starts_with(prefix),
            false => {
                (match &lower {
                    Bound::Unbounded => true,
                    Bound::Included(lower) => key >= lower.as_str(),
                    Bound::Excluded(lower) => key > lower.as_str(),
                }) && (match &upper {
                    Bound::Unbounded => true,
                    Bound::Included(upper) => key <= upper.as_str(),
                    Bound::Excluded(upper) => key < upper.as_str(),
                })
            }
        };
        let reverse = dice.chance(1, 2);
        let limit = if dice.chance(1, 2) { dice.below(20) } else { u64::MAX };
        let mut expected: Vec<&Entry> =
            self.expected.newest_by_key().filter(|entry| within(&entry.key)).collect();
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit.min(1 << 20) as usize);
        let bytes = |bound: &Bound<String>| bound.as_ref().map(|key| key.as_bytes().to_vec());
        let scan = match by_prefix {
            true => self.collection.scan_prefix(prefix),
            false => self.collection.scan_range(KeyRange {
                lower: bytes(&lower),
                upper: bytes(&upper),
                reverse: false,
            }),
        };
        let scan = scan.reverse(reverse).limit(limit);
        all_same(scan.into_iter(), expected.into_iter()).map_err(|what| {
            format!("scan {lower:?} {upper:?} {by_prefix} {prefix:?} {reverse} {limit}: {what}")
        })
    }

    fn changes(&self, dice: &mut Dice) -> Result<(), String> {
        let end =
            self.expected.entries.last().and_then(|entry| entry.receipt).map_or(9, |r| r.seq + 3);
        let after = dice.chance(2, 3).then(|| dice.below(end));
        let until = dice.chance(1, 2).then(|| dice.below(end));
        let known = self.expected.entries.iter().all(|entry| entry.receipt.is_some());
        if !known {
            return Ok(());
        }
        let within = |entry: &&Entry| {
            let seq = entry.receipt.map_or(0, |receipt| receipt.seq);
            after.is_none_or(|after| seq > after) && until.is_none_or(|until| seq <= until)
        };
        let found = self.collection.changes(after, until).map_err(|error| error.to_string())?;
        all_same(found, self.expected.entries.iter().filter(within))
            .map_err(|what| format!("changes {after:?} {until:?}: {what}"))
    }
}

fn same(record: Option<&Record>, entry: Option<&Entry>) -> Result<(), String> {
    let equal = match (record, entry) {
        (None, None) => true,
        (Some(record), Some(entry)) => oracle::same(record, entry).is_ok(),
        _ => false,
    };
    match equal {
        true => Ok(()),
        false => Err(format!("found {record:?}, expected {entry:?}")),
    }
}

fn all_same<'a>(
    found: impl Iterator<Item = blockdb::Result<Record>>,
    mut expected: impl Iterator<Item = &'a Entry>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for record in found {
        let record = record.map_err(|error| error.to_string())?;
        if !seen.insert(record.seq) {
            return Err(format!("{record:?} comes twice"));
        }
        same(Some(&record), expected.next())?;
    }
    match expected.next() {
        None => Ok(()),
        missing => same(None, missing),
    }
}
