//! The keys under which an index knows a document: the encoded values of its fields, one after the
//! other. The caller adds the sequence number as the rank of each entry.
//!
//! A missing field is null. An array gives an entry for each of its elements and one for itself as a
//! whole, so that "contains", equality with the array, and "exists" are all found, also for `[]`. In
//! one document only one field of an index may be an array: two would multiply.
//!
//! The whole array, and an element that is itself an array, stands as SHA-256 of its encoding: arrays
//! are only ever looked up by equality, because an index that holds arrays gives no order, and so an
//! array may be longer than an index value. All other values stand as [`order::encode`] writes them.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::order::{self, tag};
use super::{FieldPath, Target};
use crate::document::{Object, Value};
use crate::error::{Error, Result};
use crate::limits::{
    INDEX_ELEMENTS_MAX, INDEX_FIELDS_MAX, INDEX_KEYS_BYTES_MAX, INDEX_VALUE_BYTES_MAX,
};

/// One field of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexField {
    /// The path to it.
    pub path: FieldPath,
    /// Whether its values stand from the greatest to the least.
    pub descending: bool,
}

/// The fields of an index, in order.
///
/// ```
/// use blockdb::collection::query::IndexFields;
/// use blockdb::doc;
///
/// let fields = IndexFields::parse(&["section", "-size"])?;
/// let keys = fields.keys(&doc! { "section": ["games", "new"], "size": 12 }.to_object())?;
/// assert_eq!((keys.keys.len(), keys.from_array), (3, true));
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexFields(Vec<IndexField>);

/// What an index holds of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexKeys {
    /// The keys without the sequence number, in order, none twice.
    pub keys: Vec<Vec<u8>>,
    /// Whether a field is an array: from then on the index holds arrays.
    pub from_array: bool,
    /// Whether every field is missing or null: a sparse index leaves the document out.
    pub all_missing: bool,
}

impl IndexFields {
    /// Reads one to sixteen paths, `-path` for descending. `invalid_argument` names the faulty one.
    pub fn parse<S: AsRef<str>>(fields: &[S]) -> Result<Self> {
        if fields.is_empty() {
            return Err(Error::invalid("an index has at least one field"));
        }
        if fields.len() > INDEX_FIELDS_MAX {
            let limit = "the number of fields of an index";
            return Err(Error::too_large(limit, fields.len() as u64, INDEX_FIELDS_MAX as u64));
        }
        let mut parsed: Vec<IndexField> = Vec::with_capacity(fields.len());
        for text in fields {
            let (path, descending) = direction(text.as_ref());
            let path = FieldPath::parse(path).map_err(|error| match Target::parse(path) {
                Ok(_) => Error::invalid(format!(
                    "an index has fields of the document only, and {path} is the record's own value"
                )),
                Err(_) => error,
            })?;
            if parsed.iter().any(|field| field.path == path) {
                return Err(Error::invalid(format!("the index field {path} is given twice")));
            }
            parsed.push(IndexField { path, descending });
        }
        Ok(IndexFields(parsed))
    }

    /// The fields in order.
    pub fn fields(&self) -> &[IndexField] {
        &self.0
    }

    /// The fields as they are written: `-path` is descending.
    pub fn to_strings(&self) -> Vec<String> {
        let sign = |field: &IndexField| if field.descending { "-" } else { "" };
        self.0.iter().map(|field| format!("{}{}", sign(field), field.path)).collect()
    }

    /// Where a path stands among the fields.
    pub fn position(&self, path: &FieldPath) -> Option<usize> {
        self.0.iter().position(|field| field.path == *path)
    }

    /// The keys of a document. `too_large` names the field whose value, or whose number of elements,
    /// is beyond the limit; `invalid_argument` names two fields that are both arrays.
    pub fn keys(&self, document: &Object) -> Result<IndexKeys> {
        let values: Vec<&Value> = self
            .0
            .iter()
            .map(|field| field.path.resolve(document).unwrap_or(&Value::Null))
            .collect();
        let array = self.array_field(&values)?;
        Ok(IndexKeys {
            all_missing: values.iter().all(|value| value.is_null()),
            from_array: array.is_some(),
            keys: match array {
                None => vec![self.key(&values)?],
                Some(at) => self.array_keys(values, at)?,
            },
        })
    }

