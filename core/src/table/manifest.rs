//! The manifest of a collection: which table files are live, on which level, and up to which
//! sequence number the tables hold everything. It is replaced as a whole: written beside, synced,
//! renamed over, and the folder synced. So a reader finds the old list or the new one, never a mixture.
//!
//! Layout after the 64-byte file header (kind manifest, number 0), little-endian: watermark_seq
//! u64, next_number u32, count u32, then per table number u32, level u8, file_bytes u64, entries
//! u64, min_seq u64, max_seq u64, checksum u32, first key (u32 length, bytes), last key (the
//! same). With the incompatible feature 1 the indexes follow: count u32, then per index id u32,
//! built_seq u64, count u32 and its tables in the same form. Last CRC-32C u32 over the whole body,
//! seeded with the header's checksum and offset 64.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::footer::TableMeta;
use super::frame::checksum;
use super::varint::{get_slice, u32_at, u64_at};
use super::writer::header_seed;
use super::{LEVEL_COUNT_MAX, Malformed, Parsed};
use crate::disk::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::disk::pool::FilePool;
use crate::disk::{Access, Vfs};
use crate::error::{Error, Result};

/// The name of the file.
pub const MANIFEST_NAME: &str = "MANIFEST";
const TEMPORARY_NAME: &str = "MANIFEST.tmp";
/// Least bytes of a table's record: bounds the memory that a count can ask for.
const RECORD_BYTES_MIN: usize = 53;

/// The incompatible feature of a manifest that lists indexes.
const FEATURE_INDEXES: u32 = 1;
/// Least bytes of an index's record.
const INDEX_BYTES_MIN: usize = 16;

/// The list of live tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Every entry with a lower sequence number is in the tables.
    pub watermark_seq: u64,
    /// No table file of the collection, an index's or its own, has this number or a greater one.
    pub next_number: u32,
    /// The live tables, in any order.
    pub tables: Vec<TableMeta>,
    /// The tables of the secondary indexes.
    pub indexes: Vec<IndexTables>,
}

/// The live tables of one index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexTables {
    /// The index, by its number within the collection.
    pub id: u32,
    /// How far the building of old records has come: those below are in the tables.
    pub built_seq: u64,
    /// The live tables, in any order.
    pub tables: Vec<TableMeta>,
}

impl Manifest {
    /// What is said of the index `id`; empty if nothing is.
    pub fn index(&self, id: u32) -> IndexTables {
        let found = self.indexes.iter().find(|index| index.id == id);
        found.cloned().unwrap_or(IndexTables { id, ..IndexTables::default() })
    }

    /// The entry of the index `id`, to change it.
    pub fn index_entry(&mut self, id: u32) -> &mut IndexTables {
        let found = self.indexes.iter().position(|index| index.id == id);
        let at = found.unwrap_or_else(|| {
            self.indexes.push(IndexTables { id, ..IndexTables::default() });
            self.indexes.len() - 1
        });
        &mut self.indexes[at]
    }

    /// All tables, the collection's own and those of its indexes.
    pub fn all_tables(&self) -> impl Iterator<Item = &TableMeta> {
        self.tables.iter().chain(self.indexes.iter().flat_map(|index| &index.tables))
    }

