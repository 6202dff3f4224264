//! What was read by range or by filter, and so must not gain a member until its reader has ended.
//! A predicate is held shared by the transaction that scanned; a writer asks, before it commits,
//! whether a predicate of somebody else covers what it writes.
//!
//! A writer that has to wait leaves word of its writes (an intent), and a reader that comes later
//! with a predicate over them waits for the writer in turn, so that a stream of scans never starves
//! a write. That wait is a courtesy: where it would stand in a cycle, the reader goes ahead. Word of
//! writes that are prepared is firm: a reader waits for the decision, since writes it does not see
//! may yet be committed before it ends.
//!
//! Entries lie in sixty-four slots by collection. A writer into a collection whose slot has no
//! predicate loads one counter and is through.

use std::sync::Arc;

use super::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use super::terms::OwnerId;
use crate::collection::CollectionId;
use crate::document::Document;

const SLOTS: usize = 64;

/// Where the entries of a collection lie.
pub(super) type SlotNumber = usize;

fn slot_of(collection: CollectionId) -> SlotNumber {
    usize::from(collection.0[15]) % SLOTS
}

/// What a scan, a query or a look at something absent has read of one collection: every document
/// that would have been part of the answer. It is asked while a gate is held, so it must only look
/// at what it is given.
pub trait Predicate: Send + Sync {
    /// Whether `document` under `key` would change what was read.
    fn covers(&self, key: &[u8], document: &Document) -> bool;
}

impl<F: Fn(&[u8], &Document) -> bool + Send + Sync> Predicate for F {
    fn covers(&self, key: &[u8], document: &Document) -> bool {
        self(key, document)
    }
}

/// A write as a predicate sees it.
pub type Write<'a> = (&'a [u8], &'a Document);

/// All writes of a call of which one waits, kept until their transaction ends. Those that nobody
/// covers yet are among them: a scan over one of these would be the next to hold the call up.
pub(super) type Intent = Arc<Vec<(Box<[u8]>, Document)>>;

/// What holds writes up.
#[derive(Debug)]
pub(super) struct Covered {
    /// The predicates that cover some of them.
    pub by: Vec<EntryRef>,
    /// The first key found covered.
    pub key: Box<[u8]>,
    /// The word to leave of them.
    pub intent: Intent,
}

/// Writes that a new predicate would overtake.
#[derive(Debug)]
pub(super) struct Overtaken {
    /// The words left of them.
    pub by: Vec<EntryRef>,
    /// Whether they are prepared.
    pub firm: bool,
}

enum Kind {
    Predicate(Arc<dyn Predicate>),
    Writes { intent: Intent, firm: bool },
}

struct Entry {
    id: u64,
    collection: CollectionId,
    owner: OwnerId,
    kind: Kind,
    /// Whether somebody waits for its end.
    watched: bool,
}

impl Entry {
    fn named(&self, slot: SlotNumber) -> EntryRef {
        EntryRef { slot, id: self.id, owner: self.owner }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Predicate(_) => "predicate",
            Kind::Writes { firm: false, .. } => "intent",
            Kind::Writes { firm: true, .. } => "prepared writes",
        };
        write!(f, "{kind} {} of {}", self.id, self.owner)
    }
}

/// Names an entry, and whoever left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef {
    slot: SlotNumber,
    /// Its id, given once.
    pub id: u64,
    /// Who left it.
    pub owner: OwnerId,
}

#[derive(Debug, Default)]
struct Slot {
    predicates: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
}

/// All predicates and intents.
#[derive(Debug)]
pub(super) struct Predicates {
    slots: Vec<Slot>,
    next_id: AtomicU64,
}

