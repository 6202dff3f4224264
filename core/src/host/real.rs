//! The surroundings of production: the system's clocks and a strong random generator per thread.
//!
//! Random bytes come from ChaCha12, seeded by the operating system and seeded again every 64 KiB,
//! so a salt costs nanoseconds and threads never wait for each other. A forked child that opens a
//! database of its own starts a stream of its own: salts of parent and child never repeat.

#![allow(clippy::disallowed_methods)] // This file is where the system's clocks are read.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use super::{Background, Clock, Host, Random};
use crate::disk::real::RealVfs;

/// Bytes drawn from one seed. A seed costs one system call, which this makes invisible.
const RESEED_BYTES: usize = 64 << 10;

impl Host {
    /// Real files, clocks and randomness; background work on own threads.
    pub fn real() -> Self {
        Host {
            vfs: Arc::new(RealVfs::new()),
            clock: Arc::new(RealClock::new()),
            random: Arc::new(RealRandom::new()),
            background: Background::Threads,
        }
    }
}

/// The system's wall and monotonic clocks.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        RealClock { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn wall_us(&self) -> i64 {
        let micros =
            |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }

    fn monotonic_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

/// Cryptographically strong random bytes, one stream per thread.
#[derive(Clone, Copy, Debug)]
pub struct RealRandom {
    process: u32,
}

impl RealRandom {
    /// A source for the process that calls this. After a fork the child makes its own.
    pub fn new() -> Self {
        RealRandom { process: std::process::id() }
    }
}

impl Default for RealRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for RealRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let streamed = STREAM.try_with(|stream| {
            let mut stream = stream.borrow_mut();
            match &mut *stream {
                Some(stream) if stream.serves(self.process, bytes.len()) => stream,
                stale => stale.insert(Stream::seeded()),
            }
            .fill(bytes);
        });
        // The thread is ending and its stream is gone: ask the system for these bytes alone.
        if streamed.is_err() {
            system_bytes(bytes);
        }
    }
}

thread_local! {
    static STREAM: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

struct Stream {
    generator: StdRng,
    process: u32,
    left_bytes: usize,
}

impl Stream {
    fn seeded() -> Self {
        let mut seed = <StdRng as SeedableRng>::Seed::default();
        system_bytes(&mut seed);
        Stream {
            generator: StdRng::from_seed(seed),
            process: std::process::id(),
            left_bytes: RESEED_BYTES,
        }
    }

    // The process id is compared with the caller's, noted when its host was made, because asking
    // the system at every call would cost more than the bytes.
    fn serves(&self, process: u32, count: usize) -> bool {
        self.process == process && self.left_bytes >= count.min(RESEED_BYTES)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
        self.left_bytes = self.left_bytes.saturating_sub(bytes.len());
    }
}

/// Bytes from the operating system itself.
fn system_bytes(bytes: &mut [u8]) {
    // Salts must never be guessable, so there is nothing to fall back to.
    SysRng.try_fill_bytes(bytes).expect("the operating system provides random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salt(random: &RealRandom) -> [u8; 16] {
        let mut salt = [0; 16];
        random.fill(&mut salt);
        salt
    }

    #[test]
    fn salts_do_not_repeat_within_or_across_threads() {
        let random = RealRandom::new();
        let draw = move || (0..10_000).map(|_| salt(&random)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut salts: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        salts.extend(draw());
        let count = salts.len();
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), count);
    }

    #[test]
    fn a_source_of_another_process_gets_another_stream() {
        let mine = Stream::seeded();
        assert!(mine.serves(std::process::id(), 16));
        assert!(!mine.serves(std::process::id() + 1, 16));
    }

    #[test]
    fn a_stream_is_seeded_again_when_used_up() {
        let mut stream = Stream::seeded();
        stream.fill(&mut vec![0; RESEED_BYTES - 8]);
        assert!(!stream.serves(stream.process, 16));
        assert!(Stream::seeded().serves(stream.process, 10 * RESEED_BYTES), "no endless reseeding");
    }

    #[test]
    fn the_clocks_run_forward_from_this_century() {
        let clock = RealClock::new();
        assert!(clock.wall_us() > 1_700_000_000_000_000);
        let first = clock.monotonic_us();
        assert!(clock.monotonic_us() >= first);
    }
}
