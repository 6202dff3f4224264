//! A collection's descriptor and the system record that carries it. The record's key is
//! `collection/<uuid>`; each administrative act appends the whole descriptor as its next revision.

use crate::collection::{CollectionId, IndexDescriptor, Settings};
use crate::document::{Document, Object, Timestamp, Value};
use crate::error::{Code, Error, Result};

/// Where a collection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Live,
    /// Hidden, its name free; bodies, tables and indexes still on disk.
    Dropped,
    /// Bodies, tables and indexes are gone or going; leaves and tiles stay.
    Purged,
}

impl Status {
    /// The word in the system record.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Live => "live",
            Status::Dropped => "dropped",
            Status::Purged => "purged",
        }
    }
}

/// The last words of a dropped collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// When it was dropped, microseconds since the epoch.
    pub dropped_us: i64,
    /// Leaves it had.
    pub size: u64,
    /// The Merkle root over them.
    pub root: [u8; 32],
}

/// Everything the system collection says about one collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Its identity.
    pub id: CollectionId,
    /// Its name; free again once it is dropped.
    pub name: String,
    /// Where it is in its life.
    pub status: Status,
    /// When it was created, microseconds since the epoch.
    pub created_us: i64,
    /// Its settings.
    pub settings: Settings,
    /// Present from the drop on.
    pub tombstone: Option<Tombstone>,
    /// What new documents are checked against. Earlier versions stand in earlier revisions.
    pub schema: Option<SchemaVersion>,
    /// Its secondary indexes.
    pub indexes: Vec<IndexDescriptor>,
    /// The number the next index gets.
    pub next_index_id: u32,
}

/// One version of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaVersion {
    /// From 1, growing by one.
    pub version: u32,
    /// When it was set, microseconds since the epoch.
    pub set_us: i64,
    /// JSON Schema, as it was given.
    pub source: Object,
}

const KEY_PREFIX: &str = "collection/";

impl Descriptor {
    /// The key of the system record.
    pub fn key(&self) -> String {
        format!("{KEY_PREFIX}{}", self.id)
    }

    /// Whether a key of the system collection belongs to a descriptor.
    pub fn is_key(key: &[u8]) -> bool {
        key.starts_with(KEY_PREFIX.as_bytes())
    }

    /// The body of the system record.
    pub fn to_document(&self) -> Result<Document> {
        let mut object = Object::new();
        object.insert("id", Value::String(self.id.to_string()));
        object.insert("name", Value::String(self.name.clone()));
        object.insert("status", Value::String(self.status.as_str().to_owned()));
        object.insert("created_at", Value::Timestamp(Timestamp::from_micros(self.created_us)));
        object.insert("settings", Value::Object(self.settings.to_object()));
        if let Some(schema) = &self.schema {
            object.insert("schema", Value::Object(schema.to_object()));
        }
        if self.next_index_id > 0 {
            let indexes = self.indexes.iter().map(|index| Value::Object(index.to_object()));
            object.insert("indexes", Value::Array(indexes.collect()));
            object.insert("next_index_id", Value::Int(i64::from(self.next_index_id)));
        }
        if let Some(tombstone) = &self.tombstone {
            let dropped = Timestamp::from_micros(tombstone.dropped_us);
            object.insert("dropped_at", Value::Timestamp(dropped));
            object.insert("final_size", Value::Int(tombstone.size as i64));
            object.insert("final_root", Value::Binary(tombstone.root.to_vec()));
        }
        Document::from_value(&object)
    }

