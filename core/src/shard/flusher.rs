//! Memtables to tables, and tables to fewer tables. A flush writes and syncs its files, makes sure
//! that a restart point covers what they refer to, and only then names them in the manifest. What
//! to compact is a pure choice of the table room; here it is carried out. The memtables of a
//! collection and of its indexes turn together and are named by one manifest, so one watermark tells
//! what is in tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::collection::CollectionId;
use crate::error::{Code, Result};
use crate::shard::Shard;
use crate::shard::committer::Work;
use crate::shard::core::{Core, FlushUnit, TableWork};
use crate::shard::index::Index;
use crate::shard::state::View;
use crate::table::{
    self, Job, Manifest, MemTable, Table, TableFiles, TableMeta, TableOptions, TableSet,
};

impl TableWork {
    /// The next free table number. A number that a crash or failure leaves unused is not missed.
    fn take_number(&mut self) -> u32 {
        let number = self.manifest.next_number.max(1);
        self.manifest.next_number = number + 1;
        number
    }
}

impl Shard {
    fn table_options(&self, view: &View) -> TableOptions {
        TableOptions {
            compression: view.descriptor.settings.compression,
            table_bytes_max: self.env.tuning.table_bytes_max,
            ..TableOptions::default()
        }
    }

    /// Flushes one memtable, if one waits; returns whether it did.
    pub fn flush_one(&self) -> Result<bool> {
        let Some(id) = self.flushes.lock().pop_front() else { return Ok(false) };
        let state = self.snapshot();
        let Some(view) = state.collections.get(&id) else { return Ok(true) };
        let unit = {
            let mut flushing = view.core.flushing.lock();
            if flushing.running {
                // Whoever flushes this collection now looks for more when it is done.
                return Ok(true);
            }
            let Some(front) = flushing.units.front().cloned() else { return Ok(true) };
            flushing.running = true;
            front
        };
        let result = self.flush(view, &unit);
        let more = {
            let mut flushing = view.core.flushing.lock();
            flushing.running = false;
            if result.is_ok() {
                flushing.units.pop_front();
            }
            !flushing.units.is_empty()
        };
        if more {
            self.flushes.lock().push_back(id);
        }
        result?;
        self.compactions.lock().insert(id);
        self.env.work.notify();
        self.env.progress.notify();
        Ok(true)
    }

