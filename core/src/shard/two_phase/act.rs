//! Carrying steps out: what the shard is asked for, judged and staged by the committer in the order
//! of the log, and applied like any other entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::judge::Resolving;
use super::locks::{LockHolder, LockKeeper};
use super::readers::Decider;
use super::state::{Effect, Standing, TwoPhase};
use super::step::{Draft, Prepared, Resolve, Step};
use super::terms::{Decision, PrepareTerms, PreparedInfo, Share, TxnId, Verdict, conflict};
use super::trail::Trail;
use crate::error::{Code, Error, Result};
use crate::proof::{Hash, LeafKind};
use crate::shard::committer::{Committed, Stage, Staged, Work};
use crate::shard::entry::Proposal;
use crate::shard::environment::Signal;
use crate::shard::state::{ShardState, collection_not_found};
use crate::shard::{Lane, Shard};

/// What two-phase commit needs beside the replicated state.
#[derive(Debug)]
pub(in crate::shard) struct Machinery {
    trail: Mutex<Trail>,
    owners: Mutex<Owners>,
    pub(super) decider: RwLock<Option<Arc<dyn Decider>>>,
    /// Some transaction has ended.
    pub(super) ended: Signal,
}

/// Whose locks are whose.
#[derive(Debug, Default)]
struct Owners {
    keeper: Option<Arc<dyn LockKeeper>>,
    numbers: BTreeMap<TxnId, u64>,
}

impl Machinery {
    /// That of a shard at a restart point.
    pub fn new(base: TwoPhase) -> Self {
        Machinery {
            trail: Mutex::new(Trail::new(base)),
            owners: Mutex::default(),
            decider: RwLock::default(),
            ended: Signal::default(),
        }
    }

    /// The state after the entry at `index`; earlier ones are gone from then on.
    pub fn at(&self, index: u64) -> Result<TwoPhase> {
        self.trail.lock().advance(index).cloned()
    }
}

/// Evaluated records on their way to be prepared.
#[derive(Debug)]
pub struct NewPrepare {
    draft: Draft,
    holder: Box<dyn LockHolder>,
}

/// What is asked of the committer.
#[derive(Debug)]
pub enum Request {
    /// Log a Prepare.
    Prepare(Box<NewPrepare>),
    /// Log a decision.
    Decide {
        /// The transaction.
        txn: TxnId,
        /// The wanted outcome.
        verdict: Verdict,
        /// The attempt.
        attempt: u32,
        /// The participants, with what they have prepared.
        shares: Vec<Share>,
    },
    /// Let the records land, or drop them.
    Resolve {
        /// The transaction.
        txn: TxnId,
        /// The decision.
        verdict: Verdict,
        /// When it was decided, microseconds since the epoch.
        decided_us: i64,
    },
    /// Every participant has resolved.
    Acknowledge(TxnId),
}

impl Request {
    /// Encoded bytes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Request::Prepare(new) => new.draft.payload.len(),
            Request::Decide { shares, .. } => 64 + shares.len() * 36,
            Request::Resolve { .. } | Request::Acknowledge(_) => 128,
        }
    }
}

impl Shard {
    /// Prepares evaluated records: logs them, durable in mode `interval` too, and keeps the exclusive
    /// locks of `holder` until they are resolved; its shared locks and predicates end with this
    /// call. The caller has evaluated under these locks and holds the gates of the collections
    /// shared until this returns. Returns the digest that a COMMIT must name. Errors, with nothing
    /// prepared and the locks freed: `conflict` if the transaction is decided, over, or prepared
    /// with something else; `transaction_expired`; `rate_limited`; `too_large`.
    pub fn prepare(
        &self,
        terms: PrepareTerms,
        proposal: Proposal,
        holder: Box<dyn LockHolder>,
    ) -> Result<Hash> {
        terms.check()?;
        let txn = terms.txn;
        let draft = Prepared::draft(terms, holder.exclusive(), proposal);
        let digest = draft.digest;
        let new = Box::new(NewPrepare { draft, holder });
        self.commit(Work::TwoPhase(Request::Prepare(new)))?;
        match self.current().two_phase.standing(txn) {
            Standing::Ended(ended) if ended.verdict == Verdict::Abort => {
                Err(conflict(format!("transaction {txn} was aborted as soon as it was prepared")))
            }
            _ => Ok(digest),
        }
    }

