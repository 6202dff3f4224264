//! Reads by predicate. What one selects is told; of what it does not, only that. So a key is not
//! seen at one version, but somewhere in a run of versions that are not selected, the first of
//! which may be absence. Which of a run was seen makes no difference; which run does.
//!
//! What a predicate selects is worked out once for all its reads. A key that is selected from some
//! version on has but one run: its reader comes before whoever wrote that version. There may be as
//! many of those as there are records, and as many readers, so the writers hang on a tree, and a
//! reader needs an edge to the few nodes that cover what it missed. A key that leaves again has
//! several runs. Then, in this order, the version told decides; what the same transaction read of
//! the key otherwise; that it wrote the key itself, and so after which version; and real time. If
//! none does, the key is undecided, and nothing is concluded.
//!
//! A write that was never answered may have happened: where versions are missing, or after the last
//! one. If it is not selected, it may be a run of its own there, and a reader that saw it is the
//! only one to tell.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use super::graph::{Class, Edge, Graph, How, Reason};
use super::numbers::Spare;
use super::versions::{Chain, Gap, Version, Versions};
use super::{End, History, Op, Predicate, Seen};

/// What all predicates select, by their descriptions.
#[derive(Debug, Default)]
pub(super) struct Selections<'h> {
    known: HashMap<&'h str, Selection<'h>>,
}

#[derive(Debug, Default)]
struct Selection<'h> {
    /// Keys with one run, each with the first version selected.
    entering: Vec<(&'h str, Version)>,
    /// Where each of them stands.
    leaves: HashMap<&'h str, usize>,
    /// Keys with several runs.
    moving: Vec<(&'h str, Vec<Run>)>,
    /// Node 1 of the tree over `entering` is this plus 1; node n has the children 2n and 2n + 1,
    /// and those from the number of leaves on are the leaves.
    tree: usize,
}

/// Versions in succession, none of them selected.
#[derive(Clone, Copy, Debug)]
struct Run {
    begin: Spot,
    /// The place of the version selected after them.
    next: Option<usize>,
}

/// Where in the order of a key's versions: at a place, or among versions that nobody told after it.
type Spot = (usize, bool);

/// Keys a predicate missed, and which version of them it saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubts {
    /// That could not be told.
    pub undecided: usize,
    /// That was concluded from real time.
    pub timed: usize,
}

/// Which run was seen, and whether that was concluded from real time.
type Choice = (Run, bool);

/// The runs of a key of which some version is selected.
fn runs(
    predicate: &Predicate,
    key: &str,
    chain: &Chain,
    spare: &HashMap<&str, Vec<Spare>>,
) -> Option<Vec<Run>> {
    let selects = |value: i64| predicate.passes(key, value);
    if !chain.versions.iter().any(|version| selects(version.value)) {
        return None;
    }
    let mut spare = spare.get(key).into_iter().flatten();
    let may_hide = spare.any(|spare| !selects(spare.value));
    let mut runs = vec![Run { begin: (0, false), next: None }];
    let mut is_open = true;
    for version in &chain.versions {
        if version.gap != Gap::No && may_hide && !is_open {
            runs.push(Run { begin: (version.place - 1, true), next: None });
            is_open = true;
        }
        match (selects(version.value), is_open, runs.last_mut()) {
            (true, true, Some(run)) => run.next = Some(version.place),
            (false, false, _) => runs.push(Run { begin: (version.place, false), next: None }),
            _ => {}
        }
        is_open = !selects(version.value);
    }
    if may_hide && !is_open {
        runs.push(Run { begin: (chain.versions.len(), true), next: None });
    }
    Some(runs)
}

impl<'h> Selection<'h> {
    fn of(predicate: &'h Predicate, versions: &Versions<'h>, graph: &mut Graph<'h>) -> Self {
        let mut selection = Selection::default();
        let (from, to) = predicate.range();
        if to.is_some_and(|to| to < from) {
            return selection;
        }
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        for (&key, chain) in versions.registers.range::<str, _>(bounds) {
            let Some(runs) = runs(predicate, key, chain, &versions.spare) else { continue };
            match (&runs[..], runs[0].next.and_then(|next| chain.at(next))) {
                ([_], Some(first)) => {
                    selection.leaves.insert(key, selection.entering.len());
                    selection.entering.push((key, first));
                }
                _ => selection.moving.push((key, runs)),
            }
        }
        selection.plant(predicate, graph);
        selection
    }

