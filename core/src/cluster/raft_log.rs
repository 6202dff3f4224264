//! The log of a node as its Raft groups share it: one writer, one order, one sync for all who wait.
//!
//! Two locks make a commit of many groups: the *lane* orders writes, the *turn* orders syncs. Who
//! has written waits for the turn; when it comes, the sync before it may have covered him already.
//! While one syncs, others write.
//!
//! In memory a group is what was written, not what was synced: so that a state frame written for
//! another's sake repeats what stands before it in the log and nothing older. Raft asks for
//! nothing before it was told that it is durable, and after a failure nothing is answered at all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::encoding::{Encoded, HardState, decode_entry};
use super::group::GroupState;
use super::log_store::LogStore;
use super::types::{Entry, LogId, Vote};
use crate::disk::Vfs;
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};
use crate::limits::RAFT_WRITE_BYTES_MAX;
use crate::log::{self, FrameKind, FrameMeta, FramePlace, FrameReader, LogOptions, LogWriter};
use crate::log::{Frame, Position, Recovered, SEGMENT_BYTES_DEFAULT, frame_bytes};

/// Segments kept open for reading: followers lag in a few places at most.
const SEGMENTS_OPEN_MAX: usize = 16;
/// Newest entries kept in memory, if nothing else is said.
const CACHE_BYTES_DEFAULT: usize = 16 << 20;

/// Where a node's log is and how it is kept.
#[derive(Clone, Debug)]
pub struct RaftLogOptions {
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// The log's folder, made if missing.
    pub dir: PathBuf,
    /// The database the log belongs to; stands in every segment's header.
    pub database_id: [u8; 16],
    /// Size of a segment in bytes.
    pub segment_bytes: u64,
    /// Newest entries kept in memory, in bytes, shared evenly by the groups.
    pub cache_bytes: usize,
    /// A place up to which the log is known to have been synced, if there is such knowledge: wrong
    /// bytes before it are damage and no torn tail.
    pub known_end: Option<Position>,
}

impl RaftLogOptions {
    /// The usual sizes.
    pub fn new(vfs: Arc<dyn Vfs>, dir: impl Into<PathBuf>, database_id: [u8; 16]) -> Self {
        RaftLogOptions {
            vfs,
            dir: dir.into(),
            database_id,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            cache_bytes: CACHE_BYTES_DEFAULT,
            known_end: None,
        }
    }
}

/// The log of a node. Clones are the same log.
#[derive(Clone, Debug)]
pub struct RaftLog {
    shared: Arc<Shared>,
}

/// What the log and its groups' stores and readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// The writer; none once the log is closed.
    lane: Mutex<Option<LogWriter>>,
    turn: Mutex<()>,
    frames: FrameReader,
    groups: Mutex<BTreeMap<u32, Arc<Group>>>,
    cache_bytes: usize,
}

/// One group's part of the log.
#[derive(Debug)]
pub(super) struct Group {
    pub shard: u32,
    /// Changed by whoever holds the lane, and read by all.
    pub state: Mutex<GroupState>,
    failed: AtomicBool,
    /// Whether a store writes for it.
    pub taken: AtomicBool,
}

impl Group {
    fn new(shard: u32, state: GroupState) -> Arc<Self> {
        let (failed, taken) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Group { shard, state: Mutex::new(state), failed, taken })
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Refuses everything after a failure.
    pub fn check(&self) -> Result<()> {
        match self.has_failed() {
            true => {
                let shard = self.shard;
                let detail = format!("the log of group {shard} failed earlier; open it again");
                Err(Error::new(Code::StorageFailed, detail))
            }
            false => Ok(()),
        }
    }

    /// Does a piece of work after whose failure nothing is known, and nothing is done any more.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        work().inspect_err(|_| self.failed.store(true, Ordering::Release))
    }
}

impl RaftLog {
    /// Opens the log, made if there is none, and says what opening found. The caller holds the
    /// database's lock.
    pub fn open(options: &RaftLogOptions) -> Result<(RaftLog, Recovered)> {
        let pool = Arc::new(FilePool::new(options.vfs.clone(), SEGMENTS_OPEN_MAX));
        let frames = FrameReader::new(pool, &options.dir);
        let (groups, recovered) = replay(options, &frames)?;
        let log_options =
            LogOptions { segment_bytes: options.segment_bytes, database_id: options.database_id };
        let found = (recovered.end.generation > 0).then_some(&recovered);
        let writer = LogWriter::open(options.vfs.clone(), &options.dir, log_options, found)?;
        let groups = groups.into_iter().map(|(shard, state)| (shard, Group::new(shard, state)));
        let shared = Shared {
            lane: Mutex::new(Some(writer)),
            turn: Mutex::default(),
            frames,
            groups: Mutex::new(groups.collect()),
            cache_bytes: options.cache_bytes,
        };
        Ok((RaftLog { shared: Arc::new(shared) }, recovered))
    }

