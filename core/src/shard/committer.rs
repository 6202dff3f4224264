//! Group commit. Committing is a role, not a thread: an uncontended writer does it itself; whoever
//! arrives while a sync runs waits in the queue, and one of them commits for all when it ends.
//!
//! ```text
//!   writer ──► queue ──► lane: number, time, seal ──► log: one write, one sync ──► apply ──► publish
//! ```
//!
//! Nothing in memory changes before the log holds the group: a failed write leaves no trace, and
//! nobody sees a record before it is durable (in mode `sync`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Condvar, Mutex};

use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};
use crate::log::{FrameKind, FrameMeta, Position};
use crate::shard::Shard;
use crate::shard::core::{Core, Progress};
use crate::shard::entry::{Batch, Proposal, Seal, encode_seals};
use crate::shard::environment::Durability;
use crate::shard::two_phase::{LockHolder, Request, Step, TwoPhase};

/// A group is closed when it holds this much, so that one write stays short.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Blocks that one entry ends: their number is a 16-bit one.
const SEALS_OF_ENTRY_MAX: usize = 10_000;

/// What a caller asks of the committer.
#[derive(Debug)]
pub enum Work {
    /// Log and apply these records.
    Write(Proposal),
    /// End the current blocks of these collections, where they hold anything, by one entry.
    Seal(Vec<CollectionId>),
    /// End the block and put a fresh memtable in front.
    Rotate(CollectionId),
    /// A step of two-phase commit.
    TwoPhase(Request),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Write(proposal) => proposal.bytes(),
            Work::Seal(ids) => 128 * ids.len(),
            Work::Rotate(_) => 128,
            Work::TwoPhase(request) => request.bytes(),
        }
    }
}

/// What became of a piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Commit time, microseconds since the epoch.
    pub time_us: i64,
    /// First sequence number per collection written to, in the proposal's order.
    pub first_seqs: Vec<u64>,
}

enum Outcome {
    Done(Result<Committed>),
    Lead,
}

/// One waiting caller.
pub(super) struct Ticket {
    work: Mutex<Option<Work>>,
    outcome: Mutex<Option<Outcome>>,
    signal: Condvar,
}

impl Ticket {
    fn deliver(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.signal.notify_one();
    }

    fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock();
        loop {
            match outcome.take() {
                Some(outcome) => return outcome,
                None => self.signal.wait(&mut outcome),
            }
        }
    }
}

/// Who waits, and whether someone commits already.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    led: bool,
}

/// An entry in the log's buffer, to be applied once the log holds it.
pub(super) enum Staged {
    /// Records.
    Batch {
        /// Log index.
        index: u64,
        /// The records.
        batch: Batch,
    },
    /// Ends of blocks.
    Seals {
        /// The seals of one entry.
        seals: Vec<Seal>,
        /// Where the entry's frame ends.
        log_end: Position,
    },
    /// A step of two-phase commit.
    TwoPhase {
        /// Log index.
        index: u64,
        /// The step.
        step: Step,
        /// Whoever holds the locks of a Prepare.
        holder: Option<Box<dyn LockHolder>>,
    },
}

/// The group being built: what each collection would be at its end.
pub(super) struct Stage {
    pub entries: Vec<Staged>,
    collections: Vec<(CollectionId, Option<Arc<Core>>, Progress)>,
    rotations: Vec<CollectionId>,
    pub next_index: u64,
    /// The time given to records and seals; never before `last_us`.
    pub time_us: i64,
    /// The time of the newest entry so far.
    pub last_us: i64,
    /// What the steps of two-phase commit have come to.
    pub two_phase: Arc<TwoPhase>,
    /// Whether some other shard builds on this group: then it is synced in mode `interval`, too.
    pub built_on: bool,
}