    fn plant(&mut self, predicate: &'h Predicate, graph: &mut Graph<'h>) {
        let count = self.entering.len();
        self.tree = graph.lead_on(count);
        for node in 1..count {
            for child in [2 * node, 2 * node + 1] {
                let edge = self.edge(predicate, child, Class::Onward, 0);
                graph.add(self.tree + node, edge);
            }
        }
    }

    /// An edge to a node of the tree, or to the transaction that is its leaf.
    fn edge(&self, predicate: &'h Predicate, node: usize, class: Class, op: usize) -> Edge<'h> {
        let how = How::Missed(predicate.description());
        let reason = Reason { op, how, ..Reason::default() };
        match node.checked_sub(self.entering.len()) {
            Some(leaf) => {
                let (key, first) = self.entering[leaf];
                let reason = Reason { key, after: Some(first), ..reason };
                Edge { to: first.by, class, timed: false, reason }
            }
            None => Edge { to: self.tree + node, class, timed: false, reason },
        }
    }

    /// The nodes that cover all leaves but those in `left_out`.
    fn cover(&self, mut left_out: Vec<usize>) -> Vec<usize> {
        let count = self.entering.len();
        left_out.push(count);
        left_out.sort_unstable();
        let (mut nodes, mut begin) = (Vec::new(), 0);
        for end in left_out {
            let (mut low, mut high) = (begin + count, end + count);
            while low < high {
                if low % 2 == 1 {
                    nodes.push(low);
                    low += 1;
                }
                if high % 2 == 1 {
                    high -= 1;
                    nodes.push(high);
                }
                (low, high) = (low / 2, high / 2);
            }
            begin = end + 1;
        }
        nodes
    }
}

/// One transaction that reads by predicate.
struct Reader<'a, 'h> {
    history: &'h History,
    versions: &'a Versions<'h>,
    index: usize,
    /// Where it read keys otherwise.
    places: HashMap<&'h str, usize>,
    /// Keys it writes, sooner or later.
    writes: HashSet<&'h str>,
    /// Keys it wrote before the operation at hand.
    own: HashSet<&'h str>,
}

/// One such read: which operation it is, and what it told.
struct Read<'a, 'h> {
    op: usize,
    predicate: &'h Predicate,
    matched: HashMap<&'h str, Seen>,
    unmatched: HashMap<&'h str, Seen>,
    selection: &'a Selection<'h>,
}

impl<'h> Selections<'h> {
    /// Adds the edges of all reads by predicate of one transaction, and counts the keys that were
    /// undecided, or decided by real time alone.
    pub fn reads(
        &mut self,
        graph: &mut Graph<'h>,
        history: &'h History,
        versions: &Versions<'h>,
        index: usize,
    ) -> Doubts {
        let mut doubts = Doubts::default();
        let ops = &history.transactions[index].ops;
        if !ops.iter().any(|op| matches!(op, Op::ReadWhere { .. })) {
            return doubts;
        }
        let mut reader = Reader {
            history,
            versions,
            index,
            places: HashMap::new(),
            writes: HashSet::new(),
            own: HashSet::new(),
        };
        reader.gather(ops);
        for (op, done) in ops.iter().enumerate() {
            match done {
                Op::Write { key, .. } => {
                    reader.own.insert(key);
                }
                Op::ReadWhere { predicate, matched, unmatched } => {
                    let selection = self
                        .known
                        .entry(predicate.description())
                        .or_insert_with(|| Selection::of(predicate, versions, graph));
                    let told = |(key, seen): &'h (String, Seen)| (&**key, *seen);
                    let matched = matched.iter().map(told).collect();
                    let unmatched = unmatched.iter().map(told).collect();
                    let read = Read { op, predicate, matched, unmatched, selection };
                    reader.read(graph, &read, &mut doubts);
                }
                _ => {}
            }
        }
        doubts
    }

