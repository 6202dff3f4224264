//! Who must come before whom, and why: the direct serialization graph over the transactions that
//! count as committed, with an edge for real time where that is told.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::versions::{Chain, Versions, foreign};
use super::{End, History, Op, Predicate, Report};

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// It wrote what the other wrote over.
    WriteWrite,
    /// It wrote what the other read.
    WriteRead,
    /// It read what the other wrote over.
    ReadWrite,
    /// It selected by a predicate what the other's write adds to or takes from.
    PredicateReadWrite,
    /// It had ended before the other began.
    RealTime,
}

impl Class {
    /// Whether it is an anti-dependency.
    pub fn is_rw(self) -> bool {
        matches!(self, Class::ReadWrite | Class::PredicateReadWrite)
    }
}

/// What an edge is about: a key, what was there before, what after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reason<'h> {
    key: &'h str,
    before: Option<i64>,
    after: Option<i64>,
}

type Edges<'h> = BTreeMap<(usize, Class), Reason<'h>>;

/// The graph; nodes are indexes of transactions.
#[derive(Debug, Default)]
pub(super) struct Graph<'h> {
    edges: Vec<Edges<'h>>,
}

impl<'h> Graph<'h> {
    pub fn of(history: &'h History, versions: &Versions<'h>, report: &mut Report) -> Self {
        let mut graph = Graph { edges: vec![Edges::new(); history.transactions.len()] };
        for (&key, chain) in versions.registers.iter().chain(&versions.lists) {
            graph.overwrites(key, chain);
        }
        for (index, transaction) in history.transactions.iter().enumerate() {
            if versions.committed[index] {
                graph.reads(index, &transaction.ops, versions, report);
            }
        }
        report.edges = graph.edges.iter().map(Edges::len).sum();
        graph.real_time(history, versions);
        graph
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Where the edges of a node lead to, in ascending order.
    pub fn from(&self, node: usize) -> impl Iterator<Item = (usize, Class)> + '_ {
        self.edges[node].keys().copied()
    }

    /// An edge in words.
    pub fn explain(&self, history: &History, from: usize, to: usize, class: Class) -> String {
        let [left, right] = [from, to].map(|node| history.transactions[node].id);
        let Reason { key, before, after } =
            self.edges[from].get(&(to, class)).copied().unwrap_or_default();
        let told = |value: Option<i64>| value.map_or("nothing".to_owned(), |v| v.to_string());
        let (before, after) = (told(before), told(after));
        match class {
            Class::WriteWrite => {
                format!("T{left} -ww-> T{right}: {key} was {before}, then {after}")
            }
            Class::WriteRead => format!("T{left} -wr-> T{right}: T{right} read {key}={before}"),
            Class::ReadWrite => format!(
                "T{left} -rw-> T{right}: T{left} read {before} of {key}, T{right} wrote {after} next"
            ),
            Class::PredicateReadWrite => format!(
                "T{left} -rw-> T{right}: a predicate of T{left} did not select {key}, T{right} wrote \
                 {after}, which it selects"
            ),
            Class::RealTime => {
                format!("T{left} -rt-> T{right}: T{left} had ended before T{right} began")
            }
        }
    }

    fn add(&mut self, from: usize, to: usize, class: Class, reason: Reason<'h>) {
        if from != to {
            self.edges[from].entry((to, class)).or_insert(reason);
        }
    }

    fn overwrites(&mut self, key: &'h str, chain: &Chain) {
        let pairs = chain.versions.windows(2).map(|pair| (pair[0], pair[1]));
        let last = chain.versions.last();
        let loose = chain.loose.iter().filter_map(|loose| Some((*last?, *loose)));
        for (before, after) in pairs.chain(loose) {
            let reason = Reason { key, before: Some(before.value), after: Some(after.value) };
            self.add(before.by, after.by, Class::WriteWrite, reason);
        }
    }

