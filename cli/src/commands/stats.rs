//! `stats`: figures of the database, or of one collection, taken once.

use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb stats
  blockdb --output json stats packages")]
pub struct Stats {
    /// Name of a collection; without it, figures of the whole database
    name: Option<String>,
}

impl Stats {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let db = cli.open_to_read()?;
        match &self.name {
            Some(name) => output.object(&db.collection(name).stats()?)?,
            None => output.object(&db.stats()?)?,
        }
        Ok(())
    }
}
