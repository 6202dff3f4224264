//! `describe`: identity, settings and size of one collection.

use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb describe packages")]
pub struct Describe {
    /// Name of the collection
    name: String,
}

impl Describe {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let info = cli.open_to_read()?.collection(&self.name).describe()?;
        Ok(output.object(&info)?)
    }
}
