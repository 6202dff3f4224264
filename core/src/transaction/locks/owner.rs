//! The handle of one transaction on its locks: it takes them, and frees them all when it is dropped.
//! Locks are never freed one by one (strict two-phase locking).

use std::sync::Arc;

use super::manager::{Holdings, Inner};
use super::predicates::{
    Covered, EntryRef, Intent, Overtaken, Predicate, SlotNumber, Write, intent_of,
};
use super::terms::{Deadline, Mode, OwnerId};
use super::waits::Wish;
use crate::collection::CollectionId;
use crate::error::Result;

/// Whoever takes locks. Dropping it frees them, whichever way its transaction has ended.
#[derive(Debug)]
pub struct Owner {
    manager: Arc<Inner>,
    id: OwnerId,
    holdings: Holdings,
    /// Whether the next predicate is registered without regard for those who came before.
    go_ahead: bool,
    /// What the last wait that failed was for.
    missed: Option<Wanted>,
}

/// What a transaction waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A lock.
    Lock(u64),
    /// To write a key of a collection, beside the scans that cover it.
    Write(CollectionId, Box<[u8]>),
    /// To scan a collection, after the writes that waited already.
    Scan(CollectionId),
}

/// Who must end before a write or a predicate can go on; given to [`Owner::wait_for`].
#[derive(Debug)]
#[must_use = "whoever is blocked waits, or ends"]
pub struct Blocked {
    by: Vec<EntryRef>,
    wish: Wish,
    wanted: Wanted,
    /// The word to leave of writes that wait.
    intent: Option<(CollectionId, Intent)>,
}

