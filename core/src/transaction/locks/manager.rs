//! The lock manager: the fast ways in and out, and the slow one under the mutex of the waits, where
//! waits begin, cycles are broken and locks are handed on.
//!
//! Order of the room's own mutexes: waits, then one of a stripe, a slot, a waiter and the detached
//! owners at a time. Nothing of the caller's is called under them but a predicate.

use std::collections::HashMap;
use std::sync::Arc;

use super::cycle::{Exits, cycle_through};
use super::owner::Owner;
use super::predicates::{EntryRef, Predicates, SlotNumber};
use super::sync::{AtomicU64, Mutex, Ordering};
use super::table::{Answer, Entry, Table};
use super::terms::{Deadline, Mode, OwnerId};
use super::waiter::{Outcome, Waiter};
use super::waits::{On, Queued, Waits, Wish};
use crate::error::{Code, Error, Result};
use crate::host::{Background, Clock};

/// All locks of a shard; clones are handles on the same ones.
#[derive(Clone, Debug)]
pub struct LockManager(pub(super) Arc<Inner>);

/// How much the manager holds at a moment: all zero when nobody holds or waits for anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockFigures {
    /// Locks held, each counted once.
    pub locks: usize,
    /// Predicates held, and words of writes that wait for some or are prepared.
    pub predicates: usize,
    /// Owners that wait.
    pub waiting: usize,
    /// Locks waited for.
    pub queues: usize,
    /// Predicates waited for.
    pub watched: usize,
    /// Owners without a handle: prepared transactions.
    pub detached: usize,
}

/// What an owner holds: what is left of it when it is detached from its handle.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Locks, each once.
    pub locks: Vec<u64>,
    /// Where its predicates and intents lie, each slot once.
    pub slots: Vec<SlotNumber>,
}

impl Holdings {
    /// Notes that entries lie in `slot`.
    pub fn note_slot(&mut self, slot: SlotNumber) {
        if !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
    }
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) table: Table,
    pub(super) predicates: Predicates,
    clock: Arc<dyn Clock>,
    background: Background,
    pub(super) waits: Mutex<Waits>,
    pub(super) next_owner: AtomicU64,
    pub(super) detached: Mutex<HashMap<OwnerId, Holdings>>,
}

impl LockManager {
    /// A manager without locks, whose deadlines are moments of `clock`. Under
    /// [`Background::Manual`] there is one thread, and whoever it would wait for could never go on:
    /// then each wait ends at once, with `lock_timeout`.
    pub fn new(clock: Arc<dyn Clock>, background: Background) -> Self {
        LockManager(Arc::new(Inner {
            table: Table::new(),
            predicates: Predicates::new(),
            clock,
            background,
            waits: Mutex::default(),
            next_owner: AtomicU64::new(1),
            detached: Mutex::default(),
        }))
    }

    /// A new owner, younger than all before it.
    pub fn begin(&self) -> Owner {
        let id = self.0.next_owner.fetch_add(1, Ordering::Relaxed);
        Owner::new(self.0.clone(), OwnerId(id))
    }

    /// The moment `ms` milliseconds from now.
    pub fn deadline_in_ms(&self, ms: u64) -> Deadline {
        let now_us = self.0.clock.monotonic_us();
        Deadline::at_us(now_us.saturating_add(ms.saturating_mul(1000)))
    }

    /// What is held and waited for, counted.
    pub fn figures(&self) -> LockFigures {
        let [waiting, queues, watched] = self.0.waits.lock().sizes();
        LockFigures {
            locks: self.0.table.len(),
            predicates: self.0.predicates.len(),
            waiting,
            queues,
            watched,
            detached: self.0.detached.lock().len(),
        }
    }
}

impl Inner {
    /// Takes a lock that was not to be had at once; true if it is a new one.
    pub fn lock_slowly(
        &self,
        owner: OwnerId,
        lock: u64,
        mode: Mode,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut waits = self.waits.lock();
        let upgrade = match self.table.take_or_queue(owner, lock, mode) {
            Answer::Granted => return Ok(true),
            Answer::Held => return Ok(false),
            Answer::Busy { upgrade } => upgrade,
        };
        let waiter = self.queue(&mut waits, lock, Queued { owner, mode, upgrade });
        self.break_cycles(&mut waits, owner);
        drop(waits);
        self.sleep(owner, &waiter, deadline)?;
        Ok(!upgrade)
    }

    /// Queues for a lock; an old reader may be first, and admitted beside the others, at once.
    pub fn queue(&self, waits: &mut Waits, lock: u64, request: Queued) -> Arc<Waiter> {
        let waiter = waits.queue(lock, request);
        self.table.edit(lock, |entry| pass(waits, lock, entry));
        waiter
    }

    /// Waits until none of `entries` is there; true if the wait was a courtesy and is given up.
    pub fn wait_for_entries(
        &self,
        owner: OwnerId,
        mut entries: Vec<EntryRef>,
        wish: Wish,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut waits = self.waits.lock();
        // Whoever removes a watched entry comes here next, and waits until this one is listed.
        entries.retain(|entry| self.predicates.watch(entry));
        if entries.is_empty() {
            return Ok(false);
        }
        let waiter = waits.watch(owner, entries, wish);
        self.break_cycles(&mut waits, owner);
        drop(waits);
        self.sleep(owner, &waiter, deadline)
    }