    /// Decides a transaction, at its home. The first decision in the log counts: it is returned,
    /// and may be another one. COMMIT names all participants, ascending, with their digests; ABORT
    /// those that are known, so that whoever finds it can tell them all. Errors: `conflict` for a COMMIT that is not prepared here or whose
    /// participants are not those prepared for, or if this is not its home;
    /// `transaction_expired` if the outcome is forgotten.
    pub fn decide(
        &self,
        txn: TxnId,
        verdict: Verdict,
        attempt: u32,
        shares: Vec<Share>,
    ) -> Result<(Verdict, i64)> {
        self.commit(Work::TwoPhase(Request::Decide { txn, verdict, attempt, shares }))?;
        let known = self.decision(txn);
        known.ok_or_else(|| conflict(format!("the decision on transaction {txn} is forgotten")))
    }

    /// The decision for a participant that has it prepared, undecided for too long: the one there is,
    /// or ABORT from here on. If home has forgotten the transaction's time there was none, because a
    /// decision is kept until every participant has resolved, and there will be none: that is an
    /// ABORT, too, but only for whoever still has it prepared, so nothing is logged.
    pub fn decide_for_prepared(&self, asking: &PreparedInfo) -> Result<(Verdict, i64)> {
        let PrepareTerms { txn, attempt, own, participants, .. } = &asking.terms;
        let digest = |shard: &u32| (shard == own).then_some(asking.digest);
        let share = |shard: &u32| Share { shard: *shard, digest: digest(shard) };
        let shares = participants.iter().map(share).collect();
        match self.decide(*txn, Verdict::Abort, *attempt, shares) {
            Err(error) if error.code() == Code::TransactionExpired => Ok((Verdict::Abort, 0)),
            decided => decided,
        }
    }

    /// The outcome of a transaction and its time, if this shard knows it: at home, the decision.
    pub fn decision(&self, txn: TxnId) -> Option<(Verdict, i64)> {
        self.current().two_phase.verdict(txn)
    }

    /// Ends a transaction here as its home has decided at `decided_us`: its records become visible
    /// together, or are dropped, and its locks are freed. A second call does nothing and gives the
    /// same result. An ABORT of something that is not prepared keeps a late Prepare out. Errors:
    /// `conflict` if it ended, or was decided, otherwise, or cannot be committed here.
    pub fn resolve(&self, txn: TxnId, verdict: Verdict, decided_us: i64) -> Result<Committed> {
        self.commit(Work::TwoPhase(Request::Resolve { txn, verdict, decided_us }))
    }

    /// Every participant has resolved: home need not keep the decision, only a tombstone for those
    /// who ask late. Errors: `conflict` while it is not resolved at home itself.
    pub fn acknowledge(&self, txn: TxnId) -> Result<()> {
        self.commit(Work::TwoPhase(Request::Acknowledge(txn))).map(drop)
    }

    /// The prepared transactions, oldest first: whoever is in there for long asks home.
    pub fn prepared(&self) -> Vec<PreparedInfo> {
        let state = self.snapshot();
        state.two_phase.prepared().into_iter().map(|prepared| prepared.info()).collect()
    }

    /// Takes the locks of all that is prepared, and keeps locks through `keeper` from here on. Called
    /// before anybody else asks for a lock: after recovery, and in a cluster by a new leader that has
    /// applied all entries of earlier terms.
    pub fn attach_locks(&self, keeper: Arc<dyn LockKeeper>) -> Result<()> {
        let lane = self.lane.lock();
        let mut owners = self.two_phase.owners.lock();
        for prepared in lane.state.two_phase.prepared() {
            if cfg!(bug = "forget_prepared_locks") {
                continue;
            }
            let number = keeper.adopt(&prepared.locks)?;
            owners.numbers.insert(prepared.terms.txn, number);
        }
        owners.keeper = Some(keeper);
        Ok(())
    }

