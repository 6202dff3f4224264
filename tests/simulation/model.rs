//! What must be in the database, kept as plainly as possible: per collection the records in commit
//! order and the places of each key's revisions. No engine code decides anything here.

use std::collections::BTreeMap;
use std::sync::Arc;

use blockdb::document::{Timestamp, Value};
use blockdb::{BlockInfo, Document};

/// One revision of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// From 1.
    pub revision: u64,
    /// The document.
    pub body: Document,
    /// What the acknowledgement said of it; a write in doubt has none.
    pub receipt: Option<Receipt>,
    /// The id of the transaction it comes with; a call of its own has none.
    pub transaction: Option<String>,
}

/// What an acknowledgement says about a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Receipt {
    /// Its place.
    pub seq: u64,
    /// Its commit time, if the call told it.
    pub timestamp: Option<Timestamp>,
}

/// One live collection.
#[derive(Clone, Debug, Default)]
pub struct ModelCollection {
    /// All revisions of all records, in commit order.
    pub entries: Vec<Entry>,
    /// Places in `entries`, oldest revision first.
    pub keys: BTreeMap<String, Vec<usize>>,
    /// Every setting by its name.
    pub settings: BTreeMap<String, Value>,
    /// Blocks that a call has shown: they never change.
    pub blocks: Vec<BlockInfo>,
}

/// All live collections.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By name.
    pub collections: BTreeMap<String, Arc<ModelCollection>>,
    /// Administrative acts so far: each is one record of the system collection.
    pub acts: u64,
}

/// One change, whole or not at all: what one log entry does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A collection appears.
    Create {
        /// Its name.
        name: String,
        /// Its settings, where they are not the defaults.
        settings: Vec<(String, Value)>,
    },
    /// Settings change.
    Configure {
        /// Whose.
        name: String,
        /// To what.
        settings: Vec<(String, Value)>,
    },
    /// A collection is gone.
    Drop {
        /// Which.
        name: String,
    },
    /// Records are appended.
    Append {
        /// Where.
        name: String,
        /// Which.
        entries: Vec<Entry>,
    },
    /// Records of a transaction are appended, to all its collections or to none.
    Transaction {
        /// By collection, in the order of the first write to each.
        parts: Vec<(String, Vec<Entry>)>,
    },
}

/// The settings of a collection that was made without any.
fn defaults() -> [(&'static str, Value); 8] {
    [
        ("block_records", Value::Int(1024)),
        ("seal_interval_ms", Value::Int(1000)),
        ("revisions", Value::Bool(false)),
        ("key_field", Value::Null),
        ("compression", Value::String("lz4".to_owned())),
        ("flush_bytes", Value::Int(32 << 20)),
        ("flush_interval_ms", Value::Int(600_000)),
        ("description", Value::Null),
    ]
}

impl Effect {
    /// Whether it changes the collection of that name.
    pub fn is_about(&self, collection: &str) -> bool {
        match self {
            Effect::Create { name, .. }
            | Effect::Configure { name, .. }
            | Effect::Drop { name }
            | Effect::Append { name, .. } => name == collection,
            Effect::Transaction { parts } => parts.iter().any(|(name, _)| name == collection),
        }
    }
}

impl ModelCollection {
    fn new(settings: &[(String, Value)]) -> Self {
        let settings_by_name = defaults().map(|(key, value)| (key.to_owned(), value)).into();
        let mut made = ModelCollection { settings: settings_by_name, ..Default::default() };
        made.change(settings);
        made
    }

    fn change(&mut self, settings: &[(String, Value)]) {
        for (key, value) in settings {
            let default = defaults().into_iter().find(|(name, _)| name == key);
            let value = match (value, default) {
                (Value::Null, Some((_, default))) => default,
                _ => value.clone(),
            };
            self.settings.insert(key.clone(), value);
        }
    }

    /// Whether keys may have further revisions.
    pub fn revisions(&self) -> bool {
        self.settings.get("revisions") == Some(&Value::Bool(true))
    }

    /// Whether these changes would change anything.
    pub fn changed_by(&self, settings: &[(String, Value)]) -> bool {
        let mut other = self.clone();
        other.change(settings);
        other.settings != self.settings
    }

    fn append(&mut self, entry: Entry) {
        self.keys.entry(entry.key.clone()).or_default().push(self.entries.len());
        self.entries.push(entry);
    }

    /// The newest revision of `key`.
    pub fn newest(&self, key: &str) -> Option<&Entry> {
        self.keys.get(key)?.last().map(|place| &self.entries[*place])
    }

    /// All revisions of `key`, oldest first.
    pub fn history(&self, key: &str) -> impl Iterator<Item = &Entry> {
        self.keys.get(key).into_iter().flatten().map(|place| &self.entries[*place])
    }

    /// The newest revision of every key, by key.
    pub fn newest_by_key(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.keys.values().filter_map(|places| places.last()).map(|place| &self.entries[*place])
    }
}

impl Model {
    /// Carries out one change.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Create { name, settings } => {
                let made = ModelCollection::new(settings);
                self.collections.insert(name.clone(), Arc::new(made));
                self.acts += 1;
            }
            Effect::Configure { name, settings } => {
                self.collection_mut(name).change(settings);
                self.acts += 1;
            }
            Effect::Drop { name } => {
                self.collections.remove(name);
                self.acts += 1;
            }
            Effect::Append { name, entries } => self.append(name, entries),
            Effect::Transaction { parts } => {
                parts.iter().for_each(|(name, entries)| self.append(name, entries));
            }
        }
    }

    fn append(&mut self, name: &str, entries: &[Entry]) {
        let collection = self.collection_mut(name);
        entries.iter().for_each(|entry| collection.append(entry.clone()));
    }

    /// This model with some more changes.
    pub fn with<'a>(&self, effects: impl IntoIterator<Item = &'a Effect>) -> Model {
        let mut model = self.clone();
        effects.into_iter().for_each(|effect| model.apply(effect));
        model
    }

    /// A live collection, to be changed.
    ///
    /// # Panics
    /// If there is none of that name: whoever makes effects has looked.
    pub fn collection_mut(&mut self, name: &str) -> &mut ModelCollection {
        Arc::make_mut(self.collections.get_mut(name).expect("a live collection"))
    }
}
