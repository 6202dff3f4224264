//! What a shard remembers of transactions over several shards, and what each step makes of it: a pure
//! function of the log. It looks at no clock, refuses nothing, and a step applied a second time does
//! nothing. Copies share what they have in common, so a snapshot costs one reference count.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};

use super::step::{Prepared, Resolve, Step};
use super::terms::{Decision, TxnId, Verdict};
use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};
use crate::limits::{TOMBSTONE_MS, TOMBSTONES_MAX};

const TOMBSTONE_US: i64 = TOMBSTONE_MS as i64 * 1000;

/// How a transaction ended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The outcome.
    pub verdict: Verdict,
    /// Time of its records, or of the decision.
    pub time_us: i64,
    /// Where its records went: the first sequence number of each part, if they became visible here.
    pub first_seqs: Vec<u64>,
    /// When the tombstone was set, by the time of its entry.
    pub since_us: i64,
}

/// Everything remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwoPhase {
    prepared: OrdMap<TxnId, Arc<Prepared>>,
    /// Who writes which key. Two prepared transactions never write one: its lock is exclusive.
    keys: OrdMap<(CollectionId, Bytes), TxnId>,
    prepared_bytes: u64,
    decisions: OrdMap<TxnId, Arc<Decision>>,
    tombstones: OrdMap<TxnId, Arc<Tombstone>>,
    by_age: OrdSet<(i64, TxnId)>,
    floor_ms: u64,
}

/// What of it is stored.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Transactions that began by then are forgotten, where nothing else is known of them.
    pub floor_ms: u64,
    /// What waits for a decision.
    pub prepared: OrdMap<TxnId, Arc<Prepared>>,
    /// Decisions that not everybody has acknowledged.
    pub decisions: OrdMap<TxnId, Arc<Decision>>,
    /// How others ended.
    pub tombstones: OrdMap<TxnId, Arc<Tombstone>>,
}

/// How a participant stands to a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing<'a> {
    /// It has never heard of it.
    Unknown,
    /// Its records wait for the decision.
    Prepared(&'a Arc<Prepared>),
    /// It is over.
    Ended(&'a Tombstone),
    /// It began so long ago that its outcome, if it had one here, is forgotten; it is not prepared.
    Forgotten,
}

/// What a step brings about beside the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing: it was done before, or only remembered.
    Nothing,
    /// A transaction holds its locks from here on.
    Prepared,
    /// A transaction ends here; if it commits, its records are applied with these numbers.
    Ended(Arc<Prepared>, Resolve),
}