    /// Reads the manifest in `dir`; `None` if there is none yet.
    pub fn load(pool: &Arc<FilePool>, dir: &Path, owner: [u8; 16]) -> Result<Option<Self>> {
        let path = dir.join(MANIFEST_NAME);
        // Not by a pooled handle: the file is replaced under its name.
        let file = match pool.vfs().open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::storage("open", &path, error)),
        };
        let header = header(owner);
        let features = header.read_with(FEATURE_INDEXES, &*file, &path)?;
        let size = file.size().map_err(|error| Error::storage("size", &path, error))?;
        let body_bytes = usize::try_from(size.saturating_sub(HEADER_BYTES as u64)).ok();
        let mut body = vec![0; body_bytes.unwrap_or(0)];
        file.read_exact_at(&mut body, HEADER_BYTES as u64)
            .map_err(|error| Error::storage("read", &path, error))?;
        let seed = header_seed(&header.encode_with(features));
        Self::decode(&body, seed, features)
            .map(Some)
            .map_err(|(at, what)| what.at(&path, (HEADER_BYTES + at) as u64))
    }

    /// Makes this the manifest in `dir`. The table files it names must be durable.
    pub fn store(&self, vfs: &Arc<dyn Vfs>, dir: &Path, owner: [u8; 16]) -> Result<()> {
        let (path, temporary) = (dir.join(MANIFEST_NAME), dir.join(TEMPORARY_NAME));
        let features = if self.indexes.is_empty() { 0 } else { FEATURE_INDEXES };
        let header = header(owner).encode_with(features);
        let mut bytes = header.to_vec();
        self.encode(header_seed(&header), &mut bytes);
        remove_if_there(vfs, &temporary)?;
        let file = vfs
            .create(&temporary, false)
            .map_err(|error| Error::storage("create", &temporary, error))?;
        file.write_all_at(&bytes, 0).map_err(|error| Error::storage("write", &temporary, error))?;
        file.sync_data().map_err(|error| Error::storage("sync", &temporary, error))?;
        vfs.rename(&temporary, &path).map_err(|error| Error::storage("rename", &path, error))?;
        #[cfg(not(bug = "skip_dir_sync"))]
        vfs.sync_dir(dir).map_err(|error| Error::storage("sync", dir, error))?;
        Ok(())
    }

    fn encode(&self, seed: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.watermark_seq.to_le_bytes());
        out.extend_from_slice(&self.next_number.to_le_bytes());
        encode_tables(&self.tables, out);
        if !self.indexes.is_empty() {
            out.extend_from_slice(&(self.indexes.len() as u32).to_le_bytes());
            for index in &self.indexes {
                out.extend_from_slice(&index.id.to_le_bytes());
                out.extend_from_slice(&index.built_seq.to_le_bytes());
                encode_tables(&index.tables, out);
            }
        }
        let sum = checksum(seed, HEADER_BYTES as u64, &out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The manifest in `body`, or where and why it is none.
    fn decode(body: &[u8], seed: u32, features: u32) -> Result<Self, (usize, Malformed)> {
        let end = body.len().checked_sub(4).ok_or((0, Malformed("the manifest is cut off")))?;
        let sum = u32_at(body, end).map_err(|error| (end, error))?;
        if checksum(seed, HEADER_BYTES as u64, &body[..end]) != sum {
            return Err((0, Malformed("the manifest does not match its checksum")));
        }
        let mut at = 0;
        Self::parse(&body[..end], &mut at, features).map_err(|error| (at, error))
    }

    fn parse(body: &[u8], at: &mut usize, features: u32) -> Parsed<Self> {
        let watermark_seq = take_u64(body, at)?;
        let next_number = take_u32(body, at)?;
        let tables = parse_tables(body, at)?;
        let mut indexes = Vec::new();
        if features & FEATURE_INDEXES != 0 {
            let count = take_u32(body, at)? as usize;
            if count > body.len() / INDEX_BYTES_MIN {
                return Err(Malformed("the manifest counts more indexes than it has room for"));
            }
            for _ in 0..count {
                let (id, built_seq) = (take_u32(body, at)?, take_u64(body, at)?);
                indexes.push(IndexTables { id, built_seq, tables: parse_tables(body, at)? });
            }
        }
        let manifest = Manifest { watermark_seq, next_number, tables, indexes };
        let mut numbers = std::collections::BTreeSet::new();
        let possible = manifest.all_tables().all(|table| {
            table.number < next_number
                && usize::from(table.level) < LEVEL_COUNT_MAX
                && numbers.insert(table.number)
        });
        match *at == body.len() && possible {
            true => Ok(manifest),
            false => Err(Malformed("the manifest names impossible tables")),
        }
    }
}

fn encode_tables(tables: &[TableMeta], out: &mut Vec<u8>) {
    out.extend_from_slice(&(tables.len() as u32).to_le_bytes());
    for table in tables {
        out.extend_from_slice(&table.number.to_le_bytes());
        out.push(table.level);
        for number in [table.file_bytes, table.entries, table.min_seq, table.max_seq] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&table.checksum.to_le_bytes());
        for key in [&table.first_key, &table.last_key] {
            out.extend_from_slice(&(key.len() as u32).to_le_bytes());
            out.extend_from_slice(key);
        }
    }
}

fn parse_tables(body: &[u8], at: &mut usize) -> Parsed<Vec<TableMeta>> {
    let count = take_u32(body, at)? as usize;
    if count > body.len() / RECORD_BYTES_MIN {
        return Err(Malformed("the manifest counts more tables than it has room for"));
    }
    (0..count).map(|_| parse_table(body, at)).collect()
}

fn parse_table(body: &[u8], at: &mut usize) -> Parsed<TableMeta> {
    let number = take_u32(body, at)?;
    let level = get_slice(body, at, 1)?[0];
    let file_bytes = take_u64(body, at)?;
    let entries = take_u64(body, at)?;
    let (min_seq, max_seq) = (take_u64(body, at)?, take_u64(body, at)?);
    let checksum = take_u32(body, at)?;
    let first_bytes = take_u32(body, at)?;
    let first_key = get_slice(body, at, u64::from(first_bytes))?.to_vec();
    let last_bytes = take_u32(body, at)?;
    let last_key = get_slice(body, at, u64::from(last_bytes))?.to_vec();
    if first_key > last_key || min_seq > max_seq {
        return Err(Malformed("a table in the manifest ends before it begins"));
    }
    Ok(TableMeta {
        number,
        level,
        file_bytes,
        entries,
        first_key,
        last_key,
        min_seq,
        max_seq,
        checksum,
    })
}

fn take_u32(body: &[u8], at: &mut usize) -> Parsed<u32> {
    let value = u32_at(body, *at)?;
    *at += 4;
    Ok(value)
}

fn take_u64(body: &[u8], at: &mut usize) -> Parsed<u64> {
    let value = u64_at(body, *at)?;
    *at += 8;
    Ok(value)
}

fn header(owner: [u8; 16]) -> FileHeader {
    FileHeader { kind: FileKind::Manifest, owner, number: 0 }
}

fn remove_if_there(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<()> {
    match vfs.unlink(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::storage("remove", path, error))
        }
        _ => Ok(()),
    }
}
