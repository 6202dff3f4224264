//! Whose turn it is to write and sync for all. Committing is a role: who finds it free takes it for
//! everyone whose frames are in the buffer by then; who comes while it is taken waits, and is
//! either served by the next or becomes the next.

use parking_lot::{Condvar, Mutex};

/// The role.
#[derive(Debug, Default)]
pub(super) struct Turn {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// The last batch that was dealt with, well or badly.
    done_batch: u64,
}

/// The role, taken; it is free again when this is dropped.
pub(super) struct Taken<'a> {
    turn: &'a Turn,
    /// The last batch dealt with by now.
    pub done_batch: u64,
}

impl Turn {
    /// Takes the role as soon as it is free.
    pub fn take(&self) -> Taken<'_> {
        self.take_for(u64::MAX).expect("no batch has that number")
    }

    /// Takes the role to commit `batch`, unless someone has done that by the time it is free.
    pub fn take_for(&self, batch: u64) -> Option<Taken<'_>> {
        let mut state = self.state.lock();
        while state.taken && state.done_batch < batch {
            self.ended.wait(&mut state);
        }
        if state.done_batch >= batch {
            return None;
        }
        state.taken = true;
        Some(Taken { turn: self, done_batch: state.done_batch })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.turn.state.lock();
        state.taken = false;
        state.done_batch = state.done_batch.max(self.done_batch);
        drop(state);
        self.turn.ended.notify_all();
    }
}
