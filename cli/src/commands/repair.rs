//! `repair`: makes what is derived from the ledger anew.

use blockdb::Options;
use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb repair
  blockdb repair packages

Tables, indexes, tiles, statistics and rendered files are removed and made again from the ledger,
which is not touched: what verify says of the ledger itself, no repair can mend. Run verify
afterwards.")]
pub struct Repair {
    /// Only this collection
    name: Option<String>,
}

impl Repair {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let report = Options::new().repair(&cli.db, self.name.as_deref())?;
        Ok(output.list(&report.collections, &["collection", "records", "indexes"], |each| {
            vec![each.name.clone(), each.records.to_string(), each.indexes.to_string()]
        })?)
    }
}
