//! The order in which each key changed, as far as it is known, and the reads that no order explains:
//! contradictions, values from nowhere, aborted and intermediate reads, own writes not seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{End, History, Kind, Op, Report, Seen};

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
struct Written {
    by: usize,
    /// Whether its transaction wrote the key again.
    overwritten: bool,
}

/// A write that may have happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    /// Index of its transaction.
    pub by: usize,
    /// The value.
    pub value: i64,
}

type Writers<'h> = HashMap<(&'h str, i64), Written>;

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
        let committed = committed(history, &written, &appended);
        report.transactions = committed.iter().filter(|committed| **committed).count();
        let mut versions = Versions { committed, ..Versions::default() };
        versions.order_registers(history, &written, report);
        versions.order_lists(history, &appended, report);
        for (index, transaction) in history.transactions.iter().enumerate() {
            if versions.committed[index] {
                let reader = Reader { history, index, report: &mut *report };
                reader.judge(&transaction.ops, &written, &appended);
            }
        }
        versions
    }

    /// Registers are numbered by the database; whoever wrote or read a version tells its number.
    fn order_registers(
        &mut self,
        history: &'h History,
        written: &Writers<'h>,
        report: &mut Report,
    ) {
        let mut numbers = Numbers::default();
        for (index, transaction) in history.transactions.iter().enumerate() {
            if !self.committed[index] {
                continue;
            }
            // Of its own versions a transaction knows the numbers for good only when it has ended.
            let foreign = |key: &'h str, seen: &Seen| {
                written.get(&(key, seen.value)).is_none_or(|written| written.by != index)
            };
            for op in &transaction.ops {
                match op {
                    Op::Write { key, value, version: Some(version) } => {
                        numbers.note(key, Seen { value: *value, version: *version }, report);
                    }
                    Op::Read { key, seen: Some(seen) } if foreign(key, seen) => {
                        numbers.note(key, *seen, report);
                    }
                    Op::ReadWhere { matched, unmatched, .. } => {
                        for (key, seen) in matched.iter().chain(unmatched) {
                            if foreign(key, seen) {
                                numbers.note(key, *seen, report);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        self.spare = numbers.spare(history);
        // Where observations contradict each other, it is no wonder that some are missing.
        if report.is_clean() {
            numbers.tell_gaps(&self.spare, report);
        }
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

/// Which value each version of each register is.
#[derive(Default)]
struct Numbers<'h> {
    values: BTreeMap<&'h str, BTreeMap<u64, i64>>,
    numbers: HashMap<(&'h str, i64), u64>,
}

impl<'h> Numbers<'h> {
    fn note(&mut self, key: &'h str, seen: Seen, report: &mut Report) {
        let Seen { value, version } = seen;
        let number = *self.numbers.entry((key, value)).or_insert(version);
        if number != version {
            let reason = format!("{key}={value} is said to be version {version} and {number}");
            report.tell(Kind::Contradiction, Vec::new(), reason);
            return;
        }
        let known = *self.values.entry(key).or_default().entry(version).or_insert(value);
        if known != value {
            let reason = format!("version {version} of {key} is said to be {value} and {known}");
            report.tell(Kind::Contradiction, Vec::new(), reason);
        }
    }

    fn spare(&self, history: &'h History) -> HashMap<&'h str, Vec<Spare>> {
        let mut spare: HashMap<&str, Vec<Spare>> = HashMap::new();
        for (by, transaction) in history.transactions.iter().enumerate() {
            for op in transaction.ops.iter().filter(|_| transaction.end != End::Aborted) {
                if let Op::Write { key, value, .. } = op
                    && !self.numbers.contains_key(&(key.as_str(), *value))
                {
                    spare.entry(key).or_default().push(Spare { by, value: *value });
                }
            }
        }
        spare
    }

    /// Versions are numbered without gaps: one that nobody wrote or read must be the write of somebody
    /// who was not told its number.
    fn tell_gaps(&self, spare: &HashMap<&str, Vec<Spare>>, report: &mut Report) {
        for (key, values) in &self.values {
            let newest = values.keys().next_back().copied().unwrap_or(0);
            let known = values.range(1..).count() as u64;
            let spare = spare.get(key).map_or(0, Vec::len) as u64;
            if newest - known > spare {
                let missing = (1..).find(|number| !values.contains_key(number)).unwrap_or(0);
                let reason =
                    format!("{key} has a version {newest}, and nobody wrote version {missing}");
                report.tell(Kind::Unwritten, Vec::new(), reason);
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

/// Which transactions count as committed: those acknowledged, and those of unknown outcome that a
/// committed one read of.
fn committed(history: &History, written: &Writers<'_>, appended: &Writers<'_>) -> Vec<bool> {
    let ends = history.transactions.iter().map(|transaction| transaction.end);
    let mut committed: Vec<bool> = ends.map(|end| end == End::Committed).collect();
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

/// The reads of one committed transaction, judged one by one.
struct Reader<'a, 'h> {
    history: &'h History,
    index: usize,
    report: &'a mut Report,
}

impl<'h> Reader<'_, 'h> {
    fn judge(mut self, ops: &'h [Op], written: &Writers<'h>, appended: &Writers<'h>) {
        let mut own: HashMap<&str, i64> = HashMap::new();
        let mut own_elements: HashMap<&str, Vec<i64>> = HashMap::new();
        for op in ops {
            match op {
                Op::Write { key, value, .. } => {
                    own.insert(key, *value);
                }
                Op::Append { key, element } => {
                    own_elements.entry(key).or_default().push(*element);
                }
                Op::Read { key, seen } => match own.get(key.as_str()) {
                    Some(own) => self.own(key, *own, seen.map(|seen| seen.value)),
                    None => {
                        if let Some(seen) = seen {
                            self.foreign(key, seen.value, true, written);
                        }
                    }
                },
                Op::ReadList { key, elements } => {
                    let own = own_elements.get(key.as_str()).map_or(&[][..], Vec::as_slice);
                    self.list(key, elements, own, appended);
                }
                Op::ReadWhere { predicate, matched, unmatched } => {
                    for (key, seen) in matched.iter().chain(unmatched) {
                        match own.get(key.as_str()) {
                            Some(own) => self.own(key, *own, Some(seen.value)),
                            None => self.foreign(key, seen.value, true, written),
                        }
                    }
                    let is_right =
                        |(key, seen): &&(String, Seen)| predicate.selects(key, seen.value);
                    let is_wrong = |found: &&(String, Seen)| {
                        written.contains_key(&(&*found.0, found.1.value)) && !is_right(found)
                    };
                    let wrong = matched.iter().find(is_wrong);
                    let wrong = wrong.or_else(|| unmatched.iter().find(is_right));
                    if let Some((key, seen)) = wrong {
                        let what = format!("{key}={} on the wrong side of a predicate", seen.value);
                        self.tell(Kind::Contradiction, &[], &what);
                    }
                    let mut selected = HashSet::new();
                    if let Some((key, _)) = matched.iter().find(|(key, _)| !selected.insert(&**key))
                    {
                        let what = format!("{key} twice by one predicate");
                        self.tell(Kind::Contradiction, &[], &what);
                    }
                    for (key, value) in &own {
                        if predicate.selects(key, *value) && !selected.contains(key) {
                            let what = format!("no {key} by a predicate after it wrote {value}");
                            self.tell(Kind::Internal, &[], &what);
                        }
                    }
                }
            }
        }
    }

    fn tell(&mut self, kind: Kind, others: &[usize], what: &str) {
        let id = |index: &usize| self.history.transactions[*index].id;
        let ids = std::iter::once(&self.index).chain(others).map(id).collect();
        let reason = format!("T{} read {what}", id(&self.index));
        self.report.tell(kind, ids, reason);
    }

    fn own(&mut self, key: &str, own: i64, found: Option<i64>) {
        if found != Some(own) {
            let found = found.map_or("nothing".to_owned(), |found| found.to_string());
            self.tell(Kind::Internal, &[], &format!("{found} of {key} after it wrote {own}"));
        }
    }

    /// A value read of another transaction; `newest` if nothing lay over it.
    fn foreign(&mut self, key: &'h str, value: i64, newest: bool, writers: &Writers<'h>) {
        let Some(written) = writers.get(&(key, value)) else {
            self.tell(Kind::Unwritten, &[], &format!("{key}={value}, which nobody wrote"));
            return;
        };
        if written.by == self.index {
            if newest {
                let what = format!("{key}={value} before it wrote that itself");
                self.tell(Kind::Internal, &[], &what);
            }
            return;
        }
        let writer = &self.history.transactions[written.by];
        if writer.end == End::Aborted {
            let what = format!("{key}={value}, which T{} wrote and rolled back", writer.id);
            self.tell(Kind::G1a, &[written.by], &what);
        } else if newest && written.overwritten {
            let what = format!("{key}={value}, which T{} itself wrote over", writer.id);
            self.tell(Kind::G1b, &[written.by], &what);
        }
    }

    fn list(&mut self, key: &'h str, elements: &[i64], own: &[i64], appended: &Writers<'h>) {
        if !elements.ends_with(own) {
            let what = format!("{key}={elements:?} after it appended {own:?}");
            self.tell(Kind::Internal, &[], &what);
        }
        let foreign = foreign(elements, own);
        for (place, element) in foreign.iter().enumerate() {
            let newest = place + 1 == foreign.len();
            self.foreign(key, *element, newest, appended);
        }
    }
}