    /// Frees all those locks: whoever stops leading evaluates nothing any more.
    pub fn detach_locks(&self) {
        let _lane = self.lane.lock();
        let Owners { keeper, numbers } = std::mem::take(&mut *self.two_phase.owners.lock());
        if let Some(keeper) = keeper {
            numbers.into_values().for_each(|number| keeper.release(number));
        }
    }

    /// Follows the trail as far as the ledger has come.
    pub(in crate::shard) fn shorten_trail(&self) -> Result<()> {
        if self.two_phase.trail.lock().is_empty() {
            return Ok(());
        }
        let covered = self.covered(&self.snapshot());
        self.two_phase.trail.lock().advance(covered).map(drop)
    }

    /// Judges a request and stages its entry. The inner error is a refusal.
    pub(in crate::shard) fn stage_request(
        &self,
        lane: &mut Lane,
        stage: &mut Stage,
        request: Request,
    ) -> Result<Result<Committed>> {
        let now_ms = u64::try_from(stage.time_us / 1000).unwrap_or(0);
        match request {
            Request::Prepare(new) => self.stage_prepare(lane, stage, *new, now_ms),
            Request::Decide { txn, verdict, attempt, shares } => {
                match stage.two_phase.judge_decide(txn, verdict, attempt, &shares, now_ms) {
                    Err(refusal) => Ok(Err(refusal)),
                    Ok(false) => Ok(Ok(Committed::default())),
                    Ok(true) => {
                        let time_us = stage.time_us;
                        let decision = Decision { verdict, attempt, time_us, shares };
                        let step = Step::Decide(txn, Arc::new(decision));
                        self.stage_step(lane, stage, step, None).map(Ok)
                    }
                }
            }
            Request::Resolve { txn, verdict, decided_us } => {
                let time_us = decided_us.max(stage.last_us);
                let prepared = match stage.two_phase.judge_resolve(txn, verdict, now_ms) {
                    Err(refusal) => return Ok(Err(refusal)),
                    Ok(Resolving::Done(committed)) => return Ok(Ok(committed)),
                    Ok(Resolving::Bury) => None,
                    Ok(Resolving::End(prepared)) => Some(prepared),
                };
                let landing = prepared.filter(|_| verdict == Verdict::Commit);
                let (first_seqs, full) = match &landing {
                    Some(prepared) => {
                        let bytes = prepared.staged_bytes() as u64;
                        self.stage_parts(lane, stage, prepared.parts(), bytes)
                    }
                    None => Default::default(),
                };
                let resolve = Resolve { txn, verdict, time_us, first_seqs };
                let committed = self.stage_step(lane, stage, Step::Resolve(resolve), None)?;
                self.stage_seals(lane, stage, &full)?;
                Ok(Ok(committed))
            }
            Request::Acknowledge(txn) => match stage.two_phase.judge_acknowledge(txn) {
                Err(refusal) => Ok(Err(refusal)),
                Ok(false) => Ok(Ok(Committed::default())),
                Ok(true) => {
                    let step = Step::Acknowledge { txn, time_us: stage.time_us };
                    self.stage_step(lane, stage, step, None).map(Ok)
                }
            },
        }
    }

