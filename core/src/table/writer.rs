//! Writes one table file from entries in order: data blocks, filter, index, footer. The file is
//! not durable, and must not be named by a manifest, before [`TableWriter::finish`] has synced it and
//! the caller its folder. Memory is bounded by the blocks under construction, the index, and
//! eight bytes per distinct key for the filter.

use std::path::PathBuf;
use std::sync::Arc;

use super::block::BlockBuilder;
use super::files::TableFiles;
use super::filter::{self, FilterBuilder};
use super::footer::{FOOTER_BYTES, Footer, TableMeta};
use super::frame;
use super::index::{IndexBuilder, Place, separator};
use super::{EntryRef, TABLE_KEY_BYTES_MAX};
use crate::disk::VfsFile;
use crate::disk::compression::Compression;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Code, Error, Result};
use crate::limits::DOCUMENT_BYTES_MAX;

/// Bytes collected before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// How tables are written; each file can be read whatever the options are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Raw bytes of a data block: what one lookup reads and keeps in the cache.
    pub block_bytes: usize,
    /// Codec of data blocks and index.
    pub compression: Compression,
    /// Filter bits per distinct key: 10 let about 1 in 100 absent keys pass.
    pub filter_bits_per_key: u32,
    /// A table ends here; what a compaction rewrites at least.
    pub table_bytes_max: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            block_bytes: 4096,
            compression: Compression::Lz4,
            filter_bits_per_key: 10,
            table_bytes_max: 32 << 20,
        }
    }
}

/// A table file being written.
#[derive(Debug)]
pub struct TableWriter<'a> {
    options: &'a TableOptions,
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    number: u32,
    level: u8,
    seed: u32,
    buffer: Vec<u8>,
    written: u64,
    contents_checksum: u32,
    block: BlockBuilder,
    index: IndexBuilder,
    filter: FilterBuilder,
    separator: Vec<u8>,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    last_rank: u64,
    entries: u64,
    min_seq: u64,
    max_seq: u64,
}

impl<'a> TableWriter<'a> {
    /// Makes the file of table `number`.
    pub fn create(
        files: &TableFiles,
        number: u32,
        level: u8,
        options: &'a TableOptions,
    ) -> Result<Self> {
        let path = files.path(number);
        let file = files.pool().create(&path, false)?;
        let header = files.header(number).encode();
        Ok(TableWriter {
            options,
            file,
            path,
            number,
            level,
            seed: header_seed(&header),
            buffer: header.to_vec(),
            written: 0,
            contents_checksum: 0,
            block: BlockBuilder::default(),
            index: IndexBuilder::default(),
            filter: FilterBuilder::default(),
            separator: Vec::new(),
            first_key: Vec::new(),
            last_key: Vec::new(),
            last_rank: 0,
            entries: 0,
            min_seq: u64::MAX,
            max_seq: 0,
        })
    }

    /// Whether the table is as large as the options allow and may end before `key`: all ranks of a
    /// key stay together.
    pub fn is_full_before(&self, key: &[u8]) -> bool {
        let filter_bytes =
            self.filter.count() as u64 * u64::from(self.options.filter_bits_per_key) / 8;
        let bytes =
            self.offset() + (self.block.bytes_len() + self.index.bytes_len()) as u64 + filter_bytes;
        bytes >= self.options.table_bytes_max && self.last_key != key
    }

    /// Appends `entry`, which must follow the one before.
    pub fn add(&mut self, entry: &EntryRef<'_>) -> Result<()> {
        let is_first = self.entries == 0;
        let last = EntryRef { key: &self.last_key, rank: self.last_rank, seq: 0, inline: None };
        if !is_first && last.order(entry).is_ge() {
            return Err(Error::new(Code::Internal, "a table got entries out of order"));
        }
        check_bounds(entry)?;
        if self.block.bytes_len() >= self.options.block_bytes && !self.block.is_empty() {
            self.end_block(Some(entry.key))?;
        }
        if is_first {
            self.first_key.extend_from_slice(entry.key);
        }
        if is_first || self.last_key != entry.key {
            self.filter.add(entry.key);
            self.last_key.clear();
            self.last_key.extend_from_slice(entry.key);
        }
        self.block.add(entry);
        self.last_rank = entry.rank;
        self.entries += 1;
        self.min_seq = self.min_seq.min(entry.seq);
        self.max_seq = self.max_seq.max(entry.seq);
        Ok(())
    }

