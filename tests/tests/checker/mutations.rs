//! Good histories spoilt in one place: serial ones, whose transactions overlap in time as they
//! like, are accepted; after any one change that no order can explain they are refused.

use std::collections::{BTreeMap, BTreeSet};

use blockdb_tests::history::Kind::{G1a, Internal, P4, Unwritten};
use blockdb_tests::history::{End, History, Kind, Op, Predicate, Report, Seen, Transaction};

use crate::{Dice, KEYS, often};

const TRANSACTIONS: u64 = 40;
/// Moments between one transaction's place in the order and the next one's.
const PACE: u64 = 100;

/// What a database that runs one transaction at a time holds.
#[derive(Default)]
struct Store {
    registers: BTreeMap<String, Seen>,
    lists: BTreeMap<String, Vec<i64>>,
    next_value: i64,
}

impl Store {
    fn op(&mut self, dice: &mut Dice) -> Vec<Op> {
        let key = KEYS[dice.below(KEYS.len())].to_owned();
        let read = Op::Read { key: key.clone(), seen: self.registers.get(&key).copied() };
        match dice.below(8) {
            0 => vec![self.write(key, dice)],
            1 | 2 => vec![read, self.write(key, dice)],
            3 => {
                self.next_value += 1;
                let element = self.next_value;
                self.lists.entry(key.clone()).or_default().push(element);
                vec![Op::Append { key, element }]
            }
            4 => {
                let elements = self.lists.get(&key).cloned().unwrap_or_default();
                vec![Op::ReadList { key, elements }]
            }
            5 => vec![self.select(Predicate::values("a", "z", i64::MIN, i64::MAX))],
            6 => {
                let group = dice.below(4) as i64 * 1_000_000;
                vec![self.select(Predicate::values("a", "z", group, group + 1_999_999))]
            }
            _ => vec![read],
        }
    }

    /// Values fall in four groups, for predicates to tell apart.
    fn write(&mut self, key: String, dice: &mut Dice) -> Op {
        self.next_value += 1;
        let value = dice.below(4) as i64 * 1_000_000 + self.next_value;
        let version = self.registers.get(&key).map_or(1, |seen| seen.version + 1);
        self.registers.insert(key.clone(), Seen { value, version });
        Op::Write { key, value, version: Some(version) }
    }

    fn select(&self, predicate: Predicate) -> Op {
        let all = self.registers.iter();
        let found = all.filter(|(key, seen)| predicate.selects(key, seen.value));
        let matched = found.map(|(key, seen)| (key.clone(), *seen)).collect();
        Op::ReadWhere { predicate, matched, unmatched: Vec::new() }
    }
}

/// A serial history. Each transaction's place in the order lies within its span, and spans overlap.
fn serial(seed: u64) -> History {
    let (mut store, mut dice) = (Store::default(), Dice(seed));
    let mut history = History::default();
    for id in 1..=TRANSACTIONS {
        let before = (store.registers.clone(), store.lists.clone());
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..1 + dice.below(4) {
            ops.extend(store.op(&mut dice));
        }
        let end = match dice.below(12) {
            0 => End::Aborted,
            1 | 2 => End::Unknown,
            _ => End::Committed,
        };
        // What has no answer may have happened or not; its client was told no version.
        if end == End::Aborted || end == End::Unknown && dice.below(2) == 0 {
            (store.registers, store.lists) = before;
        }
        for op in &mut ops {
            if let (Op::Write { version, .. }, true) = (op, end != End::Committed) {
                *version = None;
            }
        }
        let mut reach = || dice.below(2 * PACE as usize) as u64;
        let span = Some((id * PACE + 1000 - reach(), id * PACE + 1000 + reach()));
        history.transactions.push(Transaction { id, process: id % 4, ops, end, span });
    }
    history
}

/// A committed transaction's read of a register that another transaction wrote, or that is absent.
#[derive(Clone, Copy)]
struct ReadOf {
    transaction: usize,
    op: usize,
    seen: Option<Seen>,
}

