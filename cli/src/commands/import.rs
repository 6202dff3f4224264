//! `import`: newline-delimited JSON into a collection. One thread reads, unpacks and parses, the
//! other writes batches; the channel between them is short, so memory stays bounded however long
//! the input. A batch is durable before its last line is acknowledged.

mod parse;
mod store;

use std::path::PathBuf;

use blockdb::collection::name::validate_name;
use blockdb::{Code, Collection, CollectionOptions, Db, Error, OnError, Result};
use clap::Args;
use serde_json::json;

use crate::args::Cli;
use crate::commands::rejected::Rejected;
use crate::exit::{Failure, Outcome};
use crate::input::{self, Lines};
use crate::output::Output;
use crate::stopwatch::Stopwatch;

pub use parse::{Parse, spawn};
pub use store::Store;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb import packages packages.jsonl.gz --key-field name
  zcat packages.jsonl.gz | blockdb import packages - --key-field name

Input may be plain, gzip or zstd; its first bytes tell. The collection, and the database, are made
if missing. With --on-error skip rejected lines are reported on stderr and left out (exit status
1); with stop the first one ends the import, and nothing of its batch is kept. An import can be
run again: lines already there are rejected as duplicate_key and nothing changes.")]
pub struct Import {
    /// Name of the collection
    name: String,
    /// File to read, or - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Field whose value is the key
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,
    /// Lines committed together (at most 8 MiB of documents)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    batch: u32,
    /// What to do with a line that is refused
    #[arg(long, value_enum, default_value_t = Refused::Skip, value_name = "skip|stop")]
    on_error: Refused,
    /// Lines are records as export writes them: key and document are taken, in the same order
    #[arg(long)]
    records: bool,
    /// Print the number of the last line of each batch once it is committed
    #[arg(long)]
    acks: bool,
}

/// What to do with a refused line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Refused {
    /// Report it and go on
    Skip,
    /// End the import
    Stop,
}

impl Import {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let clock = Stopwatch::start();
        // A wrong name must not leave a new database behind.
        validate_name(&self.name)?;
        let (lines, progress) = input::open(&self.file)?;
        let rejected = Rejected::new(cli.output, progress.clone());
        let store = cli.write_or_create(|db| {
            let store = self.import(db, lines, rejected, output);
            progress.finish_and_clear();
            store
        })?;
        store.rejected.finish();
        self.print(output, store.inserted, store.rejected.count(), clock.seconds())?;
        match store.rejected.count() {
            0 => Ok(()),
            _ => Err(Failure::Rejected),
        }
    }

    fn import(
        &self,
        db: &Db,
        lines: Lines,
        rejected: Rejected,
        output: &mut Output,
    ) -> Outcome<Store> {
        let collection = db.collection(&self.name);
        let made = self.make(db, &collection)?;
        let parse = Parse {
            key_field: self.own_key_field(&collection)?,
            records: self.records,
            batch: self.batch as usize,
        };
        let on_error = match self.on_error {
            Refused::Skip => OnError::Skip,
            Refused::Stop => OnError::Stop,
        };
        let mut store = Store::new(collection, on_error, rejected);
        store.turns_on_revisions = made && self.records;
        for batch in spawn(lines, parse)? {
            let batch = batch?;
            let last_line = batch.last_line;
            store.write(batch)?;
            if self.acks {
                acknowledge(output, last_line)?;
            }
        }
        Ok(store)
    }

    /// Makes the collection if it is missing; says whether it did.
    fn make(&self, db: &Db, collection: &Collection) -> Result<bool> {
        match collection.describe() {
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Code::CollectionNotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = CollectionOptions::new();
        if let Some(field) = &self.key_field {
            options = options.key_field(field);
        }
        db.create_collection(&self.name, options)?;
        Ok(true)
    }

    /// The key field, if it is this import's and not the collection's own.
    fn own_key_field(&self, collection: &Collection) -> Result<Option<String>> {
        let Some(field) = &self.key_field else { return Ok(None) };
        match collection.describe()?.settings.key_field {
            Some(own) if own == *field => Ok(None),
            None => Ok(Some(field.clone())),
            Some(own) => Err(Error::invalid(format!(
                "{:?} takes its keys from the field {own:?}, not {field:?}; leave --key-field out \
                 or import into another collection",
                self.name
            ))),
        }
    }

    fn print(
        &self,
        output: &mut Output,
        inserted: u64,
        rejected: u64,
        seconds: f64,
    ) -> std::io::Result<()> {
        if output.is_json() {
            return output.object(
                &json!({ "inserted": inserted, "rejected": rejected, "seconds": seconds }),
            );
        }
        let sentence = format!("inserted {inserted}, rejected {rejected}, in {seconds:.1} s");
        // With --acks stdout holds nothing but numbers.
        match self.acks {
            true => crate::output::note(output.format(), &sentence),
            false => output.line(&sentence)?,
        }
        Ok(())
    }
}

/// Prints a committed line number at once. Whoever listened may be gone; the import goes on.
fn acknowledge(output: &mut Output, line: u64) -> std::io::Result<()> {
    let told = output.line(&line.to_string()).and_then(|()| output.flush());
    match told {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}
