//! Carrying out a query at a snapshot: reads what the plan says, looks at what the plan left to
//! check, and puts in order what does not come in order. Nothing is held but a batch of records, the
//! runs the plan asks for, and, for a sort that no index gives, the sort keys, within a bound.
//!
//! ```text
//!   Plan ──► places (index entries) ──► records in batches, by place ──► newest? ──► filter ─┐
//!            or records themselves  ─────────────────────────────────────────────────────────┤
//!                                                       ◄── order, limit, cursor ◄───────────┘
//! ```

use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::query::{
    self, Access, Encoded, Filter, IndexEntry, IndexStat, Plan, RunBy, Runs, Sort, Statistics,
};
use crate::document::Document;
use crate::error::{Error, Result};
use crate::ledger::{LedgerReader, Slot, StoredLeaf};
use crate::limits::{DISTINCT_RECORDS_MAX, SORT_BYTES_MAX};
use crate::proof::LeafKind;
use crate::shard::backward::Backward;
use crate::shard::index::Index;
use crate::shard::read::{KeyRange, Records};
use crate::shard::state::View;
use crate::table::{Scan, TableSet};

/// Records resolved together, at most.
const BATCH_MAX: usize = 128;
/// What a sort key costs beyond its bytes.
const SORT_ENTRY_BYTES: u64 = 48;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// What must hold.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// How many at most.
    pub limit: Option<u64>,
    /// The sequence number of the last record of the page before.
    pub after_seq: Option<u64>,
    /// Whether the snapshot is of the past: what is unique now need not have been then.
    pub of_the_past: bool,
}

/// What was read to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Index entries.
    pub entries: u64,
    /// Records.
    pub records: u64,
}

/// The estimates a plan is chosen by.
struct Figures<'a> {
    view: &'a View,
    indexes: &'a [Arc<Index>],
}

impl Statistics for Figures<'_> {
    fn records(&self) -> u64 {
        self.view.records
    }

    fn range_entries(&self, index: usize, from: &[u8], to: &[u8]) -> u64 {
        let Some(index) = self.indexes.get(index) else { return u64::MAX };
        let (lower, upper) = (Bound::Included(from), Bound::Excluded(to));
        // A table that cannot be read is met again when it is used; here it only looks expensive.
        index.tables.load().estimate(lower, upper).unwrap_or(u64::MAX)
    }

    fn key_range_entries(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> u64 {
        self.view.core.tables.load().estimate(lower, upper).unwrap_or(u64::MAX)
    }
}

impl View {
    /// The indexes that queries at this snapshot may use.
    fn ready_indexes(&self) -> Vec<Arc<Index>> {
        let running = self.core.indexes.load();
        let ready = self.descriptor.indexes.iter().filter(|index| index.is_ready());
        ready
            .filter_map(|index| running.iter().find(|running| running.id == index.id))
            .filter(|index| index.is_complete())
            .cloned()
            .collect()
    }

    /// Chooses how to answer a query.
    pub fn plan(&self, query: &Query) -> Result<(Plan, Option<Arc<Index>>)> {
        self.plan_with(query.of_the_past, |stats, figures| {
            query::plan(&query.filter, &query.sort, query.limit, stats, figures)
        })
    }

