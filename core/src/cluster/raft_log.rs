//! The log of a node as its Raft groups share it: opening, the groups' stores, closing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::group::Group;
use super::lane::Lane;
use super::log_store::LogStore;
use super::shared::Shared;
use super::state::GroupState;
use crate::disk::Vfs;
use crate::disk::pool::FilePool;
use crate::error::{Code, Error, Result};
use crate::log::SEGMENT_BYTES_DEFAULT;
use crate::log::{self, Frame, FrameReader, LogOptions, LogWriter, Position, Recovered};

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
        let shared = Shared::new(Lane::new(writer), frames, groups.collect(), options.cache_bytes);
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
        let lane = self.shared.lane.lock();
        lane.open_writer().map(LogWriter::segments).unwrap_or_default()
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
        self.shared.lane.lock().open_writer().map(LogWriter::synced_end)
    }

    /// Frames in the buffer.
    #[cfg(test)]
    pub(super) fn pending_frames(&self) -> usize {
        self.shared.lane.lock().pending_frames()
    }

    /// Ends the log in order and returns its end. Refused while a store is in use.
    pub fn close(self) -> Result<Position> {
        let groups = self.shared.groups.lock();
        if let Some(group) = groups.values().find(|group| group.taken.load(Ordering::Acquire)) {
            let detail = format!("the log of group {} is still in use", group.shard);
            return Err(Error::new(Code::Locked, detail));
        }
        // Readers that outlive the log must not meet the files of the next one.
        let closed = Error::new(Code::Closed, "the Raft log was closed");
        groups.values().for_each(|group| group.fail(&closed));
        drop(groups);
        let mut lane = self.shared.lane.lock();
        lane.write()?;
        lane.take_writer()?.close()
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
