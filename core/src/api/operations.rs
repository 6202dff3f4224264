//! A transaction as a list: operations that are carried out in order, all or nothing. It is what
//! `blockdb txn` reads, and what a server takes in one request.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::db::Db;
use crate::api::range::Keyed;
use crate::api::record::Record;
use crate::api::transaction::{CommitInfo, Transaction, WrittenInfo};
use crate::document::Document;
use crate::error::{Error, Result};
use crate::limits::BATCH_RECORDS_MAX;
use crate::transaction::TransactionOptions;

/// Operations to be carried out as one transaction.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = blockdb::Db::open(dir.path())?;
/// # db.create_collection("events", Default::default())?;
/// use blockdb::OperationList;
/// let list = OperationList::from_json(r#"[
///     {"op": "insert", "collection": "events", "key": "e-1", "document": {"user": "u1"}},
///     {"op": "get", "collection": "events", "key": "e-1"}
/// ]"#)?;
/// let done = db.run(&list, Default::default())?;
/// assert_eq!(done.results.len(), 2);
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OperationList(Vec<Operation>);

#[derive(Clone, Debug, PartialEq)]
struct Operation {
    collection: String,
    act: Act,
}

#[derive(Clone, Debug, PartialEq)]
enum Act {
    Insert(Option<String>, Document),
    Put(String, Document, Option<u64>),
    Get(String),
}

/// What came of one operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationResult {
    /// The place of what was inserted or put.
    Written(WrittenInfo),
    /// What was read; `None` if there is no such key.
    Read(Option<Record>),
}

/// What came of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationResults {
    /// The transaction's id, which its records carry.
    pub transaction: String,
    /// Commit time, RFC 3339; `None` if nothing was written.
    pub timestamp: Option<String>,
    /// One for each operation, in order.
    pub results: Vec<OperationResult>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    op: String,
    collection: String,
    key: Option<String>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
    expect: Option<u64>,
}

impl OperationList {
    /// Reads a JSON array of `{"op": "insert|put|get", "collection", "key", "document", "expect"}`.
    /// `invalid_argument` names the operation, counted from 0, and the field.
    pub fn from_json(text: &str) -> Result<Self> {
        let malformed =
            |error: serde_json::Error| Error::invalid(format!("not a list of operations: {error}"));
        let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
        if raw.len() > BATCH_RECORDS_MAX {
            let limit = "operations of a transaction";
            return Err(Error::too_large(limit, raw.len() as u64, BATCH_RECORDS_MAX as u64));
        }
        let operations = raw.iter().enumerate().map(|(index, raw)| {
            Operation::read(raw.get()).map_err(|error| {
                let errors = error.errors().to_vec();
                let detail = format!("operation {index}: {}", error.detail());
                Error::new(error.code(), detail).with_errors(errors)
            })
        });
        Ok(OperationList(operations.collect::<Result<_>>()?))
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Operation {
    fn read(text: &str) -> Result<Operation> {
        let wire: Wire<'_> =
            serde_json::from_str(text).map_err(|error| Error::invalid(error.to_string()))?;
        let missing =
            |field: &str| Error::invalid(format!("{:?} needs the field {field:?}", wire.op));
        let useless =
            |field: &str| Error::invalid(format!("{:?} takes no field {field:?}", wire.op));
        let document = wire.document.map(|raw| Document::from_json(raw.get())).transpose()?;
        let writes = wire.op != "get";
        if !writes && document.is_some() {
            return Err(useless("document"));
        }
        if wire.op != "put" && wire.expect.is_some() {
            return Err(useless("expect"));
        }
        let needed = || document.clone().ok_or_else(|| missing("document"));
        let key = || wire.key.clone().ok_or_else(|| missing("key"));
        let act = match &wire.op[..] {
            "insert" => Act::Insert(wire.key.clone(), needed()?),
            "put" => Act::Put(key()?, needed()?, wire.expect),
            "get" => Act::Get(key()?),
            other => {
                let detail = format!("op is {other:?}, expected \"insert\", \"put\" or \"get\"");
                return Err(Error::invalid(detail));
            }
        };
        Ok(Operation { collection: wire.collection, act })
    }
}

impl Db {
    /// Carries out a list of operations, all or nothing. An error names the operation, and then
    /// nothing was done. What gives way to others is run again as [`Db::transaction`] does.
    pub fn run(
        &self,
        list: &OperationList,
        options: TransactionOptions,
    ) -> Result<OperationResults> {
        let mut read = Vec::new();
        let body = |tx: &Transaction| {
            read.clear();
            for (index, operation) in list.0.iter().enumerate() {
                let collection = tx.collection(&operation.collection);
                let done = match &operation.act {
                    Act::Insert(key, document) => {
                        let item = Keyed { key: key.clone(), document: document.clone() };
                        collection.insert(item).map(|_| None)
                    }
                    Act::Put(key, document, expect) => {
                        collection.put(key, document.clone(), *expect).map(|_| None)
                    }
                    Act::Get(key) => collection.get(key).map(Some),
                };
                read.push(done.map_err(|error| error.note(format!("in operation {index}")))?);
            }
            Ok(())
        };
        let (id, commit) = self.commit_of(options, body)?;
        let commit = CommitInfo::of(id.to_string(), commit);
        let mut written = commit.records.into_iter();
        let results = read.into_iter().map(|read| match read {
            Some(record) => OperationResult::Read(record),
            None => OperationResult::Written(written.next().expect("one for each write")),
        });
        Ok(OperationResults {
            transaction: commit.transaction,
            timestamp: commit.timestamp,
            results: results.collect(),
        })
    }
}

impl OperationResults {
    /// The results as one JSON object on one line.
    pub fn to_json(&self) -> String {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        let results: Vec<String> = self.results.iter().map(OperationResult::to_json).collect();
        format!(
            "{{\"transaction\":{},\"timestamp\":{},\"results\":[{}]}}",
            quoted(&self.transaction),
            self.timestamp.as_ref().map_or("null".to_owned(), quoted),
            results.join(",")
        )
    }
}

impl OperationResult {
    /// The result as one JSON object on one line, `null` for a key that does not exist.
    pub fn to_json(&self) -> String {
        match self {
            OperationResult::Written(written) => serde_json::json!(written).to_string(),
            OperationResult::Read(Some(record)) => record.to_json(),
            OperationResult::Read(None) => "null".to_owned(),
        }
    }
}
