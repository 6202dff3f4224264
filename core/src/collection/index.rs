//! What the system collection says about one secondary index: its fields and where it is in its
//! life. Two logged acts make an index: `building`, from which new writes are checked against it and
//! put into it, and then `ready` or `failed`.

use crate::collection::descriptor::{malformed, time};
use crate::document::{Object, Timestamp, Value};
use crate::error::{Result, Violation};

/// Where an index is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Old records are being indexed; queries do not use it yet.
    Building,
    /// Complete: queries use it.
    Ready,
    /// It could not be built; the violations name offending keys. It is not kept up any more.
    Failed(Vec<Violation>),
}

impl IndexState {
    /// The word in the system record.
    pub fn as_str(&self) -> &'static str {
        match self {
            IndexState::Building => "building",
            IndexState::Ready => "ready",
            IndexState::Failed(_) => "failed",
        }
    }
}

/// One index of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDescriptor {
    /// Its number within the collection, never given twice.
    pub id: u32,
    /// Its name, unique among the collection's indexes.
    pub name: String,
    /// Dotted paths, `-` in front for descending.
    pub fields: Vec<String>,
    /// Whether no two (newest) records may have the same values.
    pub unique: bool,
    /// Whether records without any of the fields are left out.
    pub sparse: bool,
    /// When it was asked for, microseconds since the epoch.
    pub created_us: i64,
    /// The first record that was indexed as it was written; those before are built.
    pub since_seq: u64,
    /// Where it is in its life.
    pub state: IndexState,
}

impl IndexDescriptor {
    /// Whether the index is to be kept up with new records.
    pub fn is_live(&self) -> bool {
        !matches!(self.state, IndexState::Failed(_))
    }

    /// Whether queries may use it.
    pub fn is_ready(&self) -> bool {
        self.state == IndexState::Ready
    }

    /// The object inside a collection's descriptor.
    pub fn to_object(&self) -> Object {
        let mut object = Object::new();
        let fields = self.fields.iter().map(|field| Value::String(field.clone())).collect();
        object.insert("id", Value::Int(i64::from(self.id)));
        object.insert("name", Value::String(self.name.clone()));
        object.insert("fields", Value::Array(fields));
        object.insert("unique", Value::Bool(self.unique));
        object.insert("sparse", Value::Bool(self.sparse));
        object.insert("created_at", Value::Timestamp(Timestamp::from_micros(self.created_us)));
        object.insert("since_seq", Value::Int(self.since_seq as i64));
        object.insert("state", Value::String(self.state.as_str().to_owned()));
        if let IndexState::Failed(violations) = &self.state {
            let errors = violations.iter().map(|violation| {
                let mut error = Object::new();
                error.insert("path", Value::String(violation.path.clone()));
                error.insert("rule", Value::String(violation.rule.clone()));
                error.insert("found", Value::String(violation.found.clone()));
                Value::Object(error)
            });
            object.insert("errors", Value::Array(errors.collect()));
        }
        object
    }

    /// Reads what [`IndexDescriptor::to_object`] wrote.
    pub fn from_object(object: &Object) -> Result<Self> {
        let number = |field| match object.get(field) {
            Some(Value::Int(number)) if *number >= 0 => Ok(*number as u64),
            _ => Err(malformed(field)),
        };
        let truth = |field| match object.get(field) {
            Some(Value::Bool(truth)) => Ok(*truth),
            _ => Err(malformed(field)),
        };
        let fields = match object.get("fields") {
            Some(Value::Array(fields)) => fields.iter().map(|field| field.as_str()).collect(),
            _ => None,
        };
        let fields: Option<Vec<&str>> = fields;
        let state = match object.get("state").and_then(Value::as_str) {
            Some("building") => IndexState::Building,
            Some("ready") => IndexState::Ready,
            Some("failed") => IndexState::Failed(violations(object)?),
            _ => return Err(malformed("state")),
        };
        Ok(IndexDescriptor {
            id: u32::try_from(number("id")?).map_err(|_| malformed("id"))?,
            name: text(object, "name")?,
            fields: fields
                .filter(|fields| !fields.is_empty())
                .ok_or_else(|| malformed("fields"))?
                .into_iter()
                .map(str::to_owned)
                .collect(),
            unique: truth("unique")?,
            sparse: truth("sparse")?,
            created_us: time(object, "created_at")?,
            since_seq: number("since_seq")?,
            state,
        })
    }
}

fn violations(object: &Object) -> Result<Vec<Violation>> {
    let Some(Value::Array(errors)) = object.get("errors") else { return Err(malformed("errors")) };
    let one = |error: &Value| {
        let error = error.as_object().ok_or_else(|| malformed("errors"))?;
        Ok(Violation {
            path: text(error, "path")?,
            rule: text(error, "rule")?,
            found: text(error, "found")?,
        })
    };
    errors.iter().map(one).collect()
}

fn text(object: &Object, field: &str) -> Result<String> {
    object.get(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| malformed(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_survives_its_written_form() {
        let index = IndexDescriptor {
            id: 3,
            name: "by_user".to_owned(),
            fields: vec!["user.id".to_owned(), "-size".to_owned()],
            unique: true,
            sparse: false,
            created_us: 1_700_000_000_000_000,
            since_seq: 42,
            state: IndexState::Ready,
        };
        for state in [
            IndexState::Building,
            IndexState::Ready,
            IndexState::Failed(vec![Violation {
                path: "user.id".into(),
                rule: "unique".into(),
                found: "keys \"a\" and \"b\"".into(),
            }]),
        ] {
            let index = IndexDescriptor { state, ..index.clone() };
            assert_eq!(IndexDescriptor::from_object(&index.to_object()).unwrap(), index);
        }
    }
}
