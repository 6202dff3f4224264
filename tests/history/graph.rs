//! Who must come before whom, and why: the direct serialization graph over the transactions that
//! count as committed, with edges for real time where that is told.
//!
//! Its first nodes are the transactions. Behind them come nodes that only lead on, so that one who
//! precedes many others needs few edges: a chain of moments for real time, and a tree over the
//! records that enter what a predicate selects (`selection.rs`).

use std::collections::{HashMap, HashSet};

use super::selection::Selections;
use super::versions::{Chain, Version, Versions, foreign};
use super::{End, History, Op, Report};

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// It wrote what the other wrote over.
    WriteWrite,
    /// It wrote what the other read, or what let a predicate of the other miss a record.
    WriteRead,
    /// It read what the other wrote over.
    ReadWrite,
    /// Its predicate missed a record that is selected for what the other wrote.
    PredicateReadWrite,
    /// It had ended before the other began.
    RealTime,
    /// No reason of its own: it goes on from a node that is no transaction.
    Onward,
}

impl Class {
    /// Whether it is an anti-dependency.
    pub fn is_rw(self) -> bool {
        matches!(self, Class::ReadWrite | Class::PredicateReadWrite)
    }
}

/// How a key was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum How<'h> {
    /// By name.
    #[default]
    Key,
    /// The predicate of this description selected it.
    Selected(&'h str),
    /// The predicate of this description did not.
    Missed(&'h str),
}

/// What an edge is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reason<'h> {
    /// The key.
    pub key: &'h str,
    /// The version before: that which was read, or written over.
    pub before: Option<Version>,
    /// The version after: that which was written.
    pub after: Option<Version>,
    /// Which operation of the reader it was.
    pub op: usize,
    /// How it read.
    pub how: How<'h>,
}

/// Goes from one node to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'h> {
    /// Where it leads to.
    pub to: usize,
    /// Why, in a word.
    pub class: Class,
    /// Whether it holds only if the order of real time is promised.
    pub timed: bool,
    /// Why, in full.
    pub reason: Reason<'h>,
}

/// The graph; nodes are indexes of transactions and, from `transactions` on, nodes that lead on.
#[derive(Debug)]
pub(super) struct Graph<'h> {
    /// How many nodes are transactions.
    pub transactions: usize,
    edges: Vec<Vec<Edge<'h>>>,
    /// The last version each transaction wrote of each key, registers and lists apart.
    wrote: HashMap<(usize, &'h str, bool), Version>,
    /// What each predicate selects.
    pub selections: Selections<'h>,
}

