//! Counters of what was done with a collection and how long it took: plain atomics, added to on the
//! way and read at any time. They are written down with each restart point and at close, so they
//! are exact across restarts, and after a crash lack only what came since the last restart point.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::host::Clock;

/// Looking at the clock costs a tenth of a hot read: one call in so many is timed for all.
const TIMED_ONE_IN: u64 = 16;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Calls that insert, single or bulk (a bulk batch counts as one).
    Insert,
    /// Calls that append a revision.
    Put,
    /// Point reads.
    Get,
    /// Scans by key begun.
    Scan,
    /// Queries begun.
    Find,
}

impl Operation {
    /// All of them, in the order in which they are written down.
    pub const ALL: [Operation; 5] =
        [Operation::Insert, Operation::Put, Operation::Get, Operation::Scan, Operation::Find];

    /// The word in statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Scan => "scan",
            Operation::Find => "find",
        }
    }
}

/// Numbers of one collection, as written down.
pub const COUNTERS: usize = 2 * Operation::ALL.len() + 2;

/// The running counters of one collection.
#[derive(Debug, Default)]
pub struct Operations {
    counters: [AtomicU64; COUNTERS],
}

/// One kind of operation in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationStats {
    /// Calls.
    pub count: u64,
    /// Microseconds they took in all, estimated from one call in sixteen; divided by the count, the
    /// mean latency.
    pub total_us: u64,
}

const ACCEPTED: usize = 2 * Operation::ALL.len();
const REJECTED: usize = ACCEPTED + 1;

impl Operations {
    /// Counts a call that begins; tells when, if this one is to be timed.
    pub fn begin(&self, operation: Operation, clock: &dyn Clock) -> Option<u64> {
        let before = self.counters[2 * operation as usize].fetch_add(1, Ordering::Relaxed);
        before.is_multiple_of(TIMED_ONE_IN).then(|| clock.monotonic_us())
    }

    /// Counts a call whose work is done as its results are read, and is not timed.
    pub fn count(&self, operation: Operation) {
        self.counters[2 * operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the time of a call that [`Operations::begin`] wants timed.
    pub fn end(&self, operation: Operation, begun_us: Option<u64>, clock: &dyn Clock) {
        if let Some(begun_us) = begun_us {
            let elapsed_us = clock.monotonic_us().saturating_sub(begun_us);
            let at = 2 * operation as usize + 1;
            self.counters[at].fetch_add(elapsed_us * TIMED_ONE_IN, Ordering::Relaxed);
        }
    }

    /// Counts a document that passed, or broke, the schema.
    pub fn note_validation(&self, passed: bool) {
        let at = if passed { ACCEPTED } else { REJECTED };
        self.counters[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Calls and their time.
    pub fn of(&self, operation: Operation) -> OperationStats {
        let at = 2 * operation as usize;
        OperationStats {
            count: self.counters[at].load(Ordering::Relaxed),
            total_us: self.counters[at + 1].load(Ordering::Relaxed),
        }
    }

    /// Documents that passed and that broke the schema.
    pub fn validation(&self) -> (u64, u64) {
        let read = |at: usize| self.counters[at].load(Ordering::Relaxed);
        (read(ACCEPTED), read(REJECTED))
    }

    /// All counters, to be written down.
    pub fn to_array(&self) -> [u64; COUNTERS] {
        std::array::from_fn(|at| self.counters[at].load(Ordering::Relaxed))
    }

    /// Goes on from counters that were written down.
    pub fn restore(&self, counters: &[u64; COUNTERS]) {
        for (counter, value) in self.counters.iter().zip(counters) {
            counter.store(*value, Ordering::Relaxed);
        }
    }
}
