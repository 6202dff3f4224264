//! The writing half of an import: batches into the collection, in order. What is refused is told
//! with its line; any other failure ends the import.

use blockdb::{Code, Collection, Error, InsertMany, OnError, Result, Value};

use super::parse::{Batch, Item};
use crate::commands::rejected::{Rejected, Rejection, is_about_item};

/// Writes batches and keeps count.
pub struct Store {
    collection: Collection,
    on_error: OnError,
    /// Records written.
    pub inserted: u64,
    /// Lines left out.
    pub rejected: Rejected,
    /// Whether the first later revision may turn revisions on: the collection is ours.
    pub turns_on_revisions: bool,
}

impl Store {
    /// Writes to `collection`.
    pub fn new(collection: Collection, on_error: OnError, rejected: Rejected) -> Self {
        Store { collection, on_error, inserted: 0, rejected, turns_on_revisions: false }
    }

    /// Commits a batch.
    pub fn write(&mut self, batch: Batch) -> Result<()> {
        if let (OnError::Stop, Some(first)) = (self.on_error, batch.rejected.first()) {
            return Err(self.stopped(first));
        }
        let count = batch.rejected.len() as u64;
        self.rejected.tell(batch.rejected, count);
        let mut run = Vec::with_capacity(batch.items.len());
        for item in batch.items {
            if item.revision <= 1 {
                run.push(item);
                continue;
            }
            self.insert(std::mem::take(&mut run))?;
            self.put(item)?;
        }
        self.insert(run)
    }

    /// First revisions, together.
    fn insert(&mut self, items: Vec<Item>) -> Result<()> {
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(()) };
        let (first, last) = (first.line, last.line);
        let lines: Vec<u64> = items.iter().map(|item| item.line).collect();
        let options = InsertMany { batch: items.len(), on_error: self.on_error };
        let items = items.into_iter().map(|item| (item.key, item.document));
        let result =
            self.collection.insert_many_with(items, options, &mut |_, _| {}).map_err(|error| {
                let detail = format!("in lines {first} to {last}: {}", error.detail());
                Error::new(error.code(), self.with_count(&detail))
            })?;
        self.inserted += result.inserted;
        let known = result.errors.into_iter().filter_map(|error| {
            let line = *lines.get(usize::try_from(error.index).ok()?)?;
            Some(Rejection { line, code: code_of(error.code), detail: error.detail })
        });
        self.rejected.tell(known.collect(), result.rejected);
        Ok(())
    }

    /// A later revision, on its own, after the one before it.
    fn put(&mut self, item: Item) -> Result<()> {
        if std::mem::take(&mut self.turns_on_revisions) {
            self.collection.configure(&[("revisions".to_owned(), Value::Bool(true))])?;
        }
        let key = item.key.unwrap_or_default();
        match self.collection.put(&key, item.document, Some(item.revision - 1)) {
            Ok(_) => self.inserted += 1,
            Err(error) if is_about_item(error.code()) => {
                let rejection = Rejection::new(item.line, &error);
                if self.on_error == OnError::Stop {
                    let detail = format!("line {}: {}", item.line, error.detail());
                    return Err(Error::new(error.code(), self.with_count(&detail)));
                }
                self.rejected.tell(vec![rejection], 1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn stopped(&self, rejection: &Rejection) -> Error {
        let detail = format!("line {}: {}", rejection.line, rejection.detail);
        Error::new(rejection.code, self.with_count(&detail))
    }

    fn with_count(&self, detail: &str) -> String {
        format!("{detail}; {} records of earlier batches are kept", self.inserted)
    }
}

fn code_of(word: &str) -> Code {
    Code::ALL.iter().copied().find(|code| code.as_str() == word).unwrap_or(Code::Internal)
}
