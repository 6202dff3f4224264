//! From seals to blocks. One sealer at a time takes sealed runs of records in order, hashes and
//! encodes them, and appends the blocks to their ledgers without fsync. It also seals what has been
//! pending too long and makes restart points: so neither can meet a block half written.

use std::sync::atomic::Ordering;

use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};
use crate::shard::Shard;
use crate::shard::committer::Work;
use crate::shard::core::{Core, SealJob};
use crate::shard::environment::Durability;
use crate::shard::pending;
use crate::shard::restart::RestartPoint;
use crate::shard::state::View;

impl Shard {
    /// Writes every block that is sealed now; returns how many.
    pub fn write_blocks(&self) -> Result<usize> {
        self.write_blocks_locked(&mut self.sealer.lock())
    }

    pub(super) fn write_blocks_locked(&self, restart: &mut RestartPoint) -> Result<usize> {
        let mut count = 0;
        while let Some(id) = self.next_sealed() {
            let written = self.write_block(restart, id).inspect_err(|error| {
                // Nothing of the block is in the ledger's view: it can be tried again, in order.
                self.sealed.lock().push_front(id);
                if error.code() != Code::StorageFull {
                    self.env.poison(error);
                }
            });
            written?;
            count += 1;
            self.env.progress.notify();
        }
        if count > 0 {
            self.shorten_trail()?;
        }
        Ok(count)
    }

    fn next_sealed(&self) -> Option<CollectionId> {
        self.sealed.lock().pop_front()
    }

    fn write_block(&self, restart: &mut RestartPoint, id: CollectionId) -> Result<()> {
        let state = self.current();
        let Some(view) = state.collections.get(&id) else { return Ok(()) };
        let core = view.core.clone();
        drop(state);
        let Some(job) = core.sealing.lock().front().cloned() else { return Ok(()) };
        let parts = core.pending.block(job.first_seq, job.count);
        let mut leaves = pending::leaves(&parts);
        let block = core.ledger.seal(job.timestamp_us, &mut leaves, job.count)?;
        let head = (block.header.id, block.hash);
        let append = || {
            self.check_head(&core, &job)?;
            self.sync_log_to(restart, job.log_end)?;
            self.make_folder(&core)?;
            core.ledger.append(block)
        };
        // A failed append has published nothing: the block is sealed anew when it is tried again.
        append().inspect_err(|_| core.ledger.unseal())?;
        *core.head.lock() = Some(head);
        core.sealing.lock().pop_front();
        self.dirty.lock().insert(id);
        let freed = core.pending.remove_below(job.first_seq + job.count);
        self.env.pending_bytes.fetch_sub(freed, Ordering::Relaxed);
        Ok(())
    }

    /// Each seal repeats a header its author knew; ours must be the same, or this replica diverged.
    fn check_head(&self, core: &Core, job: &SealJob) -> Result<()> {
        let Some((id, expected)) = job.head else { return Ok(()) };
        let newest = *core.head.lock();
        let own = match newest {
            Some((newest, hash)) if newest == id => Some(hash),
            _ => core.ledger.header(id)?.map(|(_, hash)| hash),
        };
        match own == Some(expected) {
            true => Ok(()),
            false => Err(Error::new(
                Code::Corrupt,
                format!("collection {}: block {id} differs from what its log repeats", core.id),
            )),
        }
    }

    /// A block goes to the ledger only after the frame of its seal is synced, in every mode.
    fn sync_log_to(&self, restart: &mut RestartPoint, end: crate::log::Position) -> Result<()> {
        if self.env.durability == Durability::Sync || end <= restart.log_synced {
            return Ok(());
        }
        self.sync_log(restart)
    }

    /// Makes everything written to the log durable. The sync itself runs outside the committer's
    /// lane, so that writers go on.
    pub(super) fn sync_log(&self, restart: &mut RestartPoint) -> Result<()> {
        let handle = match &self.lane.lock().log {
            Some(log) => log.sync_handle(),
            None => return Ok(()),
        };
        let synced = handle.sync().inspect_err(|error| self.env.poison(error))?;
        if let Some(log) = &mut self.lane.lock().log {
            log.note_synced(synced);
        }
        restart.log_synced = restart.log_synced.max(synced);
        Ok(())
    }

    /// Makes everything written to the log durable (mode `interval`, and before closing).
    pub fn sync_log_now(&self) -> Result<()> {
        self.sync_log(&mut self.sealer.lock())
    }

    pub(super) fn make_folder(&self, core: &Core) -> Result<()> {
        if !core.folder_made.load(Ordering::Relaxed) {
            self.env.make_dir(&core.dir)?;
            core.folder_made.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Seals what has been pending for its collection's interval; returns when to look again, in
    /// monotonic microseconds.
    pub fn seal_due(&self) -> Result<Option<u64>> {
        let now_us = self.env.host.clock.monotonic_us();
        let state = self.snapshot();
        let mut due = Vec::new();
        // Not under the lock of the deadlines: whoever applies holds a `progress` and asks for it.
        for id in self.passed_deadlines(now_us) {
            match state.collections.get(&id).and_then(deadline_of) {
                Some(deadline_us) if deadline_us <= now_us => due.push(id),
                // A block was sealed in between: these are younger records.
                Some(deadline_us) => drop(self.deadlines.lock().insert((deadline_us, id))),
                None => {}
            }
        }
        self.commit_seals(due)?;
        Ok(self.deadlines.lock().first().map(|(deadline_us, _)| *deadline_us))
    }

    fn passed_deadlines(&self, now_us: u64) -> Vec<CollectionId> {
        let mut deadlines = self.deadlines.lock();
        let mut passed = Vec::new();
        while let Some((deadline_us, id)) = deadlines.first().copied()
            && deadline_us <= now_us
        {
            deadlines.pop_first();
            passed.push(id);
        }
        passed
    }

    /// Seals everything that is pending, of all collections, by one entry.
    pub fn seal_all(&self) -> Result<()> {
        self.commit_seals(self.unsealed())
    }

    fn commit_seals(&self, ids: Vec<CollectionId>) -> Result<()> {
        match ids.is_empty() {
            true => Ok(()),
            false => self.commit(Work::Seal(ids)).map(drop),
        }
    }

    /// Collections with records in no block.
    fn unsealed(&self) -> Vec<CollectionId> {
        let state = self.snapshot();
        let pending = state.collections.iter().filter(|(_, view)| {
            let progress = view.core.progress.lock();
            progress.next_seq > progress.unsealed_first
        });
        let mut ids: Vec<CollectionId> = pending.map(|(id, _)| *id).collect();
        ids.sort();
        ids
    }
}

/// When a collection's pending records are to be sealed at the latest, if it has any and a timer.
fn deadline_of(view: &View) -> Option<u64> {
    let progress = *view.core.progress.lock();
    let interval_us = view.descriptor.settings.seal_interval_ms * 1000;
    let pending = progress.next_seq > progress.unsealed_first;
    (pending && interval_us > 0).then_some(progress.unsealed_since_us + interval_us)
}
