//! The primitives of `sync.rs` over shuttle's, which hands the processor from thread to thread as
//! its random schedule says, and reports a schedule in which nobody can go on.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

pub use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A mutex without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: &self.0,
            guard: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// Its guard; a wait takes the inner guard out and puts another one in.
pub struct MutexGuard<'a, T> {
    mutex: &'a shuttle::sync::Mutex<T>,
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("held outside a wait")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("held outside a wait")
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.guard.take().expect("held outside a wait");
        let again = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        guard.guard = Some(again);
    }

    /// Shuttle knows no time: a wait with an end wakes at once, as condition variables may, when
    /// the others have had their turn. The clock of the schedules goes on by being looked at.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
        drop(guard.guard.take());
        shuttle::thread::yield_now();
        guard.guard = Some(guard.mutex.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }
}
