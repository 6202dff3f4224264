//! Where the next page begins, as an opaque text that needs no memory on the server.
//!
//! A cursor holds the query it belongs to (as a hash), the snapshot of the first page, and the place
//! of the last record given. A checksum tells a text that was cut or altered; it is no signature: who
//! forges one chooses where a page begins, in a query that he may ask anyway.
//!
//! ```text
//! base64url( version u8 = 1 || query u64 || end_seq u64 || last_seq u64 || after … || CRC-32C u32 )
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

use super::{Filter, Sort, order};
use crate::error::{Error, Result};
use crate::limits::CURSOR_POSITION_BYTES_MAX;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 25;
const CHECK_BYTES: usize = 4;
const BYTES_MAX: usize = HEAD_BYTES + CURSOR_POSITION_BYTES_MAX + CHECK_BYTES;

/// The place between two pages of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Hash of the query, by [`query_hash`]; the caller compares it with [`Cursor::check`].
    pub query: u64,
    /// The snapshot of the first page: its number of leaves.
    pub end_seq: u64,
    /// The place of the last record given: its sort key, or its index entry or key. At most
    /// [`CURSOR_POSITION_BYTES_MAX`] bytes; a longer sort key is made again from the record at
    /// `last_seq`, which never changes.
    pub after: Vec<u8>,
    /// The sequence number of the last record given.
    pub last_seq: u64,
}

impl Cursor {
    /// The text to hand out; `too_large` if `after` is too long for a cursor.
    pub fn encode(&self) -> Result<String> {
        if self.after.len() > CURSOR_POSITION_BYTES_MAX {
            let limit = "the position in a cursor in bytes";
            let found = self.after.len() as u64;
            return Err(Error::too_large(limit, found, CURSOR_POSITION_BYTES_MAX as u64));
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.after.len() + CHECK_BYTES);
        bytes.push(VERSION);
        for number in [self.query, self.end_seq, self.last_seq] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.after);
        let check = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a text that [`Cursor::encode`] gave; any other is `invalid_argument`.
    pub fn decode(text: &str) -> Result<Self> {
        read(text).ok_or_else(|| {
            Error::invalid("the cursor is none that was handed out; start again without a cursor")
        })
    }

    /// Refuses a cursor that belongs to another query.
    pub fn check(&self, query: u64) -> Result<()> {
        if self.query != query {
            return Err(Error::invalid(
                "the cursor belongs to another query: collection, filter and sort must be those of \
                 the first page",
            ));
        }
        Ok(())
    }
}

fn read(text: &str) -> Option<Cursor> {
    if text.len() > BYTES_MAX.div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if crc32c::crc32c(body).to_le_bytes() != *check {
        return None;
    }
    let (head, after) = body.split_first_chunk::<HEAD_BYTES>()?;
    let (version, mut numbers) = head.split_first()?;
    let mut number = || {
        let (number, rest) = numbers.split_first_chunk::<8>()?;
        numbers = rest;
        Some(u64::from_le_bytes(*number))
    };
    let (query, end_seq, last_seq) = (number()?, number()?, number()?);
    let known = *version == VERSION && after.len() <= CURSOR_POSITION_BYTES_MAX;
    known.then(|| Cursor { query, end_seq, after: after.to_vec(), last_seq })
}

/// The hash that binds a cursor to its query. `scope` is what else must stay the same, such as the
/// collection's id and, for a query without a sort, the name of the index its plan reads.
pub fn query_hash(scope: &[u8], filter: &Filter, sort: &Sort) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&(scope.len() as u64).to_le_bytes());
    bytes.extend_from_slice(scope);
    filter.write_identity(&mut bytes);
    for field in sort.to_strings() {
        order::encode_text(&field, false, &mut bytes);
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc;

    fn cursor(after: &[u8]) -> Cursor {
        Cursor {
            query: 0x0123_4567_89AB_CDEF,
            end_seq: 1 << 40,
            after: after.to_vec(),
            last_seq: 7,
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        for after in [&[][..], &[0], &[255; 100], &[7; CURSOR_POSITION_BYTES_MAX]] {
            let text = cursor(after).encode().unwrap();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert_eq!(Cursor::decode(&text).unwrap(), cursor(after));
        }
        let error = cursor(&[0; CURSOR_POSITION_BYTES_MAX + 1]).encode().unwrap_err();
        assert_eq!(error.code(), crate::Code::TooLarge);
    }

    #[test]
    fn a_cursor_that_is_cut_or_altered_anywhere_is_refused() {
        let text = cursor(b"place").encode().unwrap();
        for at in 0..text.len() {
            assert!(Cursor::decode(&text[..at]).is_err(), "cut at {at}");
            for letter in ['A', 'B', 'z', '9', '-', '=', '\0', 'é'] {
                let altered = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                assert!(altered == text || Cursor::decode(&altered).is_err(), "{letter:?} at {at}");
            }
        }
        for foreign in ["", "AAAA", "null", &format!("{text}AAAA"), &"A".repeat(1 << 20)] {
            assert!(Cursor::decode(foreign).is_err());
        }
    }

    #[test]
    fn a_cursor_is_bound_to_collection_filter_and_sort() {
        let filter = |document: crate::Document| Filter::parse(&document.to_object()).unwrap();
        let sort = |field: &str| Sort::parse(&[field.to_owned()]).unwrap();
        let query = query_hash(b"c1", &filter(doc! { "a": 1 }), &sort("a"));
        assert_eq!(query, query_hash(b"c1", &filter(doc! { "a": { "$eq": 1.0 } }), &sort("a")));
        let others = [
            query_hash(b"c2", &filter(doc! { "a": 1 }), &sort("a")),
            query_hash(b"c1", &filter(doc! { "a": 2 }), &sort("a")),
            query_hash(b"c1", &filter(doc! { "a": { "$gt": 1 } }), &sort("a")),
            query_hash(b"c1", &filter(doc! { "a": { "$ne": 1 } }), &sort("a")),
            query_hash(b"c1", &filter(doc! { "b": 1 }), &sort("a")),
            query_hash(b"c1", &filter(doc! { "a": 1 }), &sort("-a")),
        ];
        for other in others {
            assert_ne!(query, other);
            assert!(Cursor { query, ..cursor(b"") }.check(other).is_err());
        }
        assert!(Cursor { query, ..cursor(b"") }.check(query).is_ok());
    }
}
