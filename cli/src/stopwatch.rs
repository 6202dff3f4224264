//! How long something took, for people. The engine's clock is a trait so that its schedules can be
//! replayed; nothing here is replayed.

use std::time::{Duration, Instant};

/// Runs from the moment it is made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(clippy::disallowed_methods, reason = "measures the command, decides nothing")]
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start, to the millisecond.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_millis() as f64 / 1000.0
    }
}
