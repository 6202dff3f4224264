//! The fields of an object in canonical order: shorter names first, then bytewise. One sorted
//! vector, because objects are small, are built mostly in order, and are encoded front to back.

use std::cmp::Ordering;

use super::{Refusal, Value};

/// A map from field names to values, always in canonical order and never with a name twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// An object without fields.
    pub fn new() -> Self {
        Object::default()
    }

    /// Room for `fields` fields without another allocation.
    pub fn with_capacity(fields: usize) -> Self {
        Object(Vec::with_capacity(fields))
    }

    /// Sets a field and returns the value it had before.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.place(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// The value of a field, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.place(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.place(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Whether the field exists, be it null.
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields in canonical order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The fields in canonical order, to change their values.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&str, &mut Value)> {
        self.0.iter_mut().map(|(name, value)| (name.as_str(), value))
    }

    /// The object of `fields` in any order; the refusal names a field given twice.
    pub(super) fn from_fields(mut fields: Vec<(String, Value)>) -> Result<Self, Refusal> {
        fields.sort_by(|(a, _), (b, _)| canonical_order(a, b));
        match fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Refusal::new("the field is given twice").under(&pair[0].0)),
            None => Ok(Object(fields)),
        }
    }

    /// Adds a field behind all others; false, and nothing added, if its place is not there.
    pub(super) fn push(&mut self, name: &str, value: Value) -> bool {
        let last = self.0.last().is_none_or(|(last, _)| canonical_order(last, name).is_lt());
        if last {
            self.0.push((name.to_owned(), value));
        }
        last
    }

    /// Where the field is, or where it belongs. Building in order is the usual way, so the end is
    /// looked at first.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if canonical_order(last, name).is_lt() => Err(self.0.len()),
            _ => self.0.binary_search_by(|(other, _)| canonical_order(other, name)),
        }
    }
}

/// The order of RFC 8949 section 4.2.1 for text keys: bytewise order of the encodings, and an
/// encoding begins with the length.
fn canonical_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Of a name given twice, the later value stays.
impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let mut fields: Vec<(String, Value)> =
            fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        fields.reverse();
        fields.sort_by(|(a, _), (b, _)| canonical_order(a, b));
        fields.dedup_by(|later, kept| later.0 == kept.0);
        Object(fields)
    }
}

impl<K: Into<String>, V: Into<Value>> Extend<(K, V)> for Object {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, fields: I) {
        for (name, value) in fields {
            self.insert(name, value);
        }
    }
}
