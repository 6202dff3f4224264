//! Back-pressure: a writer waits before it takes locks while too much waits for the background, so
//! that memory stays within the budget however fast records come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::host::Background;
use crate::shard::Shard;

/// A worker that failed for lack of space tries again after this long; so do we look again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Shard {
    /// Waits until the background has caught up enough for another write.
    pub fn throttle(&self) -> Result<()> {
        if !self.over_budget() {
            return self.env.check_healthy();
        }
        if self.sealed.lock().is_empty() {
            self.seal_all()?;
        }
        loop {
            self.env.check_healthy()?;
            let seen = self.env.progress.seen();
            if !self.over_budget() {
                return Ok(());
            }
            self.env.work.notify();
            match self.env.host.background {
                Background::Threads => self.env.progress.wait(seen, Some(LOOK_AGAIN)),
                Background::Manual => self.run_background()?,
            }
        }
    }

    fn over_budget(&self) -> bool {
        self.log_is_full() || self.memory_is_full()
    }

    /// Whether the log is near its limit and a restart point would free some of it: writers faster
    /// than the sealer wait for one.
    fn log_is_full(&self) -> bool {
        let bytes_max = self.env.tuning.log_bytes_max;
        self.log_bytes.load(Ordering::Relaxed) > bytes_max / 4 * 3 && self.restart_point_is_due()
    }

    fn memory_is_full(&self) -> bool {
        let (env, tuning) = (&self.env, &self.env.tuning);
        let memtables = env.memtable_bytes.load(Ordering::Relaxed);
        env.pending_bytes.load(Ordering::Relaxed) > tuning.pending_bytes_max()
            || memtables > tuning.memtable_bytes_max() + tuning.memtable_bytes_max() / 4
    }

    /// Does all background work that is due now, on the caller's thread.
    pub fn run_background(&self) -> Result<()> {
        let cancel = AtomicBool::new(false);
        self.expire_due();
        self.seal_due()?;
        self.rotate_due()?;
        self.write_blocks()?;
        while self.flush_one()? {}
        while self.build_one(&cancel)? {}
        while self.compact_one(&cancel)? {}
        if self.restart_point_is_due() {
            self.seal_all()?;
            self.make_restart_point()?;
        }
        Ok(())
    }

    /// Waits until everything accepted is sealed and in the ledger, memtables asked to be flushed
    /// are, no compaction is worth it, and a restart point covers all.
    pub fn settle(&self) -> Result<()> {
        self.seal_all()?;
        loop {
            self.env.check_healthy()?;
            let seen = self.env.progress.seen();
            if self.sealed.lock().is_empty() && self.tables_idle() {
                break;
            }
            self.env.work.notify();
            match self.env.host.background {
                Background::Threads => self.env.progress.wait(seen, Some(LOOK_AGAIN)),
                Background::Manual => self.run_background()?,
            }
        }
        self.make_restart_point()
    }

    fn tables_idle(&self) -> bool {
        self.flushes.lock().is_empty()
            && self.builds.lock().is_idle()
            && self.compactions.lock().is_empty()
            && self.snapshot().collections.values().all(|view| {
                view.core.flushing.lock().units.is_empty()
                    && view.core.table_work.lock().busy.is_empty()
            })
    }
}
