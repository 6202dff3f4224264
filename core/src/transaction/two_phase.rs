//! Locks of prepared transactions: how the shard, which knows no lock manager, has them kept.

use super::locks::{LockManager, Mode, Owner, OwnerId};
use crate::error::Result;
use crate::shard::two_phase::{LockHolder, LockKeeper};

impl LockHolder for Owner {
    fn exclusive(&self) -> Vec<u64> {
        let exclusive = self.locks().into_iter().filter(|(_, mode)| *mode == Mode::Exclusive);
        exclusive.map(|(lock, _)| lock).collect()
    }

    fn detach(self: Box<Self>) -> u64 {
        self.detach_exclusive().0
    }
}

impl LockKeeper for LockManager {
    fn adopt(&self, locks: &[u64]) -> Result<u64> {
        let id = self.begin().id();
        let locks: Vec<(u64, Mode)> = locks.iter().map(|lock| (*lock, Mode::Exclusive)).collect();
        LockManager::adopt(self, id, &locks)?;
        Ok(id.0)
    }

    fn release(&self, owner: u64) {
        self.release_detached(OwnerId(owner));
    }
}