    /// Ends the file and syncs it. At least one entry must have been added.
    pub fn finish(mut self) -> Result<TableMeta> {
        if self.entries == 0 {
            return Err(Error::new(Code::Internal, "a table cannot be empty"));
        }
        self.end_block(None)?;
        let (filter_offset, filter_blocks) = self.write_filter()?;
        let index_offset = self.offset();
        let index = self.index.finish(&self.first_key, &self.last_key);
        let index_bytes = self.write_frame(&index, self.options.compression)?.bytes;
        self.write_buffer()?;
        let footer = Footer {
            index_offset,
            index_bytes,
            data_blocks: self.index.count() as u32,
            filter_offset,
            filter_blocks,
            entries: self.entries,
            min_seq: self.min_seq,
            max_seq: self.max_seq,
            file_bytes: self.written + FOOTER_BYTES as u64,
            keys: self.filter.count() as u64,
            contents_checksum: self.contents_checksum,
        };
        let (bytes, checksum) = footer.encode(self.seed);
        self.buffer.extend_from_slice(&bytes);
        self.write_buffer()?;
        #[cfg(not(bug = "publish_table_early"))]
        self.file.sync_data().map_err(|error| Error::storage("sync", &self.path, error))?;
        Ok(TableMeta {
            number: self.number,
            level: self.level,
            file_bytes: footer.file_bytes,
            entries: self.entries,
            first_key: self.first_key,
            last_key: self.last_key,
            min_seq: self.min_seq,
            max_seq: self.max_seq,
            checksum,
        })
    }

    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes the block under construction; `next_key` is the key that follows it, if any.
    fn end_block(&mut self, next_key: Option<&[u8]>) -> Result<()> {
        let mut rank = self.last_rank;
        match next_key {
            Some(next) if next != self.last_key => {
                separator(&self.last_key, next, &mut self.separator);
                rank = 0;
            }
            _ => {
                self.separator.clear();
                self.separator.extend_from_slice(&self.last_key);
            }
        }
        let (offset, seed, compression) = (self.offset(), self.seed, self.options.compression);
        let buffer = &mut self.buffer;
        let bytes =
            self.block.finish(|raw| frame::seal(raw, compression, seed, offset, buffer)) as u32;
        self.index.add(&self.separator, rank, Place { offset, bytes });
        if self.buffer.len() >= WRITE_BYTES { self.write_buffer() } else { Ok(()) }
    }

    fn write_filter(&mut self) -> Result<(u64, u32)> {
        let offset = self.offset();
        let filter = self.filter.finish(self.options.filter_bits_per_key);
        for page in filter.chunks(filter::PAGE_BYTES) {
            self.write_frame(page, Compression::None)?;
        }
        Ok((offset, (filter.len() / filter::BLOCK_BYTES) as u32))
    }

    fn write_frame(&mut self, raw: &[u8], compression: Compression) -> Result<Place> {
        let offset = self.offset();
        let bytes = frame::seal(raw, compression, self.seed, offset, &mut self.buffer) as u32;
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer()?;
        }
        Ok(Place { offset, bytes })
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(|error| Error::storage("write", &self.path, error))?;
        self.contents_checksum = crc32c::crc32c_append(self.contents_checksum, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// What every checksum of a file is seeded with: the checksum in its header.
pub(crate) fn header_seed(header: &[u8; HEADER_BYTES]) -> u32 {
    u32::from_le_bytes(header[HEADER_BYTES - 4..].try_into().expect("four bytes"))
}

fn check_bounds(entry: &EntryRef<'_>) -> Result<()> {
    if entry.key.len() > TABLE_KEY_BYTES_MAX {
        let found = entry.key.len() as u64;
        return Err(Error::too_large("a table key", found, TABLE_KEY_BYTES_MAX as u64));
    }
    match entry.inline {
        Some(value) if value.len() > DOCUMENT_BYTES_MAX => {
            let (found, max) = (value.len() as u64, DOCUMENT_BYTES_MAX as u64);
            Err(Error::too_large("an inline value", found, max))
        }
        _ => Ok(()),
    }
}
