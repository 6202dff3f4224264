//! May this be logged? Pure judgements on the state as of the end of the log. A refusal says what
//! stands in the way and is never logged; `false`, or an outcome, says that it was done before.

use std::sync::Arc;

use super::state::{Standing, TwoPhase};
use super::step::{Draft, Prepared};
use super::terms::{Share, TxnId, Verdict, conflict};
use crate::error::{Code, Error, Result};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BEGUN_AHEAD_MS_MAX, DECISIONS_MAX, PREPARED_BYTES_MAX,
    PREPARED_LOCKS_MAX, PREPARED_MAX,
};
use crate::shard::committer::Committed;

/// What becomes of a Resolve.
pub(super) enum Resolving {
    /// The prepared records land or are dropped.
    End(Arc<Prepared>),
    /// Nothing is prepared; a tombstone keeps a late Prepare out.
    Bury,
    /// It was resolved before, with this result.
    Done(Committed),
}

impl TwoPhase {
    /// Whether a Prepare is to be logged; `false` if this very one is prepared already.
    pub(super) fn judge_prepare(&self, draft: &Draft, now_ms: u64) -> Result<bool> {
        let txn = draft.terms.txn;
        match self.standing(txn) {
            Standing::Prepared(prepared) => {
                let same = prepared.terms == draft.terms && prepared.digest == draft.digest;
                return match same {
                    true => Ok(false),
                    false => Err(conflict(format!(
                        "transaction {txn} is prepared here as attempt {}, with other records or \
                         participants",
                        prepared.terms.attempt
                    ))),
                };
            }
            _ if cfg!(bug = "late_prepare_revives") => {}
            Standing::Ended(ended) => {
                return Err(conflict(format!("transaction {txn} was {} here", ended.verdict)));
            }
            Standing::Forgotten => return Err(forgotten(txn)),
            Standing::Unknown => {
                if let Some((verdict, _)) = self.verdict(txn) {
                    let what = format!("transaction {txn} was {verdict} before it was prepared");
                    return Err(conflict(what));
                }
            }
        }
        check_begin(txn, now_ms)?;
        self.check_room(draft)?;
        Ok(true)
    }

    fn check_room(&self, draft: &Draft) -> Result<()> {
        let (prepared, bytes, decisions) = self.sizes();
        let records: usize = draft.parts.iter().map(|part| part.slots.len()).sum();
        let staged_bytes = draft.payload.len() - draft.staged_at;
        let bounds = [
            ("records of a transaction", records, BATCH_RECORDS_MAX),
            ("encoded bytes of a transaction", staged_bytes, BATCH_BYTES_MAX),
            ("exclusive locks of a transaction", draft.locks.len(), PREPARED_LOCKS_MAX),
        ];
        if let Some((what, found, max)) = bounds.iter().find(|(_, found, max)| found > max) {
            return Err(Error::too_large(what, *found as u64, *max as u64));
        }
        let full = match () {
            () if prepared >= PREPARED_MAX => format!("{prepared} transactions are prepared"),
            () if bytes + draft.payload.len() as u64 > PREPARED_BYTES_MAX => {
                format!("prepared transactions hold {bytes} bytes")
            }
            () if decisions >= DECISIONS_MAX && draft.terms.home == draft.terms.own => {
                format!("{decisions} decisions are not acknowledged")
            }
            () => return Ok(()),
        };
        Err(Error::new(
            Code::RateLimited,
            format!("{full} here; transactions over several shards wait until some have ended"),
        ))
    }

    /// Whether a decision is to be logged; `false` if there is one already.
    pub(super) fn judge_decide(
        &self,
        txn: TxnId,
        verdict: Verdict,
        attempt: u32,
        shares: &[Share],
        now_ms: u64,
    ) -> Result<bool> {
        if self.verdict(txn).is_some() && !cfg!(bug = "last_decision_counts") {
            return Ok(false);
        }
        let prepared = match self.standing(txn) {
            Standing::Prepared(prepared) => Some(prepared),
            Standing::Forgotten => return Err(forgotten(txn)),
            _ => None,
        };
        if let Some(prepared) = prepared.filter(|prepared| !prepared.is_home()) {
            return Err(conflict(format!(
                "transaction {txn} is decided by shard {}, not here",
                prepared.terms.home
            )));
        }
        match (verdict, prepared) {
            (Verdict::Abort, Some(_)) => Ok(true),
            (Verdict::Abort, None) => check_begin(txn, now_ms).map(|()| true),
            (Verdict::Commit, None) => {
                Err(conflict(format!("transaction {txn} is not prepared at its home")))
            }
            (Verdict::Commit, Some(prepared)) => {
                check_shares(prepared, attempt, shares).map(|()| true)
            }
        }
    }