    /// Reads what [`Descriptor::to_document`] wrote.
    pub fn from_document(document: &Document) -> Result<Descriptor> {
        let object = document.try_to_object()?;
        let settings = match object.get("settings") {
            Some(Value::Object(settings)) => Settings::from_object(settings)?,
            _ => return Err(malformed("settings")),
        };
        let status = match text(&object, "status")? {
            "live" => Status::Live,
            "dropped" => Status::Dropped,
            "purged" => Status::Purged,
            _ => return Err(malformed("status")),
        };
        Ok(Descriptor {
            id: CollectionId::parse(text(&object, "id")?).ok_or_else(|| malformed("id"))?,
            name: text(&object, "name")?.to_owned(),
            status,
            created_us: time(&object, "created_at")?,
            settings,
            tombstone: match status {
                Status::Live => None,
                _ => Some(tombstone(&object)?),
            },
            schema: match object.get("schema") {
                None => None,
                Some(Value::Object(schema)) => Some(SchemaVersion::from_object(schema)?),
                Some(_) => return Err(malformed("schema")),
            },
            indexes: match object.get("indexes") {
                None => Vec::new(),
                Some(Value::Array(indexes)) => indexes.iter().map(index).collect::<Result<_>>()?,
                Some(_) => return Err(malformed("indexes")),
            },
            next_index_id: match object.get("next_index_id") {
                None => 0,
                Some(Value::Int(id)) => {
                    u32::try_from(*id).map_err(|_| malformed("next_index_id"))?
                }
                Some(_) => return Err(malformed("next_index_id")),
            },
        })
    }

    /// The index of that name.
    pub fn index(&self, name: &str) -> Option<&IndexDescriptor> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The body of the collection's genesis leaf: it binds the id, the database, the settings and
    /// the key policy to the root.
    pub fn genesis_body(&self, database_id: CollectionId) -> Result<Document> {
        let mut object = Object::new();
        object.insert("collection", Value::String(self.id.to_string()));
        object.insert("database", Value::String(database_id.to_string()));
        object.insert("name", Value::String(self.name.clone()));
        object.insert("keys", Value::String("utf-8, bytewise, 1 to 1024 bytes".to_owned()));
        object.insert("settings", Value::Object(self.settings.to_object()));
        Document::from_value(&object)
    }
}

impl SchemaVersion {
    /// The object inside a collection's descriptor, and the body of the leaf that records it.
    pub fn to_object(&self) -> Object {
        let mut object = Object::new();
        object.insert("version", Value::Int(i64::from(self.version)));
        object.insert("set_at", Value::Timestamp(Timestamp::from_micros(self.set_us)));
        object.insert("source", Value::Object(self.source.clone()));
        object
    }

    fn from_object(object: &Object) -> Result<Self> {
        let version = match object.get("version") {
            Some(Value::Int(version)) => u32::try_from(*version).ok().filter(|number| *number > 0),
            _ => None,
        };
        let source = match object.get("source") {
            Some(Value::Object(source)) => source.clone(),
            _ => return Err(malformed("source")),
        };
        let version = version.ok_or_else(|| malformed("version"))?;
        Ok(SchemaVersion { version, set_us: time(object, "set_at")?, source })
    }
}

fn index(value: &Value) -> Result<IndexDescriptor> {
    IndexDescriptor::from_object(value.as_object().ok_or_else(|| malformed("indexes"))?)
}

fn tombstone(object: &Object) -> Result<Tombstone> {
    let size = match object.get("final_size") {
        Some(Value::Int(size)) if *size >= 0 => *size as u64,
        _ => return Err(malformed("final_size")),
    };
    let root = match object.get("final_root") {
        Some(Value::Binary(root)) => root.as_slice().try_into().ok(),
        _ => None,
    };
    Ok(Tombstone {
        dropped_us: time(object, "dropped_at")?,
        size,
        root: root.ok_or_else(|| malformed("final_root"))?,
    })
}

fn text<'a>(object: &'a Object, field: &str) -> Result<&'a str> {
    match object.get(field) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(malformed(field)),
    }
}

pub(super) fn time(object: &Object, field: &str) -> Result<i64> {
    match object.get(field) {
        Some(Value::Timestamp(time)) => Ok(time.micros()),
        _ => Err(malformed(field)),
    }
}

pub(super) fn malformed(field: &str) -> Error {
    Error::new(Code::Corrupt, format!("a record of _system lacks a valid field {field:?}"))
}