    fn plan_with(
        &self,
        of_the_past: bool,
        choose: impl FnOnce(&[IndexStat<'_>], &dyn Statistics) -> Plan,
    ) -> Result<(Plan, Option<Arc<Index>>)> {
        let indexes = self.ready_indexes();
        let arrays = indexes
            .iter()
            .map(|index| index.holds_arrays(self.end_seq))
            .collect::<Result<Vec<bool>>>()?;
        let stats: Vec<IndexStat<'_>> = indexes
            .iter()
            .zip(arrays)
            .enumerate()
            .map(|(id, (index, holds_arrays))| IndexStat {
                name: &index.name,
                id,
                fields: &index.fields,
                unique: index.unique && !of_the_past,
                sparse: index.sparse,
                holds_arrays,
                entries: index.tables.load().entries(),
            })
            .collect();
        let figures = Figures { view: self, indexes: &indexes };
        let plan = choose(&stats, &figures);
        let used = match &plan.access {
            Access::Index { index, .. } => indexes.get(*index).cloned(),
            _ => None,
        };
        Ok((plan, used))
    }

    /// Answers a query.
    pub fn find(&self, query: &Query) -> Result<Found> {
        let (plan, index) = self.plan(query)?;
        if let Some(index) = &index {
            index.uses.fetch_add(1, Ordering::Relaxed);
        }
        let after = query.after_seq.map(|seq| self.core.read(seq)).transpose()?;
        let after_key = after.as_ref().map(|leaf| sort_key(&query.sort, leaf)).transpose()?;
        // Where records come in the order of the sort, reading begins at the place of the last one.
        let ordered =
            plan.sorted || plan.runs.is_some_and(|runs| matches!(runs.by, RunBy::Fields(_)));
        let place = after.as_ref().filter(|_| ordered);
        let batch_max = query.limit.map_or(BATCH_MAX, |limit| limit.clamp(1, 128) as usize);
        let mut matches = Matches::new(self, &plan, index, place, batch_max)?;
        let in_order = plan.sorted || matches.orders_runs;
        if in_order {
            let skip = after_key.map(|key| (query.sort.clone(), key));
            return Ok(Found { order: InOrder::Direct { matches, skip }, left: query.limit });
        }
        let seqs = sort_seqs(&mut matches, &query.sort, query.limit, after_key.as_deref())?;
        let reads = matches.reads;
        let sorted = Sorted {
            view: self.clone(),
            reader: self.core.ledger.reader(),
            seqs: seqs.into_iter(),
            ready: VecDeque::new(),
            reads,
        };
        Ok(Found { order: InOrder::Sorted(sorted), left: query.limit })
    }

    /// How many records match.
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        if filter.is_all() {
            return Ok(self.keys);
        }
        let (plan, index) =
            self.plan_with(false, |stats, figures| query::plan_count(filter, stats, figures))?;
        if let Some(index) = &index {
            index.uses.fetch_add(1, Ordering::Relaxed);
        }
        let mut matches = Matches::new(self, &plan, index, None, BATCH_MAX)?;
        matches.count()
    }
}

/// An index entry's place.
struct Place {
    seq: u64,
    key: Vec<u8>,
}

/// The entries of some ranges of an index, in order, each record once if asked for.
struct Places {
    index: Arc<Index>,
    set: Arc<TableSet>,
    ranges: VecDeque<query::plan::ByteRange>,
    reverse: bool,
    end_seq: u64,
    scan: Option<Scan>,
    seen: Option<HashSet<u64>>,
    runs: Option<Runs>,
    run: VecDeque<Place>,
    ahead: Option<Place>,
}

impl Places {
    fn entry(&mut self) -> Result<Option<Place>> {
        loop {
            if self.scan.is_none() {
                let range = match self.reverse {
                    false => self.ranges.pop_front(),
                    true => self.ranges.pop_back(),
                };
                let Some(range) = range else { return Ok(None) };
                let (from, to) = (Bound::Included(&range.from[..]), Bound::Excluded(&range.to[..]));
                self.scan = Some(self.set.scan(from, to, self.end_seq, self.reverse));
            }
            let Some(entry) = self.scan.as_mut().and_then(Iterator::next) else {
                self.scan = None;
                continue;
            };
            let entry = entry?;
            if let Some(seen) = &mut self.seen {
                if seen.len() >= DISTINCT_RECORDS_MAX {
                    let max = DISTINCT_RECORDS_MAX as u64;
                    return Err(Error::too_large(
                        "records of a query over an index with arrays",
                        max + 1,
                        max,
                    ));
                }
                if !seen.insert(entry.seq) {
                    continue;
                }
            }
            return Ok(Some(Place { seq: entry.seq, key: entry.key }));
        }
    }

    /// The next place, runs put in order.
    fn next(&mut self) -> Result<Option<Place>> {
        let Some(runs) = self.runs else { return self.entry() };
        if let Some(place) = self.run.pop_front() {
            return Ok(Some(place));
        }
        let Some(first) =
            self.ahead.take().map_or_else(|| self.entry(), |place| Ok(Some(place)))?
        else {
            return Ok(None);
        };
        let prefix = self.prefix(runs, &first.key).to_vec();
        let mut run = vec![first];
        while let Some(place) = self.entry()? {
            if self.prefix(runs, &place.key) != prefix {
                self.ahead = Some(place);
                break;
            }
            if run.len() >= DISTINCT_RECORDS_MAX {
                let max = DISTINCT_RECORDS_MAX as u64;
                return Err(Error::too_large("records of equal sort fields", max + 1, max));
            }
            run.push(place);
        }
        run.sort_by_key(|place| if runs.newest_first { !place.seq } else { place.seq });
        self.run = run.into();
        Ok(self.run.pop_front())
    }

