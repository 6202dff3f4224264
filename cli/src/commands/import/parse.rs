//! The reading half of an import: lines in, batches of documents out, on a thread of its own. It
//! refuses lines that are no documents and knows nothing of the collection.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use blockdb::{Code, Document, Error, Result, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::commands::rejected::Rejection;
use crate::input::{LINE_BYTES_MAX, Line, Lines};

/// Encoded documents of a batch: bounds what is in memory between the two threads.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Batches that wait to be written: one is enough to keep both threads busy.
const BATCHES_WAITING: usize = 1;

/// How lines are read.
#[derive(Clone, Debug)]
pub struct Parse {
    /// Field that holds the key, if the collection does not take it from there itself.
    pub key_field: Option<String>,
    /// Whether a line is a record and not a document.
    pub records: bool,
    /// Lines in a batch.
    pub batch: usize,
}

/// A document and where it came from.
#[derive(Debug)]
pub struct Item {
    /// Its line.
    pub line: u64,
    /// Its key, if the line gives it.
    pub key: Option<String>,
    /// Its revision, if the line is a record.
    pub revision: u64,
    /// The document.
    pub document: Document,
}

/// Lines to be committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Lines that are documents.
    pub items: Vec<Item>,
    /// Lines that are not.
    pub rejected: Vec<Rejection>,
    /// The last line of the batch.
    pub last_line: u64,
    bytes: usize,
}

/// The reading thread, and what it has read.
pub struct Batches {
    receiver: Receiver<Result<Batch>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts reading. The thread ends with the input, or when nobody receives any more; until then it
/// is not waited for, because a pipe may stay silent for ever.
pub fn spawn(lines: Lines, parse: Parse) -> Result<Batches> {
    let (sender, receiver) = sync_channel(BATCHES_WAITING);
    let thread = std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || parse.all(lines, &sender))
        .map_err(|error| {
            Error::new(Code::Unavailable, format!("no thread to read with: {error}"))
        })?;
    Ok(Batches { receiver, thread: Some(thread) })
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Ok(batch) = self.receiver.recv() {
            return Some(batch);
        }
        // A thread that broke off must not look like the end of the input.
        match self.thread.take()?.join() {
            Ok(()) => None,
            Err(_) => Some(Err(Error::new(Code::Internal, "reading the input broke off"))),
        }
    }
}

impl Parse {
    fn all(&self, mut lines: Lines, sender: &SyncSender<Result<Batch>>) {
        let mut batch = Batch::default();
        let end = loop {
            match lines.next_line() {
                Ok(Some((number, line))) => self.add(&mut batch, number, &line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            let full = batch.items.len() + batch.rejected.len() >= self.batch;
            if full || batch.bytes >= BATCH_BYTES_MAX {
                if sender.send(Ok(std::mem::take(&mut batch))).is_err() {
                    return;
                }
            }
        };
        // If nobody receives any more, the writing half has already said why.
        if batch.last_line > 0 {
            let _ = sender.send(Ok(batch));
        }
        if let Err(error) = end {
            let _ = sender.send(Err(error));
        }
    }

    fn add(&self, batch: &mut Batch, number: u64, line: &Line<'_>) {
        let text = match line {
            Line::Text(text) if text.trim_ascii().is_empty() => return,
            Line::Text(text) => Ok(*text),
            Line::TooLong => Err(Error::new(
                Code::TooLarge,
                format!("a line is limited to {LINE_BYTES_MAX} bytes, this one is longer"),
            )),
        };
        batch.last_line = number;
        match text.and_then(|text| self.item(number, text)) {
            Ok(item) => {
                batch.bytes += item.document.as_bytes().len();
                batch.items.push(item);
            }
            Err(error) => batch.rejected.push(Rejection::new(number, &error)),
        }
    }

    fn item(&self, line: u64, text: &[u8]) -> Result<Item> {
        if self.records {
            return record(line, text);
        }
        let document = Document::from_json_slice(text)?;
        let key = match &self.key_field {
            Some(field) => document.get(field)?.map(|value| key(field, value)).transpose()?,
            None => None,
        };
        Ok(Item { line, key, revision: 1, document })
    }
}

/// The part of a record that is read back.
#[derive(Deserialize)]
struct RecordLine<'a> {
    key: String,
    revision: Option<u64>,
    #[serde(borrow)]
    document: &'a RawValue,
}

fn record(line: u64, text: &[u8]) -> Result<Item> {
    let record: RecordLine<'_> = serde_json::from_slice(text).map_err(|error| {
        Error::invalid(format!("this is not a record as export writes it: {error}"))
    })?;
    Ok(Item {
        line,
        key: Some(record.key),
        revision: record.revision.unwrap_or(1),
        document: Document::from_json(record.document.get())?,
    })
}

fn key(field: &str, value: Value) -> Result<String> {
    match value {
        Value::String(key) => Ok(key),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(Error::invalid(format!(
            "key field {field:?} holds {}; a key is a string or an integer",
            other.type_name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    fn batches(text: &'static str, parse: &Parse) -> Vec<Batch> {
        let lines = Lines::new(Box::new(Cursor::new(text)), Path::new("test")).unwrap();
        spawn(lines, parse.clone()).unwrap().map(Result::unwrap).collect()
    }

    fn documents() -> Parse {
        Parse { key_field: Some("id".to_owned()), records: false, batch: 2 }
    }

    #[test]
    fn batches_hold_lines_whether_they_are_documents_or_not() {
        let text = "{\"id\":1}\n\nnonsense\n{\"id\":\"x\"}\n{\"id\":1.5}\n{}\n";
        let found = batches(text, &documents());
        let lines: Vec<Vec<u64>> =
            found.iter().map(|batch| batch.items.iter().map(|item| item.line).collect()).collect();
        let rejected: Vec<Vec<u64>> = found
            .iter()
            .map(|batch| batch.rejected.iter().map(|rejection| rejection.line).collect())
            .collect();
        assert_eq!(lines, [vec![1], vec![4], vec![6]]);
        assert_eq!(rejected, [vec![3], vec![5], vec![]]);
        assert_eq!(found.iter().map(|batch| batch.last_line).collect::<Vec<_>>(), [3, 5, 6]);
        let keys: Vec<_> =
            found.iter().flat_map(|batch| &batch.items).map(|item| &item.key).collect();
        assert_eq!(keys, [&Some("1".to_owned()), &Some("x".to_owned()), &None]);
    }

    #[test]
    fn a_record_gives_its_key_its_revision_and_its_document() {
        let text = r#"{"collection":"c","key":"k","seq":9,"revision":2,"document":{"a":12.0}}"#;
        let found = batches(text, &Parse { key_field: None, records: true, batch: 9 });
        let item = &found[0].items[0];
        assert_eq!((item.key.as_deref(), item.revision), (Some("k"), 2));
        assert_eq!(item.document.to_json(), r#"{"a":12.0}"#);
    }
}