/// What mutations look up.
struct Facts {
    reads: Vec<ReadOf>,
    /// Who wrote which version of which key, and what.
    versions: BTreeMap<(String, u64), (usize, i64)>,
}

fn facts(history: &History) -> Facts {
    let mut written: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    let mut versions = BTreeMap::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        for op in &transaction.ops {
            if let Op::Write { key, value, version } = op {
                written.insert((key, *value), index);
                if let Some(version) = version {
                    versions.insert((key.clone(), *version), (index, *value));
                }
            }
        }
    }
    let mut reads = Vec::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        let mut own = BTreeSet::new();
        for (op, done) in transaction.ops.iter().enumerate() {
            match done {
                Op::Write { key, .. } => {
                    own.insert(key);
                }
                Op::Read { key, seen } if transaction.end == End::Committed => {
                    if let Some(Seen { value, version }) = *seen {
                        let by = written[&(key.as_str(), value)];
                        versions.insert((key.clone(), version), (by, value));
                    }
                    if !own.contains(key) {
                        reads.push(ReadOf { transaction: index, op, seen: *seen });
                    }
                }
                _ => {}
            }
        }
    }
    Facts { reads, versions }
}

impl Facts {
    fn version(&self, key: &str, version: u64) -> Option<(usize, Seen)> {
        let (by, value) = *self.versions.get(&(key.to_owned(), version))?;
        Some((by, Seen { value, version }))
    }
}

fn began(transaction: &Transaction) -> u64 {
    transaction.span.map_or(0, |span| span.0)
}

/// When it had ended for sure.
fn ended(transaction: &Transaction) -> u64 {
    let known = transaction.span.filter(|_| transaction.end == End::Committed);
    known.map_or(u64::MAX, |span| span.1)
}

fn key_of(op: &Op) -> &str {
    match op {
        Op::Write { key, .. }
        | Op::Read { key, .. }
        | Op::Append { key, .. }
        | Op::ReadList { key, .. } => key,
        Op::ReadWhere { .. } => "",
    }
}

/// One from a list, if it has any.
fn any<T>(dice: &mut Dice, mut list: Vec<T>) -> Option<T> {
    if list.is_empty() { None } else { Some(list.swap_remove(dice.below(list.len()))) }
}

/// Spoils a history in one place, if it has such a place.
type Mutation = fn(&mut History, &Facts, &mut Dice) -> Option<()>;

/// Swaps the version a read saw for another one of those its key has.
fn reread(
    history: &mut History,
    facts: &Facts,
    dice: &mut Dice,
    other: fn(&History, &Facts, &ReadOf, &str) -> Option<Option<Seen>>,
) -> Option<()> {
    let places = facts.reads.iter().filter_map(|read| {
        let key = key_of(&history.transactions[read.transaction].ops[read.op]);
        Some((*read, other(history, facts, read, key)?))
    });
    let (read, new) = any(dice, places.collect())?;
    if let Op::Read { seen, .. } = &mut history.transactions[read.transaction].ops[read.op] {
        *seen = new;
    }
    Some(())
}

fn the_one_before(facts: &Facts, key: &str, seen: Seen) -> Option<Option<Seen>> {
    match seen.version {
        1 => Some(None),
        version => Some(Some(facts.version(key, version - 1)?.1)),
    }
}

/// A read sees the version before, though the next was acknowledged before its transaction began.
fn stale_read(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    reread(history, facts, dice, |history, facts, read, key| {
        let writer = &history.transactions[facts.version(key, read.seen?.version)?.0];
        let late = ended(writer) < began(&history.transactions[read.transaction]);
        late.then(|| the_one_before(facts, key, read.seen?)).flatten()
    })
}

/// A read sees the next version, though that one's writer began after its transaction had ended.
fn future_read(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    reread(history, facts, dice, |history, facts, read, key| {
        let next = read.seen.map_or(1, |seen| seen.version + 1);
        let (by, seen) = facts.version(key, next)?;
        let early = ended(&history.transactions[read.transaction]);
        (early < began(&history.transactions[by])).then_some(Some(seen))
    })
}