    /// Why the reader's predicates missed `key` as `writer` wrote it, once for each operation that
    /// did, if the key has but one run.
    pub fn missed(
        &self,
        history: &'h History,
        reader: usize,
        writer: usize,
        key: &'h str,
    ) -> Vec<Reason<'h>> {
        let mut found = Vec::new();
        for (op, done) in history.transactions[reader].ops.iter().enumerate() {
            match done {
                // What it wrote itself it does not miss.
                Op::Write { key: own, .. } if own == key => break,
                Op::ReadWhere { predicate, matched, .. } => {
                    let description = predicate.description();
                    let Some(selection) = self.known.get(description) else { continue };
                    let leaf = selection.leaves.get(key).map(|leaf| selection.entering[*leaf]);
                    let Some((_, first)) = leaf.filter(|(_, first)| first.by == writer) else {
                        continue;
                    };
                    if matched.iter().all(|(selected, _)| selected != key) {
                        let how = How::Missed(description);
                        found.push(Reason { key, before: None, after: Some(first), op, how });
                    }
                }
                _ => {}
            }
        }
        found
    }
}

impl<'h> Reader<'_, 'h> {
    /// Notes where the transaction read keys before it wrote them, and which it writes.
    fn gather(&mut self, ops: &'h [Op]) {
        for op in ops {
            match op {
                Op::Write { key, .. } => {
                    self.writes.insert(key);
                }
                Op::Read { key, seen } => self.note(key, seen.map(|seen| seen.value)),
                Op::ReadWhere { matched, .. } => {
                    matched.iter().for_each(|(key, seen)| self.note(key, Some(seen.value)));
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, key: &'h str, value: Option<i64>) {
        let chain = self.versions.registers.get(key).filter(|_| !self.writes.contains(key));
        let place = chain.and_then(|chain| value.map_or(Some(0), |value| chain.place(value)));
        if let Some(place) = place {
            self.places.entry(key).or_insert(place);
        }
    }

    fn read(&self, graph: &mut Graph<'h>, read: &Read<'_, 'h>, doubts: &mut Doubts) {
        let Read { op, predicate, selection, .. } = read;
        for (&key, seen) in &read.matched {
            if !self.own.contains(key) {
                let how = How::Selected(predicate.description());
                let reason = Reason { key, op: *op, how, ..Reason::default() };
                let chain = self.versions.registers.get(key);
                graph.read(self.index, chain, Some(seen.value), reason);
            }
        }
        let mut left_out: Vec<usize> = Vec::new();
        for key in read.matched.keys().chain(&self.own) {
            left_out.extend(selection.leaves.get(key));
        }
        for key in &self.writes {
            let own = |leaf: &&usize| selection.entering[**leaf].1.by == self.index;
            left_out.extend(selection.leaves.get(key).filter(own));
        }
        for (key, seen) in &read.unmatched {
            let chain = self.versions.registers.get(key);
            let has_place = chain.is_some_and(|chain| chain.place(seen.value).is_some());
            if let Some(leaf) = selection.leaves.get(key).filter(|_| !has_place) {
                left_out.push(*leaf);
                doubts.undecided += 1;
            }
        }
        for node in selection.cover(left_out) {
            let edge = selection.edge(predicate, node, Class::PredicateReadWrite, *op);
            graph.add(self.index, edge);
        }
        for (key, runs) in &selection.moving {
            let seen = read.matched.contains_key(key) || self.own.contains(key);
            if seen {
                continue;
            }
            match self.miss(graph, read, key, runs) {
                None => doubts.undecided += 1,
                Some(timed) => doubts.timed += usize::from(timed),
            }
        }
    }

    /// A key of several runs that was not selected: whether real time decided which was seen;
    /// `None` if nothing did.
    fn miss(
        &self,
        graph: &mut Graph<'h>,
        read: &Read<'_, 'h>,
        key: &'h str,
        runs: &[Run],
    ) -> Option<bool> {
        let chain = self.versions.registers.get(key)?;
        let told = read.unmatched.get(key).map(|seen| chain.place(seen.value));
        let chosen = match told {
            Some(place) => {
                place.and_then(|place| around(runs, (place, false))).map(|run| (run, false))
            }
            None => self.choose(key, chain, runs),
        };
        let (run, timed) = chosen?;
        let how = How::Missed(read.predicate.description());
        let reason = Reason { key, op: read.op, how, ..Reason::default() };
        if let Some(seen) = chain.at(run.begin.0) {
            // A run that its reader begins itself, later on, was seen too early: then it read of
            // whoever wrote the version told, which comes after its own.
            let told = told.flatten().and_then(|place| chain.at(place));
            let seen = told.filter(|_| seen.by == self.index).unwrap_or(seen);
            let reason = Reason { before: Some(seen), ..reason };
            let class = Class::WriteRead;
            graph.add(seen.by, Edge { to: self.index, class, timed, reason });
        }
        if let Some(next) = run.next.and_then(|next| chain.at(next)) {
            let reason = Reason { after: Some(next), ..reason };
            let class = Class::PredicateReadWrite;
            graph.add(self.index, Edge { to: next.by, class, timed, reason });
        }
        Some(timed)
    }

    fn choose(&self, key: &'h str, chain: &Chain, runs: &[Run]) -> Option<Choice> {
        // Whoever writes a key found the version before its own, or no order explains it anyway.
        let own = || chain.versions.iter().find(|version| version.by == self.index);
        let own = || self.writes.contains(key).then(own).flatten();
        let own = || match own().map(|own| (own.place - 1, own.gap))? {
            (before, Gap::No) => Some((before, false)),
            (before, Gap::Foreign) => Some((before, true)),
            (_, Gap::Own) => None,
        };
        let read = self.places.get(key).map(|place| (*place, false));
        if let Some(spot) = read.or_else(own) {
            return around(runs, spot).map(|run| (run, false));
        }
        let span = self.history.transactions[self.index].time()?;
        let in_time =
            |run: &&Run| !self.is_past(chain, run, span) && !self.is_future(key, chain, run);
        let mut possible = runs.iter().filter(in_time);
        match (possible.next(), possible.next()) {
            (Some(only), None) => Some((*only, true)),
            (Some(_), Some(_)) => None,
            // None of them is right; that whose end had been seen by all is told.
            (None, _) => {
                let past = runs.iter().rfind(|run| self.is_past(chain, run, span));
                past.map(|run| (*run, true))
            }
        }
    }

    /// Whether a run was over, by an acknowledged write, before the transaction began.
    fn is_past(&self, chain: &Chain, run: &Run, (began, _): (u64, u64)) -> bool {
        let next = run.next.and_then(|next| chain.at(next));
        let writer = next.map(|next| &self.history.transactions[next.by]);
        let acknowledged = writer.filter(|writer| writer.end == End::Committed);
        acknowledged.and_then(|writer| writer.time()).is_some_and(|(_, ended)| ended < began)
    }

    /// Whether a run began, by whoever began it, only after the transaction had ended.
    fn is_future(&self, key: &str, chain: &Chain, run: &Run) -> bool {
        let transactions = &self.history.transactions;
        let transaction = &transactions[self.index];
        let Some((_, ended)) = transaction.time().filter(|_| transaction.end == End::Committed)
        else {
            return false;
        };
        let later = |by: usize| transactions[by].time().is_some_and(|(began, _)| ended < began);
        match run.begin {
            (place, false) => chain.at(place).is_some_and(|first| later(first.by)),
            (_, true) => {
                self.versions.spare.get(key).into_iter().flatten().all(|one| later(one.by))
            }
        }
    }
}

/// The last run that begins at or before a spot.
fn around(runs: &[Run], spot: Spot) -> Option<Run> {
    runs.iter().rfind(|run| run.begin <= spot).copied()
}
