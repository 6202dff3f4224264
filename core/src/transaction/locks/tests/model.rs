//! The room beside a model so plain that it is obviously right: every edge of the wait-for graph
//! written out, every cycle looked for everywhere. One thread makes all requests and nobody sleeps,
//! so each of thousands of states is compared exactly: who holds, who waits, who is a victim.

use std::collections::{BTreeMap, BTreeSet};

use super::super::manager::Inner;
use super::super::predicates::{Covered, EntryRef, Overtaken, SlotNumber};
use super::super::table::Answer;
use super::super::waiter::{Outcome, Waiter};
use super::super::waits::{Queued, Wish};
use super::*;
use crate::collection::CollectionId;
use crate::doc;
use crate::document::Document;
use crate::host::simulated::Dice;
use Mode::{Exclusive, Shared};

const COLLECTION: CollectionId = CollectionId([1; 16]);

#[derive(Debug, Default)]
struct PlainLock {
    holders: BTreeMap<OwnerId, Mode>,
    /// Who waits in which mode, the next one first.
    queue: Vec<(OwnerId, Mode)>,
}

#[derive(Debug, Default)]
struct Plain {
    locks: BTreeMap<u64, PlainLock>,
    /// Owners that hold a predicate over everything.
    scanners: BTreeSet<OwnerId>,
    /// Writers, each with the scanners it waits for.
    blocked: BTreeMap<OwnerId, BTreeSet<OwnerId>>,
    /// Writers that have left word of what they write.
    intents: BTreeSet<OwnerId>,
    /// Scanners that wait out of courtesy, each with the writers that came before.
    courteous: BTreeMap<OwnerId, BTreeSet<OwnerId>>,
}

/// Takes `gone` out of what others wait for; returns who waits for nothing any more.
fn strike(waits: &mut BTreeMap<OwnerId, BTreeSet<OwnerId>>, gone: OwnerId) -> Vec<OwnerId> {
    let mut free = Vec::new();
    waits.retain(|waiter, left| {
        left.remove(&gone);
        free.extend(left.is_empty().then_some(*waiter));
        !left.is_empty()
    });
    free
}

fn compatible(left: Mode, right: Mode) -> bool {
    left == Shared && right == Shared
}

impl PlainLock {
    fn admits(&self, owner: OwnerId, mode: Mode) -> bool {
        let mut others = self.holders.iter().filter(|(holder, _)| **holder != owner);
        others.all(|(_, held)| compatible(*held, mode))
    }

    /// Grants to the first in the queue as long as that is possible; returns whom.
    fn grant(&mut self) -> Vec<OwnerId> {
        let mut granted = Vec::new();
        while let Some((owner, mode)) = self.queue.first().copied() {
            if !self.admits(owner, mode) {
                break;
            }
            self.holders.insert(owner, mode);
            self.queue.remove(0);
            granted.push(owner);
        }
        granted
    }
}

impl Plain {
    /// True if granted at once.
    fn request(&mut self, owner: OwnerId, lock: u64, mode: Mode) -> bool {
        let lock = self.locks.entry(lock).or_default();
        let held = lock.holders.get(&owner).copied();
        if held == Some(Exclusive) || held == Some(mode) {
            return true;
        }
        if held.is_some() && lock.admits(owner, mode) {
            lock.holders.insert(owner, mode);
            return true;
        }
        lock.queue.push((owner, mode));
        // Upgrades first, in the order they came; then the oldest.
        let holders = &lock.holders;
        lock.queue.sort_by_key(|(waiter, _)| match holders.contains_key(waiter) {
            true => (0, OwnerId(0)),
            false => (1, *waiter),
        });
        let granted = lock.grant();
        assert!(granted.is_empty() || granted == [owner]);
        !granted.is_empty()
    }

