//! What the log of a node does for its groups: write, commit, recycle, read. Locks are taken in
//! this order and never held across a sync, except by a purge: turn, lane, groups, a group's state.
//!
//! In memory a group's vote is the one that was put into the buffer, and its entries are those
//! that were written, before either is synced: so that a state frame written for another group's
//! sake repeats what stands before it in the log, and nothing older. Raft asks for nothing before
//! it was told that it is durable, and after a failure nothing is answered at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::encoding::{HardState, decode_entry};
use super::group::Group;
use super::lane::Lane;
use super::state::GroupState;
use super::turn::{Taken, Turn};
use super::types::{Entry, LogId, Vote};
use crate::error::{Error, Result};
use crate::log::{Frame, FrameKind, FrameReader};

/// What the log and its groups' stores and readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub lane: Mutex<Lane>,
    turn: Turn,
    frames: FrameReader,
    pub groups: Mutex<BTreeMap<u32, Arc<Group>>>,
    pub cache_bytes: usize,
}

impl Shared {
    pub fn new(
        lane: Lane,
        frames: FrameReader,
        groups: BTreeMap<u32, Arc<Group>>,
        cache_bytes: usize,
    ) -> Self {
        let (lane, groups) = (Mutex::new(lane), Mutex::new(groups));
        Shared { lane, turn: Turn::default(), frames, groups, cache_bytes }
    }

    /// Returns when `entries` are durable.
    pub fn append(&self, group: &Arc<Group>, entries: Vec<Entry>) -> Result<()> {
        group.guard(|| {
            group.state.lock().check_append(&entries)?;
            let batch = {
                let mut lane = self.lane.lock();
                for entry in entries {
                    lane.push_entry(group, entry)?;
                }
                lane.batch()
            };
            self.commit(group, batch)
        })
    }

    /// Returns when `vote` is durable.
    pub fn save_vote(&self, group: &Arc<Group>, vote: Vote) -> Result<()> {
        group.guard(|| {
            group.state.lock().check_vote(&vote)?;
            let batch = {
                let mut lane = self.lane.lock();
                let hard = group.state.lock().hard.clone();
                let hard = HardState { vote: Some(vote), ..hard };
                lane.push_state(group, hard, None)?;
                lane.batch()
            };
            self.commit(group, batch)
        })
    }

    /// Remembers what is committed, to be written with whatever is written next.
    pub fn save_committed(&self, group: &Arc<Group>, committed: Option<LogId>) -> Result<()> {
        group.guard(|| {
            let mut lane = self.lane.lock();
            let hard = group.state.lock().hard.clone();
            if hard.committed == committed {
                return Ok(());
            }
            let hard = HardState { committed, ..hard };
            lane.push_state(group, hard, None)
        })
    }

    /// Returns when the entries behind `last` are void for good.
    pub fn truncate(&self, group: &Arc<Group>, last: Option<LogId>) -> Result<()> {
        group.guard(|| {
            let Some(first_void) = group.state.lock().truncation(last)? else {
                return Ok(());
            };
            let batch = {
                let mut lane = self.lane.lock();
                lane.push_truncation(group, first_void)?;
                lane.batch()
            };
            self.commit(group, batch)
        })
    }

    /// Returns when `batch`, which holds frames of `group`, is durable: by our own doing, for all
    /// who have frames in it, or by another's.
    fn commit(&self, group: &Group, batch: u64) -> Result<()> {
        let Some(mut turn) = self.turn.take_for(batch) else {
            return group.check();
        };
        let (covered, handle) = {
            let mut lane = self.lane.lock();
            let covered = write_batch(&mut lane, &mut turn)?;
            (covered, lane.writer()?.sync_handle())
        };
        // Frames that come from here on are not written before this sync ends: a write into a page
        // that is on its way to the disk would wait for it, and the whole lane behind it. If the
        // sync fails, the others find the log poisoned when they take their turn.
        let synced = handle.sync()?;
        self.lane.lock().writer()?.note_synced(synced);
        turn.done_batch = covered;
        group.check()
    }

