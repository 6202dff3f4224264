//! Counters of operations across restarts: one small file per shard, replaced with each restart
//! point and at close. What the ledger can tell (records, bytes, blocks) is not in it.
//!
//! File: header 64 (kind 7, owner database id, number shard), `body_len u32, crc32c u32` of the body,
//! then the body: `counters u32, collections u32`, and per collection `id 16` and its counters, u64
//! each, in the order of `operations.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::collection::CollectionId;
use crate::disk::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::error::{Error, Result};
use crate::shard::Shard;
use crate::shard::operations::COUNTERS;
use crate::shard::restart::replace_file;

/// Counters by collection.
pub type Counters = BTreeMap<CollectionId, [u64; COUNTERS]>;

const HEAD_BYTES: usize = HEADER_BYTES + 8;

/// The file of a shard below the database's folder.
pub fn path(dir: &Path, shard: u32) -> PathBuf {
    dir.join("shard").join(shard.to_string()).join("statistics")
}

fn header(database_id: CollectionId, shard: u32) -> FileHeader {
    FileHeader { kind: FileKind::Statistics, owner: database_id.0, number: shard }
}

fn encode(counters: &Counters, database_id: CollectionId, shard: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + counters.len() * (16 + 8 * COUNTERS));
    body.extend_from_slice(&(COUNTERS as u32).to_le_bytes());
    body.extend_from_slice(&(counters.len() as u32).to_le_bytes());
    for (id, numbers) in counters {
        body.extend_from_slice(&id.0);
        numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
    }
    let mut bytes = header(database_id, shard).encode().to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads the bytes of a shard's file.
pub fn decode(
    bytes: &[u8],
    database_id: CollectionId,
    shard: u32,
    path: &Path,
) -> Result<Counters> {
    let short = || Error::corrupt(path, bytes.len() as u64, "the statistics end too early");
    let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(short)?;
    header(database_id, shard).check(head, path)?;
    let sizes = bytes.get(HEADER_BYTES..HEAD_BYTES).ok_or_else(short)?;
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let body = &bytes[HEAD_BYTES..];
    if number(&sizes[..4]) as usize != body.len() {
        return Err(Error::corrupt(path, 64, "the length of the statistics is wrong"));
    }
    if number(&sizes[4..]) != crc32c::crc32c(body) {
        return Err(Error::corrupt(path, 72, "the statistics do not match their checksum"));
    }
    let malformed = || Error::corrupt(path, 72, "the statistics are malformed");
    let (counts, rows) = body.split_at_checked(8).ok_or_else(malformed)?;
    let (width, count) = (number(&counts[..4]) as usize, number(&counts[4..]) as usize);
    let row_bytes = width.checked_mul(8).and_then(|bytes| bytes.checked_add(16));
    let row_bytes = row_bytes.ok_or_else(malformed)?;
    if row_bytes.checked_mul(count) != Some(rows.len()) {
        return Err(malformed());
    }
    let mut counters = Counters::new();
    for row in rows.chunks_exact(row_bytes) {
        let (id, numbers) = row.split_at(16);
        // A newer version may count more, an older one less.
        let mut values = [0; COUNTERS];
        for (value, bytes) in values.iter_mut().zip(numbers.chunks_exact(8)) {
            *value = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
        counters.insert(CollectionId(id.try_into().expect("sixteen bytes")), values);
    }
    Ok(counters)
}

impl Shard {
    /// Reads what was counted before; nothing is there at the first open.
    pub fn load_statistics(&self) -> Result<()> {
        let path = path(&self.env.dir, self.number);
        if let Some(bytes) = self.read_file(&path)? {
            let counters = decode(&bytes, self.env.database_id, self.number, &path)?;
            *self.counted.lock() = counters;
        }
        Ok(())
    }

    /// Forgets what was counted before, for a repair.
    pub fn remove_statistics(&self) -> Result<()> {
        let path = path(&self.env.dir, self.number);
        match self.env.host.vfs.unlink(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::storage("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the counters down, if anything was counted since the last time.
    pub(super) fn store_statistics(&self) -> Result<()> {
        let state = self.snapshot();
        let counted =
            state.collections.iter().map(|(id, view)| (*id, view.core.operations.to_array()));
        let counters: Counters = counted.filter(|(_, row)| row.iter().any(|n| *n > 0)).collect();
        let mut last = self.counted.lock();
        if *last != counters {
            let bytes = encode(&counters, self.env.database_id, self.number);
            replace_file(&*self.env.host.vfs, &path(&self.env.dir, self.number), &bytes)?;
            *last = counters;
        }
        Ok(())
    }
}
