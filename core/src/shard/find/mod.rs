//! Carrying out a query at a snapshot: reads what the plan says, looks at what the plan left to
//! check, and puts in order what does not come in order. Nothing is held but a batch of records, the
//! runs the plan asks for, and, for a sort that no index gives, the sort keys, within a bound.
//!
//! ```text
//!   Plan ──► places (index entries) ──► records in batches, by place ──► newest? ──► filter ─┐
//!            or records themselves  ─────────────────────────────────────────────────────────┤
//!                                                       ◄── order, limit, cursor ◄───────────┘
//! ```

mod matches;
mod places;
mod sorted;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::matches::Matches;
pub(crate) use self::matches::encoded;
use self::sorted::{Sorted, sort_key};
use crate::collection::query::{self, Access, Filter, IndexStat, Plan, Sort, Statistics};
use crate::error::Result;
use crate::ledger::StoredLeaf;
use crate::shard::index::Index;
use crate::shard::state::View;

/// Records resolved together, at most.
const BATCH_MAX: usize = 128;

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
        self.find_by(query, &plan, index)
    }

    /// Answers a query by what [`View::plan`] chose for it.
    pub fn find_by(&self, query: &Query, plan: &Plan, index: Option<Arc<Index>>) -> Result<Found> {
        note_use(index.as_deref());
        let after = query.after_seq.map(|seq| self.core.read(seq)).transpose()?;
        let after_key = after.as_ref().map(|leaf| sort_key(&query.sort, leaf)).transpose()?;
        let matches = Matches::new(self, plan, index, after.as_ref(), query.limit)?;
        let order = match matches.in_order {
            true => {
                let skip = after_key.map(|key| (query.sort.clone(), key));
                InOrder::Direct { matches, skip }
            }
            false => InOrder::Sorted(Sorted::new(
                self,
                matches,
                &query.sort,
                query.limit,
                after_key.as_deref(),
            )?),
        };
        Ok(Found { order, left: query.limit })
    }

    /// How many records match.
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        if filter.is_all() {
            return Ok(self.keys);
        }
        let (plan, index) =
            self.plan_with(false, |stats, figures| query::plan_count(filter, stats, figures))?;
        note_use(index.as_deref());
        Matches::new(self, &plan, index, None, None)?.count()
    }
}

fn note_use(index: Option<&Index>) {
    if let Some(index) = index {
        index.uses.fetch_add(1, Ordering::Relaxed);
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
