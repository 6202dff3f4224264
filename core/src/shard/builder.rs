//! Building an index over records that were there before it, while the collection is in use. One
//! step reads a run of old records from the ledger, writes their entries as tables, and names them
//! in the manifest together with how far it came: a crash loses one step at most, and no entry is
//! ever there twice. When all is in, a unique index is searched for doubles, and the outcome is
//! logged: `ready`, or `failed` with the offending keys.
//!
//! New writes meanwhile go into the index's memtable as they are applied, checked against what the
//! index holds so far; what slips through is found by the last search.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::collection::index::IndexState;
use crate::collection::{CollectionId, Descriptor, Status};
use crate::document::Document;
use crate::error::{Code, Error, Result, Violation};
use crate::ledger::{Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::core::Core;
use crate::shard::environment::Durability;
use crate::shard::index::{Index, record_keys};
use crate::shard::state::View;
use crate::table::MemTable;

/// Records between two looks at the cancel flag.
const CANCEL_RECORDS: u64 = 1024;
/// Offending keys that a failed index names.
const VIOLATIONS_MAX: usize = 10;
/// Entries of one step: at most this share of the memory for memtables.
const STEP_SHARE: u64 = 4;

/// How a step ended.
enum Step {
    /// More old records wait.
    More,
    /// Every old record is in.
    Complete,
    /// A record cannot be indexed.
    Refused(Violation),
}

/// Indexes that wait for a step of their building, and how many are at one.
#[derive(Debug, Default)]
pub(super) struct Builds {
    pub waiting: VecDeque<(CollectionId, u32)>,
    running: usize,
}

impl Builds {
    fn begin(&mut self) -> Option<(CollectionId, u32)> {
        let next = self.waiting.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// Whether nothing is being built.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }
}

impl Shard {
    /// Does one step of building an index, if one is being built; returns whether it did.
    pub fn build_one(&self, cancel: &AtomicBool) -> Result<bool> {
        let Some((id, number)) = self.builds.lock().begin() else { return Ok(false) };
        let built = self.build_index(id, number, cancel);
        self.builds.lock().running -= 1;
        self.env.progress.notify();
        built.map(|()| true)
    }

    fn build_index(&self, id: CollectionId, number: u32, cancel: &AtomicBool) -> Result<()> {
        let state = self.snapshot();
        let Some(view) = state.live(id) else { return Ok(()) };
        let Some(index) = view.core.index(number) else { return Ok(()) };
        // Another act on the collection may have queued it again while a worker is at it; that
        // worker queues it for the next step itself.
        let Some(turn) = index.building.try_lock() else { return Ok(()) };
        if index.is_damaged() {
            self.fail_damaged(&view.core)?;
            return Ok(());
        }
        let again = || self.builds.lock().waiting.push_back((id, number));
        let step = match index.is_complete() {
            true => Ok(Step::Complete),
            false => self.build_step(view, &index, cancel),
        };
        match step {
            Ok(Step::More) => again(),
            Ok(Step::Complete) => match self.finish_build(id, &index, cancel) {
                Err(error) if error.code() == Code::Unavailable => again(),
                finished => {
                    let held = !finished.inspect_err(|_| again())?;
                    drop(turn);
                    // Its end queues the index, unless it came while this worker was at it.
                    if held && self.current().two_phase.prepared_in(id).is_none() {
                        again();
                    }
                }
            },
            Ok(Step::Refused(violation)) => self.fail_index(id, number, vec![violation])?,
            Err(error) if error.code() == Code::Unavailable => again(),
            Err(error) => {
                again();
                return Err(error);
            }
        }
        self.compactions.lock().insert(id);
        self.env.work.notify();
        Ok(())
    }

    fn build_step(&self, view: &View, index: &Arc<Index>, cancel: &AtomicBool) -> Result<Step> {
        let core = &view.core;
        if core.ledger.position().end_seq < index.since_seq {
            self.seal(core.id)?;
            self.write_blocks()?;
        }
        self.cover(core.id, index.since_seq)?;
        let from_seq = index.built_seq.load(Ordering::Acquire);
        let memtable = Arc::new(MemTable::new());
        let bytes_max = self.env.tuning.memtable_bytes_max() / STEP_SHARE;
        let indexes = std::slice::from_ref(index);
        let mut built_seq = index.since_seq;
        for (count, leaf) in (1u64..).zip(core.ledger.iter(from_seq, true)) {
            let leaf = leaf?;
            if leaf.seq >= index.since_seq {
                break;
            }
            if memtable.bytes() >= bytes_max {
                built_seq = leaf.seq;
                break;
            }
            if count.is_multiple_of(CANCEL_RECORDS) && cancel.load(Ordering::Relaxed) {
                return Err(Error::new(Code::Unavailable, "the building was cancelled"));
            }
            let Some((key, document)) = record_of(&leaf) else { continue };
            match record_keys(indexes, &document) {
                Ok(keys) => Index::insert(&memtable, &keys[0].1, leaf.seq),
                Err(error) => return Ok(Step::Refused(refusal(&key, &error))),
            }
        }
        self.publish_step(view, index, &memtable, built_seq)?;
        Ok(if built_seq < index.since_seq { Step::More } else { Step::Complete })
    }

    /// Writes the entries of one step, and names them in the manifest.
    fn publish_step(
        &self,
        view: &View,
        index: &Index,
        memtable: &Arc<MemTable>,
        built_seq: u64,
    ) -> Result<()> {
        let core = &view.core;
        let metas = match memtable.is_empty() {
            true => Vec::new(),
            false => self.write_index_memtable(view, index, memtable)?,
        };
        let tables = self.open_tables(&index.files, &metas);
        self.sync_acts()?;
        let mut work = core.table_work.lock();
        if core.index(index.id).is_none() {
            tables.iter().for_each(|table| table.mark_obsolete());
            return Ok(());
        }
        let mut manifest = work.manifest.clone();
        let entry = manifest.index_entry(index.id);
        entry.built_seq = built_seq;
        entry.tables.extend(metas);
        self.make_folder(core)?;
        self.store_manifest(core, &manifest).inspect_err(|_| {
            if !self.may_be_named(core, &manifest) {
                tables.iter().for_each(|table| table.mark_obsolete());
            }
        })?;
        work.manifest = manifest;
        core.replace_tables(&index.tables, |set| Ok(set.with_built(tables)))?;
        index.built_seq.store(built_seq, Ordering::Release);
        Ok(())
    }

    /// Every record is in the index: looks for doubles if it is unique, and logs the outcome. False
    /// while something is prepared, which may still bring values of a unique index that nobody sees.
    fn finish_build(&self, id: CollectionId, index: &Index, cancel: &AtomicBool) -> Result<bool> {
        let core = self.core(id)?;
        // Writers that were checked against an incomplete index are done once the gate was closed;
        // later ones see all of it.
        drop(core.gate.write());
        let state = self.snapshot();
        let Some(view) = state.live(id) else { return Ok(true) };
        if index.unique && state.two_phase.prepared_in(id).is_some() {
            return Ok(false);
        }
        let doubles = match index.unique {
            true => self.doubles(view, index, cancel)?,
            false => Vec::new(),
        };
        match doubles.is_empty() {
            true => self.set_index_state(id, index.id, IndexState::Ready)?,
            false => self.fail_index(id, index.id, doubles)?,
        }
        Ok(true)
    }

    /// Newest records with the same values in a unique index.
    fn doubles(&self, view: &View, index: &Index, cancel: &AtomicBool) -> Result<Vec<Violation>> {
        let core = &view.core;
        let revisions = view.descriptor.settings.revisions;
        let tables = index.tables.load_full();
        let mut doubles = Vec::new();
        let (mut value, mut holder_seq) = (Vec::new(), None);
        let entries = tables.scan(Bound::Unbounded, Bound::Unbounded, view.end_seq, false);
        for (count, entry) in (1u64..).zip(entries) {
            let entry = entry?;
            if count.is_multiple_of(CANCEL_RECORDS) && cancel.load(Ordering::Relaxed) {
                return Err(Error::new(Code::Unavailable, "the building was cancelled"));
            }
            if Index::is_mark(&entry.key) {
                continue;
            }
            if entry.key != value {
                value.clone_from(&entry.key);
                holder_seq = None;
            }
            if revisions && !core.is_newest(entry.seq, view.end_seq)? {
                continue;
            }
            let Some(first_seq) = holder_seq.replace(entry.seq) else { continue };
            let (first, second) = (core.key_at(first_seq)?, core.key_at(entry.seq)?);
            doubles.push(Violation {
                path: index.field_words(),
                rule: "unique".to_owned(),
                found: format!("records {first:?} and {second:?} have the same values"),
            });
            if doubles.len() >= VIOLATIONS_MAX {
                break;
            }
        }
        Ok(doubles)
    }

    fn fail_index(&self, id: CollectionId, number: u32, why: Vec<Violation>) -> Result<()> {
        self.set_index_state(id, number, IndexState::Failed(why))?;
        self.forget_index(id, number)
    }

    /// Says of damaged indexes that they have failed, before a manifest could pass over what they lack.
    pub(super) fn fail_damaged(&self, core: &Core) -> Result<()> {
        let indexes = core.indexes.load_full();
        for index in indexes.iter().filter(|index| index.is_damaged()) {
            let found = "records it must hold are damaged; see verify".to_owned();
            let why = Violation { path: index.field_words(), rule: "corrupt".to_owned(), found };
            self.fail_index(core.id, index.id, vec![why])?;
        }
        Ok(())
    }

    fn set_index_state(&self, id: CollectionId, number: u32, to: IndexState) -> Result<()> {
        let _admin = self.admin.lock();
        let state = self.snapshot();
        let Some(view) = state.live(id) else { return Ok(()) };
        let mut descriptor = Descriptor::clone(&view.descriptor);
        let Some(index) = descriptor.indexes.iter_mut().find(|index| index.id == number) else {
            return Ok(());
        };
        // One that had to be built again may turn out not to be unique any more.
        let fails = matches!(to, IndexState::Failed(_)) && index.is_live();
        if index.state != IndexState::Building && !fails {
            return Ok(());
        }
        index.state = to;
        self.record_act(&descriptor, None)
    }

    /// Takes the tables of an index that is no longer kept up out of the manifest, and removes them.
    pub fn forget_index(&self, id: CollectionId, number: u32) -> Result<()> {
        let core = self.core(id)?;
        self.sync_acts()?;
        let mut work = core.table_work.lock();
        if core.index(number).is_some() {
            return Ok(());
        }
        let mut manifest = work.manifest.clone();
        manifest.indexes.retain(|index| index.id != number);
        if manifest != work.manifest {
            self.store_manifest(&core, &manifest)?;
            work.manifest = manifest;
        }
        if let Some(index) = self.forgotten.lock().remove(&(id, number)) {
            index.tables.load().tables().for_each(|table| table.mark_obsolete());
        }
        Ok(())
    }

    /// A manifest must not speak of an act, or keep silent after one, that a power loss could undo:
    /// modes that do not sync each write sync the log here.
    fn sync_acts(&self) -> Result<()> {
        match self.env.durability {
            Durability::Sync => Ok(()),
            _ => self.sync_log_now(),
        }
    }

    /// Puts every index that is not complete, or not yet said to be ready, in the queue.
    pub(super) fn queue_builds(&self, core: &Core, descriptor: &Descriptor) {
        if self.env.read_only || descriptor.status != Status::Live {
            return;
        }
        let mut builds = self.builds.lock();
        for index in descriptor.indexes.iter().filter(|index| index.is_live()) {
            let complete = core.index(index.id).is_some_and(|running| running.is_complete());
            let entry = (core.id, index.id);
            if (!complete || index.state == IndexState::Building)
                && !builds.waiting.contains(&entry)
            {
                builds.waiting.push_back(entry);
            }
        }
    }
}

/// Key and document of a leaf that is a readable record.
fn record_of(leaf: &StoredLeaf) -> Option<(String, Document)> {
    let Slot::Live { body, .. } = &leaf.slot else { return None };
    let key = leaf.key.as_ref().filter(|_| leaf.kind == LeafKind::Record)?;
    Some((String::from_utf8_lossy(key).into_owned(), Document::from_trusted(body.clone())))
}

fn refusal(key: &str, error: &Error) -> Violation {
    Violation {
        path: error.errors().first().map(|error| error.path.clone()).unwrap_or_default(),
        rule: error.code().as_str().to_owned(),
        found: format!("record {key:?}: {}", error.detail()),
    }
}