    /// What the entries of a run have in common.
    fn prefix<'k>(&self, runs: Runs, key: &'k [u8]) -> &'k [u8] {
        match runs.by {
            RunBy::Fields(fields) => {
                let size = self.index.fields.prefix_bytes(key, fields).unwrap_or(key.len());
                &key[..size.min(key.len())]
            }
            RunBy::Whole | RunBy::Time => &[],
        }
    }
}

enum Source {
    Nothing,
    Places(Box<Places>),
    Keyed(Box<Records>),
    Points(std::vec::IntoIter<String>),
    Leaves(Box<dyn Iterator<Item = Result<StoredLeaf>> + Send>),
}

/// The records that match, in the order of the access.
struct Matches {
    view: View,
    filter: Filter,
    covered: bool,
    source: Source,
    /// Whether the source puts the runs of the plan in order.
    orders_runs: bool,
    /// Whether a record must be looked at for being the newest of its key.
    check_newest: bool,
    reader: LedgerReader,
    ready: VecDeque<StoredLeaf>,
    batch: usize,
    batch_max: usize,
    reads: Reads,
}

impl Matches {
    fn new(
        view: &View,
        plan: &Plan,
        index: Option<Arc<Index>>,
        place: Option<&StoredLeaf>,
        batch_max: usize,
    ) -> Result<Self> {
        let revisions = view.descriptor.settings.revisions;
        let mut orders_runs = false;
        let (source, check_newest) = match &plan.access {
            Access::Nothing => (Source::Nothing, false),
            Access::Keys { points } => (Source::Points(points.clone().into_iter()), false),
            Access::KeyRange { lower, upper, reverse } => {
                let mut range =
                    KeyRange { lower: lower.clone(), upper: upper.clone(), reverse: *reverse };
                if let Some(key) = place.and_then(|leaf| leaf.key.as_deref()) {
                    match reverse {
                        false => range.lower = Bound::Included(key.to_vec()),
                        true => range.upper = Bound::Included(key.to_vec()),
                    }
                }
                (Source::Keyed(Box::new(view.scan(&range))), false)
            }
            Access::Ledger { range, reverse } => {
                let (mut from_seq, mut end_seq) = view.stretch(range)?;
                if let Some(leaf) = place {
                    match reverse {
                        // Records of one commit time may stand in the other order: all of them.
                        false => from_seq = from_seq.max(view.first_at(leaf.time_us)?),
                        true => end_seq = end_seq.min(view.first_after(leaf.time_us)?),
                    }
                }
                let leaves: Box<dyn Iterator<Item = Result<StoredLeaf>> + Send> = match reverse {
                    false => {
                        let below = move |leaf: &Result<StoredLeaf>| {
                            leaf.as_ref().map_or(true, |leaf| leaf.seq < end_seq)
                        };
                        Box::new(view.leaves(from_seq).take_while(below))
                    }
                    true => Box::new(Backward::new(view, from_seq, end_seq)),
                };
                (Source::Leaves(leaves), revisions)
            }
            Access::Index { ranges, reverse, distinct, .. } => {
                let index = index.ok_or_else(|| missing_index(plan))?;
                let mut ranges: VecDeque<_> = ranges.clone().into();
                let runs = plan.runs.filter(|_| !plan.sorted);
                if let Some(leaf) = place {
                    clip(&mut ranges, &index, leaf, runs, *reverse)?;
                }
                // A run that is all of the answer is sorted like any other, with a limit in bounds.
                orders_runs = runs.is_some_and(|runs| matches!(runs.by, RunBy::Fields(_)));
                let places = Places {
                    set: index.tables.load_full(),
                    index,
                    ranges,
                    reverse: *reverse,
                    end_seq: view.end_seq,
                    scan: None,
                    seen: distinct.then(HashSet::new),
                    runs: runs.filter(|_| orders_runs),
                    run: VecDeque::new(),
                    ahead: None,
                };
                (Source::Places(Box::new(places)), revisions)
            }
        };
        Ok(Matches {
            reader: view.core.ledger.reader(),
            view: view.clone(),
            filter: plan.residual.clone(),
            covered: plan.covered,
            source,
            orders_runs,
            check_newest,
            ready: VecDeque::new(),
            batch: batch_max.min(8),
            batch_max,
            reads: Reads::default(),
        })
    }

