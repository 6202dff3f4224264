//! The order in which each key changed, as far as it is known, and who counts as committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::numbers::{Concluded, Numbers, Spare};
use super::{End, History, Kind, Op, Report, reads};

/// One version of a key. For a list, what the list was after this element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Index of the transaction that installed it.
    pub by: usize,
    /// The value, or the element.
    pub value: i64,
    /// The number the database gave it; elements have none.
    pub number: Option<u64>,
    /// How many versions there were with it.
    pub place: usize,
    /// Whether there were others just before it that nobody told.
    pub gap: Gap,
}

/// Versions missing before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// There are none.
    No,
    /// All of them may be of the transaction that wrote the one after them.
    Own,
    /// Some of them are of others.
    Foreign,
}

/// What is known of one key. What a transaction itself wrote over is no version of its own: it
/// stands in the place of the one after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Committed versions, oldest first. Before the first there was nothing.
    pub versions: Vec<Version>,
    /// Committed versions that come after all of those, in an order nobody saw.
    pub loose: Vec<Version>,
    places: HashMap<i64, usize>,
}

impl Chain {
    /// How many versions there were when `value` was the newest.
    pub fn place(&self, value: i64) -> Option<usize> {
        self.places.get(&value).copied()
    }

    /// The version at a place; at place 0 there is none.
    pub fn at(&self, place: usize) -> Option<Version> {
        self.versions.get(place.checked_sub(1)?).copied()
    }

    fn push(&mut self, by: usize, value: i64, number: Option<u64>, gap: Gap) {
        let own = self.versions.pop_if(|last| last.by == by);
        let gap = own.map_or(gap, |own| own.gap);
        let place = self.versions.len() + 1;
        self.versions.push(Version { by, value, number, place, gap });
        self.places.insert(value, place);
    }
}

/// A write found by what it wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Index of its transaction.
    pub by: usize,
    /// Whether its transaction wrote the key again.
    pub overwritten: bool,
}

/// All writes by key and value.
pub(super) type Writers<'h> = HashMap<(&'h str, i64), Written>;

/// The versions of all keys.
#[derive(Debug, Default)]
pub(super) struct Versions<'h> {
    /// Registers by key.
    pub registers: BTreeMap<&'h str, Chain>,
    /// Lists by key.
    pub lists: BTreeMap<&'h str, Chain>,
    /// Writes of registers that may have happened, as versions nobody told.
    pub spare: HashMap<&'h str, Vec<Spare>>,
    /// Whether the transaction of an index counts as committed.
    pub committed: Vec<bool>,
}

/// Where a read of a list stands: what others had appended when it was read.
pub(super) fn foreign<'e>(elements: &'e [i64], own: &[i64]) -> &'e [i64] {
    elements.strip_suffix(own).unwrap_or(elements)
}

impl<'h> Versions<'h> {
    pub fn of(history: &'h History, report: &mut Report) -> Self {
        let written = writers(history, report, false);
        let appended = writers(history, report, true);
        let told = told(history, &written, &appended, report);
        let Told { committed, numbers, spare } = told;
        report.transactions = committed.iter().filter(|committed| **committed).count();
        let mut versions = Versions { committed, spare, ..Versions::default() };
        versions.order_registers(numbers, &written);
        versions.order_lists(history, &appended, report);
        reads::judge(history, &versions.committed, [&written, &appended], report);
        versions
    }

    fn order_registers(&mut self, numbers: Numbers<'h>, written: &Writers<'h>) {
        for (key, numbers) in numbers.values {
            let chain = self.registers.entry(key).or_default();
            for (number, value) in numbers {
                let by = written.get(&(key, value)).map(|written| written.by);
                if let Some(by) = by.filter(|by| self.committed[*by]) {
                    let newest = chain.versions.last().and_then(|last| last.number).unwrap_or(0);
                    let missing = (number - newest).saturating_sub(1);
                    let spare = self.spare.get(key).into_iter().flatten();
                    let gap = match missing {
                        0 => Gap::No,
                        _ if spare.filter(|one| one.by == by).count() as u64 >= missing => Gap::Own,
                        _ => Gap::Foreign,
                    };
                    chain.push(by, value, Some(number), gap);
                }
            }
        }
    }

    /// The longest list a committed transaction read is the order; every other one must begin it.
    fn order_lists(&mut self, history: &'h History, appended: &Writers<'h>, report: &mut Report) {
        let mut longest: BTreeMap<&str, (&[i64], u64)> = BTreeMap::new();
        for (index, transaction) in history.transactions.iter().enumerate() {
            for op in &transaction.ops {
                let Op::ReadList { key, elements } = op else { continue };
                if !self.committed[index] {
                    continue;
                }
                let known = longest.entry(key).or_insert((&elements[..], transaction.id));
                let (long, short) = match elements.len() > known.0.len() {
                    true => (&elements[..], known.0),
                    false => (known.0, &elements[..]),
                };
                if !long.starts_with(short) {
                    let reason = format!(
                        "T{} read {key}={:?} and T{} read {key}={elements:?}: neither begins the \
                         other",
                        known.1, known.0, transaction.id
                    );
                    report.tell(Kind::Contradiction, vec![known.1, transaction.id], reason);
                } else if elements.len() > known.0.len() {
                    *known = (&elements[..], transaction.id);
                }
            }
        }
        for (key, (elements, reader)) in longest {
            let distinct: BTreeSet<&i64> = elements.iter().collect();
            if distinct.len() < elements.len() {
                let reason = format!("T{reader} read {key}={elements:?}: an element stands twice");
                report.tell(Kind::Contradiction, vec![reader], reason);
            }
            let chain = self.lists.entry(key).or_default();
            for element in elements {
                let by = appended.get(&(key, *element)).map(|written| written.by);
                if let Some(by) = by.filter(|by| self.committed[*by]) {
                    chain.push(by, *element, None, Gap::No);
                }
            }
        }
        for (index, transaction) in history.transactions.iter().enumerate() {
            for op in &transaction.ops {
                let Op::Append { key, element } = op else { continue };
                let chain = self.lists.entry(key).or_default();
                if self.committed[index] && chain.place(*element).is_none() {
                    let place = chain.versions.len() + 1;
                    let (by, value, number, gap) = (index, *element, None, Gap::No);
                    chain.loose.push(Version { by, value, number, place, gap });
                }
            }
        }
    }
}