    /// Every owner that `owner` waits for: incompatible holders, and incompatible waiters before it.
    fn edges(&self, owner: OwnerId) -> BTreeSet<OwnerId> {
        let waits = [&self.blocked, &self.courteous].map(|waits| waits.get(&owner));
        let mut edges: BTreeSet<OwnerId> = waits.into_iter().flatten().flatten().copied().collect();
        for lock in self.locks.values() {
            let Some(place) = lock.queue.iter().position(|(waiter, _)| *waiter == owner) else {
                continue;
            };
            let mode = lock.queue[place].1;
            let before = lock.queue[..place].iter().map(|(owner, mode)| (owner, mode));
            let others = lock.holders.iter().chain(before);
            edges.extend(
                others.filter(|(_, held)| !compatible(**held, mode)).map(|(other, _)| *other),
            );
        }
        edges.remove(&owner);
        edges
    }

    fn is_in_a_cycle(&self, start: OwnerId) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(owner) = open.pop() {
            for next in self.edges(owner) {
                if next == start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    }

    fn waiting(&self) -> BTreeSet<OwnerId> {
        let queues = self.locks.values().flat_map(|lock| &lock.queue).map(|(owner, _)| *owner);
        let entries = self.blocked.keys().chain(self.courteous.keys()).copied();
        queues.chain(entries).collect()
    }

    /// Takes `owner` out of whatever it waits for; returns who is granted something by that.
    fn stop_waiting(&mut self, owner: OwnerId) -> Vec<OwnerId> {
        self.blocked.remove(&owner);
        self.courteous.remove(&owner);
        let mut granted = Vec::new();
        for lock in self.locks.values_mut() {
            lock.queue.retain(|(waiter, _)| *waiter != owner);
            granted.extend(lock.grant());
        }
        granted
    }

    fn end(&mut self, owner: OwnerId) -> Vec<OwnerId> {
        let mut granted = self.stop_waiting(owner);
        for lock in self.locks.values_mut() {
            lock.holders.remove(&owner);
            granted.extend(lock.grant());
        }
        self.locks.retain(|_, lock| !lock.holders.is_empty());
        self.scanners.remove(&owner);
        granted.extend(strike(&mut self.blocked, owner));
        granted.extend(self.withdraw(owner));
        granted
    }

    /// Takes back the word `owner` left of its writes.
    fn withdraw(&mut self, owner: OwnerId) -> Vec<OwnerId> {
        self.intents.remove(&owner);
        strike(&mut self.courteous, owner)
    }
}

/// The real one and the plain one, driven together.
struct Pair {
    manager: LockManager,
    plain: Plain,
    owners: BTreeMap<OwnerId, Owner>,
    waiters: BTreeMap<OwnerId, Arc<Waiter>>,
    /// Where the entries of the collection lie.
    slot: Option<SlotNumber>,
    victims: u64,
    timeouts: u64,
    gone_ahead: u64,
}

impl Pair {
    fn of(manager: LockManager) -> Self {
        Pair {
            manager,
            plain: Plain::default(),
            owners: BTreeMap::new(),
            waiters: BTreeMap::new(),
            slot: None,
            victims: 0,
            timeouts: 0,
            gone_ahead: 0,
        }
    }

    fn inner(&self) -> Arc<Inner> {
        self.manager.0.clone()
    }

    fn request(&mut self, id: OwnerId, lock: u64, mode: Mode) {
        let inner = self.inner();
        let mut waits = inner.waits.lock();
        let answer = inner.table.take_or_queue(id, lock, mode);
        let free = self.plain.request(id, lock, mode);
        let waiter = match answer {
            Answer::Granted | Answer::Held => None,
            Answer::Busy { upgrade } => {
                let waiter = inner.queue(&mut waits, lock, Queued { owner: id, mode, upgrade });
                Some(waiter).filter(|waiter| waiter.outcome() != Some(Outcome::Granted))
            }
        };
        drop(waits);
        assert_eq!(free, waiter.is_none(), "{id} {mode} {lock}");
        match waiter {
            Some(waiter) => {
                self.waiters.insert(id, waiter);
                self.break_cycles(id);
            }
            None => self.note_held(id),
        }
    }

