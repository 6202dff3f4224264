//! `schema`: sets what new documents are checked against, and shows it.

use std::path::{Path, PathBuf};

use blockdb::{Code, Document, Error};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::files;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb schema set packages package.schema.json
  blockdb schema show packages

A schema is JSON Schema 2020-12: type, properties, required, default, items, additionalProperties,
minLength, maxLength, pattern, minimum, maximum, enum, local $ref, and format binary or timestamp.")]
pub struct SchemaCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Check new documents against the schema in FILE; accepted if the documents there stay valid
    #[command(after_help = "Example:\n  blockdb schema set packages package.schema.json")]
    Set {
        /// Name of the collection
        name: String,
        /// File with the schema, - for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
    },
    /// Print the schema in force
    #[command(after_help = "Example:\n  blockdb schema show packages")]
    Show {
        /// Name of the collection
        name: String,
    },
}

impl SchemaCommand {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        match &self.act {
            Act::Set { name, file } => {
                let schema = read_schema(file)?;
                let version = cli.write(|db| Ok(db.collection(name).set_schema(&schema)?))?;
                Ok(output.object(&json!({ "collection": name, "schema": version }))?)
            }
            Act::Show { name } => {
                let info = cli.open_to_read()?.collection(name).describe()?;
                let schema = info.schema.ok_or_else(|| {
                    Error::new(Code::NotFound, format!("collection {name:?} has no schema"))
                })?;
                match output.is_json() {
                    true => Ok(output.object(&schema)?),
                    false => Ok(output.line(&format!("{:#}", schema.source))?),
                }
            }
        }
    }
}

/// The schema in a file or on standard input.
pub fn read_schema(file: &Path) -> blockdb::Result<Document> {
    let text = files::read_small(file)?;
    Document::from_json_slice(&text).map_err(|error| {
        let shown = file.display();
        Error::invalid(format!("the schema in {shown} is not a JSON object: {}", error.detail()))
    })
}