    /// The values of an entry, with null for what is missing; `None` if the bytes are no key of this
    /// index or hold an array.
    pub fn decode(&self, key: &[u8]) -> Option<Vec<Value>> {
        let mut rest = key;
        let values: Option<Vec<Value>> =
            self.0.iter().map(|field| order::decode(&mut rest, field.descending)).collect();
        values.filter(|_| rest.is_empty())
    }

    /// The length of the first `fields` values in an entry: entries that agree so far are one run.
    pub fn prefix_bytes(&self, key: &[u8], fields: usize) -> Option<usize> {
        let mut at = 0;
        for field in self.0.get(..fields)? {
            at += order::encoded_bytes(key.get(at..)?, field.descending)?;
        }
        Some(at)
    }

    /// Which field is an array, if any; two are refused.
    fn array_field(&self, values: &[&Value]) -> Result<Option<usize>> {
        let mut arrays = values.iter().enumerate().filter(|(_, value)| value.as_array().is_some());
        match (arrays.next(), arrays.next()) {
            (Some((first, _)), Some((second, _))) => {
                let (first, second) = (&self.0[first].path, &self.0[second].path);
                Err(Error::invalid(format!(
                    "the fields {first} and {second} of one index are both arrays; an index takes \
                     one array per document"
                )))
            }
            (first, _) => Ok(first.map(|(at, _)| at)),
        }
    }

    fn key(&self, values: &[&Value]) -> Result<Vec<u8>> {
        let mut key = Vec::with_capacity(values.len() * 12);
        for (field, value) in self.0.iter().zip(values) {
            encode_field(field, value, &mut key)?;
        }
        Ok(key)
    }

    /// A key for each element of the array at field `at`, and one for the array.
    fn array_keys(&self, mut values: Vec<&Value>, at: usize) -> Result<Vec<Vec<u8>>> {
        let whole = values[at];
        let elements = whole.as_array().unwrap_or(&[]);
        if elements.len() > INDEX_ELEMENTS_MAX {
            let limit = format!("the number of elements of the indexed array {}", self.0[at].path);
            return Err(Error::too_large(&limit, elements.len() as u64, INDEX_ELEMENTS_MAX as u64));
        }
        let mut keys = BTreeSet::new();
        let mut bytes = 0;
        for value in elements.iter().chain([whole]) {
            values[at] = value;
            let key = self.key(&values)?;
            bytes += key.len();
            if bytes > INDEX_KEYS_BYTES_MAX {
                let limit = format!(
                    "the size in bytes of all index keys that the array {} gives",
                    self.0[at].path
                );
                return Err(Error::too_large(&limit, bytes as u64, INDEX_KEYS_BYTES_MAX as u64));
            }
            keys.insert(key);
        }
        Ok(keys.into_iter().collect())
    }
}

/// The path, and whether a leading minus asks for descending order.
pub(super) fn direction(text: &str) -> (&str, bool) {
    match text.strip_prefix('-') {
        Some(path) => (path, true),
        None => (text, false),
    }
}

/// Appends what stands for `value` in an index key, ascending.
pub(super) fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(_) => {
            let mut whole = Vec::new();
            order::encode(value, false, &mut whole);
            out.push(tag::ARRAY_DIGEST);
            out.extend_from_slice(&Sha256::digest(&whole));
        }
        value => order::encode(value, false, out),
    }
}

