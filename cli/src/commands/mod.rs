//! The commands, one file each or one for a few that belong together. Each file holds the options
//! of its command, its help with an example, and what it does: open, call the engine, print.

pub mod collections;
pub mod configure;
pub mod create;
pub mod demo;
pub mod describe;
pub mod drop;
pub mod export;
pub mod find;
pub mod import;
pub mod index;
pub mod manual;
pub mod read;
pub mod rejected;
pub mod repair;
pub mod schema;
pub mod seal;
pub mod stats;
pub mod txn;
pub mod verify;
pub mod write;

use crate::args::{Cli, Command};
use crate::exit::Outcome;
use crate::output::Output;

/// Does what the command line asks for.
pub fn run(cli: &Cli, output: &mut Output) -> Outcome {
    match &cli.command {
        Command::Demo => demo::run(output),
        Command::Create(args) => args.run(cli, output),
        Command::Configure(args) => args.run(cli, output),
        Command::Collections(args) => args.run(cli, output),
        Command::Describe(args) => args.run(cli, output),
        Command::Drop(args) => args.run(cli, output),
        Command::Insert(args) => args.run(cli, output),
        Command::Put(args) => args.run(cli, output),
        Command::Import(args) => args.run(cli, output),
        Command::Export(args) => args.run(cli, output),
        Command::Get(args) => args.run(cli, output),
        Command::History(args) => args.run(cli, output),
        Command::Scan(args) => args.run(cli, output),
        Command::Find(args) => args.run(cli, output),
        Command::Count(args) => args.run(cli, output),
        Command::Schema(args) => args.run(cli, output),
        Command::Index(args) => args.run(cli, output),
        Command::Seal(args) => args.run(cli, output),
        Command::Txn(args) => args.run(cli, output),
        Command::Verify(args) => args.run(cli, output),
        Command::Repair(args) => args.run(cli, output),
        Command::Stats(args) => args.run(cli, output),
        Command::Completions(args) => args.run(output),
        Command::Man(args) => args.run(output),
    }
}
