//! The search for a cycle of waits, as a pure function: who waits for whom is asked of the caller.
//! A cycle can close only when a wait begins and only through whoever begins it, because nobody
//! else's waits grow; so it is searched then, from there, and never again.
//!
//! Breadth first, so the cycle found is a shortest one. All who wait for one lock lead to the same
//! owners, its holders, so each lock is gone through once: a thousand waiters of one key cost what
//! one costs.

use std::collections::{HashMap, HashSet, VecDeque};

use super::terms::OwnerId;

/// Where one wait leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exits {
    /// The lock waited for, if it is one.
    pub lock: Option<u64>,
    /// Who must end first, in ascending order; the waiter itself may be among the holders of its
    /// lock and does not count.
    pub owners: Vec<OwnerId>,
    /// Who stands between: a reader that queues behind a writer waits for the writer, and the
    /// writer waits for the readers before it.
    pub via: Option<OwnerId>,
}

/// How each owner was reached: from which waiter, and over whom.
type Origins = HashMap<OwnerId, (OwnerId, Option<OwnerId>)>;

/// A shortest cycle of waits through `start`, beginning with it, each waiting for the next and the
/// last for the first. `exits` says where the wait of an owner leads, `None` if it does not wait.
pub(super) fn cycle_through(
    start: OwnerId,
    exits: impl Fn(OwnerId) -> Option<Exits>,
) -> Option<Vec<OwnerId>> {
    let mut origins = Origins::new();
    let mut seen_locks = HashSet::new();
    let mut frontier = VecDeque::from([start]);
    while let Some(waiter) = frontier.pop_front() {
        let Some(found) = exits(waiter) else { continue };
        if waiter != start && found.owners.binary_search(&start).is_ok() {
            return Some(path(&origins, start, waiter, found.via));
        }
        if found.lock.is_some_and(|lock| !seen_locks.insert(lock)) {
            continue;
        }
        for owner in found.owners {
            let new = owner != waiter && owner != start && !origins.contains_key(&owner);
            if new {
                origins.insert(owner, (waiter, found.via.filter(|via| *via != owner)));
                frontier.push_back(owner);
            }
        }
    }
    None
}

/// The way from `start` to `last`, which closes the cycle over `via`.
fn path(origins: &Origins, start: OwnerId, last: OwnerId, via: Option<OwnerId>) -> Vec<OwnerId> {
    let mut backwards: Vec<OwnerId> = via.filter(|via| *via != start).into_iter().collect();
    let mut at = last;
    while at != start {
        backwards.push(at);
        let (before, via) = origins[&at];
        backwards.extend(via.filter(|via| *via != start));
        at = before;
    }
    backwards.push(start);
    let mut cycle: Vec<OwnerId> = Vec::with_capacity(backwards.len());
    for owner in backwards.into_iter().rev() {
        // Whoever stands between may be on the way itself: then the detour is left out.
        match cycle.iter().position(|known| *known == owner) {
            Some(place) => cycle.truncate(place + 1),
            None => cycle.push(owner),
        }
    }
    cycle
}
