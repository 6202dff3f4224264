//! The commit of a transaction: one log entry for all its records, whatever their collections.
//!
//! It holds the locks of all keys. What is left is to pass the gates of its collections, in ascending
//! order, so that no administrative act comes between; to make sure that the collections still ask
//! of documents what these were checked for; and that no other transaction has read what the
//! records would change. Who must wait for that lets go of all gates first.

use parking_lot::RwLockReadGuard;

use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::Slot;
use crate::shard::committer::Work;
use crate::shard::core::Core;
use crate::shard::entry::{BatchBuilder, Proposal};
use crate::shard::sessions::Ending;
use crate::shard::state::collection_not_found;
use crate::transaction::prepare::{Item, Model, Prepared, prepare};
use crate::transaction::session::{
    Commit, CommittedRecord, Inner, Session, TransactionState, no_revisions,
};
use crate::transaction::staged::Part;

/// What comes of trying the gates.
enum Passed<'a> {
    /// The gates are held, and nothing is in the way.
    Yes(Vec<RwLockReadGuard<'a, ()>>),
    /// A collection asks something else of documents by now.
    Outdated,
}

impl Session {
    /// Makes all writes visible at once, durable as the database's mode says, or none. Errors:
    /// `conflict` or `deadlock` (run the whole transaction again), `lock_timeout`,
    /// `transaction_expired`, and what the log refuses. The transaction has ended either way.
    pub fn commit(&self) -> Result<Commit> {
        let mut inner = self.inner.lock();
        self.check(&mut inner)?;
        match self.try_commit(&mut inner) {
            Ok(commit) => {
                self.end(&mut inner, Ending::Committed);
                Ok(commit)
            }
            Err(error) => {
                let error = self.judge(&mut inner, error);
                if inner.state == TransactionState::Active {
                    self.end(&mut inner, Ending::Failed);
                    return Err(error.note("the transaction was rolled back"));
                }
                Err(error)
            }
        }
    }

    fn try_commit(&self, inner: &mut Inner) -> Result<Commit> {
        inner.parts.retain(|_, part| !part.writes.is_empty());
        if inner.parts.is_empty() {
            return Ok(Commit { time_us: None, records: Vec::new() });
        }
        self.shard.throttle()?;
        let cores: Vec<_> = inner.parts.values().map(|part| part.core.clone()).collect();
        let gates = loop {
            match self.pass(inner, &cores)? {
                Passed::Yes(gates) => break gates,
                Passed::Outdated => self.renew(inner)?,
            }
        };
        let proposal = self.encode(inner);
        let committed = self.shard.commit(Work::Write(proposal))?;
        drop(gates);
        let mut records = Vec::new();
        for (part, first_seq) in inner.parts.values().zip(&committed.first_seqs) {
            for (staged, seq) in part.writes.iter().zip(*first_seq..) {
                let record = CommittedRecord {
                    collection: part.name.clone(),
                    key: staged.item.key.clone(),
                    seq,
                    revision: staged.revision,
                };
                records.push((staged.number, record));
            }
        }
        records.sort_unstable_by_key(|(number, _)| *number);
        let records = records.into_iter().map(|(_, record)| record).collect();
        Ok(Commit { time_us: Some(committed.time_us), records })
    }

    fn encode(&self, inner: &mut Inner) -> Proposal {
        let mut batch = BatchBuilder::new(Some(self.id));
        inner.parts.values_mut().for_each(|part| part.encode(&mut batch));
        batch.finish()
    }

