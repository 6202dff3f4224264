//! What is told about collections and blocks.

use serde::Serialize;

use crate::collection::render::hex;
use crate::document::Timestamp;
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