/// Whoever read a version and wrote the next one had read the one before.
fn lost_update(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    reread(history, facts, dice, |_, facts, read, key| {
        let seen = read.seen?;
        let (next, _) = facts.version(key, seen.version + 1)?;
        let earlier = seen.version.checked_sub(1).and_then(|before| facts.version(key, before));
        let (by, _) = facts.version(key, seen.version)?;
        // If one transaction wrote both, the one before was never there for others.
        let is_whole = earlier.is_none_or(|(earlier, _)| earlier != by);
        (next == read.transaction && is_whole).then(|| the_one_before(facts, key, seen)).flatten()
    })
}

/// A write that was seen is taken out of the history.
fn dropped_write(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let places = facts.reads.iter().filter_map(|read| {
        let key = key_of(&history.transactions[read.transaction].ops[read.op]);
        Some((facts.version(key, read.seen?.version)?, key.to_owned()))
    });
    let ((by, seen), key) = any(dice, places.collect())?;
    history.transactions[by].ops.retain(|op| match op {
        Op::Write { value, key: own, .. } => (*value, own) != (seen.value, &key),
        _ => true,
    });
    Some(())
}

/// A reader ends before anybody began.
fn reordered(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let places = facts.reads.iter().filter(|read| read.seen.is_some());
    let read = any(dice, places.collect())?;
    history.transactions[read.transaction].span = Some((1, 2));
    Some(())
}

/// What was seen had been rolled back.
fn aborted(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let places = facts.reads.iter().filter_map(|read| {
        let key = key_of(&history.transactions[read.transaction].ops[read.op]);
        Some(facts.version(key, read.seen?.version)?.0)
    });
    let by = any(dice, places.collect())?;
    history.transactions[by].end = End::Aborted;
    Some(())
}

/// Two versions in succession change places, though the writer of the later had read the earlier.
fn swapped(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let places = facts.reads.iter().filter_map(|read| {
        let key = key_of(&history.transactions[read.transaction].ops[read.op]);
        let (by, left) = facts.version(key, read.seen?.version)?;
        let (next, right) = facts.version(key, left.version + 1)?;
        (next == read.transaction && by != next).then(|| (key.to_owned(), left, right))
    });
    let (key, left, right) = any(dice, places.collect())?;
    let renumber = |value: i64, version: &mut u64| match value {
        value if value == left.value => *version = right.version,
        value if value == right.value => *version = left.version,
        _ => {}
    };
    for op in history.transactions.iter_mut().flat_map(|transaction| &mut transaction.ops) {
        match op {
            Op::Write { key: own, value, version: Some(version) } if *own == key => {
                renumber(*value, version);
            }
            Op::Read { key: own, seen: Some(seen) } if *own == key => {
                renumber(seen.value, &mut seen.version);
            }
            Op::ReadWhere { matched, .. } => {
                let own = matched.iter_mut().filter(|(own, _)| *own == key);
                own.for_each(|(_, seen)| renumber(seen.value, &mut seen.version));
            }
            _ => {}
        }
    }
    Some(())
}

/// A transaction finds the version before its own write.
fn forgotten(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let committed = (0..history.transactions.len())
        .filter(|index| history.transactions[*index].end == End::Committed);
    let places = committed.flat_map(|index| {
        let ops = history.transactions[index].ops.iter().enumerate();
        ops.filter_map(move |(place, op)| match op {
            Op::Write { key, version: Some(version), .. } => Some((index, place, key, *version)),
            _ => None,
        })
    });
    let places = places.map(|(index, place, key, version)| (index, place, key.clone(), version));
    let (index, place, key, version) = any(dice, places.collect())?;
    let seen = version.checked_sub(1).and_then(|before| facts.version(&key, before));
    let read = Op::Read { key, seen: seen.map(|(_, seen)| seen) };
    history.transactions[index].ops.insert(place + 1, read);
    Some(())
}

