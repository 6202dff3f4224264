//! The words of the command line. What every command shares stands here; the options of a command
//! stand in its own file, beside the code they steer. Parsing does no I/O.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    collections, configure, create, describe, drop, export, find, import, index, manual, read,
    repair, schema, seal, stats, txn, verify, write,
};
use crate::output::Format;

/// BlockDB, the append-only document database that can prove what it says
#[derive(Parser, Debug)]
#[command(
    name = "blockdb",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Start here:
  blockdb demo                                            watch the whole of it on a sample
  blockdb import packages FILE.jsonl.gz --key-field name  import your own records
  blockdb scan packages --prefix lib --limit 5            read them back by key
  blockdb verify                                          re-hash everything

Exit status: 0 done · 1 failed, also when lines were rejected · 2 wrong usage ·
             3 integrity violation or corrupt data · 4 missing key, collection or database"
)]
pub struct Cli {
    /// Folder of the database (URLs will reach a server)
    #[arg(
        long,
        global = true,
        env = "BLOCKDB_DB",
        default_value = "./blockdb-data",
        value_name = "PATH|URL"
    )]
    pub db: PathBuf,

    /// How results are printed: tables for people, or one JSON object per line
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Every command; those without options of their own need no more than their name.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Watch the main job end to end on a temporary database, up to a caught flipped byte
    #[command(after_help = "\
Example:
  blockdb demo

It needs no database and leaves nothing behind.")]
    Demo,
    /// Create a collection, and the database if there is none
    Create(create::Create),
    /// Change settings of a collection
    Configure(configure::Configure),
    /// List the collections
    Collections(collections::Collections),
    /// Show identity, settings and size of a collection
    Describe(describe::Describe),
    /// Drop a collection: hide it and free its name
    Drop(drop::Drop),
    /// Insert one document under a new key
    Insert(write::Insert),
    /// Append the next revision of a key, or the first
    Put(write::Put),
    /// Import newline-delimited JSON, plain, gzip or zstd
    Import(import::Import),
    /// Write all records as JSON, one a line, in sequence order
    Export(export::Export),
    /// Show the newest or an earlier revision of a key
    Get(read::Get),
    /// Show all revisions of a key, oldest first
    History(read::History),
    /// Show records in key order
    Scan(read::Scan),
    /// Show the records that match a filter
    Find(find::Find),
    /// Count the keys of a collection, or those that match a filter
    Count(find::Count),
    /// Set what documents are checked against, or show it
    Schema(schema::SchemaCommand),
    /// Carry out a list of operations as one transaction, all or nothing
    Txn(txn::Txn),
    /// Create, drop or list secondary indexes
    Index(index::Index),
    /// Seal what is pending into a block now
    Seal(seal::Seal),
    /// Re-hash everything and compare it with what is stored
    Verify(verify::Verify),
    /// Rebuild tables, indexes, tiles and rendered files from the ledger
    Repair(repair::Repair),
    /// Show figures of the database or of a collection
    Stats(stats::Stats),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Print the manual page
    Man(manual::Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_words_of_the_command_line_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
    }
}
