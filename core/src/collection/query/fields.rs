//! What is shown of a document: the fields a query names, and nothing else.

use std::collections::BTreeMap;

use super::Target;
use crate::document::{Object, Value};
use crate::error::{Error, Result};
use crate::limits::PROJECTION_FIELDS_MAX;

/// The fields of the document to show; none named means all of them.
///
/// `$key`, `$seq` and `$time` stand on every record anyway: to name them is allowed and adds nothing,
/// and to name only them shows an empty document.
///
/// ```
/// use blockdb::collection::query::Projection;
/// use blockdb::doc;
///
/// let fields = Projection::parse(&["name".into(), "size.w".into()])?;
/// let document = doc! { "name": "x", "size": { "w": 1, "h": 2 }, "tags": [] };
/// let shown = fields.apply(&document.to_object());
/// assert_eq!(shown, doc! { "name": "x", "size": { "w": 1 } }.to_object());
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    all: bool,
    names: Names,
}

/// The named fields of one object: `None` behind a name shows the whole value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(BTreeMap<String, Option<Names>>);

impl Projection {
    /// Shows the whole document.
    pub fn all() -> Self {
        Projection { all: true, names: Names::default() }
    }

    /// Reads paths; `invalid_argument` names the faulty one.
    pub fn parse(fields: &[String]) -> Result<Self> {
        if fields.len() > PROJECTION_FIELDS_MAX {
            let limit = "the number of fields to show";
            return Err(Error::too_large(limit, fields.len() as u64, PROJECTION_FIELDS_MAX as u64));
        }
        let mut names = Names::default();
        for text in fields {
            let target = Target::parse(text)
                .map_err(|error| error.note("it was given as a field to show"))?;
            if let Some(path) = target.field() {
                names.add(&path.names().collect::<Vec<_>>());
            }
        }
        Ok(Projection { all: fields.is_empty(), names })
    }

    /// Whether the whole document is shown.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Whether anything of the document is shown.
    pub fn needs_document(&self) -> bool {
        self.all || !self.names.0.is_empty()
    }

    /// The document with the named fields alone. An object of which nothing was named or found is
    /// left out; a path through anything but an object shows nothing.
    pub fn apply(&self, document: &Object) -> Object {
        if self.all { document.clone() } else { self.names.apply(document) }
    }
}

impl Names {
    /// Of a field and a field within it, the outer one is shown.
    fn add(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.0.insert((*last).to_owned(), None)),
            [first, rest @ ..] => {
                let inner =
                    self.0.entry((*first).to_owned()).or_insert_with(|| Some(Names::default()));
                if let Some(inner) = inner {
                    inner.add(rest);
                }
            }
        }
    }

    fn apply(&self, object: &Object) -> Object {
        let mut shown = Object::new();
        for (name, inner) in &self.0 {
            match (object.get(name), inner) {
                (Some(value), None) => drop(shown.insert(name.as_str(), value)),
                (Some(Value::Object(object)), Some(inner)) => {
                    let inner = inner.apply(object);
                    if !inner.is_empty() {
                        shown.insert(name.as_str(), inner);
                    }
                }
                _ => {}
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc;

    fn show(fields: &[&str]) -> Object {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let document = doc! { "a": { "b": 1, "c": { "d": null } }, "e": [{ "f": 1 }], "g": "x" };
        Projection::parse(&fields).unwrap().apply(&document.to_object())
    }

    #[test]
    fn only_named_fields_are_shown() {
        assert_eq!(show(&["g", "a.b"]), doc! { "g": "x", "a": { "b": 1 } }.to_object());
        assert_eq!(
            show(&["a.c.d", "a.b.x", "q"]),
            doc! { "a": { "c": { "d": null } } }.to_object()
        );
        for fields in [["a", "a.b"], ["a.b", "a"]] {
            let whole = doc! { "a": { "b": 1, "c": { "d": null } } };
            assert_eq!(show(&fields), whole.to_object());
        }
        assert_eq!(show(&["e.f", "g.x"]), Object::new(), "a path leads through objects alone");
    }

    #[test]
    fn no_field_shows_all_and_the_records_own_values_show_none() {
        assert_eq!(show(&[]).len(), 3);
        assert_eq!(show(&["$key", "$seq", "$time"]), Object::new());
        let own = Projection::parse(&["$seq".into()]).unwrap();
        assert!(!own.needs_document() && !own.is_all());
    }

    #[test]
    fn a_faulty_field_is_named() {
        for (field, named) in [("$id", "\"$id\""), ("a..b", "\"a..b\""), ("-a.", "\"-a.\"")] {
            let error = Projection::parse(&[field.into()]).unwrap_err();
            assert!(error.detail().contains(named), "{error}");
        }
    }
}
