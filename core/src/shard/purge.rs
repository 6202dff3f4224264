//! Purging a dropped collection: bodies and tables go, leaves and tiles stay, so every proof still
//! verifies and nobody can read the records. The system record says so before a byte is touched;
//! a crash in between is finished by the next open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::collection::{CollectionId, Descriptor, Status};
use crate::error::Result;
use crate::ledger::Slot;
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::table::{Manifest, MemTable, TableSet};

/// How long a dropped collection's bodies are kept.
pub const RETENTION: Duration = Duration::from_secs(16 * 24 * 3600);
/// How often dropped collections are looked at, while there are any.
const LOOK_US: u64 = 3_600_000_000;
/// When to look again if an administrative act was under way.
const LOOK_AGAIN_US: u64 = 1_000_000;

impl Shard {
    /// Purges what is due, once an hour at most; returns when to look again, monotonic microseconds,
    /// if anything waits for it.
    pub fn purge_due(&self) -> Result<Option<u64>> {
        let now_us = self.env.host.clock.monotonic_us();
        let next_us = self.next_purge_us.load(Ordering::Acquire);
        if now_us < next_us {
            return Ok(self.waits_for_purge().then_some(next_us));
        }
        // Whoever holds this may be waiting for the very thread that asks: a later look will do.
        let Some(admin) = self.admin.try_lock() else { return Ok(Some(now_us + LOOK_AGAIN_US)) };
        self.next_purge_us.store(now_us + LOOK_US, Ordering::Release);
        self.purge_older(RETENTION, &admin)?;
        Ok(self.waits_for_purge().then_some(now_us + LOOK_US))
    }

    fn waits_for_purge(&self) -> bool {
        self.dropped_count.load(Ordering::Acquire) > 0
    }

    /// Purges dropped collections whose retention is over; returns how many.
    pub fn purge_expired(&self, retention: Duration) -> Result<usize> {
        if !self.waits_for_purge() {
            return Ok(0);
        }
        self.purge_older(retention, &self.admin.lock())
    }

    fn purge_older(&self, retention: Duration, _admin: &MutexGuard<'_, ()>) -> Result<usize> {
        let now_us = self.env.host.clock.wall_us();
        let mut count = 0;
        for (id, view) in &self.snapshot().collections {
            let Some(tombstone) = &view.descriptor.tombstone else { continue };
            let due_us = tombstone.dropped_us.saturating_add(retention.as_micros() as i64);
            if view.descriptor.status == Status::Dropped && due_us <= now_us {
                let mut descriptor = Descriptor::clone(&view.descriptor);
                descriptor.status = Status::Purged;
                self.record_act(&descriptor, None)?;
                self.purge(*id)?;
                count += 1;
            }
        }
        Ok(count)
    }

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
        // A flush or compaction under way sees this when it has the lock, and keeps nothing.
        core.purged.store(true, Ordering::Release);
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
        let waiting: u64 =
            units.iter().map(|unit| unit.counted_bytes.swap(0, Ordering::Relaxed)).sum();
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
