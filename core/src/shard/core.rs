//! The running parts of one collection: ledger, tables, pending records, and how far each is.
//! Readers touch `tables`, `pending` and `ledger`; `progress` belongs to whoever applies entries,
//! `sealing` and the ledger's end to the ledger worker, `manifest` to the table workers.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, RwLock};

use crate::collection::schema::Schema;
use crate::collection::{CollectionId, Settings};
use crate::error::{Code, Error, Result};
use crate::ledger::{Ledger, LedgerOptions, LedgerPosition, LedgerReader, StoredLeaf};
use crate::log::Position;
use crate::proof::Hash;
use crate::shard::environment::Environment;
use crate::shard::index::Index;
use crate::shard::operations::Operations;
use crate::shard::pending::Pending;
use crate::table::{Hit, Manifest, MemTable, TableFiles, TableSet};

/// How far a collection has come in the sequence of entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Sequence number of the next leaf.
    pub next_seq: u64,
    /// First leaf not yet in a block.
    pub unsealed_first: u64,
    /// Bytes of leaves not yet in a block.
    pub unsealed_bytes: u64,
    /// When the oldest of them came, monotonic microseconds.
    pub unsealed_since_us: u64,
    /// Keys.
    pub keys: u64,
    /// Records, all revisions.
    pub records: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
}

/// A sealed block on its way to the ledger.
#[derive(Clone, Debug)]
pub struct SealJob {
    /// First leaf.
    pub first_seq: u64,
    /// Leaves without the header.
    pub count: u64,
    /// Time of the seal.
    pub timestamp_us: i64,
    /// The header this seal repeats.
    pub head: Option<(u64, Hash)>,
    /// Where the seal's frame ends: the log is synced to here before the block is written.
    pub log_end: Position,
}

/// What the manifest on disk says and what is being changed about it. Its lock is held while a
/// manifest is stored, so nothing on the way of a write may take it.
#[derive(Debug, Default)]
pub struct TableWork {
    /// The manifest as stored, but for `next_number`, which runs ahead.
    pub manifest: Manifest,
    /// Tables in a running compaction.
    pub busy: BTreeSet<u32>,
}

/// A schema ready to check with, and its version.
#[derive(Debug)]
pub struct CompiledSchema {
    /// From 1.
    pub version: u32,
    /// The compiled form.
    pub schema: Schema,
}

/// Memtables that turned together: those of the collection and of its indexes.
#[derive(Clone, Debug)]
pub struct FlushUnit {
    /// From key to sequence number.
    pub primary: Arc<MemTable>,
    /// From indexed values to sequence number.
    pub indexes: Vec<(Arc<Index>, Arc<MemTable>)>,
    /// The first sequence number they do not hold.
    pub end_seq: u64,
    /// What they are counted with in the memory budget, until somebody takes that back.
    pub counted_bytes: Arc<AtomicU64>,
}

/// Memtables on their way to tables.
#[derive(Debug, Default)]
pub struct Flushing {
    /// Oldest first.
    pub units: VecDeque<FlushUnit>,
    /// Whether a worker is flushing: memtables of one collection go in order.
    pub running: bool,
}

