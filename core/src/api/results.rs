//! Lazy results and the outcome of bulk calls.

use serde::Serialize;

use crate::api::record::Record;
use crate::error::{Code, Error, Result};
use crate::shard::read::{KeyRange, Leaves};
use crate::shard::state::View;
use crate::transaction::OnError;

/// Records in sequence order, read as they are asked for.
pub struct Results {
    pub(crate) collection: String,
    pub(crate) view: View,
    pub(crate) leaves: Leaves,
    pub(crate) until: u64,
    pub(crate) left: Option<u64>,
}

impl Iterator for Results {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == Some(0) {
            return None;
        }
        if let Err(error) = self.view.check_live() {
            self.left = Some(0);
            return Some(Err(error));
        }
        loop {
            let leaf = match self.leaves.next()? {
                Ok(leaf) if leaf.seq > self.until => return None,
                Ok(leaf) => leaf,
                Err(error) => return Some(Err(error)),
            };
            if let Some(record) = Record::from_leaf(&self.collection, leaf).transpose() {
                self.left = self.left.map(|left| left - 1);
                return Some(record);
            }
        }
    }
}

/// A scan by key: set what it covers, then iterate.
#[derive(Clone)]
pub struct Scan {
    pub(crate) view: Result<View, (Code, String)>,
    pub(crate) range: KeyRange,
    pub(crate) limit: Option<u64>,
}

impl Scan {
    /// At most this many records.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// From the last key to the first.
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.range.reverse = reverse;
        self
    }

    /// The first record, if any.
    pub fn first(self) -> Result<Option<Record>> {
        self.limit(1).into_iter().next().transpose()
    }

    /// All records at once.
    pub fn all(self) -> Result<Vec<Record>> {
        self.into_iter().collect()
    }
}

impl IntoIterator for Scan {
    type Item = Result<Record>;
    type IntoIter = Box<dyn Iterator<Item = Result<Record>> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        let view = match self.view {
            Ok(view) => view,
            Err((code, detail)) => return Box::new(std::iter::once(Err(Error::new(code, detail)))),
        };
        let name = view.descriptor.name.clone();
        let records = view.scan(&self.range).filter_map(move |leaf| {
            leaf.and_then(|leaf| Record::from_leaf(&name, leaf)).transpose()
        });
        Box::new(records.take(self.limit.map_or(usize::MAX, |limit| limit as usize)))
    }
}

/// How `insert_many` goes about its items.
#[derive(Clone, Copy, Debug)]
pub struct InsertMany {
    /// Items committed together, whole or not at all (default 1,000).
    pub batch: usize,
    /// What to do with a refused item (default: stop).
    pub on_error: OnError,
}

impl Default for InsertMany {
    fn default() -> Self {
        InsertMany { batch: 1000, on_error: OnError::Stop }
    }
}

/// A refused item of a bulk call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkError {
    /// Its position among the items.
    pub index: u64,
    /// The stable code.
    pub code: &'static str,
    /// Why.
    pub detail: String,
}

/// The outcome of a bulk call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BulkResult {
    /// Records written.
    pub inserted: u64,
    /// Items left out.
    pub rejected: u64,
    /// The first 100 of them.
    pub errors: Vec<BulkError>,
    /// Sequence number of the first record written.
    pub first_seq: Option<u64>,
    /// Sequence number of the last record written.
    pub last_seq: Option<u64>,
}