impl TwoPhase {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.floor_ms == 0
            && self.prepared.is_empty()
            && self.decisions.is_empty()
            && self.tombstones.is_empty()
    }

    /// What is remembered; the rest follows from it.
    pub(super) fn contents(&self) -> Contents {
        Contents {
            floor_ms: self.floor_ms,
            prepared: self.prepared.clone(),
            decisions: self.decisions.clone(),
            tombstones: self.tombstones.clone(),
        }
    }

    pub(super) fn restore(contents: Contents) -> Self {
        let Contents { floor_ms, prepared, decisions, tombstones } = contents;
        let by_age = tombstones.iter().map(|(txn, tombstone)| (tombstone.since_us, *txn)).collect();
        let mut state = TwoPhase { decisions, tombstones, by_age, floor_ms, ..TwoPhase::default() };
        prepared.values().for_each(|prepared| state.hold(prepared.clone()));
        state
    }

    /// Whether anything is prepared.
    pub fn has_prepared(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// The prepared transactions, those that were prepared first in front.
    pub fn prepared(&self) -> Vec<&Arc<Prepared>> {
        let mut prepared: Vec<&Arc<Prepared>> = self.prepared.values().collect();
        prepared.sort_by_key(|prepared| (prepared.time_us, prepared.terms.txn));
        prepared
    }

    /// Prepared transactions, their bytes, and decisions that are kept.
    pub(super) fn sizes(&self) -> (usize, u64, usize) {
        (self.prepared.len(), self.prepared_bytes, self.decisions.len())
    }

    /// How this participant stands to `txn`.
    pub fn standing(&self, txn: TxnId) -> Standing<'_> {
        if let Some(prepared) = self.prepared.get(&txn) {
            return Standing::Prepared(prepared);
        }
        match self.tombstones.get(&txn) {
            Some(tombstone) => Standing::Ended(tombstone),
            None if self.is_forgotten(txn) => Standing::Forgotten,
            None => Standing::Unknown,
        }
    }

    /// The outcome of `txn` and its time, as far as this shard knows it.
    pub fn verdict(&self, txn: TxnId) -> Option<(Verdict, i64)> {
        let decided = self.decisions.get(&txn).map(|decision| (decision.verdict, decision.time_us));
        let ended = || self.tombstones.get(&txn).map(|ended| (ended.verdict, ended.time_us));
        decided.or_else(ended)
    }

    /// The decision of `txn`, while it is kept here.
    pub fn decision(&self, txn: TxnId) -> Option<&Arc<Decision>> {
        self.decisions.get(&txn)
    }

    /// The decisions that are kept: not every participant has acknowledged them.
    pub fn decisions(&self) -> impl Iterator<Item = (TxnId, &Arc<Decision>)> {
        self.decisions.iter().map(|(txn, decision)| (*txn, decision))
    }

    fn is_forgotten(&self, txn: TxnId) -> bool {
        txn.begun_ms() <= self.floor_ms
    }

    /// Who has prepared a write to `key`.
    pub(super) fn writer_of(&self, id: CollectionId, key: &[u8]) -> Option<TxnId> {
        self.keys.get(&(id, Bytes::copy_from_slice(key))).copied()
    }

    /// The first prepared write at or behind `from` in a collection: its key, and whose it is.
    pub(super) fn first_from(&self, id: CollectionId, from: Bytes) -> Option<(&Bytes, TxnId)> {
        let ((found, key), txn) = self.keys.range((id, from)..).next()?;
        (*found == id).then_some((key, *txn))
    }

    /// A transaction that is prepared in a collection.
    pub fn prepared_in(&self, id: CollectionId) -> Option<TxnId> {
        self.first_from(id, Bytes::new()).map(|(_, txn)| txn)
    }

    /// What was prepared as `txn`.
    pub fn get(&self, txn: TxnId) -> Option<&Arc<Prepared>> {
        self.prepared.get(&txn)
    }

    /// Takes a step. An error is a log that contradicts itself.
    pub fn apply(&mut self, step: &Step) -> Result<Effect> {
        match step {
            Step::Prepare(prepared) => Ok(self.prepare(prepared)),
            Step::Decide(txn, decision) => {
                let known = self.verdict(*txn).is_some() && !cfg!(bug = "last_decision_counts");
                // A home that has forgotten it decides only what it still has prepared.
                if !known && (self.prepared.contains_key(txn) || !self.is_forgotten(*txn)) {
                    self.decisions.insert(*txn, decision.clone());
                }
                self.forget(decision.time_us);
                Ok(Effect::Nothing)
            }
            Step::Resolve(resolve) => self.resolve(resolve),
            Step::Acknowledge { txn, time_us } => {
                self.acknowledge(*txn, *time_us);
                Ok(Effect::Nothing)
            }
        }
    }

    fn prepare(&mut self, prepared: &Arc<Prepared>) -> Effect {
        let txn = prepared.terms.txn;
        let over = self.verdict(txn).is_some() || self.is_forgotten(txn);
        let over = over && !cfg!(bug = "late_prepare_revives");
        if over || self.prepared.contains_key(&txn) {
            return Effect::Nothing;
        }
        self.hold(prepared.clone());
        Effect::Prepared
    }

    fn hold(&mut self, prepared: Arc<Prepared>) {
        let txn = prepared.terms.txn;
        for key in prepared.keys() {
            self.keys.insert(key, txn);
        }
        self.prepared_bytes += prepared.payload.len() as u64;
        self.prepared.insert(txn, prepared);
    }

    fn resolve(&mut self, resolve: &Resolve) -> Result<Effect> {
        let txn = resolve.txn;
        let Some(prepared) = self.prepared.remove(&txn) else {
            return match (resolve.verdict, self.standing(txn)) {
                (_, Standing::Ended(_) | Standing::Forgotten) => Ok(Effect::Nothing),
                (Verdict::Commit, _) => {
                    Err(contradiction(txn, "is committed and was not prepared"))
                }
                (Verdict::Abort, _) => {
                    self.bury(resolve);
                    Ok(Effect::Nothing)
                }
            };
        };
        let parts = match resolve.verdict {
            Verdict::Commit => prepared.parts().count(),
            Verdict::Abort => 0,
        };
        if parts != resolve.first_seqs.len() {
            return Err(contradiction(
                txn,
                "is resolved with other parts than it was prepared with",
            ));
        }
        for key in prepared.keys() {
            self.keys.remove(&key);
        }
        self.prepared_bytes -= prepared.payload.len() as u64;
        self.bury(resolve);
        Ok(Effect::Ended(prepared, resolve.clone()))
    }

    fn bury(&mut self, resolve: &Resolve) {
        let Resolve { txn, verdict, time_us, first_seqs } = resolve.clone();
        self.remember(txn, Tombstone { verdict, time_us, first_seqs, since_us: time_us });
        self.forget(time_us);
    }

    fn acknowledge(&mut self, txn: TxnId, time_us: i64) {
        if self.prepared.contains_key(&txn) {
            return;
        }
        if let Some(decision) = self.decisions.remove(&txn) {
            let ended = self.tombstones.get(&txn).map(|ended| Tombstone::clone(ended));
            let mut tombstone = ended.unwrap_or(Tombstone {
                verdict: decision.verdict,
                time_us: decision.time_us,
                first_seqs: Vec::new(),
                since_us: time_us,
            });
            tombstone.since_us = time_us;
            self.remember(txn, tombstone);
        }
        self.forget(time_us);
    }

    fn remember(&mut self, txn: TxnId, tombstone: Tombstone) {
        let since_us = tombstone.since_us;
        if let Some(before) = self.tombstones.insert(txn, Arc::new(tombstone)) {
            self.by_age.remove(&(before.since_us, txn));
        }
        self.by_age.insert((since_us, txn));
    }

    /// Forgets what is too old at `now_us`, or too much; what began no later is refused from then on.
    fn forget(&mut self, now_us: i64) {
        while let Some((since_us, txn)) = self.by_age.get_min().copied() {
            let kept = now_us.saturating_sub(since_us) <= TOMBSTONE_US;
            if kept && self.by_age.len() <= TOMBSTONES_MAX {
                return;
            }
            self.by_age.remove(&(since_us, txn));
            self.tombstones.remove(&txn);
            self.floor_ms = self.floor_ms.max(txn.begun_ms());
        }
    }
}

fn contradiction(txn: TxnId, what: &str) -> Error {
    Error::new(Code::Corrupt, format!("the log contradicts itself: transaction {txn} {what}"))
}
