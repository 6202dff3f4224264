//! Which operation fails, and how. Operations are numbered from zero in the order they arrive, so
//! that a test can name one and a rerun meets it again.

use std::io;
use std::path::PathBuf;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// That operation fails and changes nothing; the next one works.
    Once(io::ErrorKind),
    /// That operation and every counted one after it fail; uncounted reads go on.
    ForGood(io::ErrorKind),
    /// The first write from there on stores half of its bytes and fails.
    ShortWrite,
    /// Whatever needs more space fails with `StorageFull` from there on, until `clear_faults`.
    NoSpace,
    /// The first sync from there on fails once. The system then takes the data for clean: it is
    /// readable until the crash, and no later sync makes it durable.
    SyncErrorThenClean,
}

/// The kinds of operations. Only `Open`, `Read` and `List` change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named like the call it counts")]
pub enum OpKind {
    CreateDir,
    Create,
    Write,
    SetLen,
    SyncData,
    SyncDir,
    Rename,
    Unlink,
    RemoveDir,
    Open,
    Read,
    List,
}

/// One operation, as traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its number, counted from zero.
    pub index: u64,
    /// What it does.
    pub kind: OpKind,
    /// The file or folder, as the caller named it when opening.
    pub path: PathBuf,
    /// Where a rename leads.
    pub to: Option<PathBuf>,
    /// Where a read or write begins.
    pub offset: u64,
    /// Bytes read or written; the new length for `SetLen`.
    pub len: u64,
}

/// How an admitted operation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// Store half and fail.
    Half,
    /// Lose what is pending and fail.
    Lose,
}

/// Counts operations and decides which of them fail.
#[derive(Default)]
pub(super) struct Gate {
    pub ops: u64,
    pub count_reads: bool,
    pub crash_at: Option<u64>,
    pub faults: Vec<(u64, Fault)>,
    pub full: bool,
    pub trace: Option<Vec<Op>>,
    crashed: bool,
}

impl Gate {
    /// Refuses everything after the power went.
    pub fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(power_loss()) } else { Ok(()) }
    }

    /// Counts one operation; `grows` says whether it needs space.
    pub fn admit(&mut self, kind: OpKind, grows: bool) -> io::Result<Verdict> {
        let index = self.ops;
        self.crashed |= self.crash_at.is_some_and(|at| index >= at);
        self.alive()?;
        self.ops += 1;
        let mut position = 0;
        while let Some(&(at, fault)) = self.faults.get(position) {
            if at <= index
                && let Some(result) = self.strike(position, at, fault, kind)
            {
                return result;
            }
            position += 1;
        }
        if self.full && grows {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "simulated full disk"));
        }
        Ok(Verdict::Go)
    }

    /// What `fault`, whose time has come, does to the operation just counted, if anything.
    fn strike(
        &mut self,
        position: usize,
        at: u64,
        fault: Fault,
        kind: OpKind,
    ) -> Option<io::Result<Verdict>> {
        let verdict = match fault {
            Fault::ForGood(kind) => return Some(Err(failure(kind))),
            Fault::NoSpace => {
                self.full = true;
                return None;
            }
            Fault::Once(kind) if at + 1 == self.ops => Err(failure(kind)),
            Fault::ShortWrite if kind == OpKind::Write => Ok(Verdict::Half),
            Fault::SyncErrorThenClean if matches!(kind, OpKind::SyncData | OpKind::SyncDir) => {
                Ok(Verdict::Lose)
            }
            _ => return None,
        };
        self.faults.remove(position);
        Some(verdict)
    }
}

/// The error of every call after the power went.
pub(super) fn power_loss() -> io::Error {
    io::Error::other("simulated power loss")
}

fn failure(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "simulated fault")
}
