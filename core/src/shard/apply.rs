//! Applying entries: the only place where state changes. The same code runs behind a commit and in
//! recovery; it looks at no clock and never refuses. A batch names the first sequence number it
//! gives each collection: lower than expected means the ledger has it already (skip), equal means
//! apply, higher means a hole, and the shard stops with `corrupt`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::descriptor::SchemaVersion;
use crate::collection::schema::Schema;
use crate::collection::{CollectionId, Descriptor, Status};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::proof::LeafKind;
use crate::shard::committer::Staged;
use crate::shard::core::{CompiledSchema, Core, SealJob};
use crate::shard::entry::{Batch, Entry, Part, Seal};
use crate::shard::index::{Index, enter_recovered};
use crate::shard::pending::PendingPart;
use crate::shard::state::{ShardState, View};
use crate::shard::{Lane, Shard};

impl Shard {
    /// Applies a logged group and publishes the result as one snapshot.
    pub(super) fn apply_group(
        &self,
        lane: &mut Lane,
        entries: Vec<Staged>,
        time_us: i64,
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut state = ShardState::clone(&lane.state);
        state.last_time_us = time_us;
        let mut ended = Vec::new();
        for entry in entries {
            state.applied += 1;
            match entry {
                Staged::Batch { index, batch } => self.apply_batch(&mut state, index, batch)?,
                Staged::Seals { seals, log_end } => {
                    for seal in seals {
                        self.apply_seal(&mut state, seal, log_end)?;
                    }
                }
                Staged::TwoPhase { index, step, holder } => {
                    ended.extend(self.apply_step(&mut state, index, step, holder)?);
                }
            }
        }
        self.publish(lane, state);
        self.let_go(&ended);
        Ok(())
    }

    /// Applies one entry read back from the log.
    pub fn replay(&self, index: u64, entry: Entry, log_end: crate::log::Position) -> Result<()> {
        let mut lane = self.lane.lock();
        let mut state = ShardState::clone(&lane.state);
        lane.note_generation(log_end.generation, index);
        state.applied = index;
        let mut ended = Vec::new();
        match entry {
            Entry::Batch(batch) => {
                state.last_time_us = state.last_time_us.max(batch.time_us);
                self.apply_batch(&mut state, index, batch)?;
            }
            Entry::Seals(seals) => {
                for seal in seals {
                    state.last_time_us = state.last_time_us.max(seal.timestamp_us);
                    self.apply_seal(&mut state, seal, log_end)?;
                }
            }
            Entry::TwoPhase(step) => {
                state.last_time_us = state.last_time_us.max(step.time_us());
                ended.extend(self.apply_step(&mut state, index, step, None)?);
            }
        }
        self.publish(&mut lane, state);
        self.let_go(&ended);
        Ok(())
    }

    fn publish(&self, lane: &mut Lane, state: ShardState) {
        lane.state = Arc::new(state);
        self.state.store(lane.state.clone());
    }

    /// Puts fresh memtables in front where that was asked for and no seal did it. Where records came
    /// since the last block, the next seal does.
    pub(super) fn rotate_group(&self, lane: &mut Lane, ids: &[CollectionId]) -> Result<()> {
        for id in ids {
            let Some(view) = lane.state.collections.get(id) else { continue };
            let progress = *view.core.progress.lock();
            let at_a_block = progress.next_seq == progress.unsealed_first;
            if at_a_block && view.core.rotate(progress.next_seq) {
                self.flushes.lock().push_back(*id);
                self.env.work.notify();
            }
        }
        Ok(())
    }

    pub(super) fn apply_batch(
        &self,
        state: &mut ShardState,
        index: u64,
        batch: Batch,
    ) -> Result<()> {
        let Batch { time_us, txn, parts, payload } = batch;
        for part in parts {
            let system = part.collection == state.system;
            let applied = self.apply_part(state, index, time_us, txn, part, &payload)?;
            if let Some(part) = applied.filter(|_| system) {
                self.apply_descriptors(state, &part)?;
            }
        }
        Ok(())
    }