impl Shard {
    /// Carries out `work`: returns when it is logged, durable as the mode says, applied and visible.
    pub fn commit(&self, work: Work) -> Result<Committed> {
        let ticket = Arc::new(Ticket {
            work: Mutex::new(Some(work)),
            outcome: Mutex::new(None),
            signal: Condvar::new(),
        });
        let lead = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(ticket.clone());
            !std::mem::replace(&mut queue.led, true)
        };
        if !lead && let Outcome::Done(result) = ticket.wait() {
            return result;
        }
        self.lead();
        match ticket.wait() {
            Outcome::Done(result) => result,
            Outcome::Lead => unreachable!("a leader's own ticket is in its group"),
        }
    }

    /// Commits one group, delivers its outcomes and hands the role on.
    fn lead(&self) {
        self.gather();
        let group = self.take_group();
        let works: Vec<Work> =
            group.iter().map(|ticket| ticket.work.lock().take().expect("taken once")).collect();
        let results = self.commit_group(works);
        {
            let mut queue = self.queue.lock();
            match queue.waiting.front() {
                Some(next) => next.deliver(Outcome::Lead),
                None => queue.led = false,
            }
        }
        for (ticket, result) in group.iter().zip(results) {
            ticket.deliver(Outcome::Done(result));
        }
    }

    fn take_group(&self) -> Vec<Arc<Ticket>> {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let mut count = 0;
        for ticket in &queue.waiting {
            bytes += ticket.work.lock().as_ref().map_or(0, Work::bytes);
            if count > 0 && bytes > GROUP_BYTES_MAX {
                break;
            }
            count += 1;
        }
        queue.waiting.drain(..count).collect()
    }

    /// Lets writers that the last group has just released join this one: with the processor shared
    /// by all of them, a leader that does not look up once commits half-empty groups for ever.
    fn gather(&self) {
        if self.env.durability != Durability::Sync {
            return;
        }
        let mut waiting = self.queue.lock().waiting.len();
        let expected = self.lane.lock().last_group;
        let mut tries = 0;
        while waiting < expected && tries < expected {
            std::thread::yield_now();
            let now = self.queue.lock().waiting.len();
            tries += 1;
            if now > waiting {
                waiting = now;
                tries = 0;
            }
        }
    }

    fn commit_group(&self, works: Vec<Work>) -> Vec<Result<Committed>> {
        let count = works.len();
        let mut lane = self.lane.lock();
        lane.last_group = count;
        match self.try_group(&mut lane, works) {
            Ok(committed) => committed,
            Err(error) => {
                let copy = || Error::new(error.code(), error.to_string());
                (0..count).map(|_| Err(copy())).collect()
            }
        }
    }

    /// The outcome of each work; an error is one of all.
    fn try_group(
        &self,
        lane: &mut super::Lane,
        works: Vec<Work>,
    ) -> Result<Vec<Result<Committed>>> {
        self.env.check_healthy()?;
        let mut stage = Stage {
            entries: Vec::with_capacity(works.len() + 1),
            collections: Vec::new(),
            rotations: Vec::new(),
            next_index: lane.state.applied + 1,
            time_us: self.env.host.clock.wall_us().max(lane.state.last_time_us),
            last_us: lane.state.last_time_us,
            two_phase: lane.state.two_phase.clone(),
            built_on: false,
        };
        let mut committed = Vec::with_capacity(works.len());
        for work in works {
            // Staging fails only on a log that is already poisoned: what stands in its buffer by
            // then must never be written.
            let staged = self.stage(lane, &mut stage, work);
            committed.push(staged.inspect_err(|error| self.env.poison(error))?);
        }
        if !stage.entries.is_empty() {
            self.write_log(lane, stage.built_on)?;
        }
        self.apply_group(lane, stage.entries, stage.last_us)
            .and_then(|()| self.rotate_group(lane, &stage.rotations))
            .inspect_err(|error| self.env.poison(error))?;
        Ok(committed)
    }

    fn write_log(&self, lane: &mut super::Lane, built_on: bool) -> Result<()> {
        let log =
            lane.log.as_mut().ok_or_else(|| Error::new(Code::ReadOnly, "opened read-only"))?;
        let result = log.write().and_then(|()| match self.env.durability {
            #[cfg(bug = "ack_before_sync")]
            Durability::Sync => Ok(()),
            #[cfg(not(bug = "ack_before_sync"))]
            Durability::Sync => log.sync(),
            Durability::Interval(_) if built_on => log.sync(),
            Durability::Interval(_) => {
                if !self.env.unsynced.swap(true, Ordering::AcqRel) {
                    self.env.work.notify();
                }
                Ok(())
            }
            Durability::None => Ok(()),
        });
        self.log_bytes.store(log.total_bytes(), Ordering::Relaxed);
        // Out of space before anything was written leaves the log as it was; all else ends writing.
        result.inspect_err(|error| {
            if error.code() != Code::StorageFull || log.poisoned() {
                self.env.poison(error);
            }
        })
    }

    /// Stages one work. The inner error is a refusal of this one alone.
    fn stage(
        &self,
        lane: &mut super::Lane,
        stage: &mut Stage,
        work: Work,
    ) -> Result<Result<Committed>> {
        match work {
            Work::Write(proposal) => self.stage_write(lane, stage, proposal).map(Ok),
            Work::Seal(ids) => {
                for ids in ids.chunks(SEALS_OF_ENTRY_MAX) {
                    self.stage_seals(lane, stage, ids)?;
                }
                Ok(Ok(Committed::default()))
            }
            Work::Rotate(id) => {
                // The seal does it, if there is one: records that follow in the same group are in no
                // block yet, and belong to the next memtable.
                if let (Some(core), _) = stage.collection(lane, id) {
                    core.rotate_wanted.store(true, Ordering::Relaxed);
                }
                self.stage_seals(lane, stage, &[id])?;
                stage.rotations.push(id);
                Ok(Ok(Committed::default()))
            }
            Work::TwoPhase(request) => self.stage_request(lane, stage, request),
        }
    }

    fn stage_write(
        &self,
        lane: &mut super::Lane,
        stage: &mut Stage,
        proposal: Proposal,
    ) -> Result<Committed> {
        let bytes = proposal.bytes() as u64;
        let (first_seqs, full) = self.stage_parts(lane, stage, proposal.parts(), bytes);
        let txn = proposal.txn();
        let batch = proposal.number(stage.time_us, &first_seqs);
        stage.append(lane, self.number, txn, &batch.payload)?;
        stage.note_time(stage.time_us);
        let committed = Committed { time_us: stage.time_us, first_seqs };
        stage.entries.push(Staged::Batch { index: stage.next_index - 1, batch });
        self.stage_seals(lane, stage, &full)?;
        Ok(committed)
    }

    /// Gives records their sequence numbers; returns the first of each part, and the collections
    /// whose blocks they fill.
    pub(super) fn stage_parts(
        &self,
        lane: &super::Lane,
        stage: &mut Stage,
        parts: impl Iterator<Item = (CollectionId, usize)>,
        bytes: u64,
    ) -> (Vec<u64>, Vec<CollectionId>) {
        let mut first_seqs = Vec::with_capacity(1);
        let mut full = Vec::new();
        for (id, count) in parts {
            let (core, progress) = stage.collection(lane, id);
            first_seqs.push(progress.next_seq);
            progress.next_seq += count as u64;
            progress.unsealed_bytes += bytes;
            let Some(core) = core else { continue };
            if self.block_is_full(lane, core, progress) {
                full.push(id);
            }
        }
        (first_seqs, full)
    }

    /// Seals fall between entries, never inside a transaction.
    pub(super) fn stage_seals(
        &self,
        lane: &mut super::Lane,
        stage: &mut Stage,
        ids: &[CollectionId],
    ) -> Result<()> {
        let time_us = stage.time_us;
        let mut seals = Vec::with_capacity(ids.len());
        for id in ids {
            let (core, progress) = stage.collection(lane, *id);
            let count = progress.next_seq - progress.unsealed_first;
            let Some(core) = core.as_ref().filter(|_| count > 0) else { continue };
            seals.push(Seal {
                collection: *id,
                first_seq: progress.unsealed_first,
                count,
                timestamp_us: time_us,
                head: *core.head.lock(),
            });
            progress.next_seq += 1;
            progress.unsealed_first = progress.next_seq;
            progress.unsealed_bytes = 0;
        }
        if seals.is_empty() {
            return Ok(());
        }
        let log_end = stage.append(lane, self.number, None, &encode_seals(&seals))?;
        stage.note_time(time_us);
        stage.entries.push(Staged::Seals { seals, log_end });
        Ok(())
    }
}

