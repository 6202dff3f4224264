//! `collections`: what collections there are.

use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

const HEADINGS: [&str; 7] =
    ["name", "keys", "records", "blocks", "key_field", "revisions", "description"];

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb collections acme.

A tenant is a prefix: this lists what belongs to acme.")]
pub struct Collections {
    /// Only those whose names begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
}

impl Collections {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let found = cli.open_to_read()?.collections(&self.prefix)?;
        Ok(output.list(&found, &HEADINGS, |info| {
            vec![
                info.name.clone(),
                info.keys.to_string(),
                info.records.to_string(),
                info.blocks.to_string(),
                info.settings.key_field.clone().unwrap_or_default(),
                if info.settings.revisions { "yes" } else { "no" }.to_owned(),
                info.description.clone().unwrap_or_default(),
            ]
        })?)
    }
}
