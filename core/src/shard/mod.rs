//! The shard: one sequence of log entries and the collections it carries. Everything that changes
//! goes through here, in one order.
//!
//! ```text
//!              commit                     apply                        publish
//!   writers ──► committer ──► log ──► memtables, pending records ──► ShardState (snapshots)
//!                                        │ seals          │ full memtables
//!                                        ▼                ▼
//!                                     sealer ──► ledger   flusher, compactor ──► tables, manifest
//!                                        │
//!                                        └─► restart point ──► log segments recycled
//! ```
//!
//! What holds at all times:
//! - a block goes to the ledger only after the frame of its seal is synced;
//! - a restart point names only what is durable, and only behind it is the log recycled;
//! - a manifest covers only ledger that a restart point names;
//! - a record leaves memory only after the ledger shows it.
//!
//! Lock order: locks of keys (`transaction::locks`), admin, a collection's `gate`, queue, lane, a
//! collection's `progress`, then `sealing`/`pending`/`table_work`; the sealer's lane is taken before the
//! committer's, never after. Under the committer's lane locks of keys are only freed, or taken where
//! they are free (`two_phase`), and never waited for.

pub mod acts;
pub mod apply;
pub mod backward;
pub mod builder;
pub mod committer;
pub mod core;
pub mod entry;
pub mod environment;
pub mod find;
pub mod flusher;
pub mod index;
pub mod load;
pub mod operations;
pub mod pending;
pub mod purge;
pub mod read;
pub mod rebuild;
pub mod rendering;
pub mod restart;
pub mod sealer;
pub mod sessions;
pub mod state;
pub mod statistics;
pub mod throttle;
pub mod times;
pub mod two_phase;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::collection::settings::BLOCK_BYTES_MAX;
use crate::collection::{CollectionId, Descriptor};
use crate::error::Result;
use crate::ledger::LedgerPosition;
use crate::log::LogWriter;
use crate::shard::committer::{Queue, Work};
use crate::shard::core::{Core, Progress};
use crate::shard::environment::Environment;
use crate::shard::index::Index;
use crate::shard::rebuild::RepairedCollection;
use crate::shard::restart::RestartPoint;
use crate::shard::sessions::Sessions;
use crate::shard::state::ShardState;
use crate::shard::statistics::Counters;
use crate::shard::two_phase::Machinery;

/// What only the committer touches.
pub(crate) struct Lane {
    /// The log; `None` when opened read-only.
    pub(crate) log: Option<LogWriter>,
    /// The last applied state.
    state: Arc<ShardState>,
    /// Size of the last group: what the next may expect.
    last_group: usize,
    /// The first entry of each log segment that is still there, by generation, oldest first.
    generations: VecDeque<(u64, u64)>,
}

impl Lane {
    /// Notes that the entry at `index` stands in segment `generation`.
    fn note_generation(&mut self, generation: u64, index: u64) {
        if self.generations.back().is_none_or(|(newest, _)| *newest < generation) {
            self.generations.push_back((generation, index));
        }
    }

    /// Recycles the segments that hold no entry from `index` on.
    fn retire_log(&mut self, index: u64) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        while self.generations.get(1).is_some_and(|(_, first)| *first <= index) {
            self.generations.pop_front();
        }
        match self.generations.front() {
            Some((generation, _)) => log.retire(*generation),
            None => log.retire(log.current_generation()),
        }
    }
}

