//! The `blockdb` command: BlockDB at the prompt.
//!
//! ```text
//!   words ──args──▶ Cli ──commands──▶ the engine's API ──▶ Output (stdout: data alone)
//!                                            └─ Failure ──▶ exit (stderr, and the only exit status)
//! ```
//!
//! It decides nothing about data: whatever it does, a program can do through the crate `blockdb`.

mod args;
mod commands;
mod exit;
mod files;
mod input;
mod open;
mod output;
mod stopwatch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let mut output = output::Output::new(cli.output);
    let outcome = commands::run(&cli, &mut output).and_then(|()| Ok(output.flush()?));
    exit::finish(outcome, cli.output)
}
