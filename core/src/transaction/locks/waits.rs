//! Who waits, for what, and in which order: the queue of each contended lock, and who watches which
//! entry of the predicates. All of it lies behind one mutex, which is touched only when somebody
//! has to wait and when something somebody waits for is released.
//!
//! The edges of the wait-for graph are not stored: they follow from the queues here and from the
//! holders in the table, so they can never be out of date.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::predicates::EntryRef;
use super::table::Holders;
use super::terms::{Mode, OwnerId};
use super::waiter::{Outcome, Waiter};

/// What an owner waits to do when entries of the predicates have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Write what predicates cover.
    Write,
    /// Scan over writes that are prepared.
    Scan,
    /// Scan over writes that wait: only so that whoever came before is not overtaken for ever.
    Yield,
}

/// What an owner waits for; an owner waits for one thing at a time.
#[derive(Clone, Debug)]
pub(super) enum On {
    /// A lock.
    Lock {
        /// Which.
        lock: u64,
        /// How it wants it.
        mode: Mode,
    },
    /// The end of predicates that cover its writes, or of writes that its scan covers.
    Entries {
        /// Those that are still there.
        left: Vec<EntryRef>,
        /// What it will do then.
        wish: Wish,
    },
}

impl On {
    /// What is waited for, in words.
    pub fn told(&self) -> String {
        match self {
            On::Lock { lock, mode } => format!("{mode} lock {lock:016x}"),
            On::Entries { wish: Wish::Write, .. } => "a scan that covers what it writes".to_owned(),
            On::Entries { wish: Wish::Scan, .. } => "prepared writes its scan covers".to_owned(),
            On::Entries { wish: Wish::Yield, .. } => "earlier writes its scan covers".to_owned(),
        }
    }
}

/// A place in the queue of a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    /// Who.
    pub owner: OwnerId,
    /// How it wants the lock.
    pub mode: Mode,
    /// Whether it holds the lock already, shared.
    pub upgrade: bool,
}

#[derive(Debug)]
struct Wait {
    waiter: Arc<Waiter>,
    on: On,
}

/// All waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    waiting: HashMap<OwnerId, Wait>,
    queues: HashMap<u64, VecDeque<Queued>>,
    watchers: HashMap<u64, Vec<OwnerId>>,
}

impl Waits {
    /// Queues for a lock: an upgrade behind other upgrades alone, all others by their age.
    pub fn queue(&mut self, lock: u64, request: Queued) -> Arc<Waiter> {
        let queue = self.queues.entry(lock).or_default();
        let goes_before = |queued: &&Queued| match request.upgrade {
            true => !queued.upgrade,
            false => !queued.upgrade && queued.owner > request.owner,
        };
        let behind = queue.iter().rev().take_while(goes_before).count();
        queue.insert(queue.len() - behind, request);
        self.begin(request.owner, On::Lock { lock, mode: request.mode })
    }

    /// Waits for the end of every entry of `left`.
    pub fn watch(&mut self, owner: OwnerId, left: Vec<EntryRef>, wish: Wish) -> Arc<Waiter> {
        for entry in &left {
            self.watchers.entry(entry.id).or_default().push(owner);
        }
        self.begin(owner, On::Entries { left, wish })
    }

    fn begin(&mut self, owner: OwnerId, on: On) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter::default());
        let before = self.waiting.insert(owner, Wait { waiter: waiter.clone(), on });
        debug_assert!(before.is_none(), "an owner waits for one thing at a time");
        waiter
    }

    /// What `owner` waits for.
    pub fn on(&self, owner: OwnerId) -> Option<&On> {
        self.waiting.get(&owner).map(|wait| &wait.on)
    }

    /// Who waits for `lock` first.
    pub fn first(&self, lock: u64) -> Option<Queued> {
        self.queues.get(&lock)?.front().copied()
    }

    /// Takes `owner` out of wherever it waits. Those behind it in a queue may be grantable now.
    pub fn remove(&mut self, owner: OwnerId) -> Option<(Arc<Waiter>, On)> {
        let Wait { waiter, on } = self.waiting.remove(&owner)?;
        match &on {
            On::Lock { lock, .. } => {
                if let Some(queue) = self.queues.get_mut(lock) {
                    queue.retain(|queued| queued.owner != owner);
                }
            }
            On::Entries { left, .. } => {
                for entry in left {
                    self.unwatch(entry.id, owner);
                }
            }
        }
        Some((waiter, on))
    }

    fn unwatch(&mut self, id: u64, owner: OwnerId) {
        if let Some(watchers) = self.watchers.get_mut(&id) {
            watchers.retain(|watcher| *watcher != owner);
            if watchers.is_empty() {
                self.watchers.remove(&id);
            }
        }
    }

    /// Grants a lock to those first in its queue that its holders admit; returns whether anybody
    /// still waits.
    pub fn grant(&mut self, lock: u64, holders: &mut Holders) -> bool {
        let Some(queue) = self.queues.get_mut(&lock) else { return false };
        while let Some(first) = queue.front() {
            if !holders.admit(first.owner, first.mode) {
                return true;
            }
            holders.add(first.owner, first.mode);
            if let Some(wait) = self.waiting.remove(&first.owner) {
                wait.waiter.deliver(Outcome::Granted);
            }
            queue.pop_front();
        }
        self.queues.remove(&lock);
        false
    }

    /// Takes note that an entry of the predicates is gone.
    pub fn entry_gone(&mut self, id: u64) {
        for owner in self.watchers.remove(&id).unwrap_or_default() {
            let Some(wait) = self.waiting.get_mut(&owner) else { continue };
            let On::Entries { left, .. } = &mut wait.on else { continue };
            left.retain(|entry| entry.id != id);
            if left.is_empty() {
                self.end(owner, Outcome::Granted);
            }
        }
    }

    /// Ends a wait with `outcome`; returns what it was for.
    pub fn end(&mut self, owner: OwnerId, outcome: Outcome) -> Option<On> {
        let (waiter, on) = self.remove(owner)?;
        waiter.deliver(outcome);
        Some(on)
    }

    /// Owners that wait, queues and watched entries: all zero when nobody waits.
    pub fn sizes(&self) -> [usize; 3] {
        [self.waiting.len(), self.queues.len(), self.watchers.len()]
    }

    /// How a cycle is told: who waits for whom, and what for.
    pub fn describe(&self, cycle: &[OwnerId], victim: OwnerId) -> String {
        /// Members told one by one; their number says the rest.
        const MEMBERS_TOLD: usize = 16;
        let next = cycle.iter().cycle().skip(1);
        let told: Vec<String> = cycle
            .iter()
            .zip(next)
            .take(MEMBERS_TOLD)
            .map(|(owner, next)| {
                let what = self.on(*owner).map(On::told).unwrap_or_default();
                format!("{owner} waits for {next} ({what})")
            })
            .collect();
        let more = match cycle.len().saturating_sub(MEMBERS_TOLD) {
            0 => String::new(),
            more => format!(", and so on over {more} more"),
        };
        format!(
            "a cycle of waits among {} transactions: {}{more}; {victim}, the youngest, gives way: \
             run it again from its beginning",
            cycle.len(),
            told.join(", "),
        )
    }
}
