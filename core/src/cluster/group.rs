//! One group's part of the log as threads share it: its state, and whether it has failed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::state::GroupState;
use crate::error::{Code, Error, Result};

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub shard: u32,
    /// Changed by whoever holds the lane, and read by all.
    pub state: Mutex<GroupState>,
    /// The first failure.
    failure: Mutex<Option<(Code, String)>>,
    /// Whether a store writes for it.
    pub taken: AtomicBool,
}

impl Group {
    pub fn new(shard: u32, state: GroupState) -> Arc<Self> {
        let (state, failure, taken) = (Mutex::new(state), Mutex::new(None), AtomicBool::new(false));
        Arc::new(Group { shard, state, failure, taken })
    }

    /// Refuses everything from now on; the first cause stays.
    pub fn fail(&self, cause: &Error) {
        self.failure.lock().get_or_insert_with(|| (cause.code(), cause.to_string()));
    }

    pub fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    /// Refuses everything after a failure.
    pub fn check(&self) -> Result<()> {
        match &*self.failure.lock() {
            None => Ok(()),
            Some((code, cause)) => {
                let shard = self.shard;
                let detail = format!("the log of group {shard} failed; open it again: {cause}");
                Err(Error::new(*code, detail))
            }
        }
    }

    /// Does a piece of work after whose failure nothing is known, and nothing is done any more.
    pub fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        work().inspect_err(|cause| self.fail(cause))
    }
}