impl Stage {
    fn collection(
        &mut self,
        lane: &super::Lane,
        id: CollectionId,
    ) -> (&Option<Arc<Core>>, &mut Progress) {
        let found = self.collections.iter().position(|(known, ..)| *known == id);
        let at = found.unwrap_or_else(|| {
            let core = lane.state.collections.get(&id).map(|view| view.core.clone());
            let progress = core.as_ref().map(|core| *core.progress.lock()).unwrap_or_default();
            self.collections.push((id, core, progress));
            self.collections.len() - 1
        });
        let (_, core, progress) = &mut self.collections[at];
        (core, progress)
    }

    /// An entry of this time was staged: no later one is older.
    pub fn note_time(&mut self, time_us: i64) {
        self.last_us = self.last_us.max(time_us);
        self.time_us = self.time_us.max(time_us);
    }

    pub fn append(
        &mut self,
        lane: &mut super::Lane,
        shard: u32,
        txn: Option<[u8; 16]>,
        payload: &[u8],
    ) -> Result<Position> {
        let log =
            lane.log.as_mut().ok_or_else(|| Error::new(Code::ReadOnly, "opened read-only"))?;
        let meta = FrameMeta {
            shard,
            kind: FrameKind::Entry,
            term: 0,
            index: self.next_index,
            request_id: &[],
            txn: txn.unwrap_or_default(),
        };
        let position = log.append(&meta, payload)?;
        lane.note_generation(position.generation, self.next_index);
        self.next_index += 1;
        Ok(position)
    }
}

#[cfg(test)]
mod tests;
