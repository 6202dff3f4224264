//! What the judge says: the phenomena found, each with its reason, and how far its word goes.

use std::fmt;

/// A phenomenon, from the worst on. The names are Adya's where he has one, and else those of
/// Hermitage; the first three, and aborted and intermediate reads, need no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Observations contradict each other: no order of versions explains them.
    Contradiction,
    /// A version that nobody wrote.
    Unwritten,
    /// A transaction did not see what it wrote itself.
    Internal,
    /// Write cycle: two transactions overwrote each other.
    G0,
    /// Aborted read: what was rolled back was seen.
    G1a,
    /// Intermediate read: what its writer itself overwrote was seen.
    G1b,
    /// Circular information flow: a cycle of ww and wr edges.
    G1c,
    /// Observed transaction vanishes: what was seen of a transaction is not seen any more.
    OTV,
    /// Predicate-many-preceders: two reads by predicate disagree on whether a record is selected.
    PMP,
    /// Lost update: a transaction wrote over what it had not seen.
    P4,
    /// Another cycle with exactly one rw edge: read skew.
    GSingle,
    /// A cycle with two or more rw edges, all by key: write skew.
    G2Item,
    /// A cycle with two or more rw edges, one of them by predicate: phantoms.
    G2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 13] = [
        Kind::Contradiction,
        Kind::Unwritten,
        Kind::Internal,
        Kind::G0,
        Kind::G1a,
        Kind::G1b,
        Kind::G1c,
        Kind::OTV,
        Kind::PMP,
        Kind::P4,
        Kind::GSingle,
        Kind::G2Item,
        Kind::G2,
    ];

    /// Its name, and what that means.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Contradiction => ("contradiction", "no order of versions explains it"),
            Kind::Unwritten => ("unwritten", "a version that nobody wrote"),
            Kind::Internal => ("internal", "own writes not seen"),
            Kind::G0 => ("G0", "write cycle"),
            Kind::G1a => ("G1a", "aborted read"),
            Kind::G1b => ("G1b", "intermediate read"),
            Kind::G1c => ("G1c", "circular information flow"),
            Kind::OTV => ("OTV", "observed transaction vanishes"),
            Kind::PMP => ("PMP", "predicate-many-preceders"),
            Kind::P4 => ("P4", "lost update"),
            Kind::GSingle => ("G-single", "read skew"),
            Kind::G2Item => ("G2-item", "write skew"),
            Kind::G2 => ("G2", "phantoms"),
        }
    }

    /// What it is called in a few words.
    pub fn meaning(self) -> &'static str {
        self.words().1
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().0)
    }
}

/// Reasons of one anomaly, and anomalies of one kind without a graph, that are told; the rest is
/// counted.
const TOLD_MAX: usize = 50;

/// One phenomenon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Which.
    pub kind: Kind,
    /// Whether it is one only because one transaction ended before another began.
    pub realtime: bool,
    /// The transactions it is about: for a cycle its members in order, each before the next and the
    /// last before the first.
    pub transactions: Vec<u64>,
    /// Why, in sentences: for a cycle one for each edge.
    pub reasons: Vec<String>,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.realtime {
            true => write!(f, "real-time violation, {} with real time:", self.kind)?,
            false => write!(f, "{} ({}):", self.kind, self.kind.meaning())?,
        }
        for reason in self.reasons.iter().take(TOLD_MAX) {
            write!(f, "\n  {reason}")?;
        }
        match self.reasons.len().checked_sub(TOLD_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

/// The verdict on a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found; for each tangle of transactions one cycle of each kind.
    pub anomalies: Vec<Anomaly>,
    /// Transactions that count as committed.
    pub transactions: usize,
    /// Dependencies between them.
    pub edges: usize,
    /// Observations that left several explanations, and so were not used.
    pub undecided: usize,
    /// Observations that were explained by real time alone: what follows from them counts as found
    /// with real time.
    pub timed: usize,
    /// Anomalies beyond those told.
    pub untold: usize,
}

impl Report {
    /// Whether nothing was found: the history is strictly serializable, as far as was observed.
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }

    /// Whether nothing was found but what breaks the order of real time.
    pub fn is_serializable(&self) -> bool {
        self.anomalies.iter().all(|found| found.realtime)
    }

    /// The kinds found, each once, the worst first; without those that need real time.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> =
            self.anomalies.iter().filter(|found| !found.realtime).map(|found| found.kind).collect();
        kinds.dedup();
        kinds
    }

    /// The kinds found that need real time.
    pub fn realtime_kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> =
            self.anomalies.iter().filter(|found| found.realtime).map(|found| found.kind).collect();
        kinds.dedup();
        kinds
    }

    pub(super) fn tell(&mut self, kind: Kind, transactions: Vec<u64>, reason: String) {
        let found = Anomaly { kind, realtime: false, transactions, reasons: vec![reason] };
        let of_its_kind = || self.anomalies.iter().filter(|known| known.kind == kind);
        if of_its_kind().any(|known| *known == found) {
            return;
        }
        match of_its_kind().count() < TOLD_MAX {
            true => self.anomalies.push(found),
            false => self.untold += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { transactions, edges, undecided, anomalies, untold, .. } = self;
        let count = anomalies.len() + untold;
        write!(
            f,
            "{transactions} transactions, {edges} dependencies, {undecided} undecided, \
             {count} anomalies"
        )?;
        anomalies.iter().try_for_each(|found| write!(f, "\n{found}"))
    }
}
