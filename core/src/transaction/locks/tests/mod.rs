//! The claims of the room, tried with threads; `model` compares it step by step with a plain one,
//! `schedules` tries it under thousands of orders, and `speed` measures.

#![allow(clippy::disallowed_methods)] // How long real threads take is asked of the real clock.

mod contention;
mod deadlock;
mod endings;
mod exclusion;
mod explored;
mod model;
mod predicate;
mod prepared;
mod scanned;
mod schedules;
mod speed;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::*;
use crate::error::{Code, Result};
use crate::host::Background;
use crate::host::real::RealClock;

/// Far beyond what any wait here takes: reaching it is a failure, and not a hanging test.
const PATIENCE: Duration = Duration::from_secs(30);

/// When waits end that should have ended long before, by a clock that began with its manager: a test
/// that has failed ends too, and does not wait for threads that wait for it.
const SOME_DAY: Deadline = Deadline::at_us(100_000_000);

fn manager() -> LockManager {
    LockManager::new(Arc::new(RealClock::new()), Background::Threads)
}

/// Lets other threads run until `count` owners wait.
fn until_waiting(manager: &LockManager, count: usize) {
    let start = Instant::now();
    while manager.figures().waiting != count {
        assert!(start.elapsed() < PATIENCE, "{count} should wait: {:?}", manager.figures());
        std::thread::yield_now();
    }
}

/// A lock taken on a thread of its own, which hands the owner back.
struct Taking(Receiver<(Owner, Result<()>)>);

impl Taking {
    /// Starts and returns when it waits, being the `waiting`th to do so.
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        manager: &LockManager,
        mut owner: Owner,
        take: impl FnOnce(&mut Owner) -> Result<()> + Send + 'scope,
        waiting: usize,
    ) -> Taking {
        let (send, receive) = channel();
        scope.spawn(move || {
            let result = take(&mut owner);
            // A test that has failed no longer listens.
            let _ = send.send((owner, result));
        });
        until_waiting(manager, waiting);
        Taking(receive)
    }

    fn is_over(&self) -> Option<(Owner, Result<()>)> {
        self.0.try_recv().ok()
    }

    fn end(self) -> (Owner, Result<()>) {
        self.0.recv_timeout(PATIENCE).expect("the wait ends")
    }

    fn granted(self) -> Owner {
        let (owner, result) = self.end();
        result.expect("granted");
        owner
    }

    fn refused(self) -> (Owner, crate::error::Error) {
        let (owner, result) = self.end();
        (owner, result.expect_err("refused"))
    }
}

/// Takes one lock for as long as it takes.
fn taking(lock: u64, mode: Mode) -> impl FnOnce(&mut Owner) -> Result<()> + Send {
    move |owner| owner.lock(lock, mode, SOME_DAY)
}

/// An owner that holds `lock`.
fn holding(manager: &LockManager, lock: u64, mode: Mode) -> Owner {
    let mut owner = manager.begin();
    owner.lock(lock, mode, SOME_DAY).expect("free");
    owner
}
