//! `index`: secondary indexes, made and dropped while the collection is in use.

use blockdb::{Error, IndexInfo, IndexOptions};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

const HEADINGS: [&str; 7] = ["name", "fields", "unique", "sparse", "state", "entries", "bytes"];

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb index create packages by_section section,-size
  blockdb index create users by_email email --unique --sparse
  blockdb index list packages
  blockdb index drop packages by_section")]
pub struct Index {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Make an index and wait until it is ready
    #[command(after_help = "\
Example:
  blockdb index create packages by_section section,-size

Names are dotted paths; a minus in front sorts from the greatest to the least. Each element of an
array is indexed. If a unique index meets two records with the same values it fails and names them.")]
    Create {
        /// Name of the collection
        name: String,
        /// Name of the index
        index: String,
        /// Fields to index, in order
        #[arg(value_name = "FIELD,-FIELD", allow_hyphen_values = true)]
        fields: String,
        /// No two records may have the same values
        #[arg(long)]
        unique: bool,
        /// Leave out records that have none of the fields
        #[arg(long)]
        sparse: bool,
    },
    /// Drop an index
    #[command(after_help = "Example:\n  blockdb index drop packages by_section")]
    Drop {
        /// Name of the collection
        name: String,
        /// Name of the index
        index: String,
    },
    /// List the indexes of a collection
    #[command(after_help = "Example:\n  blockdb index list packages")]
    List {
        /// Name of the collection
        name: String,
    },
}

impl Index {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        match &self.act {
            Act::Create { name, index, fields, unique, sparse } => {
                let options =
                    IndexOptions { unique: *unique, sparse: *sparse, ..IndexOptions::default() };
                if fields.starts_with("--") {
                    let detail = format!("the fields come before {fields}: INDEX FIELD,-FIELD");
                    return Err(Error::invalid(detail).into());
                }
                let fields: Vec<&str> = fields.split(',').collect();
                let info = cli
                    .write(|db| Ok(db.collection(name).create_index(index, &fields, options)?))?;
                Ok(output.object(&info)?)
            }
            Act::Drop { name, index } => {
                cli.write(|db| Ok(db.collection(name).drop_index(index)?))?;
                Ok(output.object(&json!({ "collection": name, "dropped": index }))?)
            }
            Act::List { name } => {
                let indexes = cli.open_to_read()?.collection(name).indexes()?;
                Ok(output.list(&indexes, &HEADINGS, row)?)
            }
        }
    }
}

fn row(index: &IndexInfo) -> Vec<String> {
    let yes = |truth: bool| if truth { "yes" } else { "no" }.to_owned();
    vec![
        index.name.clone(),
        index.fields.join(","),
        yes(index.unique),
        yes(index.sparse),
        index.state.clone(),
        index.entries.to_string(),
        index.bytes.to_string(),
    ]
}
