//! What can be done for a record before anything is locked: checking its document, filling in
//! defaults, finding its entries in the indexes, hashing.

use std::sync::Arc;

use crate::document::Document;
use crate::error::{Error, Result};
use crate::proof::{self, Hash};
use crate::shard::Shard;
use crate::shard::core::{CompiledSchema, Core};
use crate::shard::index::{self, Index, RecordKeys, record_keys};
use crate::transaction::locks::lock_of;

/// One document to insert, its key already settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// The document.
    pub document: Document,
}

/// What a collection asked of new records when they were prepared: the same objects then and when
/// they are committed mean that nothing was changed in between.
pub(super) struct Model {
    schema: Option<Arc<CompiledSchema>>,
    /// Its live indexes.
    pub indexes: Arc<Vec<Arc<Index>>>,
}

impl Model {
    /// What `core` asks now.
    pub fn of(core: &Core) -> Self {
        Model { schema: core.schema.load_full(), indexes: core.indexes.load_full() }
    }

    /// Whether `core` still asks the same.
    pub fn is_current(&self, core: &Core) -> bool {
        let same_schema = match (&self.schema, &*core.schema.load()) {
            (Some(mine), Some(current)) => Arc::ptr_eq(mine, current),
            (None, None) => true,
            _ => false,
        };
        same_schema && Arc::ptr_eq(&self.indexes, &core.indexes.load())
    }
}

/// A document that fits the schema, its entries in the indexes, and what hides it in its leaf.
pub(super) struct Prepared {
    pub keys: RecordKeys,
    pub schema: u32,
    pub salt: [u8; 16],
    pub commitment: Hash,
}

/// What was prepared for each of some items, and by which model.
pub(super) struct Ready {
    pub model: Model,
    pub items: Vec<Result<Prepared>>,
}

impl Ready {
    /// Prepares items; defaults of the schema are filled into them.
    pub fn of(shard: &Shard, core: &Core, items: &mut [Item]) -> Self {
        let model = Model::of(core);
        let mut salts = vec![[0u8; 16]; items.len()];
        shard.env.host.random.fill(salts.as_flattened_mut());
        let prepared = items.iter_mut().zip(salts);
        let prepared = prepared.map(|(item, salt)| prepare(core, &model, item, salt)).collect();
        Ready { model, items: prepared }
    }

    /// The locks of the items' keys and of their values in unique indexes.
    pub fn locks(&self, core: &Core, items: &[Item]) -> Vec<u64> {
        let mut locks: Vec<u64> =
            items.iter().map(|item| lock_of(core.id, item.key.as_bytes())).collect();
        locks.extend(self.values(core).map(|(_, lock)| lock));
        locks
    }

    /// The locks of the items' values in unique indexes.
    pub fn values(&self, core: &Core) -> impl Iterator<Item = (&Index, u64)> {
        let (id, indexes) = (core.id, self.model.indexes.iter());
        indexes.filter(|index| index.unique).flat_map(move |index| {
            let prepared = self.items.iter().flatten().flat_map(|prepared| &prepared.keys);
            let keys = prepared.filter(|(of, _)| *of == index.id).flat_map(|(_, keys)| &keys.keys);
            keys.map(move |key| (&**index, index::lock_of(id, index.id, key)))
        })
    }
}

/// Checks an item against the schema, fills its defaults in, finds its entries in the indexes, and
/// hashes it.
pub(super) fn prepare(
    core: &Core,
    model: &Model,
    item: &mut Item,
    salt: [u8; 16],
) -> Result<Prepared> {
    let mut version = 0;
    if let Some(schema) = &model.schema {
        let checked = schema.schema.check(item.document.clone());
        core.operations.note_validation(checked.is_ok());
        item.document = checked.map_err(|error| of_key(&item.key, error))?;
        version = schema.version;
    }
    let keys = record_keys(&model.indexes, &item.document);
    let keys = keys.map_err(|error| of_key(&item.key, error))?;
    let commitment = proof::commitment(&salt, item.document.as_bytes());
    Ok(Prepared { keys, schema: version, salt, commitment })
}

fn of_key(key: &str, error: Error) -> Error {
    let errors = error.errors().to_vec();
    Error::new(error.code(), format!("key {key:?}: {}", error.detail())).with_errors(errors)
}