    fn flush(&self, view: &View, unit: &FlushUnit) -> Result<()> {
        let core = &view.core;
        self.fail_damaged(core)?;
        self.cover(core.id, unit.end_seq)?;
        let primary = self.write_memtable(view, &core.files, &unit.primary)?;
        let mut indexes = Vec::with_capacity(unit.indexes.len());
        for (index, memtable) in &unit.indexes {
            let metas = self.write_index_memtable(view, index, memtable)?;
            indexes.push((index, memtable, metas));
        }
        let tables = self.open_tables(&core.files, &primary);
        let mut work = core.table_work.lock();
        if core.purged.load(Ordering::Acquire) {
            tables.iter().for_each(|table| table.mark_obsolete());
            for (index, _, metas) in &indexes {
                metas.iter().for_each(|meta| index.files.remove(meta.number));
            }
            return Ok(());
        }
        let mut manifest = work.manifest.clone();
        manifest.watermark_seq = unit.end_seq;
        manifest.tables.extend(primary);
        // An index that was dropped meanwhile leaves the files it no longer needs.
        indexes.retain(|(index, _, metas)| {
            let live = core.index(index.id).is_some();
            metas.iter().filter(|_| !live).for_each(|meta| index.files.remove(meta.number));
            live
        });
        for (index, _, metas) in &indexes {
            manifest.index_entry(index.id).tables.extend(metas.iter().cloned());
        }
        self.store_manifest(core, &manifest).inspect_err(|_| {
            // Tried again they get other numbers, and a full disk must not fill with these.
            if !self.may_be_named(core, &manifest) {
                tables.iter().for_each(|table| table.mark_obsolete());
                for (index, _, metas) in &indexes {
                    metas.iter().for_each(|meta| index.files.remove(meta.number));
                }
            }
        })?;
        work.manifest = manifest;
        core.replace_tables(&core.tables, |set| Ok(set.with_flushed(&unit.primary, tables, 0)))?;
        for (index, memtable, metas) in &indexes {
            let tables = self.open_tables(&index.files, metas);
            core.replace_tables(&index.tables, |set| Ok(set.with_flushed(memtable, tables, 0)))?;
        }
        drop(work);
        self.env
            .memtable_bytes
            .fetch_sub(unit.counted_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }

    fn write_memtable(
        &self,
        view: &View,
        files: &TableFiles,
        memtable: &Arc<MemTable>,
    ) -> Result<Vec<TableMeta>> {
        table::write_tables(
            files,
            &mut || view.core.table_work.lock().take_number(),
            0,
            memtable.entries(),
            &self.table_options(view),
            &AtomicBool::new(false),
        )
    }

    /// Writes entries of an index as tables of its level 0; no manifest names them yet.
    pub(super) fn write_index_memtable(
        &self,
        view: &View,
        index: &Index,
        memtable: &Arc<MemTable>,
    ) -> Result<Vec<TableMeta>> {
        self.make_index_folder(&view.core, index)?;
        self.write_memtable(view, &index.files, memtable)
    }

    pub(super) fn make_index_folder(&self, core: &Core, index: &Index) -> Result<()> {
        if !core.index_folder_made.load(Ordering::Relaxed) {
            self.make_folder(core)?;
            self.env.make_dir(index.files.dir())?;
            core.index_folder_made.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn open_tables(
        &self,
        files: &Arc<TableFiles>,
        metas: &[TableMeta],
    ) -> Vec<Arc<Table>> {
        metas.iter().map(|meta| Table::new(files, &self.env.cache, meta.clone())).collect()
    }

    pub(super) fn store_manifest(&self, core: &Core, manifest: &Manifest) -> Result<()> {
        manifest.store(&self.env.host.vfs, &core.dir, core.id.0)
    }

    /// Whether `manifest`, whose storing failed, is in its place nevertheless: it is renamed before
    /// its folder is synced. Tables that it names must stay.
    pub(super) fn may_be_named(&self, core: &Core, manifest: &Manifest) -> bool {
        match Manifest::load(&self.env.pool, &core.dir, core.id.0) {
            Ok(found) => found.as_ref() == Some(manifest),
            Err(_) => true,
        }
    }

    /// Runs one compaction, if one is worth it; returns whether it did.
    pub fn compact_one(&self, cancel: &AtomicBool) -> Result<bool> {
        let candidates = self.compactions.lock().clone();
        for id in candidates {
            let state = self.snapshot();
            let Some(view) = state.collections.get(&id) else { continue };
            let Some((index, job)) = self.pick_compaction(&view.core) else {
                self.compactions.lock().remove(&id);
                continue;
            };
            let result = self.compact(view, index.as_deref(), &job, cancel);
            let mut work = view.core.table_work.lock();
            for number in &job.inputs {
                work.busy.remove(number);
            }
            drop(work);
            self.compactions.lock().insert(id);
            self.env.progress.notify();
            return match result {
                Err(error) if error.code() == Code::Unavailable => Ok(false),
                result => result.map(|()| true),
            };
        }
        Ok(false)
    }

    /// The next compaction of a collection: of its own tables (no index) or of an index's.
    fn pick_compaction(&self, core: &Core) -> Option<(Option<Arc<Index>>, Job)> {
        let mut work = core.table_work.lock();
        let options = &self.env.tuning.compaction;
        let pick = |set: &TableSet| table::pick(&set.metas(), &work.busy, options);
        let own = pick(&core.tables.load()).map(|job| (None, job));
        let found = own.or_else(|| {
            core.indexes
                .load()
                .iter()
                .find_map(|index| pick(&index.tables.load()).map(|job| (Some(index.clone()), job)))
        });
        if let Some((_, job)) = &found {
            work.busy.extend(job.inputs.iter().copied());
        }
        found
    }

    fn compact(
        &self,
        view: &View,
        index: Option<&Index>,
        job: &Job,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let core = &view.core;
        let (files, tables) = match index {
            None => (&core.files, &core.tables),
            Some(index) => (&index.files, &index.tables),
        };
        let set = tables.load_full();
        let inputs: Vec<Arc<Table>> = set
            .tables()
            .filter(|table| job.inputs.contains(&table.meta().number))
            .cloned()
            .collect();
        let added = match job.trivial_move {
            true => Vec::new(),
            false => {
                let options = self.table_options(view);
                let mut take_number = || core.table_work.lock().take_number();
                table::compaction::run(job, &inputs, files, &mut take_number, &options, cancel)?
            }
        };
        let opened = self.open_tables(files, &added);
        let mut work = core.table_work.lock();
        let dropped = index.is_some_and(|index| core.index(index.id).is_none());
        if dropped || core.purged.load(Ordering::Acquire) {
            opened.iter().for_each(|table| table.mark_obsolete());
            return Ok(());
        }
        let mut manifest = work.manifest.clone();
        let metas = match index {
            None => &mut manifest.tables,
            Some(index) => &mut manifest.index_entry(index.id).tables,
        };
        match job.trivial_move {
            true => {
                let moved = |meta: &&mut TableMeta| job.inputs.contains(&meta.number);
                metas.iter_mut().filter(moved).for_each(|meta| meta.level = job.level_to);
            }
            false => metas.retain(|meta| !job.inputs.contains(&meta.number)),
        }
        metas.extend(added);
        self.store_manifest(core, &manifest)?;
        work.manifest = manifest;
        core.replace_tables(tables, |set| set.with_compacted(job, opened))?;
        if !job.trivial_move {
            inputs.iter().for_each(|table| table.mark_obsolete());
        }
        Ok(())
    }

    /// Asks for fresh memtables where one is too old, or where all together are too large: the
    /// largest first. Returns when to look again, monotonic microseconds.
    pub fn rotate_due(&self) -> Result<Option<u64>> {
        let now_us = self.env.host.clock.monotonic_us();
        let state = self.snapshot();
        let mut next_us: Option<u64> = None;
        let mut due = Vec::new();
        for (id, view) in &state.collections {
            let since_us = view.core.memtable_since_us.load(Ordering::Relaxed);
            let interval_us = view.descriptor.settings.flush_interval_ms * 1000;
            if since_us == 0 || interval_us == 0 {
                continue;
            }
            match since_us + interval_us {
                deadline_us if deadline_us <= now_us => due.push(*id),
                deadline_us => next_us = Some(next_us.map_or(deadline_us, |n| n.min(deadline_us))),
            }
        }
        due.sort();
        for id in due {
            self.rotate(id)?;
        }
        if self.env.memtable_bytes.load(Ordering::Relaxed) > self.env.tuning.memtable_bytes_max() {
            let largest = state.collections.iter().max_by_key(|(id, view)| {
                (view.core.memtable_counted.load(Ordering::Relaxed), **id)
            });
            if let Some((id, _)) = largest {
                self.rotate(*id)?;
            }
        }
        Ok(next_us)
    }

    /// Puts a fresh memtable in front of a collection and queues the old one for flushing.
    pub fn rotate(&self, id: CollectionId) -> Result<()> {
        self.commit(Work::Rotate(id)).map(drop)
    }
}