    /// The store of the group with number `shard`, which begins empty if the log knows nothing of
    /// it. `locked` while another store writes for it: a log has one writer.
    pub fn store(&self, shard: u32) -> Result<LogStore> {
        let mut groups = self.shared.groups.lock();
        let group =
            groups.entry(shard).or_insert_with(|| Group::new(shard, GroupState::default())).clone();
        let each_bytes = self.shared.cache_bytes / groups.len();
        groups.values().for_each(|group| group.state.lock().tail.limit(each_bytes));
        drop(groups);
        group.check()?;
        if group.taken.swap(true, Ordering::AcqRel) {
            let detail = format!("the log of group {shard} is in use");
            return Err(Error::new(Code::Locked, detail));
        }
        Ok(LogStore::new(self.shared.clone(), group))
    }

    /// The groups the log holds anything of.
    pub fn shards(&self) -> Vec<u32> {
        let groups = self.shared.groups.lock();
        let is_known = |group: &Group| {
            let state = group.state.lock();
            state.state_generation.is_some() || !state.index.is_empty()
        };
        groups.values().filter(|group| is_known(group)).map(|group| group.shard).collect()
    }

    /// Generation and bytes of every segment, oldest first.
    pub fn segments(&self) -> Vec<(u64, u64)> {
        self.shared.lane.lock().as_ref().map(LogWriter::segments).unwrap_or_default()
    }

    /// The groups whose entries keep the oldest segment from being recycled: those to be purged
    /// when the log has grown too long.
    pub fn pinned_by(&self) -> Vec<u32> {
        let groups = self.shared.groups.lock();
        let oldest = |group: &Group| group.state.lock().index.oldest_generation();
        let first = groups.values().filter_map(|group| oldest(group)).min();
        let pins = groups.values().filter(|group| first.is_some() && oldest(group) == first);
        pins.map(|group| group.shard).collect()
    }

    /// The end of what is durable, to be remembered as `known_end`.
    pub fn synced_end(&self) -> Option<Position> {
        self.shared.lane.lock().as_ref().map(LogWriter::synced_end)
    }

    /// Ends the log in order and returns its end. Refused while a store is in use.
    pub fn close(self) -> Result<Position> {
        let groups = self.shared.groups.lock();
        if let Some(group) = groups.values().find(|group| group.taken.load(Ordering::Acquire)) {
            let detail = format!("the log of group {} is still in use", group.shard);
            return Err(Error::new(Code::Locked, detail));
        }
        // Readers that outlive the log must not meet the files of the next one.
        groups.values().for_each(|group| group.failed.store(true, Ordering::Release));
        drop(groups);
        let writer = self.shared.lane.lock().take();
        writer.ok_or_else(closed)?.close()
    }
}

/// Every group as the frames of earlier runs say.
fn replay(
    options: &RaftLogOptions,
    frames: &FrameReader,
) -> Result<(BTreeMap<u32, GroupState>, Recovered)> {
    let mut groups: BTreeMap<u32, GroupState> = BTreeMap::new();
    let mut oldest_needed = 1;
    let mut take = |frame: Frame| {
        let group = groups.entry(frame.shard).or_default();
        let oldest = group.replay(&frame).map_err(|(code, what)| {
            let (start, path) = (frame.start(), frames.segment_path(frame.start().generation));
            match code {
                Code::Corrupt => Error::corrupt(&path, start.offset, what),
                _ => Error::new(
                    code,
                    format!("{what} ({} at byte {})", path.display(), start.offset),
                ),
            }
        })?;
        oldest_needed = oldest_needed.max(oldest.unwrap_or(0));
        Ok(())
    };
    let (vfs, dir) = (&options.vfs, &options.dir);
    let recovered = log::replay(vfs, dir, options.database_id, options.known_end, 0, &mut take)?;
    let lost = |what: String| Error::corrupt(&options.dir, 0, what);
    if recovered.oldest_generation > oldest_needed {
        return Err(lost(format!("segment {oldest_needed} of the log is missing")));
    }
    for (shard, group) in &groups {
        if let Some(what) = group.missing() {
            return Err(lost(format!("group {shard}: {what}")));
        }
    }
    Ok((groups, recovered))
}