    fn write(&mut self, id: OwnerId) {
        let inner = self.inner();
        let document = doc! {};
        let covered = inner.predicates.covering(id, COLLECTION, [(&b"k"[..], &document)]);
        let by = covered.as_ref().map(|covered| &covered.by[..]).unwrap_or_default();
        let others: BTreeSet<OwnerId> =
            self.plain.scanners.iter().copied().filter(|scanner| *scanner != id).collect();
        let found: BTreeSet<OwnerId> = by.iter().map(|entry| entry.owner).collect();
        assert_eq!(found, others);
        let Some(Covered { by, intent, .. }) = covered else { return };
        let slot = inner.predicates.intend(id, COLLECTION, intent, false);
        self.slot = Some(slot);
        self.owners.get_mut(&id).expect("lives").note_slot(slot);
        self.plain.intents.insert(id);
        let watched = |entry: &EntryRef| inner.predicates.watch(entry);
        assert!(by.iter().all(watched));
        self.waiters.insert(id, inner.waits.lock().watch(id, by, Wish::Write));
        self.plain.blocked.insert(id, others);
        self.break_cycles(id);
    }

    fn scan(&mut self, id: OwnerId, go_ahead: bool) {
        let inner = self.inner();
        let everything: Arc<dyn Predicate> = Arc::new(|_: &[u8], _: &Document| true);
        let mut first: BTreeSet<OwnerId> = BTreeSet::new();
        if !go_ahead && !self.plain.scanners.contains(&id) {
            first.extend(self.plain.intents.iter().filter(|writer| **writer != id));
        }
        match inner.predicates.add(id, COLLECTION, everything, go_ahead) {
            Ok(slot) => {
                assert!(first.is_empty(), "{id} overtakes {first:?}");
                self.owners.get_mut(&id).expect("lives").note_slot(slot);
                self.plain.scanners.insert(id);
            }
            Err(Overtaken { by, firm }) => {
                assert!(!firm, "nobody prepares here");
                let found: BTreeSet<OwnerId> = by.iter().map(|entry| entry.owner).collect();
                assert_eq!(found, first);
                assert!(by.iter().all(|entry| inner.predicates.watch(entry)));
                self.waiters.insert(id, inner.waits.lock().watch(id, by, Wish::Yield));
                self.plain.courteous.insert(id, first);
                self.break_cycles(id);
            }
        }
    }

    /// The time of a wait is over.
    fn time_out(&mut self, id: OwnerId) {
        let waiter = self.waiters.remove(&id).expect("it waits");
        let error = self.inner().give_up(id, &waiter).expect_err("nothing was delivered");
        assert_eq!(error.code(), Code::LockTimeout);
        self.timeouts += 1;
        self.refused(id);
    }

    /// What follows for the others when the wait of `id` has failed.
    fn refused(&mut self, id: OwnerId) {
        let of_entries =
            self.plain.blocked.contains_key(&id) || self.plain.courteous.contains_key(&id);
        let granted = self.plain.stop_waiting(id);
        self.expect_granted(granted);
        if of_entries {
            self.inner().withdraw(id, self.slot.as_slice());
            let granted = self.plain.withdraw(id);
            self.expect_granted(granted);
        }
    }

    /// Ends cycles through `start` one by one, each compared with the model.
    fn break_cycles(&mut self, start: OwnerId) {
        let inner = self.inner();
        loop {
            let mut waits = inner.waits.lock();
            let found = inner.cycle(&waits, start);
            assert_eq!(found.is_some(), self.plain.is_in_a_cycle(start), "{start} {found:?}");
            let Some(cycle) = found else { return };
            let members: BTreeSet<OwnerId> = cycle.iter().copied().collect();
            assert_eq!((cycle[0], members.len()), (start, cycle.len()), "{cycle:?}");
            for (owner, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                assert!(self.plain.edges(*owner).contains(next), "{owner} {next} of {cycle:?}");
            }
            inner.break_cycle(&mut waits, &cycle);
            drop(waits);
            let courteous =
                cycle.iter().copied().find(|owner| self.plain.courteous.contains_key(owner));
            let ended = courteous.unwrap_or(*members.last().expect("members"));
            let waiter = self.waiters.remove(&ended).expect("whoever gives way waits");
            if courteous.is_some() {
                assert_eq!(waiter.outcome(), Some(Outcome::GoAhead));
                self.gone_ahead += 1;
                let granted = self.plain.stop_waiting(ended);
                self.expect_granted(granted);
                self.scan(ended, true);
            } else {
                assert!(matches!(waiter.outcome(), Some(Outcome::Victim(_))));
                self.victims += 1;
                self.refused(ended);
            }
        }
    }