/// The last element of a list is not seen, though it was acknowledged before.
fn short_list(history: &mut History, _: &Facts, dice: &mut Dice) -> Option<()> {
    let mut appenders = BTreeMap::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        for op in &transaction.ops {
            if let Op::Append { element, .. } = op {
                appenders.insert(*element, index);
            }
        }
    }
    let mut places = Vec::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        for (op, done) in transaction.ops.iter().enumerate() {
            let Op::ReadList { elements, .. } = done else { continue };
            let last = elements.last().map(|element| &history.transactions[appenders[element]]);
            let late = last.is_some_and(|last| ended(last) < began(transaction));
            if late && transaction.end == End::Committed {
                places.push((index, op));
            }
        }
    }
    let (index, op) = any(dice, places)?;
    if let Op::ReadList { elements, .. } = &mut history.transactions[index].ops[op] {
        elements.pop();
    }
    Some(())
}

/// A scan of everything does not find a record that was there before.
fn short_scan(history: &mut History, facts: &Facts, dice: &mut Dice) -> Option<()> {
    let mut places = Vec::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        for (op, done) in transaction.ops.iter().enumerate() {
            let Op::ReadWhere { predicate, matched, .. } = done else { continue };
            if transaction.end != End::Committed || !predicate.selects("a", i64::MIN) {
                continue;
            }
            for (place, (key, _)) in matched.iter().enumerate() {
                let first = facts.version(key, 1).map(|(by, _)| &history.transactions[by]);
                if first.is_some_and(|first| ended(first) < began(transaction)) {
                    places.push((index, op, place));
                }
            }
        }
    }
    let (index, op, place) = any(dice, places)?;
    if let Op::ReadWhere { matched, .. } = &mut history.transactions[index].ops[op] {
        matched.remove(place);
    }
    Some(())
}

/// What it does, whether what it makes is wrong without real time too, and a kind that must be
/// found.
const MUTATIONS: [(&str, Mutation, bool, Option<Kind>); 10] = [
    ("stale read", stale_read, false, None),
    ("future read", future_read, false, None),
    ("lost update", lost_update, true, Some(P4)),
    ("dropped write", dropped_write, true, Some(Unwritten)),
    ("reordered", reordered, false, None),
    ("aborted", aborted, true, Some(G1a)),
    ("swapped", swapped, true, None),
    ("forgotten", forgotten, true, Some(Internal)),
    ("short list", short_list, false, None),
    ("short scan", short_scan, false, None),
];

fn judge(history: &History, what: &str) -> Report {
    let report = history.check();
    assert_eq!(report.untold, 0, "{what}");
    report
}

#[test]
fn serial_histories_that_overlap_in_time_are_accepted_and_refused_when_spoilt_in_one_place() {
    let mut tried = [0; MUTATIONS.len()];
    let seeds = often(300);
    for seed in 0..seeds {
        let good = serial(seed);
        let report = judge(&good, "good");
        assert!(report.is_clean(), "seed {seed}: {}", good.explain(&report));
        let facts = facts(&good);
        for (place, (name, mutate, untimed, kind)) in MUTATIONS.iter().enumerate() {
            let (mut spoilt, mut dice) = (good.clone(), Dice(seed ^ 0xfeed));
            if mutate(&mut spoilt, &facts, &mut dice).is_none() {
                continue;
            }
            tried[place] += 1;
            let report = judge(&spoilt, name);
            let told = || format!("{name}, seed {seed}: {}", spoilt.explain(&report));
            assert!(!report.is_clean(), "{}", told());
            assert!(!untimed || !report.is_serializable(), "{}", told());
            assert!(kind.is_none_or(|kind| report.kinds().contains(&kind)), "{}", told());
        }
    }
    for (count, (name, ..)) in tried.iter().zip(MUTATIONS) {
        assert!(*count > seeds / 4, "{name} was tried {count} times");
    }
}
