//! Bringing a collection up from disk, and putting its tables away at close. The restart point says
//! where its ledger durably ends; the manifest says which tables there are and up to which sequence
//! number they reach. What lies between is rebuilt from the ledger's leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::Status;
use crate::disk::Access;
use crate::error::{Code, Error, Result};
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::table::{Manifest, MemTable, TableSet};

impl Shard {
    /// Cuts the ledger at its durable end (extends the view beyond it when read-only), opens the
    /// tables and rebuilds the memtable.
    pub(super) fn load(&self, core: &Core, status: Status) -> Result<()> {
        match self.env.read_only {
            true => self.extend(core)?,
            false => self.cut(core)?,
        }
        let manifest = Manifest::load(&self.env.pool, &core.dir, core.id.0)?.unwrap_or_default();
        if status == Status::Purged {
            if !self.env.read_only {
                self.remove_orphans(core, &manifest)?;
            }
            core.table_work.lock().manifest = manifest;
            return Ok(());
        }
        let end_seq = core.ledger.position().end_seq;
        if manifest.watermark_seq > end_seq {
            let path = core.dir.join("MANIFEST");
            let detail = format!(
                "the manifest covers leaf {}, the ledger ends at {end_seq}",
                manifest.watermark_seq
            );
            return Err(Error::corrupt(&path, 0, detail));
        }
        let memtable = MemTable::new();
        let mut counted = 0;
        for leaf in core.ledger.iter(manifest.watermark_seq, false) {
            let leaf = leaf?;
            if let (LeafKind::Record, Some(key)) = (leaf.kind, &leaf.key) {
                memtable.insert(key, leaf.revision.unwrap_or(1), leaf.seq);
                counted += 1;
            }
        }
        if counted > 0 {
            self.count_memtable(core, memtable.bytes());
            let now_us = self.env.host.clock.monotonic_us();
            core.memtable_since_us.store(now_us.max(1), Ordering::Relaxed);
        }
        if !self.env.read_only {
            self.remove_orphans(core, &manifest)?;
        }
        let tables = TableSet::open(&core.files, &self.env.cache, &manifest.tables)?;
        core.tables.store(Arc::new(tables.with_memtable(Arc::new(memtable))));
        core.table_work.lock().manifest = manifest;
        self.compactions.lock().insert(core.id);
        Ok(())
    }

    fn cut(&self, core: &Core) -> Result<()> {
        match self.env.host.vfs.list(&core.dir) {
            Ok(_) => core.folder_made.store(true, Ordering::Relaxed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return match core.ledger.position().end_seq {
                    0 => Ok(()),
                    _ => Err(Error::corrupt(&core.dir, 0, "the collection's folder is missing")),
                };
            }
            Err(error) => return Err(Error::storage("list", &core.dir, error)),
        }
        core.ledger.cut().map(drop)
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
    fn remove_orphans(&self, core: &Core, manifest: &Manifest) -> Result<()> {
        if !core.folder_made.load(Ordering::Relaxed) {
            return Ok(());
        }
        let live = manifest.tables.iter().map(|meta| meta.number).collect();
        core.files.remove_unlisted(&live).map(drop)
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