fn closed() -> Error {
    Error::new(Code::Closed, "the Raft log was closed")
}

impl Shared {
    /// Writes `entries` and returns when they are durable.
    pub fn append(&self, group: &Group, entries: Vec<Entry>) -> Result<()> {
        group.guard(|| {
            let encoded = entries
                .iter()
                .map(|entry| Encoded::of(&entry.payload))
                .collect::<Result<Vec<_>>>()?;
            let end = {
                let mut lane = self.lane.lock();
                let writer = lane.as_mut().ok_or_else(closed)?;
                group.state.lock().check_append(&entries)?;
                let places = write_entries(writer, group.shard, &entries, &encoded)?;
                drop(encoded);
                let mut state = group.state.lock();
                entries.into_iter().zip(places).for_each(|(entry, place)| state.push(entry, place));
                writer.written_end()
            };
            self.sync_to(end)
        })
    }

    /// Writes a vote and returns when it is durable.
    pub fn save_vote(&self, group: &Group, vote: Vote) -> Result<()> {
        group.guard(|| {
            group.state.lock().check_vote(&vote)?;
            let end = self.write_state(group, |hard| hard.vote = Some(vote))?;
            self.sync_to(end)
        })
    }

    /// Writes what is committed; the next sync makes it durable.
    pub fn save_committed(&self, group: &Group, committed: Option<LogId>) -> Result<()> {
        group.guard(|| {
            if group.state.lock().hard.committed == committed {
                return Ok(());
            }
            self.write_state(group, |hard| hard.committed = committed).map(drop)
        })
    }

    /// Voids the entries behind `last`; returns when that is durable.
    pub fn truncate(&self, group: &Group, last: Option<LogId>) -> Result<()> {
        group.guard(|| {
            let end = {
                let mut lane = self.lane.lock();
                let writer = lane.as_mut().ok_or_else(closed)?;
                let Some(first_void) = group.state.lock().truncation(last)? else {
                    return Ok(());
                };
                let meta = meta(group.shard, FrameKind::Truncate, first_void);
                writer.append(&meta, &first_void.to_le_bytes())?;
                writer.write()?;
                group.state.lock().truncate(first_void);
                writer.written_end()
            };
            self.sync_to(end)
        })
    }

    /// Drops the entries up to `id`, durably, and recycles the segments that nobody needs any more.
    pub fn purge(&self, group: &Group, id: LogId) -> Result<()> {
        group.guard(|| {
            let mut lane = self.lane.lock();
            let writer = lane.as_mut().ok_or_else(closed)?;
            if group.state.lock().hard.purged.is_some_and(|purged| purged.index >= id.index) {
                return Ok(());
            }
            group.state.lock().purge(id);
            let groups: Vec<Arc<Group>> = self.groups.lock().values().cloned().collect();
            let oldest = writer.segments()[0].0;
            let before = first_needed(writer, &groups).max(oldest);
            // State must outlive the segments it stands in: it is carried over to the newest one,
            // synced, and only then are they recycled.
            let is_carried = |other: &Group| {
                other.shard == group.shard
                    || other.state.lock().state_generation.is_some_and(|at| at < before)
            };
            let carried: Vec<_> = groups.iter().filter(|other| is_carried(other)).collect();
            for other in &carried {
                push_state(writer, other.shard, &other.state.lock().hard, before)?;
            }
            writer.write()?;
            let generation = Some(writer.written_end().generation);
            carried.iter().for_each(|other| other.state.lock().state_generation = generation);
            writer.sync()?;
            match before > oldest {
                true => self.frames.retire(writer, before),
                false => Ok(()),
            }
        })
    }

    /// Changes a group's state and writes it; returns the end of what was written.
    fn write_state(&self, group: &Group, change: impl FnOnce(&mut HardState)) -> Result<Position> {
        let mut lane = self.lane.lock();
        let writer = lane.as_mut().ok_or_else(closed)?;
        let mut hard = group.state.lock().hard.clone();
        change(&mut hard);
        push_state(writer, group.shard, &hard, writer.segments()[0].0)?;
        writer.write()?;
        let end = writer.written_end();
        let mut state = group.state.lock();
        (state.hard, state.state_generation) = (hard, Some(end.generation));
        Ok(end)
    }

