//! Owners without a handle: prepared transactions of two-phase commit. Their locks outlive the
//! handle they were taken by, and are taken again when a restart finds the transaction prepared;
//! so are the words of what they write, for scans.
//!
//! Locks can be logged ([`Owner::locks`](super::Owner::locks)), predicates cannot: a function has no
//! bytes. They need not be, if no participant of a transaction logs its prepare before all of them
//! hold all their locks and have had all their writes checked. Then the transaction has its place in
//! the order of all, and what it has read may change again.

use super::manager::{Holdings, LockManager};
use super::predicates::{Write, intent_of};
use super::sync::Ordering;
use super::terms::{Mode, OwnerId};
use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};

impl LockManager {
    /// Takes the locks of a transaction that recovery found prepared, before anybody else asks for
    /// any. Owners that begin later are younger. Fails, and holds nothing, if the id is adopted
    /// already or one of the locks is held by somebody else: two prepared transactions never hold
    /// one lock, so then what recovery read is wrong.
    pub fn adopt(&self, id: OwnerId, locks: &[(u64, Mode)]) -> Result<()> {
        if self.0.detached.lock().contains_key(&id) {
            let detail = format!("transaction {id} is prepared twice");
            return Err(Error::new(Code::Internal, detail));
        }
        let mut holdings = Holdings::default();
        self.0.next_owner.fetch_max(id.0.saturating_add(1), Ordering::Relaxed);
        for (lock, mode) in locks {
            let note = |lock| holdings.locks.push(lock);
            if self.0.table.take_run(id, &[*lock], *mode, note) == 0 {
                self.0.release(id, &mut holdings);
                return Err(Error::new(
                    Code::Internal,
                    format!("lock {lock:016x} of prepared transaction {id} is held by another"),
                ));
            }
        }
        self.0.detached.lock().insert(id, holdings);
        Ok(())
    }

    /// Takes up the word of what an adopted transaction writes into `collection`, as
    /// [`Owner::hold_writes`](super::Owner::hold_writes) left it; false if none of that id is there.
    pub fn adopt_writes<'a>(
        &self,
        id: OwnerId,
        collection: CollectionId,
        writes: impl IntoIterator<Item = Write<'a>>,
    ) -> bool {
        let mut detached = self.0.detached.lock();
        let Some(holdings) = detached.get_mut(&id) else { return false };
        holdings.note_slot(self.0.predicates.intend(id, collection, intent_of(writes), true));
        true
    }

    /// Frees what a detached owner holds; false if there is none of that id, so that resolving a
    /// transaction twice does nothing.
    pub fn release_detached(&self, id: OwnerId) -> bool {
        let found = self.0.detached.lock().remove(&id);
        match found {
            Some(mut holdings) => {
                self.0.release(id, &mut holdings);
                true
            }
            None => false,
        }
    }

    /// The owners without a handle, in ascending order.
    pub fn detached(&self) -> Vec<OwnerId> {
        let mut ids: Vec<OwnerId> = self.0.detached.lock().keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}
