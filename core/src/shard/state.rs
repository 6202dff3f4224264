//! What the shard shows its readers: one immutable value per applied entry, published whole.
//! Taking a snapshot is one reference count; nothing a writer does later changes it.
//!
//! A collection's view needs only its end: everything is append-only, so any newer set of tables
//! holds all that an older snapshot may see, and a reader passes over sequence numbers at or
//! beyond its own end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use imbl::{HashMap, OrdMap};

use crate::collection::{CollectionId, Descriptor, Status};
use crate::error::{Code, Error, Result};
use crate::shard::core::Core;
use crate::shard::two_phase::TwoPhase;

/// One collection at one applied entry.
#[derive(Clone, Debug)]
pub struct View {
    /// Its running parts, shared by all views.
    pub core: Arc<Core>,
    /// What the system collection said.
    pub descriptor: Arc<Descriptor>,
    /// Leaves there were; records at or beyond it are not part of the view.
    pub end_seq: u64,
    /// Keys there were.
    pub keys: u64,
    /// Records there were, all revisions.
    pub records: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
}

impl View {
    /// `collection_not_found` once the collection was dropped, whatever this snapshot saw: its
    /// records may be going.
    pub fn check_live(&self) -> Result<()> {
        match self.core.dropped.load(Ordering::Acquire) {
            true => Err(collection_not_found(&self.descriptor.name)),
            false => Ok(()),
        }
    }
}

/// All collections of the shard at one applied entry.
#[derive(Clone, Debug)]
pub struct ShardState {
    /// Index of the last applied entry.
    pub applied: u64,
    /// Time of the last applied entry, microseconds since the epoch.
    pub last_time_us: i64,
    /// The system collection.
    pub system: CollectionId,
    /// Every collection that ever existed, by id.
    pub collections: HashMap<CollectionId, View>,
    /// The live ones, by name.
    pub names: OrdMap<String, CollectionId>,
    /// Transactions over several shards: what of them is prepared here, decided, over.
    pub two_phase: Arc<TwoPhase>,
}

impl ShardState {
    /// The live collection of that name.
    pub fn by_name(&self, name: &str) -> Result<&View> {
        self.names
            .get(name)
            .and_then(|id| self.collections.get(id))
            .ok_or_else(|| collection_not_found(name))
    }

    /// The view of a collection, if it exists and is live.
    pub fn live(&self, id: CollectionId) -> Option<&View> {
        self.collections.get(&id).filter(|view| view.descriptor.status == Status::Live)
    }
}

/// `collection_not_found` for `name`.
pub fn collection_not_found(name: &str) -> Error {
    Error::new(Code::CollectionNotFound, format!("there is no collection {name:?}"))
}