    /// Passes the gates, waiting for whoever has read what the writes would change.
    fn pass<'c>(&self, inner: &mut Inner, cores: &'c [std::sync::Arc<Core>]) -> Result<Passed<'c>> {
        let deadline = self.wait_until();
        loop {
            let gates: Vec<_> = cores.iter().map(|core| core.gate.read()).collect();
            let state = self.shard.snapshot();
            for part in inner.parts.values() {
                let view = state.live(part.core.id);
                let view = view.ok_or_else(|| collection_not_found(&part.name))?;
                if !view.descriptor.settings.revisions && part.has_further_revisions() {
                    return Err(no_revisions(&part.name));
                }
                if !part.model.is_current(&part.core) {
                    return Ok(Passed::Outdated);
                }
            }
            let blocked = self.blocked(inner)?;
            let Some((name, blocked)) = blocked else { return Ok(Passed::Yes(gates)) };
            drop(gates);
            inner
                .owner
                .wait_for(blocked, deadline)
                .map_err(|error| error.note(format!("it writes into collection {name:?}")))?;
        }
    }

    /// The first collection in which others have read what the writes would change.
    fn blocked(&self, inner: &Inner) -> Result<Option<(String, super::locks::Blocked)>> {
        for part in inner.parts.values() {
            let id = part.core.id;
            if !inner.owner.may_be_covered(id) {
                continue;
            }
            let replaced = self.replaced(part)?;
            let entering =
                part.all_newest().map(|one| (one.item.key.as_bytes(), &one.item.document));
            let leaving = replaced.iter().map(|(key, document)| (*key, document));
            let writes: Vec<(&[u8], &Document)> = entering.chain(leaving).collect();
            if let Err(blocked) = inner.owner.check_writes(id, writes.iter().copied()) {
                return Ok(Some((part.name.clone(), blocked)));
            }
        }
        Ok(None)
    }

    /// The committed documents that give their place to the writes, by key.
    fn replaced<'p>(&self, part: &'p Part) -> Result<Vec<(&'p [u8], Document)>> {
        let mut replaced = Vec::new();
        for staged in &part.writes {
            let Some(seq) = staged.prev_seq else { continue };
            if let Slot::Live { body, .. } = part.core.read(seq)?.slot {
                replaced.push((staged.item.key.as_bytes(), Document::from_trusted(body)));
            }
        }
        Ok(replaced)
    }

    /// Checks the writes again, where a collection's schema or indexes were changed meanwhile. What
    /// they break now is a conflict with whoever changed them.
    fn renew(&self, inner: &mut Inner) -> Result<()> {
        let ids: Vec<_> = inner.parts.keys().copied().collect();
        for id in ids {
            let part = inner.parts.get_mut(&id).expect("listed above");
            if part.model.is_current(&part.core) {
                continue;
            }
            let model = Model::of(&part.core);
            let anew = |(item, salt): (&Item, [u8; 16])| {
                let mut item = item.clone();
                prepare(&part.core, &model, &mut item, salt).map(|prepared| (item, prepared))
            };
            let writes = part.writes.iter().map(|one| (&one.item, one.prepared.salt));
            let renewed: Vec<(Item, Prepared)> = writes
                .map(anew)
                .collect::<Result<_>>()
                .map_err(|error| changed(&part.name, error))?;
            let (core, name) = (part.core.clone(), part.name.clone());
            part.adopt(model, renewed);
            let view = self.view(&name)?;
            if view.core.id != core.id {
                return Err(collection_not_found(&name));
            }
            let count = part.writes.len();
            for at in 0..count {
                let part = inner.parts.get_mut(&id).expect("listed above");
                if part.newest(&part.writes[at].item.key).is_none_or(|(newest, _)| newest != at) {
                    continue;
                }
                // Taken out for the call, which looks at all the others.
                let (item, prepared) = part.take(at);
                let taken = self.take_values(inner, &view, &item, &prepared);
                let part = inner.parts.get_mut(&id).expect("listed above");
                part.put_back(at, prepared);
                taken.map_err(|error| match error.code() {
                    Code::DuplicateKey => changed(&name, error),
                    _ => error,
                })?;
            }
        }
        Ok(())
    }
}

fn changed(name: &str, error: Error) -> Error {
    let detail = format!(
        "schema or indexes of collection {name:?} were changed during the transaction, and its \
         writes do not fit any more: {}",
        error.detail()
    );
    Error::new(Code::Conflict, detail).with_errors(error.errors().to_vec())
}