/// Who wrote which value (or appended which element) to which key.
fn writers<'h>(history: &'h History, report: &mut Report, lists: bool) -> Writers<'h> {
    let mut writers = Writers::new();
    for (index, transaction) in history.transactions.iter().enumerate() {
        let mut last: HashMap<&str, i64> = HashMap::new();
        for op in &transaction.ops {
            let (key, value) = match op {
                Op::Write { key, value, .. } if !lists => (key, value),
                Op::Append { key, element } if lists => (key, element),
                _ => continue,
            };
            if let Some(before) = last.insert(key, *value)
                && let Some(written) = writers.get_mut(&(key.as_str(), before))
            {
                written.overwritten = true;
            }
            let new = Written { by: index, overwritten: false };
            if let Some(other) = writers.insert((key.as_str(), *value), new) {
                let ids = vec![history.transactions[other.by].id, transaction.id];
                let reason = format!(
                    "T{} and T{} both wrote {value} to {key}: histories to be judged write no \
                     value twice",
                    ids[0], ids[1]
                );
                report.tell(Kind::Contradiction, ids, reason);
            }
        }
    }
    writers
}

/// What is told of all registers, and what follows from it.
struct Told<'h> {
    committed: Vec<bool>,
    numbers: Numbers<'h>,
    spare: HashMap<&'h str, Vec<Spare>>,
}

/// Rounds of conclusions on who wrote missing versions, at most.
const ROUNDS_MAX: usize = 10;

/// Gathers the numbers of versions. Where all writes that may be missing versions must be, by their
/// count and their order, they are; and then their transactions have happened, and what those read
/// tells more.
fn told<'h>(
    history: &'h History,
    written: &Writers<'h>,
    appended: &Writers<'h>,
    report: &mut Report,
) -> Told<'h> {
    let mut concluded = HashMap::new();
    let mut round = 0;
    loop {
        round += 1;
        let committed = committed(history, written, appended, &concluded);
        let mut contradictions = Report::default();
        let numbers = Numbers::of(history, &committed, written, &concluded, &mut contradictions);
        let spare = numbers.spare(history);
        let mut more = numbers.conclude(&spare);
        more.retain(|place, _| !concluded.contains_key(place));
        if more.is_empty() || round == ROUNDS_MAX || !contradictions.is_clean() {
            report.anomalies.append(&mut contradictions.anomalies);
            report.untold += contradictions.untold;
            // Where observations contradict each other, it is no wonder that some are missing.
            if report.is_clean() {
                numbers.tell_gaps(&spare, report);
            }
            return Told { committed, numbers, spare };
        }
        concluded.extend(more);
    }
}

/// Which transactions count as committed: those acknowledged, and those of unknown outcome that a
/// committed one read of, or whose writes must be versions that are missing.
fn committed(
    history: &History,
    written: &Writers<'_>,
    appended: &Writers<'_>,
    concluded: &Concluded<'_>,
) -> Vec<bool> {
    let ends = history.transactions.iter().map(|transaction| transaction.end);
    let mut committed: Vec<bool> = ends.map(|end| end == End::Committed).collect();
    for by in concluded.keys().filter_map(|place| written.get(place)).map(|written| written.by) {
        committed[by] |= history.transactions[by].end == End::Unknown;
    }
    let mut open: Vec<usize> = (0..committed.len()).filter(|index| committed[*index]).collect();
    while let Some(reader) = open.pop() {
        let mut observe = |found: Option<&Written>| {
            let unknown = |by: &usize| history.transactions[*by].end == End::Unknown;
            if let Some(by) = found.map(|found| found.by).filter(unknown)
                && !std::mem::replace(&mut committed[by], true)
            {
                open.push(by);
            }
        };
        for op in &history.transactions[reader].ops {
            match op {
                Op::Read { key, seen: Some(seen) } => {
                    observe(written.get(&(key.as_str(), seen.value)));
                }
                Op::ReadList { key, elements } => {
                    elements.iter().for_each(|element| {
                        observe(appended.get(&(key.as_str(), *element)));
                    });
                }
                Op::ReadWhere { matched, unmatched, .. } => {
                    for (key, seen) in matched.iter().chain(unmatched) {
                        observe(written.get(&(key.as_str(), seen.value)));
                    }
                }
                _ => {}
            }
        }
    }
    committed
}