    /// The next record that matches.
    fn next(&mut self) -> Result<Option<StoredLeaf>> {
        loop {
            if let Some(leaf) = self.ready.pop_front() {
                return Ok(Some(leaf));
            }
            self.view.check_live()?;
            let leaf = match &mut self.source {
                Source::Nothing => None,
                Source::Places(_) => {
                    if !self.fill()? {
                        return Ok(None);
                    }
                    continue;
                }
                Source::Keyed(records) => records.next().transpose()?,
                Source::Leaves(leaves) => leaves.next().transpose()?,
                Source::Points(points) => match points.next() {
                    None => None,
                    Some(key) => match self.view.get(key.as_bytes(), None)? {
                        None => continue,
                        found => found,
                    },
                },
            };
            let Some(leaf) = leaf else { return Ok(None) };
            self.reads.records += 1;
            if self.accepts(&leaf, false)? {
                return Ok(Some(leaf));
            }
        }
    }

    /// Resolves the next places, sorted by where they lie; returns whether there were any.
    fn fill(&mut self) -> Result<bool> {
        let Source::Places(places) = &mut self.source else { return Ok(false) };
        let mut seqs = Vec::with_capacity(self.batch);
        let mut any = false;
        while seqs.len() < self.batch {
            let Some(place) = places.next()? else { break };
            any = true;
            self.reads.entries += 1;
            if !self.covered || decided(&self.filter, &places.index, &place)? {
                seqs.push(place.seq);
            }
        }
        self.batch = (self.batch * 2).min(self.batch_max);
        let mut order: Vec<usize> = (0..seqs.len()).collect();
        order.sort_unstable_by_key(|at| seqs[*at]);
        let mut leaves: Vec<Option<StoredLeaf>> = vec![None; seqs.len()];
        for at in order {
            let leaf = self.view.core.read_with(&mut self.reader, seqs[at])?;
            self.reads.records += 1;
            if self.accepts(&leaf, self.covered)? {
                leaves[at] = Some(leaf);
            }
        }
        self.ready.extend(leaves.into_iter().flatten());
        Ok(any)
    }

    /// Whether a leaf is a readable record, the newest of its key, and fits the filter.
    fn accepts(&self, leaf: &StoredLeaf, decided: bool) -> Result<bool> {
        let (LeafKind::Record, Some(key), Slot::Live { body, .. }) =
            (leaf.kind, &leaf.key, &leaf.slot)
        else {
            return Ok(false);
        };
        let (core, end_seq) = (&self.view.core, self.view.end_seq);
        if self.check_newest
            && core.newest(key, end_seq)?.is_none_or(|newest| newest.seq != leaf.seq)
        {
            return Ok(false);
        }
        match decided || self.filter.is_all() {
            true => Ok(true),
            false => {
                let document = Document::from_trusted(body.clone());
                self.filter.check(&encoded(leaf, &document)?)
            }
        }
    }