impl<'h> Graph<'h> {
    pub fn of(history: &'h History, versions: &Versions<'h>, report: &mut Report) -> Self {
        let transactions = history.transactions.len();
        let mut graph = Graph {
            transactions,
            edges: vec![Vec::new(); transactions],
            wrote: HashMap::new(),
            selections: Selections::default(),
        };
        for (&key, chain) in versions.registers.iter().chain(&versions.lists) {
            graph.overwrites(key, chain);
        }
        let mut selections = Selections::default();
        for (index, transaction) in history.transactions.iter().enumerate() {
            if versions.committed[index] {
                graph.reads(index, &transaction.ops, versions);
                let doubts = selections.reads(&mut graph, history, versions, index);
                report.undecided += doubts.undecided;
                report.timed += doubts.timed;
            }
        }
        graph.selections = selections;
        let all = graph.edges.iter().flatten();
        report.edges = all.filter(|edge| edge.class != Class::Onward).count();
        graph.real_time(history, versions);
        graph
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// The edges of a node.
    pub fn from(&self, node: usize) -> &[Edge<'h>] {
        &self.edges[node]
    }

    /// The last version of a key, register or list, that a transaction wrote.
    pub fn wrote(&self, by: usize, key: &'h str, list: bool) -> Option<Version> {
        self.wrote.get(&(by, key, list)).copied()
    }

    /// Adds an edge; none leads a transaction to itself.
    pub fn add(&mut self, from: usize, edge: Edge<'h>) {
        if from != edge.to {
            self.edges[from].push(edge);
        }
    }

    /// Makes `count` nodes that lead on, and tells the first.
    pub fn lead_on(&mut self, count: usize) -> usize {
        let first = self.edges.len();
        self.edges.resize(first + count, Vec::new());
        first
    }

    fn overwrites(&mut self, key: &'h str, chain: &Chain) {
        for version in chain.versions.iter().chain(&chain.loose) {
            self.wrote.insert((version.by, key, version.number.is_none()), *version);
        }
        let pairs = chain.versions.windows(2).map(|pair| (pair[0], pair[1]));
        let last = chain.versions.last();
        let loose = chain.loose.iter().filter_map(|loose| Some((*last?, *loose)));
        for (before, after) in pairs.chain(loose) {
            let (before_, after_) = (Some(before), Some(after));
            let reason = Reason { key, before: before_, after: after_, ..Reason::default() };
            let class = Class::WriteWrite;
            self.add(before.by, Edge { to: after.by, class, timed: false, reason });
        }
    }

    /// What was read by name.
    fn reads(&mut self, reader: usize, ops: &'h [Op], versions: &Versions<'h>) {
        let mut own: HashSet<&str> = HashSet::new();
        let mut own_elements: HashMap<&str, Vec<i64>> = HashMap::new();
        for (op, done) in ops.iter().enumerate() {
            match done {
                Op::Write { key, .. } => {
                    own.insert(key);
                }
                Op::Append { key, element } => {
                    own_elements.entry(key).or_default().push(*element);
                }
                Op::Read { key, seen } if !own.contains(key.as_str()) => {
                    let chain = versions.registers.get(key.as_str());
                    let reason = Reason { key, op, ..Reason::default() };
                    self.read(reader, chain, seen.map(|seen| seen.value), reason);
                }
                Op::ReadList { key, elements } => {
                    let own = own_elements.get(key.as_str()).map_or(&[][..], Vec::as_slice);
                    let newest = foreign(elements, own).last().copied();
                    let reason = Reason { key, op, ..Reason::default() };
                    self.read(reader, versions.lists.get(key.as_str()), newest, reason);
                }
                Op::Read { .. } | Op::ReadWhere { .. } => {}
            }
        }
    }

    /// A read that saw `value`, or nothing.
    pub fn read(
        &mut self,
        reader: usize,
        chain: Option<&Chain>,
        value: Option<i64>,
        reason: Reason<'h>,
    ) {
        let Some(chain) = chain else { return };
        // What has no place was rolled back or never written, and is told elsewhere.
        let Some(place) = value.map_or(Some(0), |value| chain.place(value)) else { return };
        let before = chain.at(place);
        let reason = Reason { before, ..reason };
        if let Some(seen) = before {
            let class = Class::WriteRead;
            self.add(seen.by, Edge { to: reader, class, timed: false, reason });
        }
        let next = match chain.versions.get(place) {
            Some(next) => std::slice::from_ref(next),
            None => &chain.loose[..],
        };
        for next in next {
            let reason = Reason { after: Some(*next), ..reason };
            let class = Class::ReadWrite;
            self.add(reader, Edge { to: next.by, class, timed: false, reason });
        }
    }

    /// Leads each transaction to those that began after its end, by way of the moments of ends:
    /// each leads to the next one, and to those that began before that. What began at the very
    /// moment of an end is not after it.
    fn real_time(&mut self, history: &History, versions: &Versions<'_>) {
        let counted = |index: &usize| versions.committed[*index];
        let spans: Vec<(usize, (u64, u64))> = (0..self.transactions)
            .filter(counted)
            .filter_map(|index| Some((index, history.transactions[index].time()?)))
            .collect();
        let acknowledged = |index: usize| history.transactions[index].end == End::Committed;
        let ended = spans.iter().filter(|(index, _)| acknowledged(*index));
        let mut ends: Vec<(u64, usize)> = ended.map(|(index, span)| (span.1, *index)).collect();
        ends.sort_unstable();
        let first = self.lead_on(ends.len());
        let onward = |to| {
            let reason = Reason::default();
            Edge { to, class: Class::Onward, timed: true, reason }
        };
        for (place, (_, index)) in ends.iter().enumerate() {
            let moment = first + place;
            self.add(*index, Edge { class: Class::RealTime, ..onward(moment) });
            if place + 1 < ends.len() {
                self.add(moment, onward(moment + 1));
            }
        }
        for (index, (began, _)) in spans {
            let before = ends.partition_point(|(ended, _)| *ended < began);
            if let Some(place) = before.checked_sub(1) {
                self.add(first + place, onward(index));
            }
        }
    }
}
