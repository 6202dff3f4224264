//! Sorted maps from key to sequence number, in memory and on disk.
//!
//! The ledger holds every value once; this room only remembers where it is. An entry says that
//! `key` at `rank` lies at sequence number `seq`:
//!
//! ```text
//!            insert                    newest, exact, scan
//!              │                               │
//!              ▼                               ▼
//!          MemTable ── flush ──▶ level 0   ┌─ TableSet (one immutable version) ─┐
//!         (skip list)            ▒ ▒ ▒     │ memtables, newest first            │
//!                                │ compaction  level 0: may overlap, newest first│
//!                                ▼         │ level 1…: sorted, disjoint         │
//!                        level 1 ▒▒▒▒▒▒    └────────────────────────────────────┘
//!                        level 2 ▒▒▒▒▒▒▒▒▒▒▒▒        MANIFEST names the live files
//! ```
//!
//! Entries are ordered by key ascending (bytewise), then by rank *descending*. In the primary
//! table the rank is the revision, so the newest revision of a key comes first; in an index table
//! the rank is the sequence number itself. The database is append-only, and so is this room: every
//! (key, rank) is written once, nothing is overwritten or deleted, and a merge moves all it reads.
//!
//! Invariants everything else follows from:
//! - For one key, ranks rise with sequence numbers, and of two sources the one asked first holds the
//!   newer entries: memtables newest first, level 0 newest first, then level by level. So the first
//!   visible entry found is the newest visible one, and a compaction never takes a table down past
//!   an older table that holds some of the same keys.
//! - All ranks of a key lie in one table of a level: tables are cut only where the key changes.
//! - A table file is immutable. It is synced, and its folder too, before a manifest names it; it is
//!   deleted when it was marked obsolete and the last reader let go of it.
//! - Every byte of a table or manifest is covered by a checksum that is seeded with the identity of
//!   the file and the place in it, and is checked whenever it is read from disk.
//! - A snapshot is a number: a reader at `end_seq` sees exactly the entries with `seq < end_seq`.
//!
//! A lookup in a table touches a filter page, the index and one data block, all held by the shared
//! block cache and read in place, without an allocation. The format is in `docs/format/table.md`.

pub mod block;
pub mod cache;
pub mod compaction;
pub mod cursor;
pub mod files;
pub mod filter;
pub mod flush;
pub mod footer;
mod frame;
pub mod index;
pub mod manifest;
pub mod memtable;
pub mod merge;
mod presence;
pub mod reader;
pub mod set;
mod varint;
mod verify;
pub mod writer;

#[cfg(test)]
mod tests;

pub use cache::BlockCache;
pub use compaction::{CompactionOptions, Job, pick};
pub use files::TableFiles;
pub use flush::{write_table, write_tables};
pub use footer::TableMeta;
pub use manifest::Manifest;
pub use memtable::MemTable;
pub use merge::{Entries, Merge, Sorted};
pub use reader::Table;
pub use set::{NewestOnly, Scan, TableSet};
pub use writer::TableOptions;

use std::cmp::Ordering;

/// A key of a table. Longer than a record key, because an index key holds the indexed value and
/// the record key; the bound keeps 16 keys of a block interval within a megabyte.
pub const TABLE_KEY_BYTES_MAX: usize = 65_535;
/// Levels of a collection. With a ratio of 8 the last one holds 2^15 times the first.
pub const LEVEL_COUNT_MAX: usize = 7;

/// Where a key at some rank lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The revision in a primary table, the sequence number in an index table.
    pub rank: u64,
    /// The sequence number, which the ledger resolves.
    pub seq: u64,
}

/// One entry, borrowed from where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The rank among the entries of the key.
    pub rank: u64,
    /// The sequence number.
    pub seq: u64,
    /// The value itself, for tables that keep it at hand. Not written by default.
    pub inline: Option<&'a [u8]>,
}

impl EntryRef<'_> {
    /// The order of tables: key ascending, then rank descending.
    pub fn order(&self, other: &EntryRef<'_>) -> Ordering {
        self.key.cmp(other.key).then(other.rank.cmp(&self.rank))
    }
}

/// One entry of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The rank among the entries of the key.
    pub rank: u64,
    /// The sequence number.
    pub seq: u64,
}

/// A boundary in the order of tables: before (`key`, `rank`), or after all ranks of `key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boundary<'a> {
    key: &'a [u8],
    rank: u64,
    after: bool,
}

impl<'a> Boundary<'a> {
    /// Before the entry (`key`, `rank`).
    pub(crate) fn at(key: &'a [u8], rank: u64) -> Self {
        Boundary { key, rank, after: false }
    }

    /// Before every entry of `key`.
    pub(crate) fn before(key: &'a [u8]) -> Self {
        Boundary::at(key, u64::MAX)
    }

    /// After every entry of `key`.
    pub(crate) fn after(key: &'a [u8]) -> Self {
        Boundary { key, rank: 0, after: true }
    }

    /// Whether the entry (`key`, `rank`) lies before this boundary.
    #[inline]
    pub(crate) fn follows(&self, key: &[u8], rank: u64) -> bool {
        match key.cmp(self.key) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.after || rank > self.rank,
        }
    }
}

/// Bytes that do not parse; the caller knows the file and offset and makes an error of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    pub(crate) fn at(self, path: &std::path::Path, offset: u64) -> crate::Error {
        crate::Error::corrupt(path, offset, self.0)
    }
}

/// The result of parsing bytes in memory.
pub type Parsed<T> = Result<T, Malformed>;