/// One collection at run time.
#[derive(Debug)]
pub struct Core {
    /// Its id.
    pub id: CollectionId,
    /// Its folder.
    pub dir: PathBuf,
    /// Its blocks on disk.
    pub ledger: Ledger,
    /// Applied records that are not there yet.
    pub pending: Pending,
    /// Memtables and tables.
    pub tables: ArcSwap<TableSet>,
    /// The table files.
    pub files: Arc<TableFiles>,
    /// The indexes that are kept up: those being built and those that are ready.
    pub indexes: ArcSwap<Vec<Arc<Index>>>,
    /// The compiled schema that new records are checked against.
    pub schema: ArcSwapOption<CompiledSchema>,
    /// What was done and refused here.
    pub operations: Operations,
    /// The manifest and what changes it.
    pub table_work: Mutex<TableWork>,
    /// Memtables to flush, and the right to replace `tables`.
    pub flushing: Mutex<Flushing>,
    /// How far applying has come.
    pub progress: Mutex<Progress>,
    /// Sealed blocks not yet in the ledger, oldest first.
    pub sealing: Mutex<VecDeque<SealJob>>,
    /// Id and hash of the newest header in the ledger.
    pub head: Mutex<Option<(u64, Hash)>>,
    /// Held shared by writers from evaluation to acknowledgement, exclusively by administrative acts.
    pub gate: RwLock<()>,
    /// Asks for a fresh memtable at the next block boundary.
    pub rotate_wanted: AtomicBool,
    /// Bytes of the newest memtable already counted in the budget.
    pub memtable_counted: AtomicU64,
    /// When the newest memtable got its first entry, monotonic microseconds; 0 if it is empty.
    pub memtable_since_us: AtomicU64,
    /// Whether the collection was dropped: what is still being read of it ends.
    pub dropped: AtomicBool,
    /// Whether its tables were purged; changes under the lock of `table_work`.
    pub purged: AtomicBool,
    /// Whether the collection's folder is known to exist.
    pub folder_made: AtomicBool,
    /// Whether the folder of its indexes is known to exist.
    pub index_folder_made: AtomicBool,
}

impl Core {
    /// A collection whose ledger ends at `position`; its tables are still empty.
    pub fn new(
        env: &Environment,
        id: CollectionId,
        settings: &Settings,
        position: LedgerPosition,
    ) -> Self {
        let dir = env.collection_dir(id);
        let options = LedgerOptions {
            segment_bytes: env.tuning.ledger_segment_bytes,
            frame_bytes: env.tuning.frame_bytes,
            compression: settings.compression,
        };
        let progress = Progress {
            next_seq: position.end_seq,
            unsealed_first: position.end_seq,
            keys: position.keys,
            records: position.records,
            body_bytes: position.body_bytes,
            ..Progress::default()
        };
        let head = position.blocks.checked_sub(1).map(|id| (id, position.head));
        let (pool, cache) = (env.pool.clone(), env.cache.clone());
        Core {
            id,
            files: Arc::new(TableFiles::primary(pool.clone(), &dir, id.0)),
            ledger: Ledger::open(pool, cache, dir.clone(), id.0, options, position),
            dir,
            pending: Pending::new(position.end_seq),
            tables: ArcSwap::from_pointee(TableSet::default()),
            indexes: ArcSwap::default(),
            schema: ArcSwapOption::empty(),
            operations: Operations::default(),
            table_work: Mutex::default(),
            flushing: Mutex::default(),
            progress: Mutex::new(progress),
            sealing: Mutex::default(),
            head: Mutex::new(head),
            gate: RwLock::new(()),
            rotate_wanted: AtomicBool::new(false),
            memtable_counted: AtomicU64::new(0),
            memtable_since_us: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            purged: AtomicBool::new(false),
            folder_made: AtomicBool::new(false),
            index_folder_made: AtomicBool::new(false),
        }
    }

    /// The leaf at `seq`, from memory or from the ledger.
    pub fn read(&self, seq: u64) -> Result<StoredLeaf> {
        // A block is removed from memory only after the ledger shows it, so this order finds it.
        match self.pending.get(seq) {
            Some(leaf) => Ok(leaf),
            None => self.ledger.read(seq)?.ok_or_else(|| self.missing(seq)),
        }
    }

    /// The leaf at `seq` without its body.
    pub fn read_leaf(&self, seq: u64) -> Result<StoredLeaf> {
        match self.pending.get(seq) {
            Some(leaf) => Ok(leaf),
            None => self.ledger.read_leaf(seq)?.ok_or_else(|| self.missing(seq)),
        }
    }

    /// The leaf at any sequence number below the end, by a reader that remembers where it was: `None`
    /// if it is that of a header whose block is still on its way to the ledger.
    pub fn look_with(&self, reader: &mut LedgerReader, seq: u64) -> Result<Option<StoredLeaf>> {
        if let Some(leaf) = self.pending.get(seq) {
            return Ok(Some(leaf));
        }
        match reader.read(seq)? {
            Some(leaf) => Ok(Some(leaf)),
            // The block was pending when the reader began, and has left memory since.
            None => {
                *reader = self.ledger.reader();
                self.ledger.read(seq)
            }
        }
    }

