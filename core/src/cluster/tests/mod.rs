//! The cluster room's claims, on the simulated disk and on real files.

mod concurrent;
mod crash;
mod damage;
mod fault;
mod machine;
mod model;
mod node;
mod random;
mod reopening;
mod segments;
mod suite;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::RaftLogReader;
use openraft::storage::IOFlushed;
use openraft::storage::RaftLogStorage;
use openraft::type_config::TypeConfigExt;

use super::{Command, Entry, LogId, LogStore, Payload, RaftLog, RaftLogOptions, TypeConfig, Vote};
use crate::disk::Vfs;
use crate::disk::simulated::SimDisk;

const DATABASE: [u8; 16] = [7; 16];
const DIR: &str = "db/log";

/// An empty simulated disk with the database's folder.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.write_file("db/x", b"");
    disk
}

fn options(vfs: Arc<dyn Vfs>) -> RaftLogOptions {
    RaftLogOptions::new(vfs, DIR, DATABASE)
}

/// Segments of one page, so that they end and are recycled all the time, and no cache to speak of.
fn small(disk: &SimDisk) -> RaftLogOptions {
    RaftLogOptions { segment_bytes: 4096, cache_bytes: 600, ..options(Arc::new(disk.clone())) }
}

fn open(options: &RaftLogOptions) -> RaftLog {
    RaftLog::open(options).unwrap_or_else(|error| panic!("{error}")).0
}

/// What a future gives that waits for nothing: no call of the store waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the call does not wait")
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry { log_id: id(term, index), payload: Payload::Blank }
}

/// An entry of `bytes` bytes that are like no other's.
fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let content: Vec<u8> =
        (0..bytes as u64).map(|at| ((term * 41 + index * 31 + at * 7) % 255 + 1) as u8).collect();
    let request_id = Bytes::from(vec![index as u8; (index % 65) as usize]);
    let command = Command::new(content.into(), request_id, [index as u8; 16]).unwrap();
    Entry { log_id: id(term, index), payload: Payload::Normal(command) }
}

/// Appends; the completion must have been reported when the call returns.
fn append(store: &mut LogStore, entries: Vec<Entry>) -> std::io::Result<()> {
    let (sender, told) = TypeConfig::oneshot();
    let outcome =
        now(RaftLogStorage::<TypeConfig>::append(store, entries, IOFlushed::signal(sender)));
    let told = now(told).expect("a completion was reported before the call returned");
    assert_eq!(told.is_ok(), outcome.is_ok());
    outcome
}

fn save_vote(store: &mut LogStore, vote: Vote) -> std::io::Result<()> {
    now(RaftLogStorage::<TypeConfig>::save_vote(store, &vote))
}

fn save_committed(store: &mut LogStore, committed: Option<LogId>) -> std::io::Result<()> {
    now(RaftLogStorage::<TypeConfig>::save_committed(store, committed))
}

fn truncate(store: &mut LogStore, last: Option<LogId>) -> std::io::Result<()> {
    now(RaftLogStorage::<TypeConfig>::truncate_after(store, last))
}

fn purge(store: &mut LogStore, upto: LogId) -> std::io::Result<()> {
    now(RaftLogStorage::<TypeConfig>::purge(store, upto))
}

fn limited(store: &LogStore, start: u64, end: u64) -> std::io::Result<Vec<Entry>> {
    let mut reader = store.reader();
    now(RaftLogReader::<TypeConfig>::limited_get_log_entries(&mut reader, start, end))
}

fn all(store: &LogStore) -> std::io::Result<Vec<Entry>> {
    let mut reader = store.reader();
    now(RaftLogReader::<TypeConfig>::try_get_log_entries(&mut reader, ..))
}
