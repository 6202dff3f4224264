//! The coordinator: what it knows of each transfer, what it sends, and what comes back. It keeps
//! nothing anywhere else.

use std::collections::{BTreeMap, BTreeSet};

use blockdb::proof::Hash;
use blockdb::shard::two_phase::{PrepareTerms, Share, TxnId, Verdict};

use super::node::Leg;

/// A message on its way.
#[derive(Clone, Debug)]
pub enum Message {
    /// To a participant.
    Prepare(PrepareTerms, Vec<Leg>),
    /// To the home.
    Decide(u32, TxnId, Verdict, Vec<Share>),
    /// To a participant.
    Resolve(u32, TxnId, Verdict, i64),
    /// To the home.
    Acknowledge(u32, TxnId),
}

impl Message {
    /// The transfer it is about.
    pub fn txn(&self) -> TxnId {
        match self {
            Message::Prepare(terms, _) => terms.txn,
            Message::Decide(_, txn, ..)
            | Message::Resolve(_, txn, ..)
            | Message::Acknowledge(_, txn) => *txn,
        }
    }

    /// Who gets it.
    pub fn to(&self) -> u32 {
        match self {
            Message::Prepare(terms, _) => terms.own,
            Message::Decide(to, ..) | Message::Resolve(to, ..) | Message::Acknowledge(to, _) => *to,
        }
    }
}

/// What the coordinator knows of a transfer, until it crashes.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its participants.
    pub terms: PrepareTerms,
    /// Its changes.
    pub legs: Vec<Leg>,
    /// Who has prepared, and what.
    pub digests: BTreeMap<u32, Hash>,
    /// Whether it is not to be committed any more.
    pub wants_abort: bool,
    /// What home has decided, and when.
    pub decided: Option<(Verdict, i64)>,
    /// Who has ended it.
    pub resolved: BTreeSet<u32>,
}

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// With this digest.
    Prepared(Hash),
    /// Like this, then.
    Decided(Verdict, i64),
    /// It is over there.
    Resolved,
    /// Home has forgotten the decision.
    Acknowledged,
    /// It may not be.
    Refused,
}

impl Running {
    /// The participants, with what they are known to have prepared.
    pub fn shares(&self) -> Vec<Share> {
        let share = |shard: &u32| Share { shard: *shard, digest: self.digests.get(shard).copied() };
        self.terms.participants.iter().map(share).collect()
    }

    /// What it wants done next.
    pub fn messages(&self) -> Vec<Message> {
        let PrepareTerms { txn, home, ref participants, .. } = self.terms;
        let of_all = || participants.iter().copied();
        if let Some((verdict, time_us)) = self.decided {
            let left = of_all().filter(|shard| !self.resolved.contains(shard));
            let left: Vec<Message> =
                left.map(|shard| Message::Resolve(shard, txn, verdict, time_us)).collect();
            return if left.is_empty() { vec![Message::Acknowledge(home, txn)] } else { left };
        }
        let shares = self.shares();
        if self.wants_abort {
            return vec![Message::Decide(home, txn, Verdict::Abort, shares)];
        }
        if shares.iter().all(|share| share.digest.is_some()) {
            return vec![Message::Decide(home, txn, Verdict::Commit, shares)];
        }
        let left = of_all().filter(|shard| !self.digests.contains_key(shard));
        left.map(|own| {
            let legs = self.legs.iter().filter(|leg| leg.shard == own).copied().collect();
            Message::Prepare(PrepareTerms { own, ..self.terms.clone() }, legs)
        })
        .collect()
    }
}
