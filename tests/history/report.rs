//! What the judge says: the phenomena found, each with its reason, and how far its word goes.

use std::fmt;

/// A phenomenon, from the worst on. The names are Adya's; the first four need no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Observations contradict each other: no order of versions explains them.
    Contradiction,
    /// A value was read that nobody wrote.
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
    /// A cycle with exactly one rw edge: lost update, read skew.
    GSingle,
    /// A cycle with two or more rw edges, all by key: write skew.
    G2Item,
    /// A cycle with two or more rw edges, one of them by predicate.
    G2,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Contradiction => "contradiction",
            Kind::Unwritten => "unwritten read",
            Kind::Internal => "internal",
            Kind::G0 => "G0",
            Kind::G1a => "G1a",
            Kind::G1b => "G1b",
            Kind::G1c => "G1c",
            Kind::GSingle => "G-single",
            Kind::G2Item => "G2-item",
            Kind::G2 => "G2",
        })
    }
}

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
        let realtime = if self.realtime { " with real time" } else { "" };
        write!(f, "{}{realtime}:", self.kind)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
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
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
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
        if !self.anomalies.contains(&found) {
            self.anomalies.push(found);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { transactions, edges, undecided, anomalies } = self;
        write!(
            f,
            "{transactions} transactions, {edges} dependencies, {undecided} undecided, {} anomalies",
            anomalies.len()
        )?;
        anomalies.iter().try_for_each(|found| write!(f, "\n{found}"))
    }
}
