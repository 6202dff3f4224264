//! A group's log as openraft reads it: the newest entries from memory, older ones from the disk.
//! Reads are bounded: a limited read gives a first part of what is asked for, and a stream holds
//! one such part at a time. Only `try_get_log_entries` gives all at once, as its contract says;
//! openraft asks it for 64 entries.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use openraft::errors::LeaderChanged;
use openraft::storage::{LeaderBoundedStreamError, LeaderBoundedStreamResult, RaftLogReader};
use openraft::{OptionalSend, RaftTypeConfig};

use super::group::Group;
use super::log_store::io_error;
use super::shared::Shared;
use super::types::{Entry, GroupTypes, LeaderId, Vote};
use crate::error::{Code, Error, Result};
use crate::limits::RAFT_READ_BYTES_MAX;

/// A reader of one group's log; any number may read while it is written.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
    group: Arc<Group>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>, group: Arc<Group>) -> Self {
        LogReader { shared, group }
    }

    /// The newest vote.
    fn vote(&self) -> Option<Vote> {
        self.group.state.lock().hard.vote
    }

    /// The entries there are in a range, all of them.
    fn all(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>> {
        self.shared.read(&self.group, bounds(range), usize::MAX, |_| Ok(()))
    }

    /// A first part of the entries from `start` on. What was purged is an error: the caller takes
    /// the first entry for the one he asked for.
    fn part(&self, start: u64, end: u64) -> Result<Vec<Entry>> {
        self.shared.read(&self.group, (start, end), RAFT_READ_BYTES_MAX, |state| {
            match state.hard.purged {
                Some(purged) if start < end && start <= purged.index => {
                    let detail = format!("entry {start} was purged, with all up to {purged}");
                    Err(Error::new(Code::NotFound, detail))
                }
                _ => Ok(()),
            }
        })
    }

    /// The range within what the log holds now.
    fn clamp(&self, range: impl RangeBounds<u64>) -> (u64, u64) {
        let (start, end) = bounds(range);
        let state = self.group.state.lock();
        match state.index.is_empty() {
            true => (0, 0),
            false => (start.max(state.index.first_index()), end.min(state.index.end_index())),
        }
    }
}

/// First index, and the one behind the last.
fn bounds(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// A walk over entries that reads a part whenever it has handed out the one before.
struct Walk {
    reader: LogReader,
    part: VecDeque<Entry>,
    next: u64,
    end: u64,
}

impl Walk {
    fn new(reader: &LogReader, range: impl RangeBounds<u64>) -> Self {
        let (next, end) = reader.clamp(range);
        Walk { reader: reader.clone(), part: VecDeque::new(), next, end }
    }

    /// The next entry; none at the end. An entry that is gone meanwhile is an error, never skipped.
    fn next(&mut self) -> Result<Option<Entry>> {
        if self.part.is_empty() && self.next < self.end {
            self.part = self.reader.part(self.next, self.end)?.into();
        }
        match self.part.pop_front() {
            Some(entry) if entry.log_id.index == self.next => {
                self.next += 1;
                Ok(Some(entry))
            }
            None if self.next >= self.end => Ok(None),
            _ => {
                let detail = format!("entry {} is gone while the log is read", self.next);
                Err(Error::new(Code::NotFound, detail))
            }
        }
    }

    /// Ends the walk.
    fn stop(&mut self) {
        self.part.clear();
        self.next = self.end;
    }
}

/// The error of a stream whose leader does not lead any more.
fn changed<C>(leader: LeaderId, vote: Option<Vote>) -> LeaderBoundedStreamError<C>
where
    C: RaftTypeConfig<LeaderId = LeaderId, Vote = Vote>,
{
    LeaderBoundedStreamError::LeaderChanged(LeaderChanged::new(leader, vote))
}

impl<C: GroupTypes> RaftLogReader<C> for LogReader {
    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderId,
        range: RB,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<C>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let walk = Walk::new(self, range);
        stream::unfold((walk, false), move |(mut walk, ended)| async move {
            if ended {
                return None;
            }
            // Asked before and after: entries read in between are that leader's.
            let before = walk.reader.vote();
            let item = walk.next();
            let vote = walk.reader.vote();
            let leads = |vote: Option<Vote>| {
                vote.is_some_and(|vote| vote.committed && vote.leader_id == leader)
            };
            if !leads(before) || !leads(vote) {
                return Some((Err(changed(leader, vote)), (walk, true)));
            }
            match item {
                Ok(entry) => entry.map(|entry| (Ok(entry), (walk, false))),
                Err(error) => {
                    walk.stop();
                    Some((Err(LeaderBoundedStreamError::IoError(io_error(error))), (walk, true)))
                }
            }
        })
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        stream::unfold(Walk::new(self, range), |mut walk| async move {
            match walk.next() {
                Ok(entry) => entry.map(|entry| (Ok(entry), walk)),
                Err(error) => {
                    walk.stop();
                    Some((Err(io_error(error)), walk))
                }
            }
        })
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.all(range).map_err(io_error)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.group.check().map_err(io_error)?;
        Ok(self.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.part(start, end).map_err(io_error)
    }
}