fn encode_field(field: &IndexField, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    encode_value(value, out);
    let bytes = out.len() - start;
    if bytes > INDEX_VALUE_BYTES_MAX {
        let limit = format!("the encoded value of the indexed field {} in bytes", field.path);
        return Err(Error::too_large(&limit, bytes as u64, INDEX_VALUE_BYTES_MAX as u64));
    }
    if field.descending {
        order::complement(&mut out[start..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc;
    use crate::error::Code;

    fn keys(fields: &[&str], document: crate::Document) -> Result<IndexKeys> {
        IndexFields::parse(fields).unwrap().keys(&document.to_object())
    }

    #[test]
    fn an_array_is_indexed_by_each_element_once_and_as_a_whole() {
        let found = keys(&["tags", "n"], doc! { "tags": ["b", "a", "b"], "n": 1 }).unwrap();
        assert_eq!((found.keys.len(), found.from_array), (3, true));
        assert!(found.keys.is_sorted());
        let empty = keys(&["tags", "n"], doc! { "tags": [], "n": 1 }).unwrap();
        assert_eq!((empty.keys.len(), empty.from_array, empty.all_missing), (1, true, false));
        let nested = keys(&["tags"], doc! { "tags": [[1]] }).unwrap();
        let flat = keys(&["tags"], doc! { "tags": [1] }).unwrap();
        assert!(nested.keys.iter().any(|key| flat.keys.contains(key)), "[1] is found in both");
    }

    #[test]
    fn missing_and_null_are_one_key_and_only_all_of_them_are_all_missing() {
        let null = keys(&["a", "-b"], doc! { "a": null }).unwrap();
        assert_eq!(null, keys(&["a", "-b"], doc! {}).unwrap());
        assert!(null.all_missing);
        assert!(!keys(&["a", "-b"], doc! { "b": 0 }).unwrap().all_missing);
        assert!(!keys(&["a"], doc! { "a": [null] }).unwrap().all_missing);
    }

    #[test]
    fn equal_numbers_have_equal_keys() {
        let int = keys(&["a"], doc! { "a": 12 }).unwrap();
        assert_eq!(int, keys(&["a"], doc! { "a": 12.0 }).unwrap());
    }

    #[test]
    fn two_arrays_of_one_index_are_refused_by_name() {
        let error = keys(&["a", "b", "c.d"], doc! { "a": [], "c": { "d": [1] } }).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.detail().contains("fields a and c.d"), "{error}");
    }

    #[test]
    fn values_beyond_the_limits_are_refused_by_name() {
        let long = "x".repeat(INDEX_VALUE_BYTES_MAX);
        for document in [doc! { "a": long.clone() }, doc! { "a": ["x", long.clone()] }] {
            let error = keys(&["b", "a"], document).unwrap_err();
            assert_eq!(error.code(), Code::TooLarge);
            assert!(error.detail().contains("field a "), "{error}");
        }
        let fits = "x".repeat(INDEX_VALUE_BYTES_MAX - 2);
        assert!(keys(&["a"], doc! { "a": fits.clone() }).is_ok());
        let many: Vec<i64> = (0..=INDEX_ELEMENTS_MAX as i64).collect();
        let error = keys(&["a"], doc! { "a": many.clone() }).unwrap_err();
        assert!(error.detail().contains("array a is limited to 1000, found 1001"), "{error}");
        assert!(keys(&["a"], doc! { "a": &many[1..] }).is_ok(), "however long as a whole");
        let wide = doc! { "a": &many[1..], "b": fits.clone(), "c": fits };
        let error = keys(&["a", "b", "c"], wide).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
    }

    #[test]
    fn faulty_fields_are_refused_by_name() {
        let none: [&str; 0] = [];
        assert!(IndexFields::parse(&none).is_err());
        assert!(IndexFields::parse(&vec!["a"; 17]).is_err());
        for (fields, named) in [
            (["a", "$seq"], "$seq is the record's own value"),
            (["a", "-a"], "field a is given twice"),
            (["a", "b."], "\"b.\""),
            (["a", "-"], "\"\""),
        ] {
            let error = IndexFields::parse(&fields).unwrap_err();
            assert!(error.detail().contains(named), "{error}");
        }
        let fields = IndexFields::parse(&["a.b", "-c"]).unwrap();
        assert_eq!(fields.to_strings(), ["a.b", "-c"]);
    }

    #[test]
    fn an_entry_decodes_to_its_values_and_its_prefixes() {
        let fields = IndexFields::parse(&["-a", "b", "c"]).unwrap();
        let document = doc! { "a": "x", "b": 1.5 }.to_object();
        let key = fields.keys(&document).unwrap().keys.remove(0);
        let values = [Value::from("x"), Value::Float(1.5), Value::Null];
        assert_eq!(fields.decode(&key).unwrap(), values);
        assert_eq!(fields.prefix_bytes(&key, 0), Some(0));
        assert_eq!(fields.prefix_bytes(&key, 1), Some(3));
        assert_eq!(fields.prefix_bytes(&key, 3), Some(key.len()));
        assert_eq!(fields.prefix_bytes(&key, 4), None);
        assert_eq!(fields.decode(&key[1..]), None);
    }
}
