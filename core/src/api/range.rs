//! What callers may write for a range of keys and for an item to insert.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo};

use crate::document::Document;
use crate::shard::read::KeyRange;

/// Anything that names a range of keys: `..`, `"a".."b"`, `"a"..`, `.."b"`, `"a"..="b"`.
pub trait KeyBounds {
    /// The range.
    fn into_key_range(self) -> KeyRange;
}

fn range(lower: Bound<&str>, upper: Bound<&str>) -> KeyRange {
    let owned = |bound: Bound<&str>| bound.map(|key| key.as_bytes().to_vec());
    KeyRange { lower: owned(lower), upper: owned(upper), reverse: false }
}

impl KeyBounds for RangeFull {
    fn into_key_range(self) -> KeyRange {
        KeyRange::all()
    }
}

impl KeyBounds for Range<&str> {
    fn into_key_range(self) -> KeyRange {
        range(Bound::Included(self.start), Bound::Excluded(self.end))
    }
}

impl KeyBounds for RangeFrom<&str> {
    fn into_key_range(self) -> KeyRange {
        range(Bound::Included(self.start), Bound::Unbounded)
    }
}

impl KeyBounds for RangeTo<&str> {
    fn into_key_range(self) -> KeyRange {
        range(Bound::Unbounded, Bound::Excluded(self.end))
    }
}

impl KeyBounds for RangeInclusive<&str> {
    fn into_key_range(self) -> KeyRange {
        range(Bound::Included(self.start()), Bound::Included(self.end()))
    }
}

/// Anything that can be inserted: a document, or a key and a document.
pub trait IntoItem {
    /// The key, if given, and the document.
    fn into_item(self) -> (Option<String>, Document);
}

impl IntoItem for Document {
    fn into_item(self) -> (Option<String>, Document) {
        (None, self)
    }
}

impl<K: Into<String>> IntoItem for (K, Document) {
    fn into_item(self) -> (Option<String>, Document) {
        (Some(self.0.into()), self.1)
    }
}

/// A document and perhaps its key, as they come from a line of input.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyed {
    /// The key, if the line named one.
    pub key: Option<String>,
    /// The document.
    pub document: Document,
}

impl IntoItem for Keyed {
    fn into_item(self) -> (Option<String>, Document) {
        (self.key, self.document)
    }
}
