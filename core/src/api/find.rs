//! A query: what must hold, in which order, which fields and how many; then iterate, count, page or
//! explain.

use serde_json::Value as Json;

use crate::api::record::Record;
use crate::collection::query::{self, Cursor, Filter, Projection, Sort};
use crate::document::{Document, Object};
use crate::error::{Error, Result};
use crate::limits::PAGE_RECORDS_MAX;
use crate::shard::find::{Found, Query};
use crate::shard::operations::Operation;
use crate::shard::state::View;

/// A query on one snapshot of a collection.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = blockdb::Db::open(dir.path())?;
/// # let events = db.create_collection("events", Default::default())?;
/// use blockdb::doc;
/// events.insert(("e-1", doc! { "user": "u1", "amount_cents": 1200 }))?;
/// events.insert(("e-2", doc! { "user": "u2", "amount_cents": 800 }))?;
/// events.create_index("by_amount", &["amount_cents"], Default::default())?;
///
/// let large = events.find(doc! { "amount_cents": { "$gt": 1000 } })?.sort("-$seq")?.limit(5);
/// assert_eq!(large.explain()?.index.as_deref(), Some("by_amount"));
/// let keys: Vec<String> = large.into_iter().map(|r| Ok(r?.key)).collect::<blockdb::Result<_>>()?;
/// assert_eq!(keys, ["e-1"]);
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone)]
pub struct Find {
    pub(crate) view: View,
    query: Query,
    projection: Projection,
}

/// How a query is answered, and what that reads.
#[derive(Clone, Debug, serde::Serialize, PartialEq)]
pub struct Explain {
    /// `nothing`, `ledger`, `keys`, `key range` or `index`.
    pub access: String,
    /// The index, if one is used.
    pub index: Option<String>,
    /// Index entries read.
    pub entries_read: u64,
    /// Records read.
    pub records_read: u64,
    /// Records of the answer.
    pub records_found: u64,
    /// The plan in detail.
    pub plan: Json,
}

/// Some records of an answer, and where the next begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// At most as many as asked for.
    pub records: Vec<Record>,
    /// Gives the next page; `None` after the last.
    pub next_cursor: Option<String>,
}

/// What can be a filter: a [`Document`] or an [`Object`].
pub trait IntoFilter {
    /// The object.
    fn into_filter(self) -> Result<Object>;
}

impl IntoFilter for Object {
    fn into_filter(self) -> Result<Object> {
        Ok(self)
    }
}

impl IntoFilter for Document {
    fn into_filter(self) -> Result<Object> {
        self.try_to_object()
    }
}

impl Find {
    pub(crate) fn new(view: View, filter: &Object) -> Result<Self> {
        let filter = Filter::parse(filter)?;
        let query = Query {
            filter,
            sort: Sort::default(),
            limit: None,
            after_seq: None,
            of_the_past: false,
        };
        Ok(Find { view, query, projection: Projection::all() })
    }

    /// Orders by fields, `-` in front for descending, separated by commas: `sort("user,-$seq")`.
    /// Without it the order is the plan's, not promised.
    pub fn sort(self, fields: &str) -> Result<Self> {
        let fields: Vec<String> = fields.split(',').map(|field| field.trim().to_owned()).collect();
        self.sort_by(&fields)
    }

    /// [`Find::sort`] by a list.
    pub fn sort_by(mut self, fields: &[String]) -> Result<Self> {
        self.query.sort = Sort::parse(fields)?;
        Ok(self)
    }

    /// Keeps only these fields (dotted paths) of each document.
    pub fn fields(mut self, fields: &[String]) -> Result<Self> {
        self.projection = Projection::parse(fields)?;
        Ok(self)
    }

    /// At most this many records.
    pub fn limit(mut self, limit: u64) -> Self {
        self.query.limit = Some(limit);
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

    /// How many records match, whatever the limit.
    pub fn count(&self) -> Result<u64> {
        self.view.count(&self.query.filter)
    }

    /// One page of up to `limit` records (1,000 at most), from the beginning or from where `cursor`
    /// points. All pages of a query show one snapshot. Without a sort pages are ordered by `$seq`.
    /// `invalid_argument` if the cursor belongs to another query.
    pub fn page(&self, limit: u64, cursor: Option<&str>) -> Result<Page> {
        if limit == 0 || limit > PAGE_RECORDS_MAX as u64 {
            return Err(Error::too_large("records of a page", limit, PAGE_RECORDS_MAX as u64));
        }
        let mut find = self.clone();
        if find.query.sort.is_empty() {
            find.query.sort = Sort::parse(&["$seq".to_owned()])?;
        }
        let hash = query::query_hash(&find.view.core.id.0, &find.query.filter, &find.query.sort);
        if let Some(cursor) = cursor {
            let cursor = Cursor::decode(cursor)?;
            cursor.check(hash)?;
            if cursor.end_seq > find.view.end_seq || cursor.last_seq >= cursor.end_seq {
                return Err(Error::invalid("the cursor points beyond the collection's end"));
            }
            find.view.end_seq = cursor.end_seq;
            find.query.after_seq = Some(cursor.last_seq);
            find.query.of_the_past = true;
        }
        let end_seq = find.view.end_seq;
        // One more tells whether there is a next page.
        let mut records = find.limit(limit + 1).all()?;
        let more = records.len() as u64 > limit;
        records.truncate(limit as usize);
        let next_cursor = match records.last().filter(|_| more) {
            None => None,
            Some(last) => {
                let (last_seq, after) = (last.seq, Vec::new());
                Some(Cursor { query: hash, end_seq, after, last_seq }.encode()?)
            }
        };
        Ok(Page { records, next_cursor })
    }

    /// Answers the query and tells how: the plan, and what was read for it.
    pub fn explain(&self) -> Result<Explain> {
        let (plan, index) = self.view.plan(&self.query)?;
        let mut found = self.view.find_by(&self.query, &plan, index.clone())?;
        let mut records_found = 0;
        for leaf in found.by_ref() {
            leaf?;
            records_found += 1;
        }
        let reads = found.reads();
        let plan = plan.explain();
        let access = plan.get("access").and_then(|access| access.as_str()).unwrap_or_default();
        Ok(Explain {
            access: access.to_owned(),
            index: index.map(|index| index.name.clone()),
            entries_read: reads.entries,
            records_read: reads.records,
            records_found,
            plan: serde_json::to_value(Document::from_value(&plan)?)
                .map_err(|error| Error::invalid(error.to_string()))?,
        })
    }

    fn begin(self) -> Result<Records> {
        self.view.core.operations.count(Operation::Find);
        let name = self.view.descriptor.name.clone();
        Ok(Records { found: self.view.find(&self.query)?, name, projection: self.projection })
    }
}

/// The records of an answer, read as they are asked for.
struct Records {
    found: Found,
    name: String,
    projection: Projection,
}

impl Records {
    fn record(&self, leaf: crate::ledger::StoredLeaf) -> Result<Option<Record>> {
        let record = Record::from_leaf(&self.name, leaf)?;
        record.map(|record| record.showing(&self.projection)).transpose()
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = self.found.next()?.and_then(|leaf| self.record(leaf)).transpose();
            if record.is_some() {
                return record;
            }
        }
    }
}

impl IntoIterator for Find {
    type Item = Result<Record>;
    type IntoIter = Box<dyn Iterator<Item = Result<Record>> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        match self.begin() {
            Ok(records) => Box::new(records),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
