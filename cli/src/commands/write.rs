//! `insert` and `put`: one document from the command line or from standard input.

use blockdb::{Document, Keyed};
use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::input;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb insert events --key e-1 '{\"user\": \"u1\", \"amount_cents\": 1200}'
  date +'{\"now\": \"%s\"}' | blockdb insert events -

Without --key the key comes from the collection's key field, or is made (UUIDv7). A key that exists
is refused: records are never overwritten.")]
pub struct Insert {
    /// Name of the collection
    name: String,
    /// Key of the record
    #[arg(long)]
    key: Option<String>,
    /// The document, or - for standard input
    #[arg(value_name = "JSON|-")]
    document: String,
}

impl Insert {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let item = Keyed { key: self.key.clone(), document: document(&self.document)? };
        let record = cli.write(|db| Ok(db.collection(&self.name).insert(item)?))?;
        output.record(&record)
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb put notes n-1 '{\"text\": \"second thoughts\"}' --expect 1

The collection must have revisions (create --revisions, or configure NAME revisions=true). With
--expect it is written only if the newest revision is that one; 0 means the key must not exist.")]
pub struct Put {
    /// Name of the collection
    name: String,
    /// Key of the record
    key: String,
    /// The document, or - for standard input
    #[arg(value_name = "JSON|-")]
    document: String,
    /// Revision that must be the newest
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
}

impl Put {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let document = document(&self.document)?;
        let record =
            cli.write(|db| Ok(db.collection(&self.name).put(&self.key, document, self.expect)?))?;
        output.record(&record)
    }
}

fn document(word: &str) -> blockdb::Result<Document> {
    match word {
        "-" => Document::from_json_slice(&input::read_stdin()?),
        text => Document::from_json(text),
    }
}
