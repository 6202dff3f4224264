//! `configure`: changes settings of a collection at run time.

use blockdb::collection::settings::parse_change;
use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb configure events seal_interval_ms=200 description='What happened, and when'

Settings: block_records, seal_interval_ms, revisions (true only), key_field, compression (lz4 or
none), flush_bytes, flush_interval_ms, description. KEY= restores the default. describe shows what
is set.")]
pub struct Configure {
    /// Name of the collection
    name: String,
    /// Settings to change
    #[arg(required = true, value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

impl Configure {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let changes = self.changes.iter().map(|word| parse_change(word));
        let changes = changes.collect::<blockdb::Result<Vec<_>>>()?;
        let info = cli.write(|db| Ok(db.collection(&self.name).configure(&changes)?))?;
        Ok(output.object(&info)?)
    }
}
