//! Making anew what is derived from a ledger: tables, indexes and tiles. A repair is an opening that
//! believes none of them. The ledger itself is read and never written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::collection::{Descriptor, IndexState, Status};
use crate::error::{Error, Result};
use crate::ledger::Slot;
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::shard::index::{Index, enter_recovered};
use crate::table::manifest::MANIFEST_NAME;
use crate::table::{self, Manifest, MemTable, TableFiles, TableMeta, TableOptions};

/// Memory of the memtables that are filled between two writings: this share of all for memtables.
const CHUNK_SHARE: u64 = 2;

/// Which collections an opening repairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairScope {
    /// All of them.
    All,
    /// The live one of this name.
    Named(String),
}

impl RepairScope {
    /// Whether the collection of `descriptor` is to be repaired.
    pub fn covers(&self, descriptor: &Descriptor) -> bool {
        match self {
            RepairScope::All => true,
            RepairScope::Named(name) => {
                descriptor.name == *name && descriptor.status == Status::Live
            }
        }
    }
}

/// What was made anew of one collection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RepairedCollection {
    /// Its name.
    pub name: String,
    /// Records read.
    pub records: u64,
    /// Indexes made anew.
    pub indexes: u64,
}

/// Memtables that are being filled, and the tables written so far.
struct Chunks<'a> {
    shard: &'a Shard,
    options: TableOptions,
    files: Arc<TableFiles>,
    /// The collection's own: from key to sequence number.
    primary: Arc<MemTable>,
    /// The indexes with the memtables they fill, and where each begins.
    indexes: Vec<(Arc<Index>, Arc<MemTable>, u64)>,
    /// The tables of the collection, then those of each index.
    written: Vec<Vec<TableMeta>>,
    next_number: u32,
}

impl Chunks<'_> {
    fn bytes(&self) -> u64 {
        let of_indexes = self.indexes.iter().map(|(_, memtable, _)| memtable.bytes());
        self.primary.bytes() + of_indexes.sum::<u64>()
    }

    fn write_out(&mut self) -> Result<()> {
        let next_number = &mut self.next_number;
        let primary = std::iter::once((&self.files, &mut self.primary));
        let of_indexes = self.indexes.iter_mut();
        let of_indexes = of_indexes.map(|(index, memtable, _)| (&index.files, memtable));
        for ((files, memtable), written) in primary.chain(of_indexes).zip(&mut self.written) {
            if memtable.is_empty() {
                continue;
            }
            let full = std::mem::take(memtable);
            let mut take_number = || {
                *next_number += 1;
                *next_number - 1
            };
            let cancel = AtomicBool::new(false);
            let metas = table::write_tables(
                files,
                &mut take_number,
                0,
                full.entries(),
                &self.options,
                &cancel,
            )?;
            written.extend(metas);
        }
        self.shard.env.progress.notify();
        Ok(())
    }
}

impl Shard {
    /// Makes tiles, tables and indexes of a collection anew. Called while it is brought up, before
    /// its ledger is cut.
    pub(super) fn rebuild(&self, core: &Core, descriptor: &Descriptor) -> Result<()> {
        core.ledger.rebuild_tiles()?;
        self.remove_tables(core)?;
        if descriptor.status == Status::Purged {
            let watermark_seq = core.ledger.position().end_seq;
            return self.store_manifest(core, &Manifest { watermark_seq, ..Manifest::default() });
        }
        let live = descriptor.indexes.iter().filter(|index| index.is_live());
        let indexes = live
            .map(|wanted| Index::new(&self.env, core, wanted).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        if let Some(index) = indexes.first() {
            self.make_index_folder(core, index)?;
        }
        let building = |index: &Index| {
            let found = descriptor.indexes.iter().find(|wanted| wanted.id == index.id);
            found.is_some_and(|wanted| wanted.state == IndexState::Building)
        };
        let first_seqs: Vec<u64> =
            indexes.iter().map(|index| if building(index) { index.since_seq } else { 0 }).collect();
        let (mut chunks, records) = self.read_all(core, descriptor, &indexes, &first_seqs)?;
        chunks.write_out()?;
        let mut written = chunks.written.into_iter();
        let mut manifest = Manifest {
            watermark_seq: core.ledger.position().end_seq,
            next_number: chunks.next_number,
            tables: written.next().unwrap_or_default(),
            indexes: Vec::new(),
        };
        for ((index, first_seq), tables) in indexes.iter().zip(first_seqs).zip(written) {
            let entry = manifest.index_entry(index.id);
            entry.built_seq = if first_seq == 0 { index.since_seq } else { 0 };
            entry.tables = tables;
        }
        self.store_manifest(core, &manifest)?;
        self.repaired.lock().push(RepairedCollection {
            name: descriptor.name.clone(),
            records,
            indexes: indexes.len() as u64,
        });
        Ok(())
    }

    /// Reads the whole ledger into memtables, and those into tables whenever they are full.
    fn read_all<'a>(
        &'a self,
        core: &Core,
        descriptor: &Descriptor,
        indexes: &[Arc<Index>],
        first_seqs: &[u64],
    ) -> Result<(Chunks<'a>, u64)> {
        let filled = indexes.iter().zip(first_seqs);
        let mut chunks = Chunks {
            shard: self,
            options: TableOptions {
                compression: descriptor.settings.compression,
                table_bytes_max: self.env.tuning.table_bytes_max,
                ..TableOptions::default()
            },
            files: core.files.clone(),
            primary: Arc::default(),
            indexes: filled.map(|(index, first)| (index.clone(), Arc::default(), *first)).collect(),
            written: vec![Vec::new(); 1 + indexes.len()],
            next_number: 1,
        };
        let bytes_max = self.env.tuning.memtable_bytes_max() / CHUNK_SHARE;
        let mut records = 0;
        for leaf in core.ledger.iter(0, !indexes.is_empty()) {
            let leaf = leaf?;
            if leaf.kind == LeafKind::BlockHeader && chunks.bytes() >= bytes_max {
                chunks.write_out()?;
            }
            let (LeafKind::Record, Some(key)) = (leaf.kind, &leaf.key) else { continue };
            records += 1;
            chunks.primary.insert(key, leaf.revision.unwrap_or(1), leaf.seq);
            if let Slot::Live { body, .. } = &leaf.slot {
                enter_recovered(&chunks.indexes, leaf.seq, body)?;
            }
        }
        Ok((chunks, records))
    }

    /// Removes the manifest, then every table file it could name.
    fn remove_tables(&self, core: &Core) -> Result<()> {
        let vfs = &self.env.host.vfs;
        let remove = |path: &Path| match vfs.unlink(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::storage("remove", path, error))
            }
            _ => Ok(()),
        };
        remove(&core.dir.join(MANIFEST_NAME))?;
        if let Ok(entries) = vfs.list(&core.dir) {
            let synced = vfs.sync_dir(&core.dir);
            synced.map_err(|error| Error::storage("sync folder", &core.dir, error))?;
            for entry in entries.iter().filter(|entry| core.files.number(&entry.name).is_some()) {
                remove(&core.dir.join(&entry.name))?;
            }
        }
        let dir = core.dir.join("indexes");
        for entry in vfs.list(&dir).unwrap_or_default() {
            let path = dir.join(&entry.name);
            if TableFiles::index_number(&path).is_some() {
                remove(&path)?;
            }
        }
        Ok(())
    }
}
