//! Who holds which lock: sixty-four stripes, each a small map behind a mutex of its own. Whatever
//! can be granted at once is granted here, and whatever nobody waits for is released here; the rest
//! is told to the caller, who goes on under the mutex of the waits.
//!
//! A lock stands in its map exactly as long as it has a holder. `queued` says that somebody waits
//! for it: it is changed under the mutex of the waits alone, and while it is set nobody becomes or
//! ceases to be a holder without that mutex. So whoever has it sees the contended locks stand still.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::sync::Mutex;
use super::terms::{Mode, OwnerId};

const STRIPES: usize = 64;
/// Places an empty stripe keeps; what a large batch needed beyond that is given back.
const STRIPE_PLACES_KEPT: usize = 256;

/// The holders of one lock.
#[derive(Debug, Default)]
pub(super) enum Holders {
    /// None, for as long as it takes to grant it to somebody else or to remove it.
    #[default]
    Free,
    /// One.
    One(OwnerId, Mode),
    /// Two or more, all shared, in ascending order: detection goes through them the same way each
    /// time, and thousands of readers of one key are found by bisection.
    Many(Vec<OwnerId>),
}

impl Holders {
    /// How `owner` holds the lock.
    pub fn mode_of(&self, owner: OwnerId) -> Option<Mode> {
        match self {
            Holders::One(holder, mode) if *holder == owner => Some(*mode),
            Holders::Many(holders) => holders.binary_search(&owner).ok().map(|_| Mode::Shared),
            _ => None,
        }
    }

    /// Whether `owner` may hold the lock in `mode` beside those who hold it already.
    pub fn admit(&self, owner: OwnerId, mode: Mode) -> bool {
        match self {
            Holders::Free => true,
            Holders::One(holder, held) => {
                *holder == owner || (mode, *held) == (Mode::Shared, Mode::Shared)
            }
            Holders::Many(_) => mode == Mode::Shared,
        }
    }

    /// Makes `owner`, who is admitted, a holder, or a holder in a stronger mode.
    pub fn add(&mut self, owner: OwnerId, mode: Mode) {
        match self {
            Holders::Free => *self = Holders::One(owner, mode),
            Holders::One(holder, held) if *holder == owner => *held = mode,
            Holders::One(holder, _) => {
                *self = Holders::Many(vec![owner.min(*holder), owner.max(*holder)]);
            }
            Holders::Many(holders) => {
                if let Err(place) = holders.binary_search(&owner) {
                    holders.insert(place, owner);
                }
            }
        }
    }

    /// Ends what `owner` holds.
    pub fn remove(&mut self, owner: OwnerId) {
        match self {
            Holders::One(holder, _) if *holder == owner => *self = Holders::Free,
            Holders::Many(holders) => {
                holders.retain(|holder| *holder != owner);
                if let [last] = holders[..] {
                    *self = Holders::One(last, Mode::Shared);
                }
            }
            _ => {}
        }
    }

    /// All holders in ascending order.
    pub fn owners(&self) -> &[OwnerId] {
        match self {
            Holders::Free => &[],
            Holders::One(holder, _) => std::slice::from_ref(holder),
            Holders::Many(holders) => holders,
        }
    }

    /// Whether the lock is held, and shared.
    pub fn are_shared(&self) -> bool {
        matches!(self, Holders::One(_, Mode::Shared) | Holders::Many(_))
    }
}

/// One lock.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Who holds it.
    pub holders: Holders,
    /// Whether somebody waits for it.
    pub queued: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A new holder.
    Granted,
    /// It held the lock already, or holds it in a stronger mode now: nothing more to release.
    Held,
    /// It has to wait; an upgrade of what it holds goes before all others.
    Busy {
        /// Whether it holds the lock, shared.
        upgrade: bool,
    },
}

impl Entry {
    /// The answer to a request, without carrying it out. Whoever does not hold the lock yet never
    /// passes by those who wait: its place among them is found under the mutex of the waits.
    fn answer(&self, owner: OwnerId, mode: Mode) -> Answer {
        match self.holders.mode_of(owner) {
            Some(held) if held == Mode::Exclusive || mode == Mode::Shared => Answer::Held,
            Some(_) if self.holders.admit(owner, mode) => Answer::Held,
            Some(_) => Answer::Busy { upgrade: true },
            None if !self.queued && self.holders.admit(owner, mode) => Answer::Granted,
            None => Answer::Busy { upgrade: false },
        }
    }

