//! Verification of a whole ledger: every byte of every segment and tile file is read, every body,
//! leaf and node hashed again, every number compared with what it must be. Faults are reported one
//! by one with their place, and the walk goes on where it can: past a damaged head to the next
//! block, past lost leaves by their hashes in the tiles. Writes nothing.
//!
//! A walker (`walk.rs`) finds blocks and checks what lies around them; workers hash blocks side by
//! side; the auditor takes their results in order and judges chain, tree and tiles. Memory is
//! bounded by a few blocks.
//!
//! When leaf and tile disagree, the root in the block's header is the referee between them.

mod audit;
mod walk;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;

use super::inspect::{Inspection, inspect};
use super::store::Store;
use super::window::{STREAM_BYTES, Window};
use super::{Ledger, StoredLeaf};
use crate::error::{Code, Error, Result};
use crate::proof::Hash;
use audit::Auditor;
use walk::{Job, Walker};

/// What kind of wrong a [`Fault`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Bytes are not what they must be.
    Damaged,
    /// A file, a block or leaves are not there.
    Missing,
    /// A file that has no place in a ledger.
    Unknown,
    /// Bytes beyond the ledger's end: left by a crash, or written by a live writer whom a reader
    /// does not follow yet. The writer's next open cuts them.
    Trailing,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of wrong it is.
    pub kind: FaultKind,
    /// The file.
    pub path: PathBuf,
    /// The byte in it, or the start of the smallest checked piece around it.
    pub offset: u64,
    /// The block, if one is concerned.
    pub block: Option<u64>,
    /// The leaf, or the first of them, if one is concerned.
    pub seq: Option<u64>,
    /// A sentence for people.
    pub what: String,
}

/// What a verification went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifySummary {
    /// Blocks that could be read.
    pub blocks: u64,
    /// Leaves of the log, block headers included.
    pub leaves: u64,
    /// Records that could be read.
    pub records: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Root over all leaves; zeros if lost leaves made it impossible to compute.
    pub root: Hash,
}

/// Where faults go.
type Report<'a> = &'a mut dyn FnMut(Fault);

/// Verifies `ledger` up to its present end on `threads` worker threads. `each` gets every readable
/// leaf in order (with [`super::Slot::Skipped`] where only the body is lost), `fault` every fault,
/// `progress` the number of leaves done. An error is a failure of the disk, not a fault of the
/// ledger. Do not purge meanwhile; appending is fine.
pub fn verify(
    ledger: &Ledger,
    threads: usize,
    each: &mut dyn FnMut(&StoredLeaf),
    fault: &mut dyn FnMut(Fault),
    progress: &dyn Fn(u64),
) -> Result<VerifySummary> {
    let store: &Store = &ledger.store;
    let end = walk::check_files(store, fault)?;
    let mut walker = Walker::new(store, end);
    let mut auditor = Auditor::new(store, end, fault)?;
    let mut take = |job: Job, found: Inspection, fault: Report<'_>| -> Result<()> {
        auditor.take(&job, found, each, fault)?;
        progress(auditor.leaves());
        Ok(())
    };
    if threads <= 1 {
        while let Some(job) = walker.next(fault)? {
            let found = run(&job, store.collection())?;
            take(job, found, fault)?;
        }
    } else {
        run_parallel(threads, store.collection(), &mut walker, fault, &mut take)?;
    }
    auditor.finish(walker.lost(), fault)
}

/// Hashes the block of a job.
fn run(job: &Job, collection: [u8; 16]) -> Result<Inspection> {
    let mut window = Window::new(job.file.clone(), job.path.clone(), STREAM_BYTES)?;
    Ok(inspect(&mut window, job.offset, &job.head, collection))
}

type Reply = mpsc::SyncSender<Result<Inspection>>;

/// Keeps `threads` workers busy and takes their results in order.
fn run_parallel(
    threads: usize,
    collection: [u8; 16],
    walker: &mut Walker<'_>,
    fault: Report<'_>,
    take: &mut dyn FnMut(Job, Inspection, Report<'_>) -> Result<()>,
) -> Result<()> {
    let (sender, receiver) = mpsc::channel::<(Job, Reply)>();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        // Owned by this closure, so that workers see the end on every way out of it.
        let sender = sender;
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = receiver.lock().recv();
                    let Ok((job, reply)) = next else { return };
                    // The receiver is gone only when the verification has failed already.
                    let _ = reply.send(run(&job, collection));
                }
            });
        }
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < 2 * threads {
                let Some(job) = walker.next(fault)? else { break };
                let (reply, result) = mpsc::sync_channel(1);
                let lost = |_| Error::new(Code::Internal, "no verification worker is left");
                sender.send((job.clone(), reply)).map_err(lost)?;
                waiting.push_back((job, result));
            }
            let Some((job, result)) = waiting.pop_front() else { return Ok(()) };
            let lost = |_| Error::new(Code::Internal, "a verification worker failed");
            take(job, result.recv().map_err(lost)??, fault)?;
        }
    })
}
