//! A record as everyone sees it.

use crate::collection::query::Projection;
use crate::document::{Document, Timestamp};
use crate::error::{Code, Error, Result};
use crate::ledger::{Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::transaction::PROVISIONAL_SEQ;

/// One inserted document under its key, with its place in the collection's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The collection's name.
    pub collection: String,
    /// The key.
    pub key: String,
    /// Position in the collection's log: orders and identifies records, is not a count. 0 for a
    /// record that a transaction reads of its own before the commit.
    pub seq: u64,
    /// Revision of the key, from 1.
    pub revision: u64,
    /// Commit time, claimed by the writer's clock.
    pub timestamp: Timestamp,
    /// Schema version it was written under.
    pub schema: Option<u64>,
    /// The transaction it came with.
    pub transaction: Option<String>,
    /// The authenticated principal.
    pub actor: Option<String>,
    /// The document.
    pub document: Document,
}

impl Record {
    /// The record of a leaf; `None` for leaves that are not records.
    pub(crate) fn from_leaf(collection: &str, leaf: StoredLeaf) -> Result<Option<Record>> {
        let (LeafKind::Record, Some(key)) = (leaf.kind, leaf.key) else { return Ok(None) };
        let Slot::Live { body, .. } = leaf.slot else {
            return Err(Error::new(
                Code::NotFound,
                format!("the record at seq {} was erased; its leaf and proofs remain", leaf.seq),
            ));
        };
        let key = String::from_utf8(key.to_vec()).map_err(|_| {
            Error::new(Code::Corrupt, format!("the key at seq {} is not UTF-8", leaf.seq))
        })?;
        Ok(Some(Record {
            collection: collection.to_owned(),
            key,
            seq: leaf.seq,
            revision: leaf.revision.unwrap_or(1),
            timestamp: Timestamp::from_micros(leaf.time_us),
            schema: leaf.schema.filter(|version| *version > 0),
            transaction: leaf.txn.as_deref().map(transaction_id),
            actor: leaf.actor,
            document: Document::from_trusted(body),
        }))
    }

    /// [`Record::from_leaf`] within a transaction: a record of its own has no place yet.
    pub(crate) fn within(collection: &str, leaf: StoredLeaf) -> Result<Option<Record>> {
        let is_own = leaf.seq >= PROVISIONAL_SEQ;
        let mut record = Record::from_leaf(collection, leaf)?;
        if let Some(record) = record.as_mut().filter(|_| is_own) {
            (record.seq, record.timestamp) = (0, Timestamp::from_micros(0));
        }
        Ok(record)
    }

    /// The record with the fields of its document that a query names.
    pub(crate) fn showing(mut self, projection: &Projection) -> Result<Record> {
        if !projection.is_all() {
            let shown = projection.apply(&self.document.try_to_object()?);
            self.document = Document::from_value(&shown)?;
        }
        Ok(self)
    }

    /// The record as one JSON object on one line.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(160 + self.document.as_bytes().len());
        let mut field = |name: &str, value: String| {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&quoted(name));
            out.push(':');
            out.push_str(&value);
        };
        field("collection", quoted(&self.collection));
        field("key", quoted(&self.key));
        if self.seq > 0 {
            field("seq", self.seq.to_string());
        }
        field("revision", self.revision.to_string());
        if self.seq > 0 {
            field("timestamp", quoted(&self.timestamp.to_string()));
        }
        if let Some(schema) = self.schema {
            field("schema", schema.to_string());
        }
        if let Some(transaction) = &self.transaction {
            field("transaction", quoted(transaction));
        }
        if let Some(actor) = &self.actor {
            field("actor", quoted(actor));
        }
        field("document", self.document.to_json());
        out.push('}');
        out
    }
}

/// A transaction's id in words: a UUID as people write it.
fn transaction_id(bytes: &[u8]) -> String {
    match uuid::Uuid::from_slice(bytes) {
        Ok(id) => id.to_string(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
