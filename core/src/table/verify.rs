//! The full check of one table file: every byte is read from disk and accounted for by a checksum,
//! every entry is decoded, ordered, counted, and known to filter and index. It writes nothing and
//! leaves the cache alone.

use std::path::PathBuf;

use bytes::Bytes;

use super::block::{Block, BlockBuilder, Interval};
use super::filter::{self, Probe};
use super::footer::Footer;
use super::index::{Index, IndexEntry};
use super::reader::{Keep, Table};
use super::{Boundary, EntryRef};
use crate::disk::header::HEADER_BYTES;
use crate::error::{Error, Result};

impl Table {
    /// Checks the whole file and hands every entry to `each`, in order. An error names the file
    /// and the offset of what is wrong.
    pub fn verify(&self, each: &mut dyn FnMut(EntryRef<'_>) -> Result<()>) -> Result<()> {
        let footer = self.read_footer()?;
        let mut check = Check::new(self, footer)?;
        let index_bytes = check.index_bytes.clone();
        let index =
            Index::new(&index_bytes).map_err(|error| error.at(&check.path, footer.index_offset))?;
        check.index_head(&index)?;
        let mut offset = HEADER_BYTES as u64;
        for number in 0..index.count() {
            let entry = index
                .entry(number)
                .map_err(|error| error.at(&check.path, check.footer.index_offset))?;
            if entry.place.offset != offset {
                return Err(check.wrong_index("a data block does not begin where the last ended"));
            }
            if index.head(number) != Ok(super::index::head(entry.suffix)) {
                return Err(check.wrong_index("a separator is not what its number says"));
            }
            offset += u64::from(entry.place.bytes);
            check.block(&index, entry, each)?;
        }
        if offset != footer.filter_offset {
            return Err(check.wrong_index("the data blocks do not end at the filter"));
        }
        check.totals(&index)
    }
}

struct Check<'a> {
    table: &'a Table,
    path: PathBuf,
    footer: Footer,
    index_bytes: Bytes,
    filter: Vec<Bytes>,
    rebuilt: BlockBuilder,
    interval: Interval,
    last_key: Vec<u8>,
    last_rank: u64,
    entries: u64,
    keys: u64,
    min_seq: u64,
    max_seq: u64,
}

impl<'a> Check<'a> {
    fn new(table: &'a Table, footer: Footer) -> Result<Self> {
        let place = super::index::Place { offset: footer.index_offset, bytes: footer.index_bytes };
        let index_bytes = table.read_disk(place, Keep::Once)?;
        let pages = 0..filter::page_count(footer.filter_blocks);
        let filter = pages
            .map(|page| table.read_disk(table.filter_place(&footer, page)?, Keep::Once))
            .collect::<Result<_>>()?;
        Ok(Check {
            table,
            path: table.path(),
            footer,
            index_bytes,
            filter,
            rebuilt: BlockBuilder::default(),
            interval: Interval::default(),
            last_key: Vec::new(),
            last_rank: 0,
            entries: 0,
            keys: 0,
            min_seq: u64::MAX,
            max_seq: 0,
        })
    }

    fn wrong_index(&self, what: &str) -> Error {
        Error::corrupt(&self.path, self.footer.index_offset, what)
    }

    fn index_head(&self, index: &Index<'_>) -> Result<()> {
        let meta = self.table.meta();
        if index.first_key() != meta.first_key || index.last_key() != meta.last_key {
            return Err(self.wrong_index("the table spans other keys than the manifest says"));
        }
        if index.count() as u64 != u64::from(self.footer.data_blocks) {
            return Err(self.wrong_index("the index has another number of blocks than the footer"));
        }
        Ok(())
    }

    fn block(
        &mut self,
        index: &Index<'_>,
        entry: IndexEntry<'_>,
        each: &mut dyn FnMut(EntryRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let offset = entry.place.offset;
        let bytes = self.table.read_disk(entry.place, Keep::Once)?;
        let path = self.path.clone();
        let block = Block::new(&bytes).map_err(|error| error.at(&path, offset))?;
        let separator = [&index.first_key()[..index.common()], entry.suffix].concat();
        let end = Boundary::at(&separator, entry.rank);
        let mut interval = std::mem::take(&mut self.interval);
        for number in 0..block.restart_count() {
            interval.load(&block, number).map_err(|error| error.at(&path, offset))?;
            for slot in 0..interval.count() {
                let found = interval.entry(slot, &bytes).expect("slot is below the count");
                self.entry(&found, offset)?;
                each(found)?;
            }
        }
        self.interval = interval;
        let is_last = self.last_key == separator && self.last_rank == entry.rank;
        if !is_last && !end.follows(&self.last_key, self.last_rank) {
            return Err(self.wrong_index("a block goes past its separator"));
        }
        // A block is a function of its entries, so rebuilding it checks each coded length as well.
        if self.rebuilt.finish(|rebuilt| rebuilt != &bytes[..]) {
            return Err(Error::corrupt(&path, offset, "a block is not coded as its entries are"));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>, offset: u64) -> Result<()> {
        let last = EntryRef { key: &self.last_key, rank: self.last_rank, seq: 0, inline: None };
        if self.entries > 0 && last.order(entry).is_ge() {
            return Err(Error::corrupt(&self.path, offset, "entries are out of order"));
        }
        if self.entries == 0 && entry.key != self.table.meta().first_key {
            return Err(Error::corrupt(&self.path, offset, "the table begins with another key"));
        }
        if self.entries == 0 || self.last_key != entry.key {
            self.keys += 1;
            let probe = Probe::new(filter::hash(entry.key), self.footer.filter_blocks);
            let page = self.filter.get(probe.page as usize);
            if page.and_then(|page| probe.test(page)) != Some(true) {
                let what = "the filter does not know a key of the table";
                return Err(Error::corrupt(&self.path, self.footer.filter_offset, what));
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(entry.key);
        }
        self.last_rank = entry.rank;
        self.entries += 1;
        self.min_seq = self.min_seq.min(entry.seq);
        self.max_seq = self.max_seq.max(entry.seq);
        self.rebuilt.add(entry);
        Ok(())
    }

    fn totals(&self, index: &Index<'_>) -> Result<()> {
        let footer = &self.footer;
        let wrong = |at: u64, what| Err(Error::corrupt(&self.path, footer.offset() + at, what));
        if self.entries != footer.entries || self.keys != footer.keys {
            return wrong(40, "the table holds another number of entries than it says");
        }
        if (self.min_seq, self.max_seq) != (footer.min_seq, footer.max_seq) {
            return wrong(48, "the table holds other sequence numbers than it says");
        }
        if self.last_key != index.last_key() {
            return Err(self.wrong_index("the table does not end with its last key"));
        }
        if self.table.contents_checksum(footer.offset())? != footer.contents_checksum {
            return wrong(80, "the table does not match its checksum");
        }
        Ok(())
    }
}