    /// Adds one collection's records; `None` if the ledger held them already.
    fn apply_part(
        &self,
        state: &mut ShardState,
        index: u64,
        time_us: i64,
        txn: Option<[u8; 16]>,
        mut part: Part,
        payload: &bytes::Bytes,
    ) -> Result<Option<Arc<PendingPart>>> {
        let id = part.collection;
        let view = state.collections.get(&id).ok_or_else(|| unknown(id))?;
        let core = view.core.clone();
        let mut progress = core.progress.lock();
        let count = part.slots.len() as u64;
        if part.first_seq != progress.next_seq {
            return match part.first_seq + count <= progress.next_seq {
                true => Ok(None),
                false => Err(hole(id, part.first_seq, progress.next_seq)),
            };
        }
        let tables = core.tables.load();
        let memtable = tables.memtables().first().expect("a set begins with a memtable");
        let indexes = core.indexes.load();
        let now_us = self.env.host.clock.monotonic_us();
        for (slot, seq) in part.slots.iter().zip(part.first_seq..) {
            progress.body_bytes += u64::from(slot.body_len());
            if let (LeafKind::Record, Some(key)) = (slot.kind, slot.key(payload)) {
                memtable.insert(key, slot.revision, seq);
                progress.records += 1;
                progress.keys += u64::from(slot.revision == 1);
            }
        }
        if !indexes.is_empty() {
            index_part(&indexes, &mut part, payload)?;
        }
        if progress.next_seq == progress.unsealed_first {
            progress.unsealed_since_us = now_us;
            self.note_deadline(state, &core, now_us);
        }
        progress.next_seq += count;
        let pending = PendingPart { index, time_us, txn, payload: payload.clone(), part };
        progress.unsealed_bytes += pending.bytes();
        self.env.pending_bytes.fetch_add(pending.bytes(), Ordering::Relaxed);
        if core.memtable_since_us.load(Ordering::Relaxed) == 0 {
            core.memtable_since_us.store(now_us.max(1), Ordering::Relaxed);
        }
        let of_indexes: u64 = indexes.iter().map(|index| index.memtable_bytes()).sum();
        self.count_memtable(&core, memtable.bytes() + of_indexes);
        let pending = core.pending.push(pending);
        let view = state.collections.get_mut(&id).expect("looked up above");
        view.end_seq = progress.next_seq;
        view.keys = progress.keys;
        view.records = progress.records;
        view.body_bytes = progress.body_bytes;
        Ok(Some(pending))
    }

    fn apply_seal(
        &self,
        state: &mut ShardState,
        seal: Seal,
        log_end: crate::log::Position,
    ) -> Result<()> {
        let view =
            state.collections.get_mut(&seal.collection).ok_or_else(|| unknown(seal.collection))?;
        let core = view.core.clone();
        let mut progress = core.progress.lock();
        if seal.first_seq < progress.unsealed_first {
            return Ok(());
        }
        if seal.first_seq != progress.unsealed_first
            || seal.first_seq + seal.count != progress.next_seq
        {
            return Err(hole(seal.collection, seal.first_seq, progress.unsealed_first));
        }
        core.sealing.lock().push_back(SealJob {
            first_seq: seal.first_seq,
            count: seal.count,
            timestamp_us: seal.timestamp_us,
            head: seal.head,
            log_end,
        });
        progress.next_seq += 1;
        progress.unsealed_first = progress.next_seq;
        progress.unsealed_bytes = 0;
        view.end_seq = progress.next_seq;
        self.sealed.lock().push_back(core.id);
        // A memtable ends where a block ends, so that a table never holds what no block does.
        if (self.memtable_is_full(&core, &view.descriptor)
            || core.rotate_wanted.load(Ordering::Relaxed))
            && core.rotate(progress.next_seq)
        {
            self.flushes.lock().push_back(core.id);
        }
        self.env.work.notify();
        Ok(())
    }

    /// Carries out what records of the system collection say.
    fn apply_descriptors(&self, state: &mut ShardState, part: &PendingPart) -> Result<()> {
        for slot in &part.part.slots {
            let is_descriptor = slot.kind == LeafKind::Record
                && slot.key(&part.payload).is_some_and(Descriptor::is_key);
            if is_descriptor {
                let body = Document::from_canonical(slot.body_bytes(&part.payload))?;
                self.apply_descriptor(state, Descriptor::from_document(&body)?)?;
            }
        }
        Ok(())
    }