    /// What is to be done to resolve a transaction.
    pub(super) fn judge_resolve(
        &self,
        txn: TxnId,
        verdict: Verdict,
        now_ms: u64,
    ) -> Result<Resolving> {
        if let Some((decided, _)) = self.verdict(txn).filter(|(decided, _)| *decided != verdict) {
            return Err(conflict(format!("transaction {txn} was {decided}, and not {verdict}")));
        }
        match self.standing(txn) {
            Standing::Prepared(prepared) => match self.decision(txn) {
                None if prepared.is_home() => {
                    Err(conflict(format!("transaction {txn} is not decided, and this is its home")))
                }
                _ => Ok(Resolving::End(prepared.clone())),
            },
            Standing::Ended(ended) => Ok(Resolving::Done(Committed {
                time_us: ended.time_us,
                first_seqs: ended.first_seqs.clone(),
            })),
            Standing::Forgotten => Ok(Resolving::Done(Committed::default())),
            Standing::Unknown if verdict == Verdict::Abort => {
                check_begin(txn, now_ms).map(|()| Resolving::Bury)
            }
            Standing::Unknown => Err(conflict(format!(
                "transaction {txn} is not prepared here, so it cannot commit"
            ))),
        }
    }

    /// Whether an acknowledgement is to be logged; `false` if there is no decision to forget.
    pub(super) fn judge_acknowledge(&self, txn: TxnId) -> Result<bool> {
        match (self.decision(txn), self.standing(txn)) {
            (None, _) => Ok(false),
            (Some(_), Standing::Prepared(_)) => {
                Err(conflict(format!("transaction {txn} is not resolved at its own home")))
            }
            (Some(_), _) => Ok(true),
        }
    }
}

impl Prepared {
    /// Whether this shard's log holds the decision.
    fn is_home(&self) -> bool {
        self.terms.home == self.terms.own
    }
}

/// A COMMIT names exactly the participants that were announced, with what each has prepared.
fn check_shares(prepared: &Prepared, attempt: u32, shares: &[Share]) -> Result<()> {
    let terms = &prepared.terms;
    if attempt != terms.attempt {
        return Err(conflict(format!(
            "transaction {} is prepared as attempt {}, not {attempt}",
            terms.txn, terms.attempt
        )));
    }
    let shards: Vec<u32> = shares.iter().map(|share| share.shard).collect();
    if shards != terms.participants {
        return Err(conflict(format!(
            "transaction {} has participants {:?}, digests came from {shards:?}",
            terms.txn, terms.participants
        )));
    }
    let unknown = |share: &&Share| share.digest.is_none() && !cfg!(bug = "commit_before_prepares");
    if let Some(share) = shares.iter().find(unknown) {
        return Err(conflict(format!(
            "transaction {} is not known to be prepared by shard {}",
            terms.txn, share.shard
        )));
    }
    let own = shares.iter().find(|share| share.shard == terms.own);
    match own.is_some_and(|share| share.digest == Some(prepared.digest)) {
        true => Ok(()),
        false => Err(conflict(format!(
            "transaction {} was prepared here with another digest",
            terms.txn
        ))),
    }
}

/// A begin far ahead of this clock would later make everybody else too old.
fn check_begin(txn: TxnId, now_ms: u64) -> Result<()> {
    match txn.begun_ms() > now_ms.saturating_add(BEGUN_AHEAD_MS_MAX) {
        true => Err(Error::invalid(format!(
            "transaction {txn} began at {} ms, this clock shows {now_ms} ms: its id is no UUIDv7, \
             or a clock is wrong",
            txn.begun_ms()
        ))),
        false => Ok(()),
    }
}

fn forgotten(txn: TxnId) -> Error {
    Error::new(
        Code::TransactionExpired,
        format!("transaction {txn} began too long ago: outcomes of its time are forgotten"),
    )
}
