//! Time and randomness that a test decides: the clock moves only when told, and all bytes follow
//! from one seed. The same seed gives the same bytes on every machine and with every version of
//! the dependencies, because the generator is the one written out here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Background, Clock, Host, Random};
use crate::disk::Vfs;

impl Host {
    /// Surroundings that follow from `seed` and from what the test does to `vfs` and `clock`;
    /// background work is driven by the caller.
    pub fn simulated(vfs: Arc<dyn Vfs>, clock: SimClock, seed: u64) -> Self {
        Host {
            vfs,
            clock: Arc::new(clock),
            random: Arc::new(SimRandom::new(seed)),
            background: Background::Manual,
        }
    }
}

#[derive(Debug)]
struct Times {
    wall_us: AtomicI64,
    monotonic_us: AtomicU64,
}

/// A clock that stands still until it is moved. Clones share their time.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Times>);

impl SimClock {
    /// A clock that shows `wall_us` microseconds since the Unix epoch, and zero monotonic time.
    pub fn new(wall_us: i64) -> Self {
        let times = Times { wall_us: wall_us.into(), monotonic_us: 0.into() };
        SimClock(Arc::new(times))
    }

    /// Sets the wall clock alone, to any time: wall clocks jump.
    pub fn set_wall_us(&self, wall_us: i64) {
        self.0.wall_us.store(wall_us, Ordering::SeqCst);
    }

    /// Moves the wall clock alone, forth or back.
    pub fn advance_wall_us(&self, by_us: i64) {
        self.0.wall_us.fetch_add(by_us, Ordering::SeqCst);
    }

    /// Sets the monotonic clock alone; an earlier time than now is ignored.
    pub fn set_monotonic_us(&self, monotonic_us: u64) {
        self.0.monotonic_us.fetch_max(monotonic_us, Ordering::SeqCst);
    }

    /// Moves the monotonic clock alone.
    pub fn advance_monotonic_us(&self, by_us: u64) {
        self.0.monotonic_us.fetch_add(by_us, Ordering::SeqCst);
    }

    /// Lets time pass on both clocks.
    pub fn advance_us(&self, by_us: u64) {
        self.advance_monotonic_us(by_us);
        self.advance_wall_us(i64::try_from(by_us).unwrap_or(i64::MAX));
    }
}

impl Clock for SimClock {
    fn wall_us(&self) -> i64 {
        self.0.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.0.monotonic_us.load(Ordering::SeqCst)
    }
}

/// A stream of numbers that follows from its seed: SplitMix64 (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014). For simulations only.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Dice { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero if `bound` is zero. Its bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True `count` times out of `of`, on average.
    pub fn chance(&mut self, count: u64, of: u64) -> bool {
        self.below(of) < count
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.bits().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Random bytes that follow from a seed and the order of the calls. Clones share the stream.
#[derive(Clone, Debug)]
pub struct SimRandom(Arc<Mutex<Dice>>);

impl SimRandom {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        SimRandom(Arc::new(Mutex::new(Dice::new(seed))))
    }
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told_and_each_hand_alone() {
        let clock = SimClock::new(1_000);
        let shared = clock.clone();
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (1_000, 0));
        shared.advance_us(5);
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (1_005, 5));
        shared.set_wall_us(-7);
        shared.advance_wall_us(-3);
        shared.advance_monotonic_us(10);
        assert_eq!((clock.wall_us(), clock.monotonic_us()), (-10, 15));
    }

    #[test]
    fn monotonic_time_never_goes_back() {
        let clock = SimClock::new(0);
        clock.set_monotonic_us(100);
        clock.set_monotonic_us(50);
        assert_eq!(clock.monotonic_us(), 100);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_for_ever() {
        let mut first = [0; 20];
        SimRandom::new(0).fill(&mut first);
        // The published first outputs of SplitMix64 from state zero.
        assert_eq!(first[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
        assert_eq!(first[8..16], 0x6e78_9e6a_a1b9_65f4_u64.to_le_bytes());
        let mut other = [0; 20];
        SimRandom::new(1).fill(&mut other);
        assert_ne!(first, other);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut dice = Dice::new(3);
        assert!((0..1000).all(|_| dice.below(7) < 7));
        assert_eq!(dice.below(0), 0);
    }
}