    fn end(&mut self, id: OwnerId) {
        drop(self.owners.remove(&id));
        let granted = self.plain.end(id);
        self.expect_granted(granted);
    }

    /// What `id` has to release in the end.
    fn note_held(&mut self, id: OwnerId) {
        let held = self.plain.locks.iter().filter(|(_, lock)| lock.holders.contains_key(&id));
        let held = held.map(|(lock, _)| *lock).collect();
        self.owners.get_mut(&id).expect("lives").set_held(held);
    }

    fn expect_granted(&mut self, granted: Vec<OwnerId>) {
        for id in granted {
            let waiter = self.waiters.remove(&id).expect("whoever is granted waited");
            assert_eq!(waiter.outcome(), Some(Outcome::Granted), "{id}");
            self.note_held(id);
        }
        assert!(self.waiters.values().all(|waiter| waiter.outcome().is_none()));
    }

    fn compare(&self) {
        for lock in 0..LOCKS {
            let holders = self.inner().table.look(lock, |holders| holders.owners().to_vec());
            let plain = self.plain.locks.get(&lock);
            let plain: Vec<OwnerId> =
                plain.map(|lock| lock.holders.keys().copied().collect()).unwrap_or_default();
            assert_eq!(holders, plain, "lock {lock}");
        }
        let waiting = self.plain.waiting();
        assert_eq!(self.manager.figures().waiting, waiting.len());
        assert!(self.waiters.keys().eq(waiting.iter()));
    }
}

const LOCKS: u64 = 8;

#[test]
fn every_state_of_long_random_histories_agrees_with_a_plain_model() {
    let (mut victims, mut timeouts, mut gone_ahead) = (0, 0, 0);
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let manager = manager();
        let mut pair = Pair::of(manager);
        for _ in 0..500 {
            let free: Vec<OwnerId> = pair.owners.keys().copied().collect();
            let free: Vec<OwnerId> =
                free.into_iter().filter(|id| !pair.waiters.contains_key(id)).collect();
            let chosen = free.get(dice.below(free.len() as u64) as usize).copied();
            match (dice.below(20), chosen) {
                (0..2, _) | (_, None) if pair.owners.len() < 14 => {
                    let owner = pair.manager.begin();
                    pair.owners.insert(owner.id(), owner);
                }
                (2..14, Some(id)) => {
                    let mode = if dice.chance(1, 2) { Shared } else { Exclusive };
                    pair.request(id, dice.below(LOCKS), mode);
                }
                (14, Some(id)) => pair.scan(id, false),
                (15..17, Some(id)) => pair.write(id),
                (17, _) if !pair.waiters.is_empty() => {
                    let place = dice.below(pair.waiters.len() as u64) as usize;
                    let id = *pair.waiters.keys().nth(place).expect("below their number");
                    pair.time_out(id);
                }
                (_, Some(id)) => pair.end(id),
                (_, None) => unreachable!("a graph without cycles has somebody who does not wait"),
            }
            pair.compare();
        }
        while let Some(id) = pair.owners.keys().copied().find(|id| !pair.waiters.contains_key(id)) {
            pair.end(id);
            pair.compare();
        }
        assert!(pair.owners.is_empty());
        assert_eq!(pair.manager.figures(), LockFigures::default());
        victims += pair.victims;
        timeouts += pair.timeouts;
        gone_ahead += pair.gone_ahead;
    }
    println!("{victims} victims, {timeouts} timeouts, {gone_ahead} courtesies given up");
    assert!(victims > 1000 && timeouts > 1000 && gone_ahead > 100);
}
