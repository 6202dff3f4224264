//! `txn`: a list of operations as one transaction, all or nothing.

use std::path::PathBuf;

use blockdb::{Error, OperationList, OperationResult, TransactionOptions};
use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::input;
use crate::output::{Output, note};

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb txn transfer.json
  echo '[{\"op\": \"get\", \"collection\": \"accounts\", \"key\": \"ada\"},
         {\"op\": \"put\", \"collection\": \"accounts\", \"key\": \"ada\", \"expect\": 3,
          \"document\": {\"cents\": 300}},
         {\"op\": \"insert\", \"collection\": \"transfers\",
          \"document\": {\"from\": \"ada\", \"cents\": 200}}]' | blockdb txn -

FILE is a JSON array of operations: op is insert, put or get. They are carried out in order; if one
is refused, nothing is done, and the error names it. Results come in order, one a line: the place of
what was written, the record that was read, or null for a key that does not exist.")]
pub struct Txn {
    /// The operations, or - for standard input
    file: PathBuf,
    /// Give up after this long
    #[arg(long, value_name = "MS", default_value_t = TransactionOptions::default().timeout_ms)]
    timeout_ms: u64,
}

impl Txn {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let bytes = input::read_whole(&self.file)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let at = error.valid_up_to();
            Error::invalid(format!("the operations are not UTF-8 at byte {at}"))
        })?;
        let list = OperationList::from_json(text)?;
        let options = TransactionOptions::default().timeout_ms(self.timeout_ms);
        let done = cli.write(|db| Ok(db.run(&list, options)?))?;
        if output.is_json() {
            return Ok(output.line(&done.to_json())?);
        }
        for result in &done.results {
            match result {
                OperationResult::Written(written) => {
                    let (key, collection) = (written.key.clone(), written.collection.clone());
                    let (seq, revision) = (written.seq.to_string(), written.revision.to_string());
                    output.rows(
                        &["collection", "key", "seq", "revision"],
                        vec![vec![collection, key, seq, revision]],
                    )?;
                }
                OperationResult::Read(Some(record)) => output.record(record)?,
                OperationResult::Read(None) => output.line("null")?,
            }
        }
        note(cli.output, &format!("transaction {}", done.transaction));
        Ok(())
    }
}
