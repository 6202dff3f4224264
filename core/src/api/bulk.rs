//! A bulk insert under way: items are cut into batches, prepared on the caller's thread, and
//! committed by a helping thread meanwhile, in order, one at a time. So hashing and encoding the next
//! batch does not wait for the disk, and nothing is committed after a batch that was refused.

use std::sync::mpsc;

use crate::api::collection::Collection;
use crate::api::range::{IntoItem, Keyed};
use crate::api::results::{BulkError, BulkResult, InsertMany};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::limits::BATCH_BYTES_MAX;
use crate::shard::operations::Operation;
use crate::shard::state::View;
use crate::transaction::{self, Item, OnError, PreparedBatch, Rejected, Written};

/// Errors a bulk call reports one by one; beyond that only their number.
const BULK_ERRORS_MAX: usize = 100;

/// What came of a batch.
pub type Outcome = Result<(Option<Written>, Vec<Rejected>, Vec<Item>)>;

/// Keys, where given, and documents.
pub type Batch = Vec<(Option<String>, Document)>;

/// Items in batches of a number and of half the bytes a batch may have.
pub struct Batches<I> {
    /// Where they come from.
    pub items: I,
    /// Items of a batch.
    pub size: usize,
}

impl<I> Iterator for Batches<I>
where
    I: Iterator,
    I::Item: IntoItem,
{
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Vec::with_capacity(self.size.min(4096));
        let mut bytes = 0;
        for item in self.items.by_ref() {
            let item = item.into_item();
            bytes += item.1.as_bytes().len();
            batch.push(item);
            if batch.len() >= self.size || bytes >= BATCH_BYTES_MAX / 2 {
                break;
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// Where the items of a batch stood, and those that never got into it.
pub struct Places {
    indexes: Vec<u64>,
    refused: Vec<(u64, Error)>,
    count: u64,
}

/// A bulk insert.
pub struct Bulk<'a> {
    collection: &'a Collection,
    view: View,
    options: InsertMany,
    taken: u64,
    /// The result so far.
    pub result: BulkResult,
    /// Items dealt with.
    pub done: u64,
}

impl<'a> Bulk<'a> {
    /// Nothing inserted yet.
    pub fn new(collection: &'a Collection, view: View, options: InsertMany) -> Self {
        Bulk { collection, view, options, taken: 0, result: BulkResult::default(), done: 0 }
    }

    /// Settles the keys of a batch and does all of its work that needs no lock.
    pub fn prepare(&mut self, batch: Batch) -> (PreparedBatch, Places) {
        let count = batch.len() as u64;
        let mut places =
            Places { indexes: Vec::with_capacity(batch.len()), refused: Vec::new(), count };
        let mut items = Vec::with_capacity(batch.len());
        for (index, (key, document)) in (self.taken..).zip(batch) {
            match self.collection.item(&self.view, Keyed { key, document }) {
                Ok(item) => {
                    items.push(item);
                    places.indexes.push(index);
                }
                Err(error) => places.refused.push((index, error)),
            }
        }
        self.taken += count;
        if self.options.on_error == OnError::Stop && !places.refused.is_empty() {
            // Nothing of the batch will be kept.
            items.clear();
            places.indexes.clear();
        }
        let shard = &self.collection.database.shard;
        (transaction::prepare_batch(shard, &self.view, items), places)
    }

    /// Commits a prepared batch.
    pub fn commit(&self, batch: PreparedBatch) -> Outcome {
        commit(self.collection, &self.view, batch, self.options.on_error)
    }

    /// Adds what came of a batch to the result; an error ends the call.
    pub fn settle(&mut self, places: Places, outcome: Outcome) -> Result<()> {
        let (written, rejected, _) = outcome.map_err(|error| error.note(self.before()))?;
        let at = |rejected: &Rejected| places.indexes[rejected.index as usize];
        let rejected = rejected.into_iter().map(|rejected| (at(&rejected), rejected.error));
        let mut refused: Vec<(u64, Error)> = rejected.chain(places.refused).collect();
        refused.sort_by_key(|(index, _)| *index);
        for (index, error) in refused {
            self.refuse(index, error)?;
        }
        if let Some(written) = written {
            self.result.inserted += written.count;
            self.result.first_seq.get_or_insert(written.first_seq);
            self.result.last_seq = Some(written.first_seq + written.count - 1);
        }
        self.done += places.count;
        Ok(())
    }

    /// Inserts batches, each prepared while the one before is committed.
    pub fn insert_side_by_side(
        &mut self,
        batches: impl Iterator<Item = Batch>,
        committed: &mut dyn FnMut(u64, &BulkResult),
    ) -> Result<()> {
        let (collection, view, on_error) =
            (self.collection, self.view.clone(), self.options.on_error);
        std::thread::scope(|scope| {
            let (give, take) = mpsc::channel::<PreparedBatch>();
            let (answer, outcomes) = mpsc::channel::<Outcome>();
            scope.spawn(move || {
                for batch in take {
                    if answer.send(commit(collection, &view, batch, on_error)).is_err() {
                        return;
                    }
                }
            });
            let mut under_way: Option<Places> = None;
            for batch in batches {
                let (batch, places) = self.prepare(batch);
                self.await_one(&mut under_way, &outcomes, committed)?;
                if give.send(batch).is_err() {
                    return Err(lost());
                }
                under_way = Some(places);
            }
            self.await_one(&mut under_way, &outcomes, committed)
        })
    }

    fn await_one(
        &mut self,
        under_way: &mut Option<Places>,
        outcomes: &mpsc::Receiver<Outcome>,
        committed: &mut dyn FnMut(u64, &BulkResult),
    ) -> Result<()> {
        let Some(places) = under_way.take() else { return Ok(()) };
        let outcome = outcomes.recv().map_err(|_| lost())?;
        self.settle(places, outcome)?;
        committed(self.done, &self.result);
        Ok(())
    }

    fn refuse(&mut self, index: u64, error: Error) -> Result<()> {
        if self.options.on_error == OnError::Stop || !transaction::is_refusal(&error) {
            return Err(error.note(format!("it is item {index}, {}", self.before())));
        }
        self.result.rejected += 1;
        if self.result.errors.len() < BULK_ERRORS_MAX {
            self.result.errors.push(BulkError {
                index,
                code: error.code().as_str(),
                detail: error.detail().to_owned(),
            });
        }
        Ok(())
    }

    fn before(&self) -> String {
        format!("{} items were inserted before", self.result.inserted)
    }
}

fn commit(
    collection: &Collection,
    view: &View,
    batch: PreparedBatch,
    on_error: OnError,
) -> Outcome {
    let database = &collection.database;
    collection.counted(view, Operation::Insert, || {
        transaction::commit_batch(&database.shard, &database.locks, view, batch, on_error)
    })
}

/// The helping thread ended without an answer: it panicked.
fn lost() -> Error {
    Error::new(Code::Internal, "the thread that commits batches ended early")
}