    /// Sleeps until the wait of `owner` has ended; true if it is to go ahead without.
    fn sleep(&self, owner: OwnerId, waiter: &Waiter, deadline: Deadline) -> Result<bool> {
        let outcome = match self.background {
            Background::Threads => waiter.wait(&*self.clock, deadline),
            Background::Manual => None,
        };
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.give_up(owner, waiter)?,
        };
        match outcome {
            Outcome::Granted => Ok(false),
            Outcome::GoAhead => Ok(true),
            Outcome::Victim(cycle) => Err(Error::new(Code::Deadlock, cycle)),
        }
    }

    /// Takes back a wait whose time is over, unless its outcome came at the last moment.
    pub fn give_up(&self, owner: OwnerId, waiter: &Waiter) -> Result<Outcome> {
        let mut waits = self.waits.lock();
        if let Some(outcome) = waiter.outcome() {
            return Ok(outcome);
        }
        let blockers = self.exits(&waits, owner).unwrap_or_default().owners;
        let Some((_, on)) = waits.remove(owner) else {
            unreachable!("a wait without an outcome is listed");
        };
        self.hand_on(&mut waits, &on);
        Err(self.too_late(owner, &on, &blockers))
    }

    fn too_late(&self, owner: OwnerId, on: &On, blockers: &[OwnerId]) -> Error {
        /// Owners named; their number says the rest.
        const OWNERS_TOLD: usize = 4;
        let detached = self.detached.lock();
        let others = || blockers.iter().filter(|blocker| **blocker != owner);
        let named: Vec<String> = others()
            .take(OWNERS_TOLD)
            .map(|blocker| match detached.contains_key(blocker) {
                true => format!("{blocker} (prepared, undecided)"),
                false => blocker.to_string(),
            })
            .collect();
        let more = match others().count().saturating_sub(OWNERS_TOLD) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (what, whose) = (on.told(), named.join(", "));
        Error::new(
            Code::LockTimeout,
            format!("transaction {owner} waited too long for {what}, held by {whose}{more}"),
        )
    }

    /// Grants what can be granted since a waiter for `on` has gone.
    fn hand_on(&self, waits: &mut Waits, on: &On) {
        if let On::Lock { lock, .. } = on {
            self.table.edit(*lock, |entry| pass(waits, *lock, entry));
        }
    }

    /// Ends all cycles that the wait of `start` has closed.
    fn break_cycles(&self, waits: &mut Waits, start: OwnerId) {
        while let Some(cycle) = self.cycle(waits, start) {
            self.break_cycle(waits, &cycle);
        }
    }

    /// A cycle that the wait of `owner` stands in.
    pub fn cycle(&self, waits: &Waits, owner: OwnerId) -> Option<Vec<OwnerId>> {
        cycle_through(owner, |owner| self.exits(waits, owner))
    }

    /// Ends a cycle by one victim, its youngest member; or by none, if one of them waits out of
    /// courtesy and can just go ahead.
    pub fn break_cycle(&self, waits: &mut Waits, cycle: &[OwnerId]) {
        let courteous = cycle
            .iter()
            .copied()
            .find(|owner| matches!(waits.on(*owner), Some(On::Entries { wish: Wish::Yield, .. })));
        let youngest = cycle.iter().copied().max().expect("a cycle has members");
        let ended = match courteous {
            Some(owner) => waits.end(owner, Outcome::GoAhead),
            None => {
                let told = waits.describe(cycle, youngest);
                waits.end(youngest, Outcome::Victim(told))
            }
        };
        let on = ended.expect("whoever stands in a cycle waits");
        self.hand_on(waits, &on);
    }

    /// Where the wait of `owner` leads to: one step of the wait-for graph.
    fn exits(&self, waits: &Waits, owner: OwnerId) -> Option<Exits> {
        match waits.on(owner)? {
            On::Lock { lock, mode } => {
                let (owners, shared) =
                    self.table.look(*lock, |held| (held.owners().to_vec(), held.are_shared()));
                // A reader that waits for a lock held shared stands behind a writer, and the first
                // in the queue is always one: it would have been granted otherwise.
                let behind = *mode == Mode::Shared && shared;
                let via = waits.first(*lock).map(|first| first.owner).filter(|_| behind);
                Some(Exits { lock: Some(*lock), owners, via })
            }
            On::Entries { left, .. } => {
                let mut owners: Vec<OwnerId> = left.iter().map(|entry| entry.owner).collect();
                owners.sort_unstable();
                owners.dedup();
                Some(Exits { lock: None, owners, via: None })
            }
        }
    }

    /// Frees everything `owner` holds and hands it on to those who wait for it.
    pub fn release(&self, owner: OwnerId, holdings: &mut Holdings) {
        let watched = self.predicates.remove(owner, &holdings.slots, false);
        holdings.locks.sort_unstable();
        let contended = self.table.release_run(owner, &holdings.locks);
        if contended.is_empty() && watched.is_empty() {
            return;
        }
        let mut waits = self.waits.lock();
        for lock in contended {
            self.table.edit(lock, |entry| {
                entry.holders.remove(owner);
                pass(&mut waits, lock, entry);
            });
        }
        watched.into_iter().for_each(|id| waits.entry_gone(id));
    }

    /// Takes back the word `owner` left of its writes.
    pub fn withdraw(&self, owner: OwnerId, slots: &[SlotNumber]) {
        let watched = self.predicates.remove(owner, slots, true);
        if !watched.is_empty() {
            let mut waits = self.waits.lock();
            watched.into_iter().for_each(|id| waits.entry_gone(id));
        }
    }
}

/// Passes a lock on to those who are first in its queue.
fn pass(waits: &mut Waits, lock: u64, entry: &mut Entry) {
    entry.queued = waits.grant(lock, &mut entry.holders);
}
