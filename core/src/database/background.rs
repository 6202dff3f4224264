//! The threads of an open database: one sealer, which also keeps the timers and makes restart
//! points, and table workers for flushing and compaction. They hold the shard alone, not the
//! database, so dropping the last handle still closes it. No thread wakes while nothing is pending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Code, Result};
use crate::shard::Shard;
use crate::shard::environment::Durability;

const TABLE_WORKERS: usize = 2;
/// After a failure for lack of space, work is tried again this much later.
const RETRY: Duration = Duration::from_millis(500);

/// Running threads.
#[derive(Debug, Default)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    shard: Option<Arc<Shard>>,
}

impl Workers {
    /// Starts the threads of a shard.
    pub fn start(shard: &Arc<Shard>, durability: Durability) -> Workers {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            threads.extend(thread);
        };
        let (own, flag) = (shard.clone(), stop.clone());
        spawn("blockdb-sealer", Box::new(move || sealer(&own, &flag)));
        for _ in 0..TABLE_WORKERS {
            let (own, flag) = (shard.clone(), stop.clone());
            spawn("blockdb-tables", Box::new(move || tables(&own, &flag)));
        }
        if let Durability::Interval(interval_ms) = durability {
            let (own, flag) = (shard.clone(), stop.clone());
            let interval = Duration::from_millis(interval_ms);
            spawn("blockdb-sync", Box::new(move || syncer(&own, &flag, interval)));
        }
        Workers { threads, stop, shard: Some(shard.clone()) }
    }

    /// Stops and joins the threads; work they have begun is finished or, for a compaction, given up.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(shard) = self.shard.take() {
            shard.env.work.notify();
            shard.env.progress.notify();
        }
        for thread in self.threads.drain(..) {
            // A panicking worker has already poisoned the shard by dropping its work.
            let _ = thread.join();
        }
    }
}

/// Keeps what ended a worker's step: for lack of space it is tried again, anything else ends writing.
fn outcome<T>(shard: &Shard, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            if !matches!(error.code(), Code::StorageFull | Code::Closed) {
                shard.env.poison(&error);
            }
            None
        }
    }
}

fn sealer(shard: &Shard, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let seen = shard.env.work.seen();
        let step = sealer_step(shard);
        let wait = match outcome(shard, step) {
            None => Some(RETRY),
            Some(None) => None,
            Some(Some(deadline_us)) => {
                let now_us = shard.env.host.clock.monotonic_us();
                Some(Duration::from_micros(deadline_us.saturating_sub(now_us)))
            }
        };
        if !stop.load(Ordering::Acquire) {
            shard.env.work.wait(seen, wait);
        }
    }
}

/// One round of the sealer; returns when to come back if nothing happens before.
fn sealer_step(shard: &Shard) -> Result<Option<u64>> {
    if shard.env.check_healthy().is_err() {
        return Ok(None);
    }
    let seal_us = shard.seal_due()?;
    shard.write_blocks()?;
    let rotate_us = shard.rotate_due()?;
    if shard.restart_point_is_due() {
        shard.seal_all()?;
        shard.make_restart_point()?;
    }
    let render_us = shard.render_due()?;
    let purge_us = shard.purge_due()?;
    let expire_us = shard.expire_due();
    Ok([seal_us, rotate_us, render_us, purge_us, expire_us].into_iter().flatten().min())
}

fn tables(shard: &Shard, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let seen = shard.env.work.seen();
        let step = tables_step(shard, stop);
        match outcome(shard, step) {
            Some(true) => {}
            Some(false) if !stop.load(Ordering::Acquire) => shard.env.work.wait(seen, None),
            Some(false) => {}
            None => shard.env.work.wait(seen, Some(RETRY)),
        }
    }
}

/// One piece of work on tables, the most urgent first; returns whether there was one.
fn tables_step(shard: &Shard, stop: &AtomicBool) -> Result<bool> {
    Ok(shard.flush_one()? || shard.build_one(stop)? || shard.compact_one(stop)?)
}

/// Mode `interval`: syncs the log at most that long after it was written to, and sleeps while it
/// was not.
fn syncer(shard: &Shard, stop: &AtomicBool, interval: Duration) {
    let clock = &shard.env.host.clock;
    while !stop.load(Ordering::Acquire) {
        let seen = shard.env.work.seen();
        if !shard.env.unsynced.load(Ordering::Acquire) {
            shard.env.work.wait(seen, None);
            continue;
        }
        let deadline_us = clock.monotonic_us() + interval.as_micros() as u64;
        while !stop.load(Ordering::Acquire) {
            let seen = shard.env.work.seen();
            let left_us = deadline_us.saturating_sub(clock.monotonic_us());
            if left_us == 0 {
                break;
            }
            shard.env.work.wait(seen, Some(Duration::from_micros(left_us)));
        }
        if shard.env.check_healthy().is_err() {
            return;
        }
        shard.env.unsynced.store(false, Ordering::Release);
        outcome(shard, shard.sync_log_now());
    }
}
