//! One waiting thread: it sleeps until its outcome is delivered or its deadline has passed. An
//! outcome delivered before the sleep begins is found, so no wakeup is ever lost, and each delivery
//! wakes exactly the one thread it is for.

use std::time::Duration;

use super::sync::{Condvar, Mutex};
use super::terms::Deadline;
use crate::host::Clock;

/// How a wait ended, other than by its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was waited for is there.
    Granted,
    /// It is not, but the wait was only a courtesy and stood in a cycle: go ahead without.
    GoAhead,
    /// Chosen to break a cycle, which the sentence names.
    Victim(String),
}

/// Where a thread waits.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    outcome: Mutex<Option<Outcome>>,
    signal: Condvar,
}

impl Waiter {
    /// Ends the wait. Called at most once, under the mutex of the waits.
    pub fn deliver(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.signal.notify_one();
    }

    /// What was delivered so far.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().clone()
    }

    /// Sleeps until the outcome is there; `None` if the deadline passed first.
    pub fn wait(&self, clock: &dyn Clock, deadline: Deadline) -> Option<Outcome> {
        let mut outcome = self.outcome.lock();
        loop {
            if outcome.is_some() {
                return outcome.clone();
            }
            match deadline.left_us(clock.monotonic_us()) {
                Some(0) => return None,
                Some(left_us) => {
                    self.signal.wait_for(&mut outcome, Duration::from_micros(left_us));
                }
                None => self.signal.wait(&mut outcome),
            }
        }
    }
}