/// One sequence of entries and its collections.
pub struct Shard {
    /// Its number; 0 in an embedded database.
    pub number: u32,
    /// What its collections share.
    pub env: Arc<Environment>,
    state: ArcSwap<ShardState>,
    queue: Mutex<Queue>,
    pub(crate) lane: Mutex<Lane>,
    /// Held by whoever seals blocks or makes a restart point; holds the last restart point.
    sealer: Mutex<RestartPoint>,
    /// Log position up to which everything is synced, as far as the sealer knows.
    sealed: Mutex<VecDeque<CollectionId>>,
    /// Collections with a memtable to flush.
    flushes: Mutex<VecDeque<CollectionId>>,
    /// Collections whose tables changed and may want compaction.
    compactions: Mutex<BTreeSet<CollectionId>>,
    /// The transactions that are open.
    pub(crate) sessions: Sessions,
    /// Indexes with old records to bring in, or with an outcome to log.
    builds: Mutex<builder::Builds>,
    /// Indexes that are no longer kept up and whose tables are still there.
    forgotten: Mutex<BTreeMap<(CollectionId, u32), Arc<Index>>>,
    /// Dropped collections that keep their bodies for a while.
    dropped_count: AtomicU64,
    /// When those are looked at again, monotonic microseconds.
    next_purge_us: AtomicU64,
    /// Whether the log is still being read again.
    recovering: AtomicBool,
    /// What an opening has repaired.
    repaired: Mutex<Vec<RepairedCollection>>,
    /// Counters as they were last written down.
    counted: Mutex<Counters>,
    /// Held while an administrative act is evaluated and logged: one at a time.
    pub admin: Mutex<()>,
    /// When a collection's pending records are sealed at the latest, monotonic microseconds.
    deadlines: Mutex<BTreeSet<(u64, CollectionId)>>,
    /// Collections whose rendered files are out of date.
    unrendered: Mutex<BTreeSet<CollectionId>>,
    unrendered_since_us: AtomicU64,
    /// Collections whose ledger was written to since the last restart point.
    dirty: Mutex<BTreeSet<CollectionId>>,
    /// Ledger positions of the restart point that no registered collection has taken yet.
    recovered: Mutex<BTreeMap<CollectionId, LedgerPosition>>,
    /// Whether this is a read-only view beside a running writer.
    pub(crate) beside_writer: AtomicBool,
    /// Log bytes after the last group, and after the last recycling.
    log_bytes: AtomicU64,
    /// Log bytes when the last restart point was made.
    restart_log_bytes: AtomicU64,
    /// What two-phase commit needs beside its state.
    two_phase: Machinery,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Shard {
    /// A shard at a restart point, without its collections and its log.
    pub fn new(number: u32, env: Arc<Environment>, restart: RestartPoint) -> Self {
        let recovered = restart.collections.clone();
        let state = Arc::new(ShardState {
            applied: restart.applied,
            last_time_us: restart.last_time_us,
            system: env.database_id,
            collections: imbl::HashMap::new(),
            names: imbl::OrdMap::new(),
            two_phase: Arc::new(restart.two_phase.clone()),
        });
        let two_phase = Machinery::new(restart.two_phase.clone());
        Shard {
            number,
            env,
            state: ArcSwap::new(state.clone()),
            queue: Mutex::default(),
            lane: Mutex::new(Lane {
                log: None,
                state,
                last_group: 0,
                generations: VecDeque::new(),
            }),
            sealer: Mutex::new(restart),
            sealed: Mutex::default(),
            flushes: Mutex::default(),
            compactions: Mutex::default(),
            sessions: Sessions::default(),
            builds: Mutex::default(),
            forgotten: Mutex::default(),
            dropped_count: AtomicU64::new(0),
            next_purge_us: AtomicU64::new(0),
            recovering: AtomicBool::new(true),
            repaired: Mutex::default(),
            counted: Mutex::default(),
            admin: Mutex::new(()),
            deadlines: Mutex::default(),
            unrendered: Mutex::default(),
            unrendered_since_us: AtomicU64::new(0),
            dirty: Mutex::default(),
            recovered: Mutex::new(recovered),
            beside_writer: AtomicBool::new(false),
            log_bytes: AtomicU64::new(0),
            restart_log_bytes: AtomicU64::new(0),
            two_phase,
        }
    }

    /// The newest published state; holding it holds a snapshot.
    pub fn snapshot(&self) -> Arc<ShardState> {
        self.state.load_full()
    }

    /// The newest published state for the length of one call, without touching a shared counter.
    pub fn current(&self) -> arc_swap::Guard<Arc<ShardState>> {
        self.state.load()
    }

    /// Registers collections found at open; those the restart point names are brought up from disk.
    pub fn register(&self, descriptors: Vec<Descriptor>) -> Result<()> {
        let mut lane = self.lane.lock();
        let mut state = ShardState::clone(&lane.state);
        for descriptor in descriptors {
            self.apply_descriptor(&mut state, descriptor)?;
        }
        lane.state = Arc::new(state);
        self.state.store(lane.state.clone());
        Ok(())
    }

    /// The log was read: from here on entries are new.
    pub fn end_recovery(&self) {
        self.recovering.store(false, Ordering::Release);
    }

    /// What was repaired while opening.
    pub fn take_repaired(&self) -> Vec<RepairedCollection> {
        std::mem::take(&mut self.repaired.lock())
    }

    /// Seals what a collection has pending; the block may still be on its way to the ledger.
    pub fn seal(&self, id: CollectionId) -> Result<()> {
        self.commit(Work::Seal(vec![id])).map(drop)
    }

    fn block_is_full(&self, lane: &Lane, core: &Core, progress: &Progress) -> bool {
        let Some(view) = lane.state.collections.get(&core.id) else { return false };
        progress.next_seq - progress.unsealed_first >= view.descriptor.settings.block_records
            || progress.unsealed_bytes >= BLOCK_BYTES_MAX
            || self.memtable_is_full(core, &view.descriptor)
    }

    fn memtable_is_full(&self, core: &Core, descriptor: &Descriptor) -> bool {
        let own = core.memtable_counted.load(Ordering::Relaxed);
        own >= descriptor.settings.flush_bytes.min(self.env.tuning.flush_bytes_max)
    }

    /// Brings the budget's sum up to date with one memtable's size.
    fn count_memtable(&self, core: &Core, bytes: u64) {
        let before = core.memtable_counted.swap(bytes, Ordering::Relaxed);
        self.env.memtable_bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    fn note_deadline(&self, state: &ShardState, core: &Arc<Core>, now_us: u64) {
        let Some(view) = state.collections.get(&core.id) else { return };
        let interval_ms = view.descriptor.settings.seal_interval_ms;
        if interval_ms > 0 {
            let first = self.deadlines.lock().insert((now_us + interval_ms * 1000, core.id));
            if first {
                self.env.work.notify();
            }
        }
    }
}
