//! The order a query asks for: fields, each ascending or descending, and the sequence number among
//! equals. A record's sort key is bytes that compare as the order wants them.

use super::index_key::direction;
use super::order;
use super::source::{Candidate, Source, time_value};
use super::{FieldPath, Target};
use crate::document::Value;
use crate::error::{Error, Result};
use crate::limits::SORT_FIELDS_MAX;

/// One field of a sort.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// What is compared.
    pub target: Target,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// The order of results; without fields it is whatever the plan gives.
///
/// Arrays are compared as a whole, missing fields as null. Records that agree in all fields stand by
/// ascending sequence number, unless `-$seq` was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sort(Vec<SortKey>);

impl Sort {
    /// Reads fields, `-field` for descending. `invalid_argument` names the faulty one.
    pub fn parse(fields: &[String]) -> Result<Self> {
        if fields.len() > SORT_FIELDS_MAX {
            let limit = "the number of fields of a sort";
            return Err(Error::too_large(limit, fields.len() as u64, SORT_FIELDS_MAX as u64));
        }
        let mut keys: Vec<SortKey> = Vec::with_capacity(fields.len());
        for text in fields {
            let (name, descending) = direction(text);
            let target =
                Target::parse(name).map_err(|error| error.note("it was given as a sort field"))?;
            if keys.iter().any(|key| key.target == target) {
                return Err(Error::invalid(format!("the sort field {name} is given twice")));
            }
            keys.push(SortKey { target, descending });
        }
        // A sequence number is never given twice: what stands behind it decides nothing.
        if let Some(seq) = keys.iter().position(|key| key.target == Target::Seq) {
            keys.truncate(seq + 1);
        }
        Ok(Sort(keys))
    }

    /// Whether no order is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that decide, in order.
    pub fn fields(&self) -> &[SortKey] {
        &self.0
    }

    /// The fields as they are written.
    pub fn to_strings(&self) -> Vec<String> {
        let sign = |key: &SortKey| if key.descending { "-" } else { "" };
        self.0.iter().map(|key| format!("{}{}", sign(key), key.target.as_str())).collect()
    }

    /// The fields of the document that are compared.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter().filter_map(|key| key.target.field())
    }

    /// The record's place in the order, as bytes that compare as the records shall stand.
    pub fn key(&self, candidate: &Candidate<'_>) -> Vec<u8> {
        // A decoded document has every value at hand and never fails.
        self.key_of(candidate).unwrap_or_default()
    }

    /// [`Sort::key`] of any source; fails only as the source does.
    pub fn key_of(&self, source: &impl Source) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.0.len() * 12 + 8);
        for key in &self.0 {
            match &key.target {
                Target::Key => order::encode_text(source.key()?, key.descending, &mut out),
                Target::Seq => put_seq(source.seq(), key.descending, &mut out),
                Target::Time => {
                    order::encode(&time_value(source.time_us()?), key.descending, &mut out);
                }
                Target::Field(path) => match source.field(path)? {
                    Some(value) => order::encode(&value, key.descending, &mut out),
                    None => order::encode(&Value::Null, key.descending, &mut out),
                },
            }
        }
        if self.0.last().is_none_or(|key| key.target != Target::Seq) {
            put_seq(source.seq(), false, &mut out);
        }
        Ok(out)
    }
}

fn put_seq(seq: u64, descending: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&if descending { !seq } else { seq }.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc;

    fn sort(fields: &[&str]) -> Result<Sort> {
        Sort::parse(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>())
    }

    /// The sequence numbers of four records in the order asked for.
    fn sorted(fields: &[&str]) -> Vec<u64> {
        let documents = [
            doc! { "a": 2, "b": "x" },
            doc! { "a": [1] },
            doc! { "a": 2.0, "b": "y" },
            doc! { "b": "x" },
        ];
        let objects: Vec<_> = documents.iter().map(crate::Document::to_object).collect();
        let sort = sort(fields).unwrap();
        let mut keyed: Vec<(Vec<u8>, u64)> = (0..4)
            .map(|at| {
                let (key, time_us) = (["k2", "k1", "k4", "k3"][at], [7, 7, 8, 8][at]);
                let document = &objects[at];
                let candidate = Candidate { key, seq: at as u64, time_us, document };
                (sort.key(&candidate), at as u64)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, seq)| seq).collect()
    }

    #[test]
    fn records_stand_in_the_order_asked_for_and_equal_ones_by_sequence() {
        assert_eq!(sorted(&["a"]), [3, 0, 2, 1]);
        assert_eq!(sorted(&["-a"]), [1, 0, 2, 3]);
        assert_eq!(sorted(&["a", "-$seq"]), [3, 2, 0, 1]);
        assert_eq!(sorted(&["a", "-b"]), [3, 2, 0, 1]);
        assert_eq!(sorted(&["b", "a"]), [1, 3, 0, 2]);
        assert_eq!(sorted(&["$key"]), [1, 0, 3, 2]);
        assert_eq!(sorted(&["-$time"]), [2, 3, 0, 1]);
        assert_eq!(sorted(&["-$time", "-$key"]), [2, 3, 0, 1]);
        assert_eq!(sorted(&["-$seq"]), [3, 2, 1, 0]);
        assert_eq!(sorted(&[]), [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_behind_the_sequence_number_counts() {
        assert_eq!(sort(&["a", "-$seq", "b"]).unwrap(), sort(&["a", "-$seq"]).unwrap());
    }

    #[test]
    fn a_faulty_sort_field_is_named() {
        for (fields, named) in [
            (vec!["a", "-a"], "a is given twice"),
            (vec!["$id"], "\"$id\""),
            (vec!["-"], "\"\""),
            (vec!["a."], "\"a.\""),
            (vec!["a"; 17], "limited to 16"),
        ] {
            let error = sort(&fields).unwrap_err();
            assert!(error.detail().contains(named), "{error}");
        }
    }
}
