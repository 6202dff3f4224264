//! Readers beside prepared transactions: a read that meets one waits for its end, or has the decision
//! fetched. What is prepared stands in the snapshot, so there is no moment between looking and
//! reading, and a shard where nothing is prepared costs a reader one comparison.

use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::state::TwoPhase;
use super::terms::{PreparedInfo, TxnId, conflict};
use crate::collection::CollectionId;
use crate::error::{Code, Error, Result};
use crate::host::Background;
use crate::limits::LOCK_WAIT_MS_MAX;
use crate::shard::Shard;
use crate::shard::read::KeyRange;
use crate::shard::state::{ShardState, View};

/// A waiting reader looks up so often even if nobody wakes it: writing may have ended for good.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a read covers.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    /// One key.
    Key(&'a [u8]),
    /// Some keys.
    Keys(&'a [&'a str]),
    /// A range of keys.
    Range(&'a KeyRange),
    /// Anything.
    Collection,
}

/// Fetches decisions for readers.
pub trait Decider: Debug + Send + Sync {
    /// A reader has met this prepared transaction: ask its home and resolve it, here and now or soon.
    /// Called on the reader's thread, which holds no lock of the shard. It must not keep the
    /// shard alive, which keeps it.
    fn fetch(&self, met: &PreparedInfo);
}

impl TwoPhase {
    /// A prepared transaction that writes what is to be read.
    pub fn in_the_way(&self, id: CollectionId, reach: Reach<'_>) -> Option<TxnId> {
        if !self.has_prepared() || cfg!(bug = "read_past_prepared") {
            return None;
        }
        match reach {
            Reach::Key(key) => self.writer_of(id, key),
            Reach::Keys(keys) => keys.iter().find_map(|key| self.writer_of(id, key.as_bytes())),
            Reach::Range(range) => self.writer_within(id, range),
            Reach::Collection => self.prepared_in(id),
        }
    }

    fn writer_within(&self, id: CollectionId, range: &KeyRange) -> Option<TxnId> {
        let from = match &range.lower {
            Bound::Included(key) => Bytes::copy_from_slice(key),
            // The least key behind it.
            Bound::Excluded(key) => [key.as_slice(), &[0]].concat().into(),
            Bound::Unbounded => Bytes::new(),
        };
        let (key, txn) = self.first_from(id, from)?;
        let within = match &range.upper {
            Bound::Included(upper) => key.as_ref() <= upper.as_slice(),
            Bound::Excluded(upper) => key.as_ref() < upper.as_slice(),
            Bound::Unbounded => true,
        };
        within.then_some(txn)
    }
}

impl Shard {
    /// Whether anything is prepared.
    pub fn has_prepared(&self) -> bool {
        self.current().two_phase.has_prepared()
    }

    /// Fetches decisions through `decider` from here on.
    pub fn attach_decider(&self, decider: Option<Arc<dyn Decider>>) {
        *self.two_phase.decider.write() = decider;
    }

    /// The newest view of the live collection `name` in which nothing prepared is in the way of
    /// reading `reach`. Errors: `lock_timeout`, naming a transaction that was in the way too long.
    pub fn settled_view(&self, name: &str, reach: Reach<'_>) -> Result<View> {
        {
            let state = self.current();
            let view = state.by_name(name)?;
            // Beside a running writer one sees what was sealed before, and nothing of it changes.
            let beside_writer = self.beside_writer.load(Ordering::Relaxed);
            if !state.two_phase.has_prepared() || beside_writer {
                return Ok(view.clone());
            }
        }
        let deadline_us = self.now_us().saturating_add(LOCK_WAIT_MS_MAX * 1000);
        self.settled(deadline_us, |state| {
            let view = state.by_name(name)?;
            Ok(match state.two_phase.in_the_way(view.core.id, reach) {
                Some(txn) => Err(txn),
                None => Ok(view.clone()),
            })
        })
    }