    /// Registers a collection or its newest descriptor. A collection that a restart point names is
    /// brought up from disk.
    pub(super) fn apply_descriptor(
        &self,
        state: &mut ShardState,
        descriptor: Descriptor,
    ) -> Result<()> {
        let (id, status) = (descriptor.id, descriptor.status);
        let descriptor = Arc::new(descriptor);
        let before = state.collections.get(&id).map(|view| view.descriptor.status);
        match (before == Some(Status::Dropped), status == Status::Dropped) {
            (false, true) => drop(self.dropped_count.fetch_add(1, Ordering::AcqRel)),
            (true, false) => drop(self.dropped_count.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        match state.collections.get_mut(&id) {
            Some(view) => {
                if view.descriptor.name != descriptor.name || status != Status::Live {
                    state.names.remove(&view.descriptor.name);
                }
                view.core.ledger.set_compression(descriptor.settings.compression);
                self.apply_indexes(&view.core, &descriptor)?;
                apply_schema(&view.core, Some(&view.descriptor), &descriptor)?;
                view.descriptor = descriptor.clone();
            }
            None => {
                let position = self.recovered.lock().remove(&id).unwrap_or_default();
                let core = Core::new(&self.env, id, &descriptor.settings, position);
                if let Some(counters) = self.counted.lock().get(&id) {
                    core.operations.restore(counters);
                }
                apply_schema(&core, None, &descriptor)?;
                self.load(&core, &descriptor)?;
                let progress = *core.progress.lock();
                let view = View {
                    core: Arc::new(core),
                    descriptor: descriptor.clone(),
                    end_seq: progress.next_seq,
                    keys: progress.keys,
                    records: progress.records,
                    body_bytes: progress.body_bytes,
                };
                state.collections.insert(id, view);
            }
        }
        if let Some(view) = state.collections.get(&id) {
            view.core.dropped.store(status != Status::Live, Ordering::Release);
        }
        if status == Status::Live {
            state.names.insert(descriptor.name.clone(), id);
        }
        if let Some(view) = state.collections.get(&id) {
            self.queue_builds(&view.core, &descriptor);
        }
        self.note_unrendered(id);
        Ok(())
    }

    /// Brings the running indexes in step with the descriptor: new ones begin empty, those that are
    /// not kept up any more are put away.
    fn apply_indexes(&self, core: &Core, descriptor: &Descriptor) -> Result<()> {
        let running = core.indexes.load_full();
        let mut next = Vec::new();
        for wanted in descriptor.indexes.iter().filter(|index| index.is_live()) {
            next.push(match running.iter().find(|index| index.id == wanted.id) {
                Some(index) => index.clone(),
                None => self.bring_up_index(core, wanted)?,
            });
        }
        for index in running.iter() {
            if !next.iter().any(|kept| kept.id == index.id) {
                self.forgotten.lock().insert((core.id, index.id), index.clone());
            }
        }
        core.indexes.store(Arc::new(next));
        Ok(())
    }
}

/// Compiles the schema of a new descriptor, where it is another than before.
fn apply_schema(core: &Core, before: Option<&Descriptor>, now: &Descriptor) -> Result<()> {
    if before.is_some_and(|before| before.schema == now.schema) {
        return Ok(());
    }
    let compiled = match &now.schema {
        Some(SchemaVersion { version, source, .. }) => {
            let schema = Schema::compile(source)?;
            Some(Arc::new(CompiledSchema { version: *version, schema }))
        }
        None => None,
    };
    core.schema.store(compiled);
    Ok(())
}

/// Puts the records of a part into the indexes: by the keys that were found when the part was
/// evaluated, or found again when it is read back from the log. Records before an index began are
/// its builder's, also when the log brings them again.
fn index_part(indexes: &[Arc<Index>], part: &mut Part, payload: &bytes::Bytes) -> Result<()> {
    let into: Vec<_> =
        indexes.iter().map(|index| (index.clone(), index.front(), index.since_seq)).collect();
    for (slot, seq) in part.slots.iter_mut().zip(part.first_seq..) {
        if slot.kind != LeafKind::Record {
            continue;
        }
        let Some(keys) = slot.index_keys.take() else {
            enter_recovered(&into, seq, &slot.body_bytes(payload))?;
            continue;
        };
        for (index, memtable, since_seq) in &into {
            let found = keys.iter().find(|(id, _)| *id == index.id);
            if let Some((_, keys)) = found.filter(|_| seq >= *since_seq) {
                Index::insert(memtable, keys, seq);
            }
        }
    }
    Ok(())
}

fn unknown(id: CollectionId) -> Error {
    Error::new(Code::Corrupt, format!("a log entry is about collection {id}, which does not exist"))
}

fn hole(id: CollectionId, found: u64, expected: u64) -> Error {
    Error::new(
        Code::Corrupt,
        format!("collection {id}: a log entry begins at leaf {found}, expected was {expected}"),
    )
}
