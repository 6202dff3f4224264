//! `completions` and `man`: generated from the same words that are parsed, so they cannot differ
//! from them. They need no database.

use blockdb::Error;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb completions bash > ~/.local/share/bash-completion/completions/blockdb")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(&self, output: &mut Output) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "blockdb", &mut script);
        Ok(output.raw(&script)?)
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb man > blockdb.1
  blockdb man import | man -l -")]
pub struct Man {
    /// The page of one command instead of the page of all
    command: Option<String>,
}

impl Man {
    pub fn run(&self, output: &mut Output) -> Outcome {
        let mut all = Cli::command();
        all.build();
        let shown = match &self.command {
            None => all,
            Some(name) => {
                let found = all.find_subcommand(name).cloned().ok_or_else(|| {
                    Error::invalid(format!("there is no command {name:?}; see blockdb help"))
                })?;
                found.display_name(format!("blockdb-{name}"))
            }
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(shown).render(&mut page)?;
        Ok(output.raw(&page)?)
    }
}