    /// The newest state in which nothing at all is prepared: for reading many things at one moment
    /// without locks.
    pub fn settled_snapshot(&self, deadline_us: u64) -> Result<Arc<ShardState>> {
        self.settled(deadline_us, |state| {
            let first = state.two_phase.prepared().first().map(|prepared| prepared.terms.txn);
            Ok(first.map_or_else(|| Ok(state.clone()), Err))
        })
    }

    /// Waits until nothing prepared writes `key`. The deadline is one of the monotonic clock.
    pub fn wait_prepared_key(&self, id: CollectionId, key: &[u8], deadline_us: u64) -> Result<()> {
        self.wait_prepared(id, Reach::Key(key), deadline_us)
    }

    /// Waits until nothing is prepared in a collection.
    pub fn wait_prepared_collection(&self, id: CollectionId, deadline_us: u64) -> Result<()> {
        self.wait_prepared(id, Reach::Collection, deadline_us)
    }

    /// Waits until nothing prepared is in the way of reading `reach`.
    pub fn wait_prepared(
        &self,
        id: CollectionId,
        reach: Reach<'_>,
        deadline_us: u64,
    ) -> Result<()> {
        let blocked = |state: &ShardState| state.two_phase.in_the_way(id, reach);
        self.settled(deadline_us, |state| Ok(blocked(state).map_or(Ok(()), Err)))
    }

    /// Waits until all that is prepared now has ended.
    pub fn wait_prepared_all(&self, deadline_us: u64) -> Result<()> {
        let there: Vec<TxnId> = self.prepared().iter().map(|prepared| prepared.terms.txn).collect();
        self.settled(deadline_us, |state| {
            let left = there.iter().find(|txn| state.two_phase.get(**txn).is_some());
            Ok(left.map_or(Ok(()), |txn| Err(*txn)))
        })
    }

    /// Refuses an act on a collection in which something is prepared. The caller holds the
    /// collection's gate exclusively, so nothing more is being prepared there.
    pub fn refuse_prepared(&self, id: CollectionId, name: &str) -> Result<()> {
        match self.current().two_phase.prepared_in(id) {
            None => Ok(()),
            Some(txn) => Err(conflict(format!(
                "collection {name:?} stays as it is while transaction {txn} is prepared there and \
                 undecided; try again when it has ended"
            ))),
        }
    }

    fn now_us(&self) -> u64 {
        self.env.host.clock.monotonic_us()
    }

    /// What `look` sees of the first state in which no transaction is in its way.
    fn settled<T>(
        &self,
        deadline_us: u64,
        look: impl Fn(&Arc<ShardState>) -> Result<Result<T, TxnId>>,
    ) -> Result<T> {
        let mut fetched = Vec::new();
        loop {
            let seen = self.two_phase.ended.seen();
            let state = self.snapshot();
            let txn = match look(&state)? {
                Ok(found) => return Ok(found),
                Err(txn) => txn,
            };
            let decider = self.two_phase.decider.read().clone();
            if let (Some(decider), Some(met)) = (decider, state.two_phase.get(txn))
                && !fetched.contains(&txn)
            {
                fetched.push(txn);
                let met = met.info();
                drop(state);
                decider.fetch(&met);
                continue;
            }
            let left_us = deadline_us.saturating_sub(self.now_us());
            if left_us == 0 || !self.can_end() {
                let home = state.two_phase.get(txn).map_or(0, |met| met.terms.home);
                return Err(Error::new(
                    Code::LockTimeout,
                    format!(
                        "transaction {txn} has prepared what is to be read and is undecided; shard \
                         {home} decides"
                    ),
                ));
            }
            self.two_phase.ended.wait(seen, Some(Duration::from_micros(left_us).min(LOOK_AGAIN)));
        }
    }

    /// Whether another thread can end what is prepared.
    fn can_end(&self) -> bool {
        self.env.host.background == Background::Threads
            && !self.env.read_only
            && self.env.check_healthy().is_ok()
    }
}