    /// Drops the entries up to `id`, durably, and recycles the segments that nobody needs any more.
    pub fn purge(&self, group: &Arc<Group>, id: LogId) -> Result<()> {
        group.guard(|| {
            if group.state.lock().hard.purged.is_some_and(|purged| purged.index >= id.index) {
                return Ok(());
            }
            let mut turn = self.turn.take();
            let mut lane = self.lane.lock();
            // What waits in the buffer may need the segment it is about to be written to.
            lane.write()?;
            let groups: Vec<Arc<Group>> = self.groups.lock().values().cloned().collect();
            group.state.lock().purge(id);
            let oldest = lane.writer()?.segments()[0].0;
            let before = first_needed(lane.writer()?.current_generation(), &groups).max(oldest);
            // State must outlive the segments it stands in: it is carried over to the newest one,
            // synced, and only then are they recycled.
            for other in &groups {
                let (at, hard) = {
                    let state = other.state.lock();
                    (state.state_generation, state.hard.clone())
                };
                if other.shard == group.shard || at.is_some_and(|at| at < before) {
                    lane.push_state(other, hard, Some(before))?;
                }
            }
            let covered = write_batch(&mut lane, &mut turn)?;
            lane.writer()?.sync()?;
            turn.done_batch = covered;
            match before > oldest {
                true => self.frames.retire(lane.writer()?, before),
                false => Ok(()),
            }
        })
    }

    /// The entries there are of those from `start` to before `end`: a first part of them when they
    /// are more than `bytes_max`, and at least one. `admit` decides on the state they are of.
    pub fn read(
        &self,
        group: &Group,
        (start, end): (u64, u64),
        bytes_max: usize,
        admit: impl FnOnce(&GroupState) -> Result<()>,
    ) -> Result<Vec<Entry>> {
        group.check()?;
        let reading = self.frames.hold();
        let plan = {
            let state = group.state.lock();
            admit(&state)?;
            state.plan((start, end), bytes_max)
        };
        group.guard(|| {
            let mut entries = Vec::with_capacity(plan.places.len() + plan.newest.len());
            let mut ids = plan.ids.into_iter();
            reading.read(&plan.places, &mut |frame| {
                entries.push(self.entry_of(&frame, group.shard, ids.next())?);
                Ok(())
            })?;
            entries.extend(plan.newest);
            Ok(entries)
        })
    }

    /// The entry of a frame, which must be the one that was written there.
    fn entry_of(&self, frame: &Frame, shard: u32, id: Option<LogId>) -> Result<Entry> {
        let path = || self.frames.segment_path(frame.position.generation);
        let entry = decode_entry(frame)
            .map_err(|(code, what)| Error::new(code, format!("{what} ({})", path().display())))?;
        if frame.kind != FrameKind::Entry || frame.shard != shard || Some(entry.log_id) != id {
            let what = format!("entry {} where {id:?} was written", entry.log_id);
            return Err(Error::corrupt(&path(), frame.start().offset, what));
        }
        Ok(entry)
    }
}

/// Writes the batch and returns its number. If that fails, all who have frames in it have failed,
/// and it is dealt with.
fn write_batch(lane: &mut Lane, turn: &mut Taken<'_>) -> Result<u64> {
    let batch = lane.batch();
    lane.write_batch().inspect_err(|_| turn.done_batch = batch)?;
    Ok(batch)
}

/// The first segment that any group needs, at most `current`. After a failure all are kept: what
/// the failed group has on disk is not what it has in memory.
fn first_needed(current: u64, groups: &[Arc<Group>]) -> u64 {
    if groups.iter().any(|group| group.has_failed()) {
        return 0;
    }
    let of_entries = groups.iter().filter_map(|group| group.state.lock().index.oldest_generation());
    of_entries.min().unwrap_or(u64::MAX).min(current)
}
