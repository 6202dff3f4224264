//! `seal`: closes the pending records of a collection into a block now.

use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::{Output, note};

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb seal events

It prints the newest block. Blocks are sealed by themselves after block_records leaves or
seal_interval_ms; this does not wait for either.")]
pub struct Seal {
    /// Name of the collection
    name: String,
}

impl Seal {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        match cli.write(|db| Ok(db.collection(&self.name).seal()?))? {
            Some(block) => Ok(output.object(&block)?),
            None => {
                note(cli.output, &format!("{:?} is empty, there is nothing to seal", self.name));
                Ok(())
            }
        }
    }
}