    fn take(&mut self, owner: OwnerId, mode: Mode) -> Answer {
        let answer = self.answer(owner, mode);
        let stronger = mode == Mode::Exclusive || answer == Answer::Granted;
        if stronger && !matches!(answer, Answer::Busy { .. }) {
            self.holders.add(owner, mode);
        }
        answer
    }
}

/// Locks are hashes already. Those of one stripe agree in their highest bits, which the map would
/// tell its entries apart by, so lower ones are mixed in.
#[derive(Debug, Default)]
struct LockHasher(u64);

impl Hasher for LockHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, lock: u64) {
        self.0 = lock ^ (lock << 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Locks = HashMap<u64, Entry, BuildHasherDefault<LockHasher>>;

/// A line of the processor's cache to itself: neighbours never slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(Mutex<Locks>);

/// All locks that are held.
#[derive(Debug)]
pub(super) struct Table {
    stripes: Vec<Stripe>,
}

fn stripe_of(lock: u64) -> usize {
    (lock >> 58) as usize % STRIPES
}

/// The first run of locks from `start` on that lie in one stripe; `locks` ascend.
fn run(locks: &[u64], start: usize) -> Range<usize> {
    let stripe = stripe_of(locks[start]);
    let rest = &locks[start..];
    let count = rest.iter().take_while(|lock| stripe_of(**lock) == stripe).count();
    start..start + count
}

impl Table {
    /// No locks.
    pub fn new() -> Self {
        Table { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }

    fn stripe(&self, lock: u64) -> &Mutex<Locks> {
        &self.stripes[stripe_of(lock)].0
    }

    /// Takes what can be had at once of `locks`, which ascend, up to the first that is busy; tells
    /// `taken` each that is new. Returns how many it got through.
    pub fn take_run(
        &self,
        owner: OwnerId,
        locks: &[u64],
        mode: Mode,
        mut taken: impl FnMut(u64),
    ) -> usize {
        let mut done = 0;
        while done < locks.len() {
            let run = run(locks, done);
            let mut stripe = self.stripe(locks[done]).lock();
            stripe.reserve(run.len());
            for lock in &locks[run] {
                match stripe.entry(*lock) {
                    Place::Vacant(place) => {
                        let holders = Holders::One(owner, mode);
                        place.insert(Entry { holders, queued: false });
                        taken(*lock);
                    }
                    Place::Occupied(mut place) => match place.get_mut().take(owner, mode) {
                        Answer::Granted => taken(*lock),
                        Answer::Held => {}
                        Answer::Busy { .. } => return done,
                    },
                }
                done += 1;
            }
        }
        done
    }

    /// Takes one lock, or notes that somebody waits for it. The caller has the waits.
    pub fn take_or_queue(&self, owner: OwnerId, lock: u64, mode: Mode) -> Answer {
        let mut stripe = self.stripe(lock).lock();
        let entry = stripe.entry(lock).or_default();
        let answer = entry.take(owner, mode);
        entry.queued |= matches!(answer, Answer::Busy { .. });
        answer
    }

    /// Releases those of `locks`, which ascend, that nobody waits for; returns the others.
    pub fn release_run(&self, owner: OwnerId, locks: &[u64]) -> Vec<u64> {
        let mut contended = Vec::new();
        let mut done = 0;
        while done < locks.len() {
            let run = run(locks, done);
            done = run.end;
            let mut stripe = self.stripe(locks[run.start]).lock();
            for lock in &locks[run] {
                let Place::Occupied(mut place) = stripe.entry(*lock) else { continue };
                let entry = place.get_mut();
                if entry.queued {
                    contended.push(*lock);
                    continue;
                }
                entry.holders.remove(owner);
                if matches!(entry.holders, Holders::Free) {
                    place.remove();
                }
            }
            if stripe.is_empty() && stripe.capacity() > STRIPE_PLACES_KEPT {
                stripe.shrink_to(STRIPE_PLACES_KEPT);
            }
        }
        contended
    }

    /// Changes one lock; afterwards it is gone if it has no holder. The caller has the waits.
    pub fn edit(&self, lock: u64, change: impl FnOnce(&mut Entry)) {
        let mut stripe = self.stripe(lock).lock();
        let Place::Occupied(mut place) = stripe.entry(lock) else { return };
        change(place.get_mut());
        if matches!(place.get().holders, Holders::Free) {
            place.remove();
        }
    }

    /// What `look` sees of the holders of one lock.
    pub fn look<T>(&self, lock: u64, look: impl FnOnce(&Holders) -> T) -> T {
        let stripe = self.stripe(lock).lock();
        look(stripe.get(&lock).map_or(&Holders::Free, |entry| &entry.holders))
    }

    /// Locks held.
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.0.lock().len()).sum()
    }
}