    /// Returns when everything before `end` is durable.
    fn sync_to(&self, end: Position) -> Result<()> {
        let _turn = self.turn.lock();
        let handle = {
            let lane = self.lane.lock();
            let writer = lane.as_ref().ok_or_else(closed)?;
            if writer.synced_end() >= end {
                return Ok(());
            }
            writer.sync_handle()
        };
        let synced = handle.sync()?;
        if let Some(writer) = self.lane.lock().as_mut() {
            writer.note_synced(synced);
        }
        Ok(())
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
        let (ids, places, newest) = {
            let state = group.state.lock();
            admit(&state)?;
            plan(&state, (start, end), bytes_max)
        };
        group.guard(|| {
            let mut entries = Vec::with_capacity(places.len() + newest.len());
            let mut ids = ids.into_iter();
            reading.read(&places, &mut |frame| {
                entries.push(self.entry_of(&frame, group.shard, ids.next())?);
                Ok(())
            })?;
            entries.extend(newest);
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

/// What to read from the disk, and what is at hand behind it.
fn plan(
    state: &GroupState,
    (start, end): (u64, u64),
    bytes_max: usize,
) -> (Vec<LogId>, Vec<FramePlace>, Vec<Entry>) {
    let (mut ids, mut places, mut newest) = (Vec::new(), Vec::new(), Vec::new());
    if state.index.is_empty() {
        return (ids, places, newest);
    }
    let mut bytes = 0;
    for index in start.max(state.index.first_index())..end.min(state.index.end_index()) {
        let place = state.index.place(index);
        bytes += place.bytes as usize;
        if bytes > bytes_max && !(ids.is_empty() && newest.is_empty()) {
            break;
        }
        match state.tail.get(index) {
            Some(entry) => newest.push(entry.clone()),
            None => {
                ids.push(state.index.id(index));
                places.push(place);
            }
        }
    }
    (ids, places, newest)
}

fn meta(shard: u32, kind: FrameKind, index: u64) -> FrameMeta<'static> {
    FrameMeta { shard, kind, term: 0, index, request_id: &[], txn: [0; 16] }
}

fn push_state(writer: &mut LogWriter, shard: u32, hard: &HardState, oldest: u64) -> Result<()> {
    writer.append(&meta(shard, FrameKind::State, 0), &hard.encode(oldest)).map(drop)
}

/// The first segment that any group needs. After a failure all are kept: what the failed group has
/// on disk is not what it has in memory.
fn first_needed(writer: &LogWriter, groups: &[Arc<Group>]) -> u64 {
    if groups.iter().any(|group| group.has_failed()) {
        return 0;
    }
    let of_entries = groups.iter().filter_map(|group| group.state.lock().index.oldest_generation());
    of_entries.min().unwrap_or(u64::MAX).min(writer.current_generation())
}

/// Writes entries in pieces of bounded size; returns where each lies.
fn write_entries(
    writer: &mut LogWriter,
    shard: u32,
    entries: &[Entry],
    encoded: &[Encoded<'_>],
) -> Result<Vec<FramePlace>> {
    let mut places = Vec::with_capacity(entries.len());
    let mut piece: Vec<u32> = Vec::new();
    let mut piece_bytes = 0;
    for (entry, content) in entries.iter().zip(encoded) {
        let bytes = frame_bytes(content.request_id.len(), content.bytes());
        if piece_bytes > 0 && piece_bytes + bytes > RAFT_WRITE_BYTES_MAX {
            write_piece(writer, &piece, &mut places)?;
            piece.clear();
            piece_bytes = 0;
        }
        let meta = FrameMeta {
            shard,
            kind: FrameKind::Entry,
            term: entry.log_id.leader_id.term,
            index: entry.log_id.index,
            request_id: content.request_id,
            txn: content.txn,
        };
        writer.append_with(&meta, content.bytes(), |out| content.fill(out))?;
        piece.push(bytes as u32);
        piece_bytes += bytes;
    }
    write_piece(writer, &piece, &mut places)?;
    Ok(places)
}

/// Writes the frames appended, of these lengths. A group lies in one segment, one frame behind the
/// other, so its end says where each of them is.
fn write_piece(writer: &mut LogWriter, piece: &[u32], places: &mut Vec<FramePlace>) -> Result<()> {
    writer.write()?;
    let end = writer.written_end();
    let mut offset = end.offset - piece.iter().map(|bytes| u64::from(*bytes)).sum::<u64>();
    for bytes in piece {
        places.push(FramePlace { start: Position { offset, ..end }, bytes: *bytes });
        offset += u64::from(*bytes);
    }
    Ok(())
}
