//! The judge of histories: what transactions read and wrote, whether some serial order explains it,
//! and if none does, which cycle of dependencies forbids it.
//!
//! ```text
//!   History ──► versions: the order in which each key changed; reads that no order explains
//!      │             │
//!      │             ▼
//!      └──────► graph: who must come before whom, and why ──► cycles: the least of each kind
//!                                                                  │
//!                                                                  ▼
//!                                                               Report
//! ```
//!
//! The theory is Adya's ("Weak Consistency: A Generalized Theory and Optimistic Implementations for
//! Distributed Transactions", 1999): a node for each committed transaction, an edge wherever one
//! overwrote (ww), read (wr) or was overwritten after it read (rw) what another wrote; a phenomenon
//! is a cycle of certain edges. The way from observations to versions is that of Kingsbury and Alvaro
//! ("Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020), and easier
//! here, because this database numbers the revisions of a key and its reads tell the number.
//!
//! - **Registers** are written whole; each value is written to a key but once, and its version number
//!   is told by whoever wrote or read it.
//! - **Lists** are appended to; the longest one read tells the order, and each other one read must
//!   begin it. Elements nobody read came after all that were.
//! - **Predicates** select registers by key and value. What was selected is told; of what was not,
//!   only that it did not match. Where that leaves several versions, nothing is concluded, and the
//!   report counts it.
//! - **Real time**: a transaction that ended before another began comes before it. Cycles that need
//!   such an edge are told as such: they break strict serializability, not serializability.
//! - A transaction whose outcome is unknown counts as committed if a committed one read what it
//!   wrote, and not at all otherwise.
//!
//! What is reported is so: no edge is guessed. What is not reported may still be, where observations
//! were too few. The room uses nothing of the database, and its own judge is `tests/checker.rs`.

mod components;
mod cycles;
mod graph;
mod lost;
mod names;
pub mod notation;
mod numbers;
mod predicate;
mod reads;
pub mod recorder;
mod report;
mod selection;
mod versions;

pub use predicate::Predicate;
pub use recorder::{Found, Recorder, Recording};
pub use report::{Anomaly, Kind, Report};

/// A version of a register as a reader saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The value, written to its key once.
    pub value: i64,
    /// Its number in the order of its key's versions; the first is 1.
    pub version: u64,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Wrote a register.
    Write {
        /// Where.
        key: String,
        /// What.
        value: i64,
        /// As which version; `None` if the answer never came.
        version: Option<u64>,
    },
    /// Read a register; `None`: there was none.
    Read {
        /// Where.
        key: String,
        /// What.
        seen: Option<Seen>,
    },
    /// Appended to a list.
    Append {
        /// Where.
        key: String,
        /// What; appended to its key once.
        element: i64,
    },
    /// Read a list.
    ReadList {
        /// Where.
        key: String,
        /// All of it.
        elements: Vec<i64>,
    },
    /// Read all registers that a predicate selects.
    ReadWhere {
        /// Which.
        predicate: Predicate,
        /// What was selected.
        matched: Vec<(String, Seen)>,
        /// Versions known to have been looked at and not selected; usually none are known.
        unmatched: Vec<(String, Seen)>,
    },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was acknowledged.
    Committed,
    /// It was refused or rolled back: nothing of it happened.
    Aborted,
    /// No answer came.
    Unknown,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its name in reports.
    pub id: u64,
    /// Who ran it: one client that does one thing after the other.
    pub process: u64,
    /// What it did, in order.
    pub ops: Vec<Op>,
    /// How it ended.
    pub end: End,
    /// When it began and ended, on one clock; `None` leaves it out of real time.
    pub span: Option<(u64, u64)>,
}

impl Transaction {
    /// When it began and ended, if that can be.
    fn time(&self) -> Option<(u64, u64)> {
        self.span.filter(|(began, ended)| began <= ended)
    }
}

/// What happened: transactions in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// Operations left out, since what they saw could not be told.
    pub unresolved: usize,
}

impl History {
    /// Judges the history.
    pub fn check(&self) -> Report {
        let mut report = Report { undecided: self.unresolved, ..Report::default() };
        let versions = versions::Versions::of(self, &mut report);
        lost::unseen(self, &versions, &mut report);
        let graph = graph::Graph::of(self, &versions, &mut report);
        cycles::search(self, &graph, &mut report);
        report.anomalies.sort_by_key(|found| (found.realtime, found.kind));
        report
    }
}