    /// Those leaves at `seqs` that `keep` accepts, in the order of `seqs`. They are read in the order
    /// of their places, so that each frame of neighbours is decompressed once.
    pub fn read_batch(
        &self,
        reader: &mut LedgerReader,
        seqs: &[u64],
        mut keep: impl FnMut(&StoredLeaf) -> Result<bool>,
    ) -> Result<impl Iterator<Item = StoredLeaf>> {
        let mut order: Vec<usize> = (0..seqs.len()).collect();
        order.sort_unstable_by_key(|at| seqs[*at]);
        let mut leaves: Vec<Option<StoredLeaf>> = vec![None; seqs.len()];
        for at in order {
            let seq = seqs[at];
            let leaf = self.look_with(reader, seq)?.ok_or_else(|| self.missing(seq))?;
            if keep(&leaf)? {
                leaves[at] = Some(leaf);
            }
        }
        Ok(leaves.into_iter().flatten())
    }

    /// The newest revision of `key` below `end_seq`.
    pub fn newest(&self, key: &[u8], end_seq: u64) -> Result<Option<Hit>> {
        self.tables.load().newest(key, end_seq)
    }

    /// Whether the record at `seq` is the newest revision of its key below `end_seq`.
    pub fn is_newest(&self, seq: u64, end_seq: u64) -> Result<bool> {
        match &self.read_leaf(seq)?.key {
            Some(key) => self.is_newest_of(key, seq, end_seq),
            None => Ok(false),
        }
    }

    /// Whether the newest revision of `key` below `end_seq` is the record at `seq`.
    pub fn is_newest_of(&self, key: &[u8], seq: u64, end_seq: u64) -> Result<bool> {
        Ok(self.newest(key, end_seq)?.is_some_and(|newest| newest.seq == seq))
    }

    /// The key of the record at `seq`, for messages.
    pub fn key_at(&self, seq: u64) -> Result<String> {
        let leaf = self.read_leaf(seq)?;
        Ok(String::from_utf8_lossy(leaf.key.as_deref().unwrap_or_default()).into_owned())
    }

    /// Puts a fresh memtable in front; the old one will be flushed. Called between entries; returns
    /// whether there was anything to flush.
    pub fn rotate(&self, next_seq: u64) -> bool {
        self.rotate_wanted.store(false, Ordering::Relaxed);
        let mut flushing = self.flushing.lock();
        let tables = self.tables.load();
        let Some(full) = tables.memtables().first().filter(|memtable| !memtable.is_empty()) else {
            return false;
        };
        let primary = full.clone();
        self.tables.store(Arc::new(tables.with_memtable(Arc::new(MemTable::new()))));
        let mut indexes = Vec::new();
        for index in self.indexes.load().iter() {
            let tables = index.tables.load();
            let Some(full) = tables.memtables().first().filter(|memtable| !memtable.is_empty())
            else {
                continue;
            };
            indexes.push((index.clone(), full.clone()));
            index.tables.store(Arc::new(tables.with_memtable(Arc::new(MemTable::new()))));
        }
        let counted_bytes = AtomicU64::new(self.memtable_counted.swap(0, Ordering::Relaxed)).into();
        flushing.units.push_back(FlushUnit { primary, indexes, end_seq: next_seq, counted_bytes });
        self.memtable_since_us.store(0, Ordering::Relaxed);
        true
    }

    /// Replaces a set of tables, the collection's own or an index's, by what `change` makes of it.
    pub fn replace_tables(
        &self,
        tables: &ArcSwap<TableSet>,
        change: impl FnOnce(&TableSet) -> Result<TableSet>,
    ) -> Result<()> {
        let _right = self.flushing.lock();
        let changed = change(&tables.load())?;
        tables.store(Arc::new(changed));
        Ok(())
    }

    /// The live index of that number.
    pub fn index(&self, id: u32) -> Option<Arc<Index>> {
        self.indexes.load().iter().find(|index| index.id == id).cloned()
    }

    fn missing(&self, seq: u64) -> Error {
        Error::new(
            Code::Corrupt,
            format!("collection {}: leaf {seq} is in no block and not pending", self.id),
        )
    }
}
