//! Names in filters, sorts, projections and indexes: a dotted path into the document, or one of the
//! record's own values `$key`, `$seq` and `$time`. A path reaches into objects and never into arrays.

use std::fmt;

use crate::document::{Object, Value};
use crate::error::{Error, Result};
use crate::limits::{DOCUMENT_DEPTH_MAX, FIELD_PATH_BYTES_MAX};

/// A dotted path to a field of a document, such as `size` or `address.city`.
///
/// A field whose name is empty, contains a dot, or begins with `$` at the top of the document cannot
/// be named by a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(String);

impl FieldPath {
    /// Reads a path; `invalid_argument` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > FIELD_PATH_BYTES_MAX {
            let limit = "the length of a field path in bytes";
            return Err(Error::too_large(limit, text.len() as u64, FIELD_PATH_BYTES_MAX as u64));
        }
        if text.starts_with('$') {
            return Err(Error::invalid(format!(
                "{text:?} names no field of a document: names that begin with $ are operators, or \
                 the record's own values $key, $seq and $time"
            )));
        }
        if text.split('.').any(str::is_empty) {
            return Err(Error::invalid(format!(
                "{text:?} is no path: a path is field names joined by dots, none of them empty"
            )));
        }
        if text.split('.').nth(DOCUMENT_DEPTH_MAX).is_some() {
            let found = text.split('.').count() as u64;
            let limit = "the length of a field path in names";
            return Err(Error::too_large(limit, found, DOCUMENT_DEPTH_MAX as u64));
        }
        Ok(FieldPath(text.to_owned()))
    }

    /// The value at the path, if every name but the last leads to an object.
    pub fn resolve<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        let mut names = self.names();
        let mut value = object.get(names.next()?)?;
        for name in names {
            value = value.as_object()?.get(name)?;
        }
        Some(value)
    }

    /// The names from the top of the document down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path is `other` or leads through it, so that it leads nowhere if `other` does.
    pub(crate) fn is_or_passes(&self, other: &FieldPath) -> bool {
        let rest = self.0.strip_prefix(other.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a condition or a sort looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `$key`: the record's key, a string.
    Key,
    /// `$seq`: the record's sequence number, an integer.
    Seq,
    /// `$time`: the record's commit time, a timestamp.
    Time,
    /// A field of the document.
    Field(FieldPath),
}

impl Target {
    /// Reads a name; `invalid_argument` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "$key" => Ok(Target::Key),
            "$seq" => Ok(Target::Seq),
            "$time" => Ok(Target::Time),
            _ => FieldPath::parse(text).map(Target::Field),
        }
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Target::Key => "$key",
            Target::Seq => "$seq",
            Target::Time => "$time",
            Target::Field(path) => path.as_str(),
        }
    }

    /// The path, if it is a field of the document.
    pub fn field(&self) -> Option<&FieldPath> {
        if let Target::Field(path) = self { Some(path) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc;

    #[test]
    fn a_path_reaches_into_objects_and_not_into_arrays() {
        let object = doc! { "a": { "b": { "c": 1 } }, "list": [{ "b": 2 }], "n": null }.to_object();
        let resolve = |path: &str| FieldPath::parse(path).unwrap().resolve(&object).cloned();
        assert_eq!(resolve("a.b.c"), Some(Value::Int(1)));
        assert_eq!(resolve("n"), Some(Value::Null));
        for missing in ["a.b.c.d", "a.x", "list.b", "list.0", "n.x", "x"] {
            assert_eq!(resolve(missing), None, "{missing}");
        }
    }

    #[test]
    fn a_malformed_path_is_refused_with_its_text() {
        for path in ["", ".", "a.", ".a", "a..b", "$", "$id", "$key.x", "$gt"] {
            let error = Target::parse(path).unwrap_err();
            assert!(error.detail().contains(&format!("{path:?}")), "{error}");
        }
        assert!(FieldPath::parse("$key").is_err(), "an index has no field $key");
        assert!(FieldPath::parse(&vec!["a"; 101].join(".")).is_err());
        assert!(FieldPath::parse(&"a".repeat(1025)).is_err());
        assert!(FieldPath::parse("a.$b").is_ok());
    }

    #[test]
    fn a_path_passes_those_above_it() {
        let path = |text: &str| FieldPath::parse(text).unwrap();
        assert!(path("a.b").is_or_passes(&path("a")));
        assert!(path("a.b").is_or_passes(&path("a.b")));
        assert!(!path("ab").is_or_passes(&path("a")));
        assert!(!path("a").is_or_passes(&path("a.b")));
    }
}
