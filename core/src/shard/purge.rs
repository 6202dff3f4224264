//! Purging a dropped collection: bodies and tables go, leaves and tiles stay, so every proof still
//! verifies and nobody can read the records. The system record says so before a byte is touched;
//! a crash in between is finished by the next open.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::{CollectionId, Status};
use crate::error::Result;
use crate::ledger::Slot;
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::table::{Manifest, MemTable, TableSet};

impl Shard {
    /// Removes bodies, tables and memtables of a collection whose descriptor says `purged`.
    pub fn purge(&self, id: CollectionId) -> Result<()> {
        let core = self.core(id)?;
        self.make_restart_point()?;
        let mut restart = self.sealer.lock();
        core.ledger.purge_bodies()?;
        let mut next = restart.clone();
        next.collections.insert(id, core.ledger.position());
        next.store(&*self.env.host.vfs, &self.env.dir, self.env.database_id, self.number)?;
        *restart = next;
        drop(restart);

        let mut work = core.table_work.lock();
        let manifest = Manifest {
            watermark_seq: core.ledger.position().end_seq,
            next_number: work.manifest.next_number,
            ..Manifest::default()
        };
        manifest.store(&self.env.host.vfs, &core.dir, id.0)?;
        work.manifest = manifest;
        let mut old = vec![core.tables.load_full()];
        old.extend(core.indexes.load().iter().map(|index| index.tables.load_full()));
        core.indexes.store(Arc::default());
        let empty = || Ok(TableSet::default().with_memtable(Arc::new(MemTable::new())));
        core.replace_tables(&core.tables, |_| empty())?;
        let units = std::mem::take(&mut core.flushing.lock().units);
        old.iter().flat_map(|set| set.tables()).for_each(|table| table.mark_obsolete());
        let waiting: u64 = units.iter().map(|unit| unit.counted_bytes).sum();
        let counted = core.memtable_counted.swap(0, Ordering::Relaxed);
        self.env.memtable_bytes.fetch_sub(waiting + counted, Ordering::Relaxed);
        core.memtable_since_us.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether nothing is left to purge: every record's body is erased, and no table is live.
    fn is_purged(&self, core: &Core) -> Result<bool> {
        let manifest = Manifest::load(&self.env.pool, &core.dir, core.id.0)?;
        if manifest.is_none_or(|manifest| manifest.all_tables().next().is_some()) {
            return Ok(false);
        }
        // Segments are purged in order, so the last record tells.
        let end_seq = core.ledger.position().end_seq;
        let last = (0..end_seq).rev().find_map(|seq| match core.ledger.read(seq) {
            Ok(Some(leaf)) if leaf.kind == LeafKind::BlockHeader => None,
            other => Some(other),
        });
        Ok(last.transpose()?.flatten().is_none_or(|leaf| matches!(leaf.slot, Slot::Erased(_))))
    }

    /// Finishes purges that a crash interrupted.
    pub fn finish_purges(&self) -> Result<()> {
        let state = self.snapshot();
        for (id, view) in &state.collections {
            if view.descriptor.status == Status::Purged && !self.is_purged(&view.core)? {
                self.purge(*id)?;
            }
        }
        Ok(())
    }
}