    fn count(&mut self) -> Result<u64> {
        let mut count = 0;
        if let Source::Places(places) = &mut self.source
            && self.covered
            && !self.check_newest
        {
            while let Some(place) = places.next()? {
                count += u64::from(decided(&self.filter, &places.index, &place)?);
            }
            return Ok(count);
        }
        while self.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// Whether an index entry alone fits what is left of a filter.
fn decided(filter: &Filter, index: &Index, place: &Place) -> Result<bool> {
    if filter.is_all() {
        return Ok(true);
    }
    let entry = IndexEntry::decode(&index.fields, &place.key, place.seq).ok_or_else(|| {
        Error::new(
            crate::error::Code::Corrupt,
            format!("index {:?} has an entry that does not decode", index.name),
        )
    })?;
    filter.check(&entry)
}

fn encoded<'a>(leaf: &'a StoredLeaf, document: &'a Document) -> Result<Encoded<'a>> {
    let key = leaf.key.as_deref().unwrap_or_default();
    let key = std::str::from_utf8(key).map_err(|_| {
        let detail = format!("the key at seq {} is not UTF-8", leaf.seq);
        Error::new(crate::error::Code::Corrupt, detail)
    })?;
    Ok(Encoded { key, seq: leaf.seq, time_us: leaf.time_us, document })
}

fn sort_key(sort: &Sort, leaf: &StoredLeaf) -> Result<Vec<u8>> {
    let body = match &leaf.slot {
        Slot::Live { body, .. } => body.clone(),
        _ => return Err(Error::invalid("the cursor's record was erased; start again without it")),
    };
    let document = Document::from_trusted(body);
    sort.key_of(&encoded(leaf, &document)?)
}

/// Drops from `ranges` what lies before the place of `leaf`, or before its run, which is put in
/// another order than the entries have.
fn clip(
    ranges: &mut VecDeque<query::plan::ByteRange>,
    index: &Index,
    leaf: &StoredLeaf,
    runs: Option<Runs>,
    reverse: bool,
) -> Result<()> {
    let Slot::Live { body, .. } = &leaf.slot else { return Ok(()) };
    let keys = index.fields.keys(&Document::from_trusted(body.clone()).try_to_object()?)?;
    let [key] = &keys.keys[..] else { return Ok(()) };
    let shared = match runs.map(|runs| runs.by) {
        None => key.len(),
        Some(RunBy::Fields(fields)) => index.fields.prefix_bytes(key, fields).unwrap_or(0),
        Some(RunBy::Whole | RunBy::Time) => 0,
    };
    // No encoded value begins with 255, so that byte is behind all that begin alike.
    let (from, to) = (&key[..shared], [&key[..shared], &[u8::MAX]].concat());
    for range in ranges.iter_mut() {
        match reverse {
            false if range.from[..] < *from => range.from = from.to_vec(),
            true if range.to > to => range.to.clone_from(&to),
            _ => {}
        }
    }
    ranges.retain(|range| !range.is_empty());
    Ok(())
}

fn missing_index(plan: &Plan) -> Error {
    let name = plan.index_name.as_deref().unwrap_or_default();
    Error::new(crate::error::Code::Internal, format!("the plan names no live index {name:?}"))
}

/// The sequence numbers of all matches in the order of `sort`: at most `limit` of them are kept, or
/// as many as fit the bound.
fn sort_seqs(
    matches: &mut Matches,
    sort: &Sort,
    limit: Option<u64>,
    after_key: Option<&[u8]>,
) -> Result<Vec<u64>> {
    let keep = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut kept: BinaryHeap<(Vec<u8>, u64)> = BinaryHeap::new();
    let mut bytes = 0;
    while let Some(leaf) = matches.next()? {
        let key = sort_key(sort, &leaf)?;
        if after_key.is_some_and(|after| &key[..] <= after) {
            continue;
        }
        if kept.len() >= keep {
            if kept.peek().is_none_or(|(last, _)| *last <= key) {
                continue;
            }
            if let Some((last, _)) = kept.pop() {
                bytes -= last.len() as u64 + SORT_ENTRY_BYTES;
            }
        }
        bytes += key.len() as u64 + SORT_ENTRY_BYTES;
        if bytes > SORT_BYTES_MAX {
            let limit =
                "memory of a sort without a limit or an index that gives its order, in bytes,";
            return Err(Error::too_large(limit, bytes, SORT_BYTES_MAX));
        }
        kept.push((key, leaf.seq));
    }
    Ok(kept.into_sorted_vec().into_iter().map(|(_, seq)| seq).collect())
}

/// Records in an order that was made beforehand.
struct Sorted {
    view: View,
    reader: LedgerReader,
    seqs: std::vec::IntoIter<u64>,
    ready: VecDeque<StoredLeaf>,
    reads: Reads,
}

impl Sorted {
    fn next(&mut self) -> Result<Option<StoredLeaf>> {
        if self.ready.is_empty() {
            self.view.check_live()?;
            let seqs: Vec<u64> = self.seqs.by_ref().take(BATCH_MAX).collect();
            let mut order: Vec<usize> = (0..seqs.len()).collect();
            order.sort_unstable_by_key(|at| seqs[*at]);
            let mut leaves: Vec<Option<StoredLeaf>> = vec![None; seqs.len()];
            for at in order {
                leaves[at] = Some(self.view.core.read_with(&mut self.reader, seqs[at])?);
            }
            self.ready.extend(leaves.into_iter().flatten());
        }
        Ok(self.ready.pop_front())
    }
}

enum InOrder {
    Direct { matches: Matches, skip: Option<(Sort, Vec<u8>)> },
    Sorted(Sorted),
}

/// The answer to a query, read as it is asked for.
pub struct Found {
    order: InOrder,
    left: Option<u64>,
}

impl Found {
    /// What was read so far.
    pub fn reads(&self) -> Reads {
        match &self.order {
            InOrder::Direct { matches, .. } => matches.reads,
            InOrder::Sorted(sorted) => sorted.reads,
        }
    }

    fn step(&mut self) -> Result<Option<StoredLeaf>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let leaf = match &mut self.order {
            InOrder::Sorted(sorted) => sorted.next()?,
            InOrder::Direct { matches, skip } => loop {
                let leaf = matches.next()?;
                match (&leaf, &*skip) {
                    (Some(found), Some((sort, after))) if sort_key(sort, found)? <= *after => {}
                    _ => {
                        *skip = None;
                        break leaf;
                    }
                }
            },
        };
        if leaf.is_some() {
            self.left = self.left.map(|left| left - 1);
        }
        Ok(leaf)
    }
}

impl Iterator for Found {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.left = Some(0);
        }
        step.transpose()
    }
}
