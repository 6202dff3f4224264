//! Where a filter and a sort find the values of one record: in a decoded document, in an encoded one,
//! of which only the named fields are decoded, or in an index entry alone.

use std::borrow::Cow;

use super::{FieldPath, IndexFields};
use crate::document::{Document, Object, Timestamp, Value};
use crate::error::{Code, Error, Result};

/// The values of one record, as far as they are at hand.
pub trait Source {
    /// The record's key.
    fn key(&self) -> Result<&str>;
    /// The record's sequence number.
    fn seq(&self) -> u64;
    /// The record's commit time, microseconds since the epoch.
    fn time_us(&self) -> Result<i64>;
    /// The value of a field; `None` if it is missing.
    fn field(&self, path: &FieldPath) -> Result<Option<Cow<'_, Value>>>;
}

/// The sequence number as a value, to compare with.
pub(super) fn seq_value(seq: u64) -> Value {
    Value::Int(i64::try_from(seq).unwrap_or(i64::MAX))
}

/// The commit time as a value, to compare with.
pub(super) fn time_value(time_us: i64) -> Value {
    Value::Timestamp(Timestamp::from_micros(time_us))
}

/// A record with its document decoded.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The record's key.
    pub key: &'a str,
    /// The record's sequence number.
    pub seq: u64,
    /// The record's commit time, microseconds since the epoch.
    pub time_us: i64,
    /// The document.
    pub document: &'a Object,
}

impl Source for Candidate<'_> {
    fn key(&self) -> Result<&str> {
        Ok(self.key)
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn time_us(&self) -> Result<i64> {
        Ok(self.time_us)
    }

    fn field(&self, path: &FieldPath) -> Result<Option<Cow<'_, Value>>> {
        Ok(path.resolve(self.document).map(Cow::Borrowed))
    }
}

/// A record with its document as it is stored: a scan decodes only what the query names.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// The record's key.
    pub key: &'a str,
    /// The record's sequence number.
    pub seq: u64,
    /// The record's commit time, microseconds since the epoch.
    pub time_us: i64,
    /// The document.
    pub document: &'a Document,
}

impl Source for Encoded<'_> {
    fn key(&self) -> Result<&str> {
        Ok(self.key)
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn time_us(&self) -> Result<i64> {
        Ok(self.time_us)
    }

    fn field(&self, path: &FieldPath) -> Result<Option<Cow<'_, Value>>> {
        Ok(self.document.get(path.as_str())?.map(Cow::Owned))
    }
}

/// An entry of an index that holds no arrays: it decides a covered filter without the record.
///
/// A missing field shows as null and a float without fraction as an integer. No filter sees the
/// difference, but a document does: never build an answer from these values.
#[derive(Clone, Debug)]
pub struct IndexEntry<'a> {
    fields: &'a IndexFields,
    values: Vec<Value>,
    seq: u64,
}

impl<'a> IndexEntry<'a> {
    /// Decodes an entry; `None` if the bytes are no key of the index, or hold an array.
    pub fn decode(fields: &'a IndexFields, key: &[u8], seq: u64) -> Option<Self> {
        Some(IndexEntry { fields, values: fields.decode(key)?, seq })
    }
}

impl Source for IndexEntry<'_> {
    fn key(&self) -> Result<&str> {
        Err(absent("$key"))
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn time_us(&self) -> Result<i64> {
        Err(absent("$time"))
    }

    fn field(&self, path: &FieldPath) -> Result<Option<Cow<'_, Value>>> {
        let at = self.fields.position(path).ok_or_else(|| absent(path.as_str()))?;
        Ok(self.values.get(at).map(Cow::Borrowed))
    }
}

/// A plan is covered only if the entry holds all that its filter asks for.
fn absent(name: &str) -> Error {
    Error::new(Code::Internal, format!("an index entry was asked for {name}, which it lacks"))
}
