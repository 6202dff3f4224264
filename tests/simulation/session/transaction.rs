//! A transaction of a session: its own writes are seen in it and by nobody else, then all of it is
//! there with the places that the commit names, or none.

use blockdb::document::Timestamp;
use blockdb::{CommitInfo, Db, Error, Transaction, TransactionOptions, TransactionState};

use super::plan::Plan;
use super::{Outcome, Session};
use crate::simulation::model::{Effect, Entry, Receipt};
use crate::simulation::script::TransactionWrite;

impl Session {
    /// Runs one whole transaction. Its id is known from its beginning, so records of a commit that
    /// was never answered are known by it, too.
    pub(super) fn transaction(
        &mut self,
        db: &Db,
        mut plan: Plan,
        writes: &[TransactionWrite],
        rolls_back: bool,
    ) -> Result<Outcome, String> {
        let tx = match db.begin(TransactionOptions::default()) {
            Ok(tx) => tx,
            Err(error) => return self.failed(db, error),
        };
        plan.come_with(&tx.id());
        self.doubt(&plan);
        let (answer, known) = match write_all(&tx, writes) {
            Err(error) => {
                let open = tx.state() == TransactionState::Active;
                if plan.refusal == Some(error.code()) && !open {
                    return Err(format!("a refusal ended the transaction: {error}"));
                }
                tx.rollback();
                (Err(error), 0)
            }
            Ok(()) => {
                self.own_writes_are_seen(&tx, writes, &plan)?;
                match rolls_back || plan.refusal.is_some() {
                    true => {
                        tx.rollback();
                        (Ok(()), 0)
                    }
                    false => match tx.commit_now() {
                        Ok(info) => (Ok(()), self.note_commit(&plan, writes, &info)?),
                        Err(error) => (Err(error), 0),
                    },
                }
            }
        };
        drop(tx);
        self.conclude(db, answer, &plan, known)
    }

    /// The open transaction shows the last write to each key, with the revision it will have.
    fn own_writes_are_seen(
        &self,
        tx: &Transaction,
        writes: &[TransactionWrite],
        plan: &Plan,
    ) -> Result<(), String> {
        let Some(Effect::Transaction { parts }) = plan.effects.last() else { return Ok(()) };
        for write in writes {
            let part = parts.iter().find(|(name, _)| *name == write.name);
            let mut entries = part.map(|(_, entries)| entries.iter().rev()).into_iter().flatten();
            let entry = entries.find(|entry| entry.key == write.key);
            let seen = tx.collection(&write.name).get(&write.key);
            let seen = seen.map_err(|error| format!("reading an own write: {error}"))?;
            let shown = seen.as_ref().map(|record| (record.seq, record.revision, &record.document));
            if shown != entry.map(|entry| (0, entry.revision, &entry.body)) {
                return Err(format!("an own write is seen as {seen:?}, expected {entry:?}"));
            }
        }
        Ok(())
    }

    /// Checks what a commit says and acknowledges it; returns how many effects that were.
    fn note_commit(
        &mut self,
        plan: &Plan,
        writes: &[TransactionWrite],
        info: &CommitInfo,
    ) -> Result<usize, String> {
        let fault = |what: &str| Err(format!("{what}: {info:?}"));
        let mut effects = plan.effects.clone();
        let Some(Effect::Transaction { parts }) = effects.last_mut() else {
            return match info.timestamp.is_none() && info.records.is_empty() {
                true => Ok(0),
                false => fault("a commit of nothing wrote something"),
            };
        };
        let time = info.timestamp.as_deref().map(Timestamp::parse);
        let Some(Ok(time)) = time else { return fault("a commit without a time") };
        let mut left: Vec<(&str, std::slice::IterMut<'_, Entry>)> =
            parts.iter_mut().map(|(name, entries)| (name.as_str(), entries.iter_mut())).collect();
        if info.records.len() != writes.len() {
            return fault("one record for each write was expected");
        }
        for (write, record) in writes.iter().zip(&info.records) {
            let part = left.iter_mut().find(|(name, _)| *name == write.name);
            let Some(entry) = part.and_then(|(_, entries)| entries.next()) else {
                return fault("more records than writes");
            };
            let expected = (&write.name, &entry.key, entry.revision, Some(&info.transaction));
            let found = (&record.collection, &record.key, record.revision);
            if (found.0, found.1, found.2, entry.transaction.as_ref()) != expected {
                return Err(format!("the commit names {record:?}, expected was {entry:?}"));
            }
            entry.receipt = Some(Receipt { seq: record.seq, timestamp: Some(time) });
        }
        self.history.acknowledge(&effects, self.machine.durability);
        Ok(effects.len())
    }
}

/// Makes all calls up to the first that fails.
fn write_all(tx: &Transaction, writes: &[TransactionWrite]) -> Result<(), Error> {
    for TransactionWrite { name, key, body, put } in writes {
        let collection = tx.collection(name);
        match put {
            true => collection.put(key, body.clone(), None)?,
            false => collection.insert((key.clone(), body.clone()))?,
        };
    }
    Ok(())
}
