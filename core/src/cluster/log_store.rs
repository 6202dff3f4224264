//! A group's log as openraft writes it. Every call returns when what it did is durable, except
//! `save_committed`, whose frame is written with the next one; a completion is reported before
//! `append` returns, so completions come in order. After an error every call fails: the node must
//! stop.
//!
//! Calls do their I/O on the caller's thread. Whoever runs Raft gives it threads that may wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};

use super::group::Group;
use super::log_reader::LogReader;
use super::shared::Shared;
use super::types::{Entry, GroupTypes, LogId, Vote};
use crate::error::{Code, Error};

/// The writer of one group's log; there is one at a time.
#[derive(Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    group: Arc<Group>,
}

impl LogStore {
    pub(super) fn new(shared: Arc<Shared>, group: Arc<Group>) -> Self {
        LogStore { shared, group }
    }

    /// The group's number.
    pub fn shard(&self) -> u32 {
        self.group.shard
    }

    /// A reader of the group's log.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone(), self.group.clone())
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.group.taken.store(false, Ordering::Release);
    }
}

/// An error as openraft takes it; the words name code, file and place.
pub(super) fn io_error(error: Error) -> io::Error {
    let kind = match error.code() {
        Code::StorageFull => io::ErrorKind::StorageFull,
        Code::Corrupt | Code::Unsupported => io::ErrorKind::InvalidData,
        Code::NotFound => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl<C: GroupTypes> RaftLogStorage<C> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<C>> {
        self.group.check().map_err(io_error)?;
        let state = self.group.state.lock();
        Ok(LogState { last_purged_log_id: state.hard.purged, last_log_id: state.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.shared.save_vote(&self.group, *vote).map_err(io_error)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared.save_committed(&self.group, committed).map_err(io_error)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.group.check().map_err(io_error)?;
        Ok(self.group.state.lock().hard.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let outcome = self.shared.append(&self.group, entries.into_iter().collect());
        callback.io_completed(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        });
        outcome.map_err(io_error)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.shared.truncate(&self.group, last_log_id).map_err(io_error)
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.shared.purge(&self.group, log_id).map_err(io_error)
    }
}