    fn stage_prepare(
        &self,
        lane: &mut Lane,
        stage: &mut Stage,
        new: NewPrepare,
        now_ms: u64,
    ) -> Result<Result<Committed>> {
        let NewPrepare { draft, holder } = new;
        let judged = stage.two_phase.judge_prepare(&draft, now_ms);
        match judged.and_then(|logged| check_parts(&lane.state, stage, &draft).map(|()| logged)) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(false) => Ok(Ok(Committed::default())),
            Ok(true) => {
                let prepared = Arc::new(draft.at(stage.time_us));
                self.stage_step(lane, stage, Step::Prepare(prepared), Some(holder)).map(Ok)
            }
        }
    }

    fn stage_step(
        &self,
        lane: &mut Lane,
        stage: &mut Stage,
        step: Step,
        holder: Option<Box<dyn LockHolder>>,
    ) -> Result<Committed> {
        let time_us = step.time_us();
        let first_seqs = match &step {
            Step::Resolve(resolve) => resolve.first_seqs.clone(),
            _ => Vec::new(),
        };
        stage.append(lane, self.number, Some(step.txn().0), &step.encode())?;
        stage.note_time(time_us);
        stage.built_on = true;
        Arc::make_mut(&mut stage.two_phase).apply(&step)?;
        stage.entries.push(Staged::TwoPhase { index: stage.next_index - 1, step, holder });
        Ok(Committed { time_us, first_seqs })
    }

    /// Applies a step; returns the transaction if it ended, for [`Shard::let_go`].
    pub(in crate::shard) fn apply_step(
        &self,
        state: &mut ShardState,
        index: u64,
        step: Step,
        holder: Option<Box<dyn LockHolder>>,
    ) -> Result<Option<TxnId>> {
        let effect = Arc::make_mut(&mut state.two_phase).apply(&step)?;
        let ended = match effect {
            Effect::Nothing => None,
            Effect::Prepared => {
                self.keep_locks(&step, holder)?;
                None
            }
            Effect::Ended(prepared, resolve) => {
                if resolve.verdict == Verdict::Commit {
                    let batch = prepared.land(resolve.time_us, &resolve.first_seqs);
                    self.apply_batch(state, index, batch)?;
                }
                for (id, _) in prepared.parts() {
                    // A unique index is not declared ready while something is prepared.
                    if let Some(view) = state.collections.get(&id) {
                        self.queue_builds(&view.core, &view.descriptor);
                    }
                }
                Some(resolve.txn)
            }
        };
        self.two_phase.trail.lock().note(index, step);
        Ok(ended)
    }

    fn keep_locks(&self, step: &Step, holder: Option<Box<dyn LockHolder>>) -> Result<()> {
        let Step::Prepare(prepared) = step else { return Ok(()) };
        let mut owners = self.two_phase.owners.lock();
        let number = match (holder, &owners.keeper) {
            (Some(holder), _) => holder.detach(),
            (None, Some(keeper)) => keeper.adopt(&prepared.locks)?,
            (None, None) => return Ok(()),
        };
        owners.numbers.insert(prepared.terms.txn, number);
        Ok(())
    }

    /// Frees the locks of transactions whose end is visible, and wakes who waits for it.
    pub(in crate::shard) fn let_go(&self, ended: &[TxnId]) {
        if ended.is_empty() {
            return;
        }
        let mut owners = self.two_phase.owners.lock();
        for txn in ended {
            let number = owners.numbers.remove(txn);
            if let (Some(number), Some(keeper)) = (number, &owners.keeper) {
                keeper.release(number);
            }
        }
        drop(owners);
        self.two_phase.ended.notify();
        if !self.builds.lock().is_idle() {
            self.env.work.notify();
        }
    }
}

/// Only records of live collections are prepared, and no key that another has prepared.
fn check_parts(state: &ShardState, stage: &Stage, draft: &Draft) -> Result<()> {
    let (txn, staged) = (draft.terms.txn, &draft.payload[draft.staged_at..]);
    for part in &draft.parts {
        let id = part.collection;
        if id == state.system || state.live(id).is_none() {
            return Err(collection_not_found(&id.to_string()));
        }
        for slot in &part.slots {
            let key = slot.key(staged).filter(|_| slot.kind == LeafKind::Record);
            let key = key.ok_or_else(|| {
                Error::invalid(format!("transaction {txn} stages a leaf that is no record"))
            })?;
            let other = stage.two_phase.writer_of(id, key);
            if let Some(other) = other.filter(|other| *other != txn) {
                return Err(conflict(format!(
                    "transaction {other} has prepared a write to a key that {txn} writes"
                )));
            }
        }
    }
    Ok(())
}
