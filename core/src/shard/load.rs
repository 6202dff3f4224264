//! Bringing a collection up from disk, and putting its tables away at close. The restart point says
//! where its ledger durably ends; the manifest says which tables there are and up to which sequence
//! number they reach. What lies between is rebuilt from the ledger's leaves.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::{Descriptor, IndexDescriptor, Status};
use crate::disk::{Access, DirEntry};
use crate::error::{Code, Error, Result};
use crate::ledger::{Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::shard::index::{Index, enter_recovered};
use crate::shard::pending;
use crate::table::{Manifest, MemTable, TableFiles, TableSet};

impl Shard {
    /// Cuts the ledger at its durable end (extends the view beyond it when read-only), opens the
    /// tables and rebuilds the memtables.
    pub(super) fn load(&self, core: &Core, descriptor: &Descriptor) -> Result<()> {
        let repairs = self.env.repair.as_ref().is_some_and(|scope| scope.covers(descriptor));
        if repairs && core.ledger.position().end_seq > 0 {
            self.rebuild(core, descriptor)?;
        }
        // The manifest first: beside a writer, what it covers is in the ledger that is read after it.
        let manifest = Manifest::load(&self.env.pool, &core.dir, core.id.0)?.unwrap_or_default();
        let entries = match self.env.read_only {
            true => self.extend(core).map(|()| Vec::new())?,
            false => self.cut(core)?,
        };
        let manifest = self.without_dropped(core, descriptor, manifest)?;
        if descriptor.status == Status::Purged {
            self.remove_orphans(core, &manifest, &entries)?;
            core.table_work.lock().manifest = manifest;
            return Ok(());
        }
        check_watermark(core, &manifest)?;
        self.load_indexes(core, descriptor, &manifest)?;
        let memtable = Arc::new(MemTable::new());
        let counted = self.rebuild_memtables(core, &memtable, manifest.watermark_seq)?;
        if counted > 0 {
            let of_indexes = core.indexes.load().iter().map(|index| index.memtable_bytes()).sum();
            self.count_memtable(core, u64::saturating_add(memtable.bytes(), of_indexes));
            let now_us = self.env.host.clock.monotonic_us();
            core.memtable_since_us.store(now_us.max(1), Ordering::Relaxed);
        }
        self.remove_orphans(core, &manifest, &entries)?;
        let tables = TableSet::open(&core.files, &self.env.cache, &manifest.tables)?;
        core.tables.store(Arc::new(tables.with_memtable(memtable)));
        core.table_work.lock().manifest = manifest;
        self.compactions.lock().insert(core.id);
        Ok(())
    }

    /// The manifest without indexes that are not kept up any more: a crash came between the act and
    /// its tidying.
    fn without_dropped(
        &self,
        core: &Core,
        descriptor: &Descriptor,
        mut manifest: Manifest,
    ) -> Result<Manifest> {
        let before = manifest.indexes.len();
        // One the descriptor does not know yet is newer than it: the log brings its act again.
        manifest.indexes.retain(|tables| {
            tables.id > descriptor.next_index_id
                || descriptor.indexes.iter().any(|index| index.id == tables.id && index.is_live())
        });
        if manifest.indexes.len() < before && !self.env.read_only {
            self.store_manifest(core, &manifest)?;
        }
        Ok(manifest)
    }

    fn load_indexes(
        &self,
        core: &Core,
        descriptor: &Descriptor,
        manifest: &Manifest,
    ) -> Result<()> {
        let mut indexes = Vec::new();
        for wanted in descriptor.indexes.iter().filter(|index| index.is_live()) {
            let index = Index::new(&self.env, core, wanted)?;
            let stored = manifest.index(wanted.id);
            let tables = TableSet::open(&index.files, &self.env.cache, &stored.tables)?;
            index.tables.store(Arc::new(tables.with_memtable(Arc::new(MemTable::new()))));
            index.built_seq.store(stored.built_seq, Ordering::Release);
            indexes.push(Arc::new(index));
        }
        core.indexes.store(Arc::new(indexes));
        Ok(())
    }

    /// An index that an act creates. While the log is read again, the manifest may know its tables
    /// already, and records that are indexed as they are applied may be in the ledger, so that
    /// applying passes over them: they are found there.
    pub(super) fn bring_up_index(
        &self,
        core: &Core,
        wanted: &IndexDescriptor,
    ) -> Result<Arc<Index>> {
        let index = Index::new(&self.env, core, wanted)?;
        if !self.recovering.load(Ordering::Acquire) {
            return Ok(Arc::new(index));
        }
        let (stored, watermark_seq) = {
            let work = core.table_work.lock();
            (work.manifest.index(wanted.id), work.manifest.watermark_seq)
        };
        let index = Arc::new(index);
        let memtable = Arc::new(MemTable::new());
        // Flushes put nothing into tables of an index that the manifest does not speak of.
        let from_seq = match stored.tables.is_empty() {
            true => wanted.since_seq,
            false => wanted.since_seq.max(watermark_seq),
        };
        let into = [(index.clone(), memtable.clone(), from_seq)];
        let put = |leaf: &StoredLeaf| match (leaf.kind, &leaf.slot) {
            (LeafKind::Record, Slot::Live { body, .. }) => enter_recovered(&into, leaf.seq, body),
            _ => Ok(()),
        };
        let read = core.ledger.iter(from_seq, true).try_for_each(|leaf| put(&leaf?));
        index.damaged.store(is_damaged(read)?, Ordering::Release);
        for part in core.pending.from(from_seq) {
            for leaf in pending::stored(&part).filter(|leaf| leaf.seq >= from_seq) {
                put(&leaf)?;
            }
        }
        let tables = TableSet::open(&index.files, &self.env.cache, &stored.tables)?;
        index.tables.store(Arc::new(tables.with_memtable(memtable)));
        index.built_seq.store(stored.built_seq, Ordering::Release);
        Ok(index)
    }

    /// Fills the memtables with what the ledger holds from `watermark_seq` on; returns how many
    /// records that were. Where bodies cannot be read any more, only keys are entered.
    fn rebuild_memtables(
        &self,
        core: &Core,
        memtable: &MemTable,
        watermark_seq: u64,
    ) -> Result<u64> {
        let indexes: Vec<(Arc<Index>, Arc<MemTable>, u64)> = core
            .indexes
            .load()
            .iter()
            .map(|index| (index.clone(), index.front(), index.since_seq))
            .collect();
        let (mut counted, next_seq) = (0, Cell::new(watermark_seq));
        let mut enter = |leaf: &StoredLeaf, indexes: &[_]| {
            next_seq.set(leaf.seq + 1);
            if let (LeafKind::Record, Some(key)) = (leaf.kind, &leaf.key) {
                memtable.insert(key, leaf.revision.unwrap_or(1), leaf.seq);
                counted += 1;
            }
            match (leaf.kind, &leaf.slot) {
                (LeafKind::Record, Slot::Live { body, .. }) => {
                    enter_recovered(indexes, leaf.seq, body)
                }
                _ => Ok(()),
            }
        };
        let mut leaves = core.ledger.iter(watermark_seq, !indexes.is_empty());
        if is_damaged(leaves.try_for_each(|leaf| enter(&leaf?, &indexes)))? {
            indexes.iter().for_each(|(index, ..)| index.damaged.store(true, Ordering::Release));
            let mut leaves = core.ledger.iter(next_seq.get(), false);
            leaves.try_for_each(|leaf| enter(&leaf?, &[]))?;
        }
        Ok(counted)
    }

    /// Cuts the ledger at its durable end; returns what lies in the collection's folder.
    fn cut(&self, core: &Core) -> Result<Vec<DirEntry>> {
        let entries = match self.env.host.vfs.list(&core.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return match core.ledger.position().end_seq {
                    0 => Ok(Vec::new()),
                    _ => Err(Error::corrupt(&core.dir, 0, "the collection's folder is missing")),
                };
            }
            Err(error) => return Err(Error::storage("list", &core.dir, error)),
        };
        core.folder_made.store(true, Ordering::Relaxed);
        core.ledger.cut_listed(&entries)?;
        Ok(entries)
    }

    /// Read-only: takes in blocks beyond the restart point, which a running writer has appended.
    fn extend(&self, core: &Core) -> Result<()> {
        if self.beside_writer.load(Ordering::Relaxed) {
            core.ledger.extend_from_disk()?;
            let position = core.ledger.position();
            let mut progress = core.progress.lock();
            progress.next_seq = position.end_seq;
            progress.unsealed_first = position.end_seq;
            progress.keys = position.keys;
            progress.records = position.records;
            progress.body_bytes = position.body_bytes;
        }
        Ok(())
    }

    /// Removes table files that no manifest names: a crash came between writing and naming them.
    /// `entries` are those of the folder, or none when read-only.
    fn remove_orphans(&self, core: &Core, manifest: &Manifest, entries: &[DirEntry]) -> Result<()> {
        let live = manifest.tables.iter().map(|meta| meta.number).collect();
        core.files.remove_unlisted(&live, entries)?;
        match entries.iter().any(|entry| entry.is_dir && entry.name == "indexes") {
            true => self.remove_index_orphans(core, manifest),
            false => Ok(()),
        }
    }

    /// Removes index files that no manifest names, of indexes there are and of such as are gone.
    fn remove_index_orphans(&self, core: &Core, manifest: &Manifest) -> Result<()> {
        let dir = core.dir.join("indexes");
        let listed = self.env.host.vfs.list(&dir);
        let entries = listed.map_err(|error| Error::storage("list", &dir, error))?;
        core.index_folder_made.store(true, Ordering::Relaxed);
        let tables = manifest.indexes.iter().flat_map(|index| &index.tables);
        let live: BTreeSet<u32> = tables.map(|meta| meta.number).collect();
        let mut unlisted = entries.iter().map(|entry| dir.join(&entry.name)).peekable();
        if unlisted.peek().is_some() {
            // The manifest that does not list them may be a rename that is not durable yet.
            let synced = self.env.host.vfs.sync_dir(&core.dir);
            synced.map_err(|error| Error::storage("sync folder", &core.dir, error))?;
        }
        for path in unlisted {
            if TableFiles::index_number(&path).is_none_or(|number| live.contains(&number)) {
                continue;
            }
            self.env.pool.forget(&path);
            let removed = self.env.host.vfs.unlink(&path);
            removed.map_err(|error| Error::storage("remove", &path, error))?;
        }
        Ok(())
    }

    /// Flushes memtables that would take long to rebuild; the rest is left to the next open.
    pub fn flush_at_close(&self) -> Result<()> {
        let state = self.snapshot();
        for (id, view) in &state.collections {
            let entries =
                view.core.tables.load().memtables().first().map_or(0, |table| table.len());
            if entries >= self.env.tuning.close_flush_entries_min {
                self.rotate(*id)?;
            }
        }
        while self.flush_one()? {}
        Ok(())
    }

    /// Reads a whole small file; `None` if it does not exist.
    pub fn read_file(&self, path: &std::path::Path) -> Result<Option<Vec<u8>>> {
        let file = match self.env.host.vfs.open(path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::storage("open", path, error)),
        };
        let read = || {
            let mut bytes = vec![0; file.size()? as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        read().map(Some).map_err(|error| Error::storage("read", path, error))
    }

    /// A collection that must exist, by id.
    pub fn core(&self, id: crate::collection::CollectionId) -> Result<Arc<Core>> {
        let state = self.snapshot();
        let view = state.collections.get(&id);
        view.map(|view| view.core.clone())
            .ok_or_else(|| Error::new(Code::CollectionNotFound, format!("no collection {id}")))
    }

    /// A collection that the restart point names and no descriptor does.
    pub(crate) fn unclaimed(&self) -> Option<crate::collection::CollectionId> {
        self.recovered.lock().keys().next().copied()
    }
}

/// A manifest cannot cover more than the ledger has.
fn check_watermark(core: &Core, manifest: &Manifest) -> Result<()> {
    let end_seq = core.ledger.position().end_seq;
    let built_seq = manifest.indexes.iter().map(|index| index.built_seq).max().unwrap_or(0);
    let covered_seq = manifest.watermark_seq.max(built_seq);
    match covered_seq > end_seq {
        false => Ok(()),
        true => {
            let path = core.dir.join("MANIFEST");
            let detail =
                format!("the manifest covers leaf {covered_seq}, the ledger ends at {end_seq}");
            Err(Error::corrupt(&path, 0, detail))
        }
    }
}

/// Whether bodies could not be read: that is no reason not to open, since it hides no key.
fn is_damaged(read: Result<()>) -> Result<bool> {
    match read {
        Ok(()) => Ok(false),
        Err(error) if error.code() == Code::Corrupt => Ok(true),
        Err(error) => Err(error),
    }
}
