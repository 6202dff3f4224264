//! The transactions that are open, for their time to run out, and counts of how they ended. The
//! sealer, which keeps all timers, ends what is overdue; nothing wakes while no transaction is open.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::shard::Shard;

/// A transaction that was in the middle of a call when its time was over is looked at again after
/// this long; the call itself waits for nothing beyond its time.
const LOOK_AGAIN_US: u64 = 20_000;

/// What can run out of time.
pub trait Expire: Send + Sync {
    /// Ends it; false if it is busy just now.
    fn expire(&self) -> bool;
}

/// When a session ends, and a number that tells it from others of the same end.
pub type SessionKey = (u64, u64);

/// How transactions have ended since the database was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransactionStats {
    /// Open now.
    pub active: u64,
    /// Committed, with writes or without.
    pub committed: u64,
    /// Rolled back by their callers, dropped handles included.
    pub rolled_back: u64,
    /// Ended because their time was over.
    pub expired: u64,
    /// Ended to break a cycle of waits.
    pub deadlocks: u64,
    /// Ended by any other failure.
    pub failed: u64,
}

/// How one transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its writes are there.
    Committed,
    /// By its caller.
    RolledBack,
    /// Its time was over.
    Expired,
    /// It gave way to others.
    Deadlock,
    /// Something failed.
    Failed,
}

/// The open transactions.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<SessionKey, Weak<dyn Expire>>>,
    next: AtomicU64,
    /// When the sealer comes back for this by itself, monotonic microseconds; 0: it does not.
    wake_us: AtomicU64,
    endings: [AtomicU64; 5],
}

impl Sessions {
    /// How transactions have ended.
    pub fn stats(&self) -> TransactionStats {
        let count = |ending: Ending| self.endings[ending as usize].load(Ordering::Relaxed);
        TransactionStats {
            active: self.open.lock().len() as u64,
            committed: count(Ending::Committed),
            rolled_back: count(Ending::RolledBack),
            expired: count(Ending::Expired),
            deadlocks: count(Ending::Deadlock),
            failed: count(Ending::Failed),
        }
    }
}

impl Shard {
    /// Notes a transaction that is to end at `deadline_us`, monotonic.
    pub fn open_session(&self, deadline_us: u64, session: Weak<dyn Expire>) -> SessionKey {
        let key = (deadline_us, self.sessions.next.fetch_add(1, Ordering::Relaxed));
        // Under the mutex, so that the sealer either sees this one or says when it wakes before.
        let wake_us = {
            let mut open = self.sessions.open.lock();
            open.insert(key, session);
            self.sessions.wake_us.load(Ordering::Relaxed)
        };
        if wake_us == 0 || deadline_us < wake_us {
            self.env.work.notify();
        }
        key
    }

    /// Forgets a transaction that has ended.
    pub fn close_session(&self, key: SessionKey, ending: Ending) {
        self.sessions.open.lock().remove(&key);
        self.sessions.endings[ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Ends transactions whose time is over; returns when to look again.
    pub fn expire_due(&self) -> Option<u64> {
        let now_us = self.env.host.clock.monotonic_us();
        let due: Vec<(SessionKey, Weak<dyn Expire>)> = {
            let open = self.sessions.open.lock();
            open.range(..=(now_us, u64::MAX)).map(|(key, one)| (*key, one.clone())).collect()
        };
        let mut busy = false;
        for (key, session) in due {
            match session.upgrade() {
                Some(session) => busy |= !session.expire(),
                None => drop(self.sessions.open.lock().remove(&key)),
            }
        }
        let open = self.sessions.open.lock();
        let first = open.keys().next().map(|(deadline_us, _)| *deadline_us);
        let wake_us = if busy { Some(now_us + LOOK_AGAIN_US) } else { first };
        self.sessions.wake_us.store(wake_us.unwrap_or(0), Ordering::Relaxed);
        wake_us
    }
}