impl Blocked {
    /// The transactions that are in the way, in ascending order.
    pub fn owners(&self) -> Vec<OwnerId> {
        let mut owners: Vec<OwnerId> = self.by.iter().map(|entry| entry.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

impl Owner {
    pub(super) fn new(manager: Arc<Inner>, id: OwnerId) -> Self {
        Owner { manager, id, holdings: Holdings::default(), go_ahead: false, missed: None }
    }

    /// Its place in the order of starts.
    pub fn id(&self) -> OwnerId {
        self.id
    }

    /// Locks it holds.
    pub fn held_count(&self) -> usize {
        self.holdings.locks.len()
    }

    /// The locks it holds and how, in ascending order: what a prepare has to log.
    pub fn locks(&self) -> Vec<(u64, Mode)> {
        let mode_of = |lock: &u64| self.manager.table.look(*lock, |held| held.mode_of(self.id));
        let held = self.holdings.locks.iter().map(|lock| (*lock, mode_of(lock)));
        let mut held: Vec<(u64, Mode)> =
            held.map(|(lock, mode)| (lock, mode.expect("what is noted is held"))).collect();
        held.sort_unstable_by_key(|(lock, _)| *lock);
        held
    }

    /// What the last wait that failed was for, so that whoever knows the names behind the locks can
    /// add them to the error.
    pub fn missed(&self) -> Option<&Wanted> {
        self.missed.as_ref()
    }

    /// Takes one lock, or makes a shared one exclusive; held in that mode or a stronger one, it is
    /// done. Errors: `deadlock` if this transaction was chosen to break a cycle, `lock_timeout` at
    /// `deadline`. Either way it goes on holding what it held before.
    pub fn lock(&mut self, lock: u64, mode: Mode, deadline: Deadline) -> Result<()> {
        self.lock_sorted(&[lock], mode, deadline)
    }

    /// Takes many locks, in ascending order, whichever order they come in. Whoever takes all of
    /// theirs by one such call never waits in a cycle with each other. Errors as [`Owner::lock`];
    /// what was taken before one stays held.
    pub fn lock_all(&mut self, mut locks: Vec<u64>, mode: Mode, deadline: Deadline) -> Result<()> {
        locks.sort_unstable();
        locks.dedup();
        if !self.holdings.locks.is_empty() {
            return self.lock_sorted(&locks, mode, deadline);
        }
        // Then all of them are new, and the vector itself is what is held.
        let done = self.manager.table.take_run(self.id, &locks, mode, |_| {});
        let left = locks.split_off(done);
        self.holdings.locks = locks;
        self.lock_sorted(&left, mode, deadline)
    }

    fn lock_sorted(&mut self, locks: &[u64], mode: Mode, deadline: Deadline) -> Result<()> {
        let mut left = locks;
        loop {
            let held = &mut self.holdings.locks;
            let note = |lock| held.push(lock);
            left = &left[self.manager.table.take_run(self.id, left, mode, note)..];
            let Some((busy, rest)) = left.split_first() else { return Ok(()) };
            match self.manager.lock_slowly(self.id, *busy, mode, deadline) {
                Ok(true) => self.holdings.locks.push(*busy),
                Ok(false) => {}
                Err(error) => {
                    self.missed = Some(Wanted::Lock(*busy));
                    return Err(error);
                }
            }
            left = rest;
        }
    }

    /// Registers what this transaction has read of `collection` by range or filter. The caller
    /// holds the collection's gate exclusively, and takes the snapshot it reads from before it lets
    /// go. If writes that came first or are prepared are in the way it lets go of the gate,
    /// [waits](Owner::wait_for), and tries again.
    pub fn add_predicate(
        &mut self,
        collection: CollectionId,
        predicate: Arc<dyn Predicate>,
    ) -> Result<(), Blocked> {
        let go_ahead = std::mem::take(&mut self.go_ahead);
        match self.manager.predicates.add(self.id, collection, predicate, go_ahead) {
            Ok(slot) => {
                self.note_slot(slot);
                Ok(())
            }
            Err(Overtaken { by, firm }) => {
                let wish = if firm { Wish::Scan } else { Wish::Yield };
                Err(Blocked { by, wish, wanted: Wanted::Scan(collection), intent: None })
            }
        }
    }

    /// Whether predicates may lie over `collection`: if not, [`Owner::check_writes`] finds none.
    pub fn may_be_covered(&self, collection: CollectionId) -> bool {
        self.manager.predicates.any(collection)
    }

    /// Whether `writes` to `collection` may be committed beside the predicates of others. Whoever
    /// replaces a document lists both: the one that leaves an answer changes it as much as the one
    /// that enters it. The caller holds the collection's gate shared until they are committed. If not, it lets go of all its
    /// gates, [waits](Owner::wait_for), and checks all its writes again.
    pub fn check_writes<'a>(
        &self,
        collection: CollectionId,
        writes: impl IntoIterator<Item = Write<'a>, IntoIter: Clone>,
    ) -> Result<(), Blocked> {
        match self.manager.predicates.covering(self.id, collection, writes) {
            None => Ok(()),
            Some(Covered { by, key, intent }) => Err(Blocked {
                by,
                wish: Wish::Write,
                wanted: Wanted::Write(collection, key),
                intent: Some((collection, intent)),
            }),
        }
    }

    /// Leaves firm word of `writes` to `collection` that are about to be prepared, until this owner
    /// ends: scans over them wait for the decision. The caller has [checked](Owner::check_writes)
    /// them and still holds the collection's gate shared.
    pub fn hold_writes<'a>(
        &mut self,
        collection: CollectionId,
        writes: impl IntoIterator<Item = Write<'a>>,
    ) {
        let intent = intent_of(writes);
        let slot = self.manager.predicates.intend(self.id, collection, intent, true);
        self.note_slot(slot);
    }

    /// Waits until what is in the way has gone; others may have come in the meantime. Never called
    /// while a gate is held. Errors as [`Owner::lock`].
    pub fn wait_for(&mut self, blocked: Blocked, deadline: Deadline) -> Result<()> {
        if let Some((collection, intent)) = blocked.intent {
            let slot = self.manager.predicates.intend(self.id, collection, intent, false);
            self.note_slot(slot);
        }
        let waited = self.manager.wait_for_entries(self.id, blocked.by, blocked.wish, deadline);
        if waited.is_err() {
            self.missed = Some(blocked.wanted);
            self.manager.withdraw(self.id, &self.holdings.slots);
        }
        self.go_ahead |= waited?;
        Ok(())
    }

    /// Notes a lock as taken, for a test that takes it itself.
    #[cfg(test)]
    pub(super) fn set_held(&mut self, held: Vec<u64>) {
        self.holdings.locks = held;
    }

    pub(super) fn note_slot(&mut self, slot: SlotNumber) {
        self.holdings.note_slot(slot);
    }

    /// Frees everything, as dropping does.
    pub fn release(self) {}

    /// Frees everything and begins again at the same age: for a transaction that had to give way
    /// and is run again. It grows old that way, goes first in every queue, and is no victim any
    /// more; begun anew, it would be the youngest each time.
    pub fn restart(&mut self) {
        self.free();
        self.holdings = Holdings::default();
        self.go_ahead = false;
        self.missed = None;
    }

    fn free(&mut self) {
        if !self.holdings.locks.is_empty() || !self.holdings.slots.is_empty() {
            self.manager.release(self.id, &mut self.holdings);
        }
    }

    /// [`Owner::detach`] with the exclusive locks alone; shared locks and predicates are freed. For a
    /// transaction whose lock point is behind it.
    pub fn detach_exclusive(mut self) -> OwnerId {
        let (exclusive, shared): (Vec<_>, Vec<_>) =
            self.locks().into_iter().partition(|(_, mode)| *mode == Mode::Exclusive);
        let locks_of = |held: Vec<(u64, Mode)>| held.into_iter().map(|(lock, _)| lock).collect();
        let slots = std::mem::take(&mut self.holdings.slots);
        self.manager.release(self.id, &mut Holdings { locks: locks_of(shared), slots });
        self.holdings.locks = locks_of(exclusive);
        self.detach()
    }

    /// Leaves everything held without a handle, for a transaction that is prepared: only
    /// [`LockManager::release_detached`](super::LockManager::release_detached) frees it. Such an
    /// owner waits for nothing, so it stands in no cycle and is never a victim; whoever waits for
    /// it waits until then or until a deadline.
    pub fn detach(mut self) -> OwnerId {
        let holdings = std::mem::take(&mut self.holdings);
        self.manager.detached.lock().insert(self.id, holdings);
        self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.free();
    }
}
