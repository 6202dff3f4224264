//! The judge of histories: what transactions read and wrote, whether some serial order explains it,
//! and if none does, which cycle of dependencies forbids it.
//!
//! ```text
//!   Recorder ──► History ──► versions: in which order each key changed; reads no order explains
//!   notation ──►    │            │
//!                   │            ▼
//!                   └──────► graph: who must come before whom, and why
//!                                │
//!                                ▼
//!                            cycles: the shortest of each kind ──► Report
//! ```
//!
//! The theory is Adya's ("Weak Consistency: A Generalized Theory and Optimistic Implementations for
//! Distributed Transactions", 1999): a node for each committed transaction, an edge wherever one
//! overwrote (ww), read (wr) or was overwritten after it read (rw) what another wrote; a phenomenon
//! is a cycle of certain edges. The way from observations to versions is that of Kingsbury and
//! Alvaro ("Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020), and
//! easier here, because this database numbers the revisions of a key and its reads tell the number.
//! How the kinds are told apart stands in `names.rs`, by predicates in `selection.rs`.
//!
//! - **Registers** are written whole, each value to a key but once. Versions are revisions: 1 is
//!   the first, there are no gaps, and whoever wrote or read one tells its number.
//! - **Lists** are appended to; the longest one read tells the order, and each other one read must
//!   begin it. Elements nobody read came after all that were. In a database of documents a list is
//!   a document, and to append is to read it and to put it with one element more.
//! - **Predicates** select registers by key and value, and nothing is deleted. What was selected is
//!   told, and what was not follows; where several versions remain, nothing is concluded, and the
//!   report counts it as undecided.
//! - **Real time**: a transaction that ended before another began comes before it. Cycles that need
//!   such an edge are told as such: they break strict serializability, not serializability. A
//!   process does one thing after the other, so its order is part of this.
//! - A transaction **never answered** counts as committed if a committed one read what it wrote, or
//!   if a version is missing that nobody else can have written; and not at all otherwise.
//! - What a transaction that was **rolled back** read is not judged.
//!
//! What is reported is so: no edge is guessed. What is not reported may still be, where
//! observations were too few. Of each tangle of transactions that depend on each other the shortest
//! cycle of each kind is told, and in real time of one. The cost is near linear in the length of
//! the history; each description of a predicate costs a look at all versions of its keys. The room
//! uses nothing of the database, and its own judge is `tests/checker.rs`.
//!
//! # A workload
//!
//! One [`Recorder`] for all threads; one [`Recording`] for each attempt of a transaction, begun
//! before its first call and ended after its last answer. Documents carry a token of the recorder,
//! so that the judge knows whose they are even if their writer was rolled back or never answered.
//!
//! ```ignore
//! let recorder: Recorder<Document> = Recorder::new();
//! // On each thread, a process of its own number, again for each attempt:
//! let mut seen = recorder.begin(process);
//! let mut txn = db.begin()?;
//! match txn.get("accounts", "alice")? {
//!     Some(record) => seen.read("accounts", "alice", (record.revision, token_of(&record))),
//!     None => seen.read("accounts", "alice", Found::NOTHING),
//! }
//! let found = txn.find("accounts", group_is_3)?;          // as (key, Found) of each record
//! seen.predicate("accounts", "group = 3", found, |_, document| group_of(document) == 3);
//! let token = recorder.token();
//! let document = doc! { "token": token, "group": 3 };
//! seen.write("accounts", "alice", token, document.clone());   // first: it may never be answered
//! txn.put("accounts", "alice", document)?;
//! match txn.commit() {
//!     Ok(records) => seen.committed(&revisions_of(&records)),  // of the writes, in their order
//!     Err(error) if error.is_refusal() => seen.aborted(),
//!     Err(_) => seen.unknown(),                                // so is one that is dropped
//! }
//! // When all threads have ended:
//! let history = recorder.history();
//! let report = history.check();
//! assert!(report.is_clean(), "{}", history.explain(&report));
//! assert!(report.undecided < report.edges / 10, "{report}");
//! ```
//!
//! An insert refused because its key exists has read the revision it was told. Reads that tell only
//! revisions will do (`seen.read("accounts", "alice", record.revision)`), and `D` may be `()` if no
//! filter looks into documents. A workload finds most if transactions read before they write, if a
//! few keys are shared by all, and if records do not move in and out of what is filtered for too
//! often: what left and came back is hard to miss for sure.

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
