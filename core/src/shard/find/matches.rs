//! The records that match, in the order of what the plan reads: taken one by one, or resolved from
//! index entries in batches, then checked for what the plan leaves to check.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use super::places::{FieldRuns, Places};
use super::{BATCH_MAX, Reads};
use crate::collection::query::plan::LedgerRange;
use crate::collection::query::{Access, Encoded, Filter, Plan};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::{LedgerReader, Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::backward::Backward;
use crate::shard::index::Index;
use crate::shard::read::{KeyRange, Records};
use crate::shard::state::View;

type Leaves = Box<dyn Iterator<Item = Result<StoredLeaf>> + Send>;

enum Source {
    Nothing,
    Places(Box<Places>),
    Keyed(Box<Records>),
    Points(std::vec::IntoIter<String>),
    Leaves(Leaves),
}

impl Source {
    /// What `plan` reads, from the place of the record `after` on if there is one.
    fn new(
        view: &View,
        plan: &Plan,
        index: Option<Arc<Index>>,
        runs: Option<FieldRuns>,
        after: Option<&StoredLeaf>,
    ) -> Result<Self> {
        Ok(match &plan.access {
            Access::Nothing => Source::Nothing,
            Access::Keys { points } => Source::Points(points.clone().into_iter()),
            Access::KeyRange { lower, upper, reverse } => {
                let mut range =
                    KeyRange { lower: lower.clone(), upper: upper.clone(), reverse: *reverse };
                if let Some(key) = after.and_then(|leaf| leaf.key.as_deref()) {
                    match reverse {
                        false => range.lower = Bound::Included(key.to_vec()),
                        true => range.upper = Bound::Included(key.to_vec()),
                    }
                }
                Source::Keyed(Box::new(view.scan(&range)))
            }
            Access::Ledger { range, reverse } => {
                Source::Leaves(leaves(view, range, *reverse, after)?)
            }
            Access::Index { ranges, reverse, distinct, .. } => {
                let index = index.ok_or_else(|| missing_index(plan))?;
                let mut places = Places::new(view, index, ranges, *reverse, *distinct, runs);
                if let Some(leaf) = after {
                    places.begin_at(leaf)?;
                }
                Source::Places(Box::new(places))
            }
        })
    }
}

fn leaves(
    view: &View,
    range: &LedgerRange,
    reverse: bool,
    after: Option<&StoredLeaf>,
) -> Result<Leaves> {
    let (mut from_seq, mut end_seq) = view.stretch(range)?;
    if let Some(leaf) = after {
        match reverse {
            // Records of one commit time may stand in the other order: all of them.
            false => from_seq = from_seq.max(view.first_at(leaf.time_us)?),
            true => end_seq = end_seq.min(view.first_after(leaf.time_us)?),
        }
    }
    Ok(match reverse {
        false => {
            let below = move |leaf: &Result<StoredLeaf>| {
                leaf.as_ref().map_or(true, |leaf| leaf.seq < end_seq)
            };
            Box::new(view.leaves(from_seq).take_while(below))
        }
        true => Box::new(Backward::new(view, from_seq, end_seq)),
    })
}

fn missing_index(plan: &Plan) -> Error {
    let name = plan.index_name.as_deref().unwrap_or_default();
    Error::new(Code::Internal, format!("the plan names no live index {name:?}"))
}

/// What is left to check of what is read.
struct Wanted {
    filter: Filter,
    /// Whether an index entry alone decides the filter.
    covered: bool,
    /// Whether a record must be looked at for being the newest of its key.
    newest: bool,
}

impl Wanted {
    /// Whether a leaf is a readable record, the newest of its key, and fits the filter, if that is
    /// not `decided` yet.
    fn accepts(&self, view: &View, leaf: &StoredLeaf, decided: bool) -> Result<bool> {
        let (LeafKind::Record, Some(key), Slot::Live { body, .. }) =
            (leaf.kind, &leaf.key, &leaf.slot)
        else {
            return Ok(false);
        };
        if self.newest && !view.core.is_newest_of(key, leaf.seq, view.end_seq)? {
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
}

/// The record of a leaf, as filters and sorts look at it.
pub(crate) fn encoded<'a>(leaf: &'a StoredLeaf, document: &'a Document) -> Result<Encoded<'a>> {
    let key = leaf.key.as_deref().unwrap_or_default();
    let key = std::str::from_utf8(key).map_err(|_| {
        let detail = format!("the key at seq {} is not UTF-8", leaf.seq);
        Error::new(Code::Corrupt, detail)
    })?;
    Ok(Encoded { key, seq: leaf.seq, time_us: leaf.time_us, document })
}

/// The records that match, in the order of the access.
pub(super) struct Matches {
    view: View,
    wanted: Wanted,
    source: Source,
    /// Whether that is the order of the sort.
    pub in_order: bool,
    reader: LedgerReader,
    ready: VecDeque<StoredLeaf>,
    batch: usize,
    batch_max: usize,
    pub reads: Reads,
}

impl Matches {
    /// The matches of `plan`; where they come in the order of the sort, from the place of the record
    /// `after` on, which may be among them.
    pub fn new(
        view: &View,
        plan: &Plan,
        index: Option<Arc<Index>>,
        after: Option<&StoredLeaf>,
        limit: Option<u64>,
    ) -> Result<Self> {
        let runs = FieldRuns::of(plan);
        let in_order = plan.sorted || runs.is_some();
        let batch_max = limit.map_or(BATCH_MAX, |limit| limit.clamp(1, BATCH_MAX as u64) as usize);
        let meets_revisions = matches!(plan.access, Access::Ledger { .. } | Access::Index { .. });
        let wanted = Wanted {
            filter: plan.residual.clone(),
            covered: plan.covered,
            newest: meets_revisions && view.descriptor.settings.revisions,
        };
        Ok(Matches {
            source: Source::new(view, plan, index, runs, after.filter(|_| in_order))?,
            reader: view.core.ledger.reader(),
            view: view.clone(),
            wanted,
            in_order,
            ready: VecDeque::new(),
            batch: batch_max.min(8),
            batch_max,
            reads: Reads::default(),
        })
    }

    /// The next record that matches.
    pub fn next(&mut self) -> Result<Option<StoredLeaf>> {
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
            if self.wanted.accepts(&self.view, &leaf, false)? {
                return Ok(Some(leaf));
            }
        }
    }

    /// Resolves the next places; returns whether there were any.
    fn fill(&mut self) -> Result<bool> {
        let Source::Places(places) = &mut self.source else { return Ok(false) };
        let (view, wanted, reads) = (&self.view, &self.wanted, &mut self.reads);
        let mut seqs = Vec::with_capacity(self.batch);
        let mut any = false;
        while seqs.len() < self.batch {
            let Some(place) = places.next()? else { break };
            any = true;
            reads.entries += 1;
            if !wanted.covered || places.decides(&wanted.filter, &place)? {
                seqs.push(place.seq);
            }
        }
        self.batch = (self.batch * 2).min(self.batch_max);
        let accepted = view.core.read_batch(&mut self.reader, &seqs, |leaf| {
            reads.records += 1;
            wanted.accepts(view, leaf, wanted.covered)
        })?;
        self.ready.extend(accepted);
        Ok(any)
    }

    /// How many there are; an index that decides by itself is all that is read for it.
    pub fn count(&mut self) -> Result<u64> {
        let mut count = 0;
        if let Source::Places(places) = &mut self.source
            && self.wanted.covered
            && !self.wanted.newest
        {
            while let Some(place) = places.next()? {
                count += u64::from(places.decides(&self.wanted.filter, &place)?);
            }
            return Ok(count);
        }
        while self.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
