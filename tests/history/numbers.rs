//! The numbers of versions: the database counts the revisions of each key from 1 on, without gaps,
//! and whoever wrote or read one tells its number. What is missing was written by somebody who was
//! not told.

use std::collections::{BTreeMap, HashMap};

use super::versions::Writers;
use super::{End, History, Kind, Op, Report, Seen};

/// A write that may have happened, as a version nobody told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    /// Index of its transaction.
    pub by: usize,
    /// The value.
    pub value: i64,
}

/// Writes that must have happened though nobody told, each with its number if that leaves no
/// choice.
pub(super) type Concluded<'h> = HashMap<(&'h str, i64), Option<u64>>;

/// Which value each version of each register is.
#[derive(Default)]
pub(super) struct Numbers<'h> {
    /// The values of each key by their numbers.
    pub values: BTreeMap<&'h str, BTreeMap<u64, i64>>,
    numbers: HashMap<(&'h str, i64), u64>,
}

impl<'h> Numbers<'h> {
    /// Gathers what committed transactions tell, and tells contradictions.
    pub fn of(
        history: &'h History,
        committed: &[bool],
        written: &Writers<'h>,
        concluded: &Concluded<'h>,
        report: &mut Report,
    ) -> Self {
        let mut numbers = Numbers::default();
        for (index, transaction) in history.transactions.iter().enumerate() {
            if !committed[index] {
                continue;
            }
            // Of its own versions a transaction knows the numbers for good only when it has ended.
            let foreign = |key: &'h str, seen: &Seen| {
                written.get(&(key, seen.value)).is_none_or(|written| written.by != index)
            };
            for op in &transaction.ops {
                match op {
                    Op::Write { key, value, version } => {
                        let concluded = concluded.get(&(key.as_str(), *value)).copied().flatten();
                        if let Some(version) = version.or(concluded) {
                            numbers.note(key, Seen { value: *value, version }, report);
                        }
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
        numbers
    }

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

    /// The writes that may be versions nobody told, by key.
    pub fn spare(&self, history: &'h History) -> HashMap<&'h str, Vec<Spare>> {
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

    /// How many versions of a key are missing before the newest one.
    fn missing(values: &BTreeMap<u64, i64>) -> u64 {
        let newest = values.keys().next_back().copied().unwrap_or(0);
        newest - values.range(1..).count() as u64
    }

    /// Versions are numbered without gaps: one that nobody wrote or read must be the write of
    /// somebody who was not told its number.
    pub fn tell_gaps(&self, spare: &HashMap<&str, Vec<Spare>>, report: &mut Report) {
        for (key, values) in &self.values {
            if Self::missing(values) > spare.get(key).map_or(0, Vec::len) as u64 {
                let newest = values.keys().next_back().copied().unwrap_or(0);
                let first = (1..).find(|number| !values.contains_key(number)).unwrap_or(0);
                let reason =
                    format!("{key} has a version {newest}, and nobody wrote version {first}");
                report.tell(Kind::Unwritten, Vec::new(), reason);
            }
        }
    }

    /// Where as many versions are missing as there are writes that may be them, all of these have
    /// happened; and in their order, if they are of one transaction.
    pub fn conclude(&self, spare: &HashMap<&'h str, Vec<Spare>>) -> Concluded<'h> {
        let mut concluded = Concluded::new();
        for (&key, spare) in spare {
            let Some(values) = self.values.get(key) else { continue };
            if Self::missing(values) != spare.len() as u64 {
                continue;
            }
            let alone = spare.windows(2).all(|pair| pair[0].by == pair[1].by);
            let missing = (1..).filter(|number| !values.contains_key(number));
            for (spare, number) in spare.iter().zip(missing) {
                concluded.insert((key, spare.value), alone.then_some(number));
            }
        }
        concluded
    }
}
