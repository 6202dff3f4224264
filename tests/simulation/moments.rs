//! The disk as it was before each operation of a session, with the history of that instant. One run
//! of a workload gives all moments at which it could have crashed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use blockdb::disk::simulated::{Op, SimDisk};

use super::history::History;

/// One instant of a session.
#[derive(Clone)]
pub struct Moment {
    /// Its number within the recording.
    pub number: u64,
    /// The step of the script that was under way.
    pub step: usize,
    /// The operation that had not happened yet; `None` at the very end.
    pub next: Option<Op>,
    /// The disk, as a killed process would leave it.
    pub disk: SimDisk,
    /// What was acknowledged and what was in doubt.
    pub history: Arc<History>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moment {} (script step {}", self.number, self.step)?;
        match &self.next {
            Some(op) => {
                write!(
                    f,
                    ", before {:?} {} at {} of {} bytes)",
                    op.kind,
                    op.path.display(),
                    op.offset,
                    op.len
                )
            }
            None => write!(f, ", at the end)"),
        }
    }
}

#[derive(Default)]
struct Recording {
    history: Arc<History>,
    step: usize,
    count: u64,
    only: Option<u64>,
    count_only: bool,
    moments: Vec<Moment>,
}

/// Gathers moments while a session runs. Clones share what they gather.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    /// A recorder of every moment.
    pub fn new() -> Self {
        Self::default()
    }

    /// A recorder that only counts.
    pub fn counting() -> Self {
        let recorder = Self::default();
        recorder.with(|recording| recording.count_only = true);
        recorder
    }

    /// A recorder of one moment.
    pub fn of_one(number: u64) -> Self {
        let recorder = Self::default();
        recorder.with(|recording| recording.only = Some(number));
        recorder
    }

    fn with<T>(&self, act: impl FnOnce(&mut Recording) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records every operation of `disk` from now on.
    pub fn watch(&self, disk: &SimDisk) {
        let recorder = self.clone();
        let observer = move |disk: &SimDisk, op: &Op| recorder.take(disk, Some(op.clone()));
        disk.observe(Some(Arc::new(observer)));
    }

    /// Takes a moment now.
    pub fn take(&self, disk: &SimDisk, next: Option<Op>) {
        self.with(|recording| {
            let number = recording.count;
            recording.count += 1;
            if recording.count_only || recording.only.is_some_and(|only| only != number) {
                return;
            }
            let (step, history) = (recording.step, recording.history.clone());
            let disk = disk.process_crash_image();
            recording.moments.push(Moment { number, step, next, disk, history });
        });
    }

    /// From now on moments have this history.
    pub fn publish(&self, history: &History) {
        self.with(|recording| recording.history = Arc::new(history.clone()));
    }

    /// From now on moments belong to this step of the script.
    pub fn begin_step(&self, step: usize) {
        self.with(|recording| recording.step = step);
    }

    /// Moments seen so far, kept or not.
    pub fn count(&self) -> u64 {
        self.with(|recording| recording.count)
    }

    /// All that were kept.
    pub fn into_moments(self) -> Vec<Moment> {
        self.with(|recording| std::mem::take(&mut recording.moments))
    }
}