    fn reads(
        &mut self,
        reader: usize,
        ops: &'h [Op],
        versions: &Versions<'h>,
        report: &mut Report,
    ) {
        let mut own: HashSet<&str> = HashSet::new();
        let mut own_elements: HashMap<&str, Vec<i64>> = HashMap::new();
        for op in ops {
            match op {
                Op::Write { key, .. } => {
                    own.insert(key);
                }
                Op::Append { key, element } => {
                    own_elements.entry(key).or_default().push(*element);
                }
                Op::Read { key, seen } if !own.contains(key.as_str()) => {
                    let chain = versions.registers.get(key.as_str());
                    self.read(reader, key, chain, seen.map(|seen| seen.value));
                }
                Op::Read { .. } => {}
                Op::ReadList { key, elements } => {
                    let own = own_elements.get(key.as_str()).map_or(&[][..], Vec::as_slice);
                    let newest = foreign(elements, own).last().copied();
                    self.read(reader, key, versions.lists.get(key.as_str()), newest);
                }
                Op::ReadWhere { predicate, matched, unmatched } => {
                    let told: HashMap<&str, (i64, bool)> = matched
                        .iter()
                        .map(|(key, seen)| (key.as_str(), (seen.value, true)))
                        .chain(unmatched.iter().map(|(key, seen)| (&**key, (seen.value, false))))
                        .collect();
                    for (&key, chain) in &versions.registers {
                        if !predicate.looks_at(key) || own.contains(key) {
                            continue;
                        }
                        match told.get(key) {
                            Some((value, true)) => {
                                self.read(reader, key, Some(chain), Some(*value));
                            }
                            told => {
                                let value = told.map(|(value, _)| *value);
                                let decided = self.miss(reader, key, chain, predicate, value);
                                report.undecided += usize::from(!decided);
                            }
                        }
                    }
                }
            }
        }
    }

    /// A read by key that saw `value`, or nothing.
    fn read(&mut self, reader: usize, key: &'h str, chain: Option<&Chain>, value: Option<i64>) {
        let Some(chain) = chain else { return };
        let place = value.map_or(Some(0), |value| chain.place(value));
        // What has no place was rolled back or never written, and is told elsewhere.
        let Some(place) = place else { return };
        if let Some(seen) = place.checked_sub(1).map(|place| chain.versions[place]) {
            self.add(seen.by, reader, Class::WriteRead, Reason { key, before: value, after: None });
        }
        let next = match chain.versions.get(place) {
            Some(next) => std::slice::from_ref(next),
            None => &chain.loose[..],
        };
        for next in next {
            let reason = Reason { key, before: value, after: Some(next.value) };
            self.add(reader, next.by, Class::ReadWrite, reason);
        }
    }

    /// A register that a predicate looked at and did not select, seen as `value` if that is known.
    /// Places with versions that do not match form runs; which of a run was seen makes no
    /// difference, which run does. False if that cannot be told.
    fn miss(
        &mut self,
        reader: usize,
        key: &'h str,
        chain: &Chain,
        predicate: &Predicate,
        value: Option<i64>,
    ) -> bool {
        let matches = |place: usize| match place.checked_sub(1) {
            Some(place) => predicate.selects(chain.versions[place].value),
            None => false,
        };
        let places = 0..=chain.versions.len();
        let begins = |place: &usize| !matches(*place) && (*place == 0 || matches(*place - 1));
        let runs: Vec<usize> = places.clone().filter(begins).collect();
        let told = value.and_then(|value| chain.place(value)).filter(|place| !matches(*place));
        let begin = match (value, told) {
            (Some(_), Some(told)) => runs.iter().rfind(|begin| **begin <= told),
            (Some(_), None) => None,
            (None, _) => runs.first().filter(|_| runs.len() == 1),
        };
        let Some(begin) = begin.copied() else { return false };
        if let Some(seen) = begin.checked_sub(1).map(|place| chain.versions[place]) {
            // A run that its reader begins itself, later on, was seen too early: then it read of
            // whoever wrote the version told, which comes after its own.
            let told = told.and_then(|place| chain.versions.get(place - 1)).copied();
            let seen = told.filter(|_| seen.by == reader).unwrap_or(seen);
            let reason = Reason { key, before: Some(seen.value), after: None };
            self.add(seen.by, reader, Class::WriteRead, reason);
        }
        if let Some(next) = places.skip(begin).find(|place| matches(*place)) {
            let next = chain.versions[next - 1];
            let reason = Reason { key, before: None, after: Some(next.value) };
            self.add(reader, next.by, Class::PredicateReadWrite, reason);
        }
        true
    }

    /// An edge from each transaction to those that began after its end, but for those that follow
    /// from others.
    fn real_time(&mut self, history: &History, versions: &Versions<'_>) {
        let mut moments: Vec<(u64, bool, usize)> = Vec::new();
        for (index, transaction) in history.transactions.iter().enumerate() {
            let Some((began, ended)) = transaction.span else { continue };
            if !versions.committed[index] {
                continue;
            }
            moments.push((began, false, index));
            if transaction.end == End::Committed {
                moments.push((ended, true, index));
            }
        }
        // At one and the same moment beginnings come first: then neither is before the other.
        moments.sort_unstable();
        let mut newest_ended: HashSet<usize> = HashSet::new();
        for (_, is_end, index) in moments {
            if is_end {
                newest_ended
                    .retain(|ended| !self.edges[*ended].contains_key(&(index, Class::RealTime)));
                newest_ended.insert(index);
            } else {
                for ended in newest_ended.iter().copied().collect::<Vec<_>>() {
                    self.add(ended, index, Class::RealTime, Reason::default());
                }
            }
        }
    }
}
