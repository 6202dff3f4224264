//! The predicate of scans and queries: a range of keys, and a filter over what lies in it. It errs
//! on the side of waiting: what it cannot decide about a document to come, it covers.

use std::ops::Bound;

use super::predicates::Predicate;
use crate::collection::query::{Encoded, Filter};
use crate::document::Document;
use crate::shard::read::KeyRange;

/// What a scan or a query has read of a collection: the keys from a first one to behind a last one,
/// and of their documents those that a filter accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    filter: Option<Filter>,
}

impl Scanned {
    /// The whole collection.
    pub fn everything() -> Self {
        Scanned { start: Vec::new(), end: None, filter: None }
    }

    /// Keys from `start` to before `end`; without `end`, all from `start` on.
    pub fn keys(start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        Scanned { start, end, filter: None }
    }

    /// The keys of a range.
    pub fn range(range: &KeyRange) -> Self {
        let behind = |key: &[u8]| [key, &[0]].concat();
        let start = match &range.lower {
            Bound::Included(key) => key.clone(),
            Bound::Excluded(key) => behind(key),
            Bound::Unbounded => Vec::new(),
        };
        let end = match &range.upper {
            Bound::Included(key) => Some(behind(key)),
            Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        Scanned::keys(start, end)
    }

    /// Whether it is the whole collection.
    pub fn is_everything(&self) -> bool {
        self.start.is_empty() && self.end.is_none() && self.filter.is_none()
    }

    /// Of these, what `filter` accepts. Sequence number and time of a document to come are not
    /// known, so a filter that asks for them decides nothing here.
    pub fn matching(self, filter: Filter) -> Self {
        let decides = !filter.is_all() && !filter.needs_place();
        Scanned { filter: decides.then_some(filter), ..self }
    }
}

impl Predicate for Scanned {
    fn covers(&self, key: &[u8], document: &Document) -> bool {
        let before_end = self.end.as_ref().is_none_or(|end| key < end.as_slice());
        if key < self.start.as_slice() || !before_end {
            return false;
        }
        let Some(filter) = &self.filter else { return true };
        let Ok(key) = std::str::from_utf8(key) else { return true };
        // The filter asks for neither number nor time.
        let candidate = Encoded { key, seq: 0, time_us: 0, document };
        filter.check(&candidate).unwrap_or(true)
    }
}
