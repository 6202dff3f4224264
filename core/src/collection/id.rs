//! The identity of a collection: sixteen bytes, a UUID, never used twice. It stands in every leaf
//! and in every file header, so a record or file of another collection is never taken for ours.

use std::fmt;

use crate::host::Random;

/// A collection's id. The system collection's id is the id of its database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(pub [u8; 16]);

impl CollectionId {
    /// A new random id (UUID version 4, RFC 9562 section 5.4).
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        CollectionId(*uuid::Builder::from_random_bytes(bytes).as_uuid().as_bytes())
    }

    /// The name of the collection's folder below `collections/`.
    pub fn folder(&self) -> String {
        format!("col_{self}")
    }

    /// Parses the hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(|uuid| CollectionId(*uuid.as_bytes()))
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
