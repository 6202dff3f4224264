//! `drop`: hides a collection and frees its name. It asks for `--yes`, and without it says what it
//! would do and does nothing.

use blockdb::{CollectionInfo, Error};
use clap::Args;
use serde_json::json;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb drop scratch --yes

The name is free at once and the final size and root are recorded in _system. Documents and tables
go after 16 days, or at once with --purge; leaves and tiles stay, so that proofs already given
still hold.")]
pub struct Drop {
    /// Name of the collection
    name: String,
    /// Really do it
    #[arg(long)]
    yes: bool,
    /// Remove documents and tables at once
    #[arg(long)]
    purge: bool,
}

impl Drop {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        if !self.yes {
            let info = cli.open_to_read()?.collection(&self.name).describe()?;
            return Err(self.refusal(&info).into());
        }
        let tombstone = cli.write(|db| Ok(db.drop_collection(&self.name, self.purge)?))?;
        Ok(output.object(&json!({
            "dropped": self.name,
            "purged": self.purge,
            "size": tombstone.size,
            "root": hex(&tombstone.root),
        }))?)
    }

    fn refusal(&self, info: &CollectionInfo) -> Error {
        let fate = match self.purge {
            true => "remove their documents at once",
            false => "remove their documents after 16 days",
        };
        Error::invalid(format!(
            "this would drop {:?} with {} records under {} keys and {fate}; nothing was changed, \
             say --yes to do it",
            self.name, info.records, info.keys
        ))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