impl Predicates {
    /// None.
    pub fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Predicates { slots, next_id: AtomicU64::new(0) }
    }

    /// Whether there may be predicates over `collection`.
    pub fn any(&self, collection: CollectionId) -> bool {
        self.slots[slot_of(collection)].predicates.load(Ordering::Acquire) != 0
    }

    /// What holds up `writes`: predicates of others that cover some of them. These are asked under no
    /// lock of the room; one whose owner ends meanwhile is found gone when the wait begins.
    pub fn covering<'a>(
        &self,
        owner: OwnerId,
        collection: CollectionId,
        writes: impl IntoIterator<Item = Write<'a>, IntoIter: Clone>,
    ) -> Option<Covered> {
        if !self.any(collection) {
            return None;
        }
        let slot = slot_of(collection);
        let foreign = |entry: &&Entry| entry.owner != owner && entry.collection == collection;
        let predicates: Vec<(EntryRef, Arc<dyn Predicate>)> = self.slots[slot]
            .entries
            .lock()
            .iter()
            .filter(foreign)
            .filter_map(|entry| match &entry.kind {
                Kind::Predicate(predicate) => Some((entry.named(slot), predicate.clone())),
                Kind::Writes { .. } => None,
            })
            .collect();
        let writes = writes.into_iter();
        let (mut by, mut first) = (Vec::new(), None);
        for (entry, predicate) in predicates {
            let mut writes = writes.clone();
            if let Some((key, _)) = writes.find(|(key, document)| predicate.covers(key, document)) {
                first.get_or_insert(key);
                by.push(entry);
            }
        }
        let key = first?.into();
        Some(Covered { by, key, intent: intent_of(writes) })
    }

    /// Registers a predicate, unless writes of others that came first are covered by it: then these
    /// are returned, those that are prepared before all others. With `go_ahead` only they are waited
    /// for.
    pub fn add(
        &self,
        owner: OwnerId,
        collection: CollectionId,
        predicate: Arc<dyn Predicate>,
        go_ahead: bool,
    ) -> Result<SlotNumber, Overtaken> {
        if let Some(overtaken) = self.overtaken(owner, collection, &*predicate, go_ahead) {
            return Err(overtaken);
        }
        let slot = slot_of(collection);
        let mut entries = self.slots[slot].entries.lock();
        self.slots[slot].predicates.fetch_add(1, Ordering::Release);
        self.push(&mut entries, owner, collection, Kind::Predicate(predicate));
        Ok(slot)
    }

    /// Writes of others that a new predicate would overtake. Whom a predicate of `owner` holds up
    /// already waits for `owner` anyway, and is not overtaken.
    fn overtaken(
        &self,
        owner: OwnerId,
        collection: CollectionId,
        predicate: &dyn Predicate,
        go_ahead: bool,
    ) -> Option<Overtaken> {
        let slot = slot_of(collection);
        let (mut prepared, mut waiting) = (Vec::new(), Vec::new());
        for entry in self.slots[slot].entries.lock().iter() {
            let foreign = entry.owner != owner && entry.collection == collection;
            if let Kind::Writes { intent, firm } = &entry.kind
                && foreign
            {
                let words = if *firm { &mut prepared } else { &mut waiting };
                words.push((entry.named(slot), intent.clone()));
            }
        }
        let covers = |predicate: &dyn Predicate, writes: &Intent| {
            writes.iter().any(|(key, document)| predicate.covers(key, document))
        };
        prepared.retain(|(_, writes)| covers(predicate, writes));
        let firm = !prepared.is_empty();
        let by = match firm {
            true => prepared,
            false => {
                waiting.retain(|(_, writes)| !go_ahead && covers(predicate, writes));
                let own = match waiting.is_empty() {
                    true => Vec::new(),
                    false => self.predicates_of(owner, collection),
                };
                waiting.retain(|(_, writes)| !own.iter().any(|own| covers(&**own, writes)));
                waiting
            }
        };
        let by: Vec<EntryRef> = by.into_iter().map(|(entry, _)| entry).collect();
        (!by.is_empty()).then_some(Overtaken { by, firm })
    }

    fn predicates_of(&self, owner: OwnerId, collection: CollectionId) -> Vec<Arc<dyn Predicate>> {
        let entries = self.slots[slot_of(collection)].entries.lock();
        let own = entries.iter().filter(|entry| entry.owner == owner);
        own.filter(|entry| entry.collection == collection)
            .filter_map(|entry| match &entry.kind {
                Kind::Predicate(predicate) => Some(predicate.clone()),
                Kind::Writes { .. } => None,
            })
            .collect()
    }

    /// Leaves word of writes that wait, in the place of what `owner` said of them before; or, if
    /// `firm`, of writes that are prepared.
    pub fn intend(
        &self,
        owner: OwnerId,
        collection: CollectionId,
        intent: Intent,
        firm: bool,
    ) -> SlotNumber {
        let slot = slot_of(collection);
        let mut entries = self.slots[slot].entries.lock();
        let before = entries.iter_mut().find(|entry| {
            let own = entry.owner == owner && entry.collection == collection;
            own && matches!(entry.kind, Kind::Writes { firm: false, .. })
        });
        let kind = Kind::Writes { intent, firm };
        match before {
            Some(entry) => entry.kind = kind,
            None => self.push(&mut entries, owner, collection, kind),
        }
        slot
    }

    fn push(&self, entries: &mut Vec<Entry>, owner: OwnerId, collection: CollectionId, kind: Kind) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        entries.push(Entry { id, collection, owner, kind, watched: false });
    }

    /// Marks an entry as watched; false if it is gone. From then on whoever removes it is told.
    pub fn watch(&self, entry: &EntryRef) -> bool {
        let mut entries = self.slots[entry.slot].entries.lock();
        let found = entries.iter_mut().find(|known| known.id == entry.id);
        found.map(|known| known.watched = true).is_some()
    }

    /// Removes what `owner` left in `slots`: all of it, or word of waiting writes alone. Returns the ids of
    /// those entries that somebody watches.
    pub fn remove(&self, owner: OwnerId, slots: &[SlotNumber], intents_alone: bool) -> Vec<u64> {
        let mut watched = Vec::new();
        for slot in slots {
            let slot = &self.slots[*slot];
            slot.entries.lock().retain(|entry| {
                let is_predicate = matches!(entry.kind, Kind::Predicate(_));
                let is_intent = matches!(entry.kind, Kind::Writes { firm: false, .. });
                if entry.owner != owner || (intents_alone && !is_intent) {
                    return true;
                }
                if is_predicate {
                    slot.predicates.fetch_sub(1, Ordering::Release);
                }
                watched.extend(entry.watched.then_some(entry.id));
                false
            });
        }
        watched
    }

    /// Entries registered.
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.entries.lock().len()).sum()
    }
}

/// The word to leave of `writes`.
pub(super) fn intent_of<'a>(writes: impl IntoIterator<Item = Write<'a>>) -> Intent {
    let writes = writes.into_iter();
    Arc::new(writes.map(|(key, document)| (key.into(), document.clone())).collect())
}
