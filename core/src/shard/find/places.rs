//! The entries of an index that a plan reads, range by range: where records lie, in the index's order,
//! and in the order asked for where that differs among entries of equal fields only.

use std::collections::{HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::collection::query::{Filter, IndexEntry, Plan, RunBy, Runs, plan::ByteRange};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::{Slot, StoredLeaf};
use crate::limits::DISTINCT_RECORDS_MAX;
use crate::shard::index::Index;
use crate::shard::state::View;
use crate::table::{Scan, TableSet};

/// An index entry's place.
pub(super) struct Place {
    pub seq: u64,
    key: Vec<u8>,
}

/// Entries that agree in so many leading fields, to be put in order among themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldRuns {
    fields: usize,
    newest_first: bool,
}

impl FieldRuns {
    /// The runs of `plan` that are put in order as they are read. A run that is all of the answer, or
    /// of one commit time, is sorted like any other, with a limit in bounds.
    pub fn of(plan: &Plan) -> Option<Self> {
        match plan.runs {
            Some(Runs { by: RunBy::Fields(fields), newest_first }) if !plan.sorted => {
                Some(FieldRuns { fields, newest_first })
            }
            _ => None,
        }
    }
}

/// The entries of some ranges of an index, in order, each record once if asked for.
pub(super) struct Places {
    index: Arc<Index>,
    set: Arc<TableSet>,
    ranges: VecDeque<ByteRange>,
    reverse: bool,
    end_seq: u64,
    scan: Option<Scan>,
    /// The records met, if each is to be met once.
    seen: Option<HashSet<u64>>,
    runs: Option<FieldRuns>,
    run: VecDeque<Place>,
    ahead: Option<Place>,
}

impl Places {
    pub fn new(
        view: &View,
        index: Arc<Index>,
        ranges: &[ByteRange],
        reverse: bool,
        distinct: bool,
        runs: Option<FieldRuns>,
    ) -> Self {
        Places {
            set: index.tables.load_full(),
            index,
            ranges: ranges.to_vec().into(),
            reverse,
            end_seq: view.end_seq,
            scan: None,
            seen: distinct.then(HashSet::new),
            runs,
            run: VecDeque::new(),
            ahead: None,
        }
    }

    /// Drops what lies before the place of `leaf`, or before its run, which is put in another order
    /// than the entries have.
    pub fn begin_at(&mut self, leaf: &StoredLeaf) -> Result<()> {
        let Slot::Live { body, .. } = &leaf.slot else { return Ok(()) };
        let fields = &self.index.fields;
        let keys = fields.keys(&Document::from_trusted(body.clone()).try_to_object()?)?;
        let [key] = &keys.keys[..] else { return Ok(()) };
        let shared = match self.runs {
            None => key.len(),
            Some(runs) => fields.prefix_bytes(key, runs.fields).unwrap_or(0),
        };
        // No encoded value begins with 255, so that byte is behind all that begin alike.
        let (from, to) = (&key[..shared], [&key[..shared], &[u8::MAX]].concat());
        for range in self.ranges.iter_mut() {
            match self.reverse {
                false if range.from[..] < *from => range.from = from.to_vec(),
                true if range.to > to => range.to.clone_from(&to),
                _ => {}
            }
        }
        self.ranges.retain(|range| !range.is_empty());
        Ok(())
    }

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
    pub fn next(&mut self) -> Result<Option<Place>> {
        let Some(runs) = self.runs else { return self.entry() };
        if let Some(place) = self.run.pop_front() {
            return Ok(Some(place));
        }
        let Some(first) =
            self.ahead.take().map_or_else(|| self.entry(), |place| Ok(Some(place)))?
        else {
            return Ok(None);
        };
        let prefix = self.prefix(runs.fields, &first.key).to_vec();
        let mut run = vec![first];
        while let Some(place) = self.entry()? {
            if self.prefix(runs.fields, &place.key) != prefix {
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
    fn prefix<'k>(&self, fields: usize, key: &'k [u8]) -> &'k [u8] {
        let size = self.index.fields.prefix_bytes(key, fields).unwrap_or(key.len());
        &key[..size.min(key.len())]
    }

    /// Whether the entry alone fits what is left of a filter.
    pub fn decides(&self, filter: &Filter, place: &Place) -> Result<bool> {
        if filter.is_all() {
            return Ok(true);
        }
        let index = &self.index;
        let entry = IndexEntry::decode(&index.fields, &place.key, place.seq).ok_or_else(|| {
            let detail = format!("index {:?} has an entry that does not decode", index.name);
            Error::new(Code::Corrupt, detail)
        })?;
        filter.check(&entry)
    }
}
