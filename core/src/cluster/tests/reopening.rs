//! A store that is opened again after every call that may have written: whatever a reader sees then
//! comes from the disk.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use openraft::storage::{IOFlushed, LeaderBoundedStreamResult, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;

use super::{TypeConfig, now, open};
use crate::cluster::{Entry, LeaderId, LogId, LogReader, LogStore, RaftLog, RaftLogOptions, Vote};

/// How a store's life ends.
#[derive(Clone, Copy)]
pub enum End {
    /// In order.
    Close,
    /// By a kill of its process.
    Kill,
}

struct Inner {
    options: RaftLogOptions,
    end: End,
    current: Option<(RaftLog, LogStore)>,
}

impl Inner {
    fn open(&mut self) {
        let log = open(&self.options);
        let store = log.store(5).unwrap();
        self.current = Some((log, store));
    }
}

/// The store; clones, which serve as readers, are the same one.
#[derive(Clone)]
pub struct Reopening(Arc<Mutex<Inner>>);

impl Reopening {
    pub fn new(options: RaftLogOptions, end: End) -> Self {
        let mut inner = Inner { options, end, current: None };
        inner.open();
        Reopening(Arc::new(Mutex::new(inner)))
    }

    /// Does `work` on the store, then ends it and opens it again.
    fn with<T>(&self, work: impl FnOnce(&mut LogStore) -> T) -> T {
        let mut inner = self.0.lock();
        let (log, mut store) = inner.current.take().unwrap();
        let outcome = work(&mut store);
        drop(store);
        if let End::Close = inner.end {
            log.close().unwrap();
        }
        inner.open();
        outcome
    }

    fn reader(&self) -> LogReader {
        self.0.lock().current.as_ref().unwrap().1.reader()
    }
}

impl RaftLogStorage<TypeConfig> for Reopening {
    type LogReader = Reopening;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        self.with(|store| now(store.get_log_state()))
    }

    async fn get_log_reader(&mut self) -> Reopening {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.with(|store| super::save_vote(store, *vote))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.with(|store| super::save_committed(store, committed))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.with(|store| now(RaftLogStorage::<TypeConfig>::read_committed(store)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.with(|store| now(store.append(entries, callback)))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.with(|store| super::truncate(store, last))
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.with(|store| super::purge(store, upto))
    }
}

impl RaftLogReader<TypeConfig> for Reopening {
    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderId,
        range: RB,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<TypeConfig>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut reader = self.reader();
        let items: Vec<_> = reader.leader_bounded_stream(leader, range).await.collect().await;
        stream::iter(items)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut reader = self.reader();
        let stream = RaftLogReader::<TypeConfig>::entries_stream(&mut reader, range).await;
        stream::iter(stream.collect::<Vec<_>>().await)
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut reader = self.reader();
        now(RaftLogReader::<TypeConfig>::try_get_log_entries(&mut reader, range))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let mut reader = self.reader();
        now(RaftLogReader::<TypeConfig>::read_vote(&mut reader))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut reader = self.reader();
        now(RaftLogReader::<TypeConfig>::limited_get_log_entries(&mut reader, start, end))
    }
}
