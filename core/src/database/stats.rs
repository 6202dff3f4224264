//! Figures of a database and of a collection, taken once, from counters kept while working.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::database::Database;
use crate::database::model::progress_of;
use crate::error::Result;
use crate::shard::operations::{Operation, OperationStats};
use crate::shard::sessions::TransactionStats;
use crate::shard::state::View;

/// Figures of one collection.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct CollectionStats {
    /// Its name.
    pub collection: String,
    /// Keys.
    pub keys: u64,
    /// Records, all revisions.
    pub records: u64,
    /// Leaves of the Merkle log: records, headers and administrative leaves.
    pub leaves: u64,
    /// How fast they became as many.
    pub growth: GrowthStats,
    /// Sealed blocks in the ledger.
    pub blocks: u64,
    /// Records in no block yet.
    pub pending: u64,
    /// Bytes of all documents in canonical encoding.
    pub document_bytes: u64,
    /// Bytes of the ledger's files.
    pub ledger_bytes: u64,
    /// Bytes of the tables' files.
    pub table_bytes: u64,
    /// Table files.
    pub tables: u64,
    /// Bytes of the memtables, those of its indexes too.
    pub memtable_bytes: u64,
    /// Documents that passed the schema.
    pub validation_accepted: u64,
    /// Documents that broke it and were refused.
    pub validation_rejected: u64,
    /// Calls and the time they took, by operation.
    pub operations: BTreeMap<&'static str, OperationStats>,
    /// Its indexes.
    pub indexes: Vec<IndexStats>,
}

/// How fast a collection grows, by the times of its leaves.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct GrowthStats {
    /// Leaves of the last hour.
    pub leaves_last_hour: u64,
    /// Leaves of the last 24 hours.
    pub leaves_last_day: u64,
    /// Leaves of the last 30 days.
    pub leaves_last_month: u64,
}

impl GrowthStats {
    fn at(view: &View, now_us: i64) -> Result<GrowthStats> {
        let since = |hours: i64| {
            let from_us = now_us.saturating_sub(hours * 3_600_000_000);
            view.seq_at(from_us).map(|seq| view.end_seq - seq)
        };
        Ok(GrowthStats {
            leaves_last_hour: since(1)?,
            leaves_last_day: since(24)?,
            leaves_last_month: since(30 * 24)?,
        })
    }
}

/// Figures of one index.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct IndexStats {
    /// Its name.
    pub name: String,
    /// `building`, `ready` or `failed`.
    pub state: &'static str,
    /// Entries.
    pub entries: u64,
    /// Bytes of its table files.
    pub bytes: u64,
    /// Queries that used it since the database was opened.
    pub uses: u64,
}

/// Figures of a database.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Live collections.
    pub collections: u64,
    /// `sync`, `interval:<ms>` or `none`: when an acknowledged write is on disk.
    pub durability: String,
    /// Index of the last applied log entry.
    pub applied: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// The memory budget.
    pub memory_bytes_max: u64,
    /// Of it: cached blocks.
    pub cache_bytes: u64,
    /// Of it: memtables.
    pub memtable_bytes: u64,
    /// Of it: records on their way to the ledger.
    pub pending_bytes: u64,
    /// Reads answered by the block cache.
    pub cache_hits: u64,
    /// Reads that went to the files.
    pub cache_misses: u64,
    /// Open files.
    pub open_files: u64,
    /// Transactions: those open, and how the others have ended since the database was opened.
    pub transactions: TransactionStats,
}

impl Database {
    /// Figures of the whole database.
    pub fn stats(&self) -> Result<DatabaseStats> {
        self.check_open()?;
        let env = &self.shard.env;
        let (cache_hits, cache_misses) = env.cache.hits_and_misses();
        let lane = self.shard.lane.lock();
        let log_bytes = lane.log.as_ref().map_or(0, |log| log.total_bytes());
        drop(lane);
        let state = self.shard.snapshot();
        Ok(DatabaseStats {
            collections: state.names.len() as u64 - 1,
            durability: env.durability.to_string(),
            applied: state.applied,
            log_bytes,
            memory_bytes_max: env.tuning.memory_bytes,
            cache_bytes: env.cache.bytes(),
            memtable_bytes: env.memtable_bytes.load(Ordering::Relaxed),
            pending_bytes: env.pending_bytes.load(Ordering::Relaxed),
            cache_hits,
            cache_misses,
            open_files: env.pool.open_count() as u64,
            transactions: self.shard.sessions.stats(),
        })
    }
}

/// Figures of one collection at `now_us`, microseconds since the epoch.
pub fn collection_stats(view: &View, now_us: i64) -> Result<CollectionStats> {
    let core = &view.core;
    let progress = *core.progress.lock();
    let tables = core.tables.load();
    let (validation_accepted, validation_rejected) = core.operations.validation();
    let table_bytes: Vec<u64> = tables.tables().map(|table| table.meta().file_bytes).collect();
    Ok(CollectionStats {
        collection: view.descriptor.name.clone(),
        keys: view.keys,
        records: view.records,
        leaves: view.end_seq,
        growth: GrowthStats::at(view, now_us)?,
        blocks: core.ledger.position().blocks,
        pending: progress.next_seq - progress.unsealed_first,
        document_bytes: view.body_bytes,
        ledger_bytes: core.ledger.bytes_on_disk(),
        table_bytes: table_bytes.iter().sum(),
        tables: table_bytes.len() as u64,
        memtable_bytes: tables.memtables().iter().map(|memtable| memtable.bytes()).sum::<u64>()
            + core.indexes.load().iter().map(|index| index.memtable_bytes()).sum::<u64>(),
        validation_accepted,
        validation_rejected,
        operations: Operation::ALL
            .iter()
            .map(|operation| (operation.as_str(), core.operations.of(*operation)))
            .collect(),
        indexes: view
            .descriptor
            .indexes
            .iter()
            .map(|index| {
                let progress = progress_of(view, index);
                IndexStats {
                    name: index.name.clone(),
                    state: index.state.as_str(),
                    entries: progress.entries,
                    bytes: progress.bytes,
                    uses: progress.uses,
                }
            })
            .collect(),
    })
}
