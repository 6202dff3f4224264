//! Chooses how to answer a query: which index, key range or stretch of the ledger to read, in which
//! direction, and what is left to check.
//!
//! ```text
//!  filter ─▶ conjunction ─┬─ own::drafts    key points, key range, ledger
//!                         └─ index::drafts  per index: equality prefix, lists as points, one range,
//!                                 │         then whatever order the rest of the entries gives
//!                                 ▼
//!                           cost::cheapest  by statistics ─▶ Plan
//! ```
//!
//! Every draft is right by itself: carried out as [`Access`], [`Plan::residual`], [`Plan::sorted`] and
//! [`Plan::runs`] say, it gives the same answer. Statistics choose between drafts and nothing else,
//! so a wrong estimate costs time and never a record.

mod conjunction;
mod cost;
mod explain;
mod index;
#[cfg(test)]
mod model;
mod order;
mod own;
#[cfg(test)]
mod tests;

use std::ops::Bound;

pub use super::interval::ByteRange;
use super::{Filter, IndexFields, Sort};
use crate::document::Object;

use cost::Aim;
use order::Order;

/// An index the planner may use: it must be complete at the snapshot of the query.
#[derive(Clone, Copy, Debug)]
pub struct IndexStat<'a> {
    /// Its name, for `explain`.
    pub name: &'a str,
    /// By what the caller knows it; it comes back in [`Access::Index`].
    pub id: usize,
    /// Its fields.
    pub fields: &'a IndexFields,
    /// Whether no two visible records have the same values in it.
    pub unique: bool,
    /// Whether records without any of its fields are left out.
    pub sparse: bool,
    /// Whether any entry may come from an array. "No" must be certain: order and completeness of the
    /// answer rest on it.
    pub holds_arrays: bool,
    /// How many entries it has, about.
    pub entries: u64,
}

/// What is known of the amount of data. Estimates are enough.
pub trait Statistics {
    /// How many records there are.
    fn records(&self) -> u64;

    /// How many entries of an index lie in a range of its keys.
    fn range_entries(&self, index: usize, from: &[u8], to: &[u8]) -> u64;

    /// How many record keys lie in a range.
    fn key_range_entries(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> u64;

    /// How many records lie in a stretch of the ledger.
    fn ledger_records(&self, range: &LedgerRange) -> u64 {
        let first = range.after_seq.map_or(0, |seq| seq.saturating_add(1));
        let last = range.until_seq.unwrap_or(u64::MAX);
        self.records().min(last.saturating_sub(first).saturating_add(1))
    }
}

/// A stretch of the ledger: `after` is exclusive, `until` inclusive, as everywhere. Commit times never
/// decrease with sequence numbers, so times bound a stretch too; the filter checks them once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerRange {
    /// Sequence numbers above this one.
    pub after_seq: Option<u64>,
    /// Sequence numbers up to this one.
    pub until_seq: Option<u64>,
    /// Commit times above this one, in microseconds since the epoch.
    pub after_us: Option<i64>,
    /// Commit times up to this one.
    pub until_us: Option<i64>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no record can match.
    Nothing,
    /// Records in sequence order.
    Ledger {
        /// Which of them.
        range: LedgerRange,
        /// From the newest to the oldest.
        reverse: bool,
    },
    /// Single records by key.
    Keys {
        /// The keys, in the order to read them.
        points: Vec<String>,
    },
    /// Records in key order.
    KeyRange {
        /// The first key.
        lower: Bound<Vec<u8>>,
        /// The last key.
        upper: Bound<Vec<u8>>,
        /// From the last to the first.
        reverse: bool,
    },
    /// Entries of an index.
    Index {
        /// The id of its [`IndexStat`].
        index: usize,
        /// Ranges of its keys, in ascending order without overlaps.
        ranges: Vec<ByteRange>,
        /// From the last entry of the last range to the first of the first.
        reverse: bool,
        /// A record may be met more than once: it counts the first time.
        distinct: bool,
    },
}

/// What records have in common that must be put in order among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunBy {
    /// Everything read is one run.
    Whole,
    /// Index entries that agree in so many leading fields; see [`IndexFields::prefix_bytes`].
    Fields(usize),
    /// Records of one commit time.
    Time,
}

/// The access gives the sort's order but for the order within runs: whoever reads a run whole and
/// orders it by sequence number, which needs no document, has the order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    /// What makes a run.
    pub by: RunBy,
    /// The order within one: descending by sequence number, or ascending.
    pub newest_first: bool,
}

/// How a query is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is read.
    pub access: Access,
    /// What is left to check of each record; [`Filter::all`] if nothing.
    pub residual: Filter,
    /// Whether records come in the order of the sort, or no order was asked for.
    pub sorted: bool,
    /// How to put them in order short of sorting, if they do not come so; it is always right to
    /// ignore this and to sort by [`Sort::key`].
    pub runs: Option<Runs>,
    /// Whether `residual` is decided without the document: for an index by
    /// [`super::IndexEntry`] alone, otherwise by key, sequence number and time.
    pub covered: bool,
    /// How many entries or records will be read, about.
    pub estimate: u64,
    /// The reason, in words.
    pub why: String,
    /// The name of the index.
    pub index_name: Option<String>,
    /// The conditions that the access stands for, in the filter's own syntax, for people: one object
    /// per branch of a choice, of many branches the first ones.
    pub conditions: Vec<Object>,
}

/// A plan that is not yet chosen.
struct Draft {
    access: Access,
    residual: Filter,
    order: Order,
    covered: bool,
    /// Entries or records in all of the access.
    entries: u64,
    index_name: Option<String>,
    conditions: Vec<Object>,
    /// What the access is good for, in words.
    how: String,
}

/// Chooses the plan that is likely to read least.
pub fn plan(
    filter: &Filter,
    sort: &Sort,
    limit: Option<u64>,
    indexes: &[IndexStat<'_>],
    statistics: &dyn Statistics,
) -> Plan {
    let drafts = drafts(filter, sort, indexes, statistics);
    cost::cheapest(drafts, Aim::Show { limit }, statistics)
}

/// Chooses the plan for a count: what an access decides without documents is read without them.
pub fn plan_count(filter: &Filter, indexes: &[IndexStat<'_>], statistics: &dyn Statistics) -> Plan {
    let drafts = drafts(filter, &Sort::default(), indexes, statistics);
    cost::cheapest(drafts, Aim::Count, statistics)
}

/// All ways of answering that are worth a comparison; reading the whole ledger is always among them,
/// unless the filter cannot match.
fn drafts(
    filter: &Filter,
    sort: &Sort,
    indexes: &[IndexStat<'_>],
    statistics: &dyn Statistics,
) -> Vec<Draft> {
    if filter.is_nothing() {
        return vec![Draft::nothing("the filter accepts no record")];
    }
    let mut drafts = own::drafts(filter, sort, statistics);
    let mut work = index::CHOICE_WORK_MAX;
    for index in indexes {
        drafts.extend(index::drafts(filter, sort, index, statistics, &mut work));
    }
    drafts
}

impl Draft {
    fn nothing(how: &str) -> Self {
        Draft {
            access: Access::Nothing,
            residual: Filter::all(),
            order: Order::Sorted,
            covered: true,
            entries: 0,
            index_name: None,
            conditions: Vec::new(),
            how: how.to_owned(),
        }
    }
}
