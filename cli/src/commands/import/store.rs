//! The writing half of an import: batches into the collection, in order. What is refused is told
//! with its line; any other failure ends the import.

use blockdb::{Code, Collection, Error, InsertMany, Keyed, OnError, Result, Value};

use super::parse::{Batch, Item};
use crate::commands::rejected::{Rejected, Rejection, is_about_item};

/// Lines of one batch that were left out; of many the engine names only the first.
struct LeftOut {
    known: Vec<Rejection>,
    count: u64,
}

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

    /// Commits a batch, and tells of its lines that were left out, in their order.
    pub fn write(&mut self, batch: Batch) -> Result<()> {
        if let (OnError::Stop, Some(first)) = (self.on_error, batch.rejected.first()) {
            return Err(self.stopped(first.line, first.code, &first.detail));
        }
        let mut left_out = LeftOut { count: batch.rejected.len() as u64, known: batch.rejected };
        let written = self.write_items(batch.items, &mut left_out);
        self.rejected.tell(left_out.known, left_out.count);
        written
    }

    fn write_items(&mut self, items: Vec<Item>, left_out: &mut LeftOut) -> Result<()> {
        let mut run = Vec::with_capacity(items.len());
        for item in items {
            if item.revision <= 1 {
                run.push(item);
                continue;
            }
            self.insert(std::mem::take(&mut run), left_out)?;
            self.put(item, left_out)?;
        }
        self.insert(run, left_out)
    }

    /// First revisions, together.
    fn insert(&mut self, items: Vec<Item>, left_out: &mut LeftOut) -> Result<()> {
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(()) };
        let (first, last) = (first.line, last.line);
        let lines: Vec<u64> = items.iter().map(|item| item.line).collect();
        let options = InsertMany { batch: items.len(), on_error: self.on_error };
        let items = items.into_iter().map(|item| Keyed { key: item.key, document: item.document });
        let result = self.collection.insert_many_with(items, options, &mut |_, _| {});
        let result = result.map_err(|error| match is_about_item(error.code()) {
            true => {
                let detail = format!("in lines {first} to {last}: {}", error.detail());
                Error::new(error.code(), self.with_count(&detail))
            }
            false => error,
        })?;
        self.inserted += result.inserted;
        let known = result.errors.into_iter().filter_map(|error| {
            let line = *lines.get(usize::try_from(error.index).ok()?)?;
            Some(Rejection { line, code: code_of(error.code), detail: error.detail })
        });
        left_out.known.extend(known);
        left_out.count += result.rejected;
        Ok(())
    }

    /// A later revision, on its own, after the one before it.
    fn put(&mut self, item: Item, left_out: &mut LeftOut) -> Result<()> {
        if std::mem::take(&mut self.turns_on_revisions) {
            self.collection.configure(&[("revisions".to_owned(), Value::Bool(true))])?;
        }
        let key = item.key.unwrap_or_default();
        match self.collection.put(&key, item.document, Some(item.revision - 1)) {
            Ok(_) => self.inserted += 1,
            Err(error) if is_about_item(error.code()) && self.on_error == OnError::Stop => {
                return Err(self.stopped(item.line, error.code(), error.detail()));
            }
            Err(error) if is_about_item(error.code()) => {
                left_out.known.push(Rejection::new(item.line, &error));
                left_out.count += 1;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn stopped(&self, line: u64, code: Code, detail: &str) -> Error {
        Error::new(code, self.with_count(&format!("line {line}: {detail}")))
    }

    fn with_count(&self, detail: &str) -> String {
        format!("{detail}; {} records of earlier batches are kept", self.inserted)
    }
}

fn code_of(word: &str) -> Code {
    Code::ALL.iter().copied().find(|code| code.as_str() == word).unwrap_or(Code::Internal)
}
