//! What is told about collections and blocks.

use serde::Serialize;

use crate::collection::IndexState;
use crate::collection::descriptor::SchemaVersion;
use crate::collection::render::hex;
use crate::database::model::{IndexProgress, progress_of};
use crate::document::{Document, Timestamp};
use crate::proof::{BlockHeader, Hash};
use crate::shard::state::View;

/// A collection as `describe` and `collections` show it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its id, a UUID.
    pub id: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// Keys.
    pub keys: u64,
    /// Records, all revisions.
    pub records: u64,
    /// Leaves of its Merkle log.
    pub size: u64,
    /// Sealed blocks.
    pub blocks: u64,
    /// Hash of the newest block header, hexadecimal; absent before the first block.
    pub head: Option<String>,
    /// Its settings.
    pub settings: SettingsInfo,
    /// The schema in force.
    pub schema: Option<SchemaInfo>,
    /// Its secondary indexes.
    pub indexes: Vec<IndexInfo>,
}

/// A version of a collection's schema.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SchemaInfo {
    /// From 1; each record tells the version it was checked against.
    pub version: u32,
    /// When it was set, RFC 3339.
    pub set_at: String,
    /// JSON Schema, as it was given.
    pub source: serde_json::Value,
}

/// A secondary index.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// Dotted paths, `-` in front for descending.
    pub fields: Vec<String>,
    /// Whether no two newest records may have the same values.
    pub unique: bool,
    /// Whether records without any of the fields are left out.
    pub sparse: bool,
    /// `building`, `ready` or `failed`.
    pub state: String,
    /// Share of the records from before the index that are in it, 0 to 1.
    pub built: f64,
    /// Its entries.
    pub entries: u64,
    /// Bytes of its table files.
    pub bytes: u64,
    /// Queries that used it since the database was opened.
    pub uses: u64,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// Why it failed, with offending keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ViolationInfo>,
}

/// A violated rule, as [`crate::Violation`], for output.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct ViolationInfo {
    /// Dotted path of the field.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// What was found.
    pub found: String,
}

impl SchemaInfo {
    fn of(schema: &SchemaVersion) -> Option<Self> {
        let source = Document::from_value(&schema.source).ok()?.to_json();
        Some(SchemaInfo {
            version: schema.version,
            set_at: Timestamp::from_micros(schema.set_us).to_string(),
            source: serde_json::from_str(&source).ok()?,
        })
    }
}

impl IndexInfo {
    pub(crate) fn of(progress: IndexProgress) -> Self {
        let index = progress.descriptor;
        let errors = match &index.state {
            IndexState::Failed(errors) => errors.clone(),
            _ => Vec::new(),
        };
        IndexInfo {
            name: index.name,
            fields: index.fields,
            unique: index.unique,
            sparse: index.sparse,
            state: index.state.as_str().to_owned(),
            built: progress.built,
            entries: progress.entries,
            bytes: progress.bytes,
            uses: progress.uses,
            created_at: Timestamp::from_micros(index.created_us).to_string(),
            errors: errors
                .into_iter()
                .map(|e| ViolationInfo { path: e.path, rule: e.rule, found: e.found })
                .collect(),
        }
    }
}

/// The settings of a collection.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SettingsInfo {
    /// Leaves after which a block is sealed.
    pub block_records: u64,
    /// Milliseconds after which pending records are sealed.
    pub seal_interval_ms: u64,
    /// Whether keys may have further revisions.
    pub revisions: bool,
    /// The field that holds the key.
    pub key_field: Option<String>,
    /// `lz4` or `none`.
    pub compression: String,
    /// Memtable bytes at which it is flushed.
    pub flush_bytes: u64,
    /// Milliseconds after which a memtable is flushed.
    pub flush_interval_ms: u64,
}

impl CollectionInfo {
    pub(crate) fn of(view: &View) -> Self {
        let (descriptor, settings) = (&view.descriptor, &view.descriptor.settings);
        let position = view.core.ledger.position();
        CollectionInfo {
            name: descriptor.name.clone(),
            id: descriptor.id.to_string(),
            description: settings.description.clone(),
            created_at: Timestamp::from_micros(descriptor.created_us).to_string(),
            keys: view.keys,
            records: view.records,
            size: view.end_seq,
            blocks: position.blocks,
            head: (position.blocks > 0).then(|| hex(&position.head)),
            settings: SettingsInfo {
                block_records: settings.block_records,
                seal_interval_ms: settings.seal_interval_ms,
                revisions: settings.revisions,
                key_field: settings.key_field.clone(),
                compression: settings.compression.as_str().to_owned(),
                flush_bytes: settings.flush_bytes,
                flush_interval_ms: settings.flush_interval_ms,
            },
            schema: descriptor.schema.as_ref().and_then(SchemaInfo::of),
            indexes: descriptor
                .indexes
                .iter()
                .map(|index| IndexInfo::of(progress_of(view, index)))
                .collect(),
        }
    }
}

/// A sealed block.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BlockInfo {
    /// Its number, from 0.
    pub id: u64,
    /// Hash of the block before, hexadecimal; zeros for the first.
    pub previous_hash: String,
    /// Its first leaf.
    pub first_seq: u64,
    /// Leaves in it, without the header leaf.
    pub count: u64,
    /// Merkle root over all leaves before the header leaf, hexadecimal.
    pub merkle_root: String,
    /// When it was sealed, RFC 3339.
    pub timestamp: String,
    /// Its hash: the leaf hash of its header, hexadecimal.
    pub hash: String,
}

impl BlockInfo {
    pub(crate) fn of(header: &BlockHeader, hash: &Hash) -> Self {
        BlockInfo {
            id: header.id,
            previous_hash: hex(&header.previous_hash),
            first_seq: header.first_seq,
            count: header.count,
            merkle_root: hex(&header.merkle_root),
            timestamp: Timestamp::from_micros(header.timestamp).to_string(),
            hash: hex(hash),
        }
    }
}
