//! `create`: a new collection, and the database around it if there is none.

use std::path::PathBuf;

use blockdb::CollectionOptions;
use blockdb::collection::name::validate_name;
use blockdb::collection::schema::Schema;
use clap::Args;

use crate::args::Cli;
use crate::commands::schema::read_schema;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb create events --key-field id --revisions
  blockdb create packages --key-field name --schema package.schema.json

Names have 1 to 128 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit.
All settings can be changed later with configure; revisions can only be turned on.")]
pub struct Create {
    /// Name of the collection
    name: String,
    /// Field whose value is the key of a document
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,
    /// Allow further revisions of a key (put)
    #[arg(long)]
    revisions: bool,
    /// Seal a block after this many leaves [default: 1024]
    #[arg(long, value_name = "N")]
    block_records: Option<u64>,
    /// Seal pending records after this many milliseconds; 0 turns the timer off [default: 1000]
    #[arg(long, value_name = "N")]
    seal_interval_ms: Option<u64>,
    /// File with the JSON Schema that documents are checked against, - for standard input
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

impl Create {
    fn options(&self) -> blockdb::Result<CollectionOptions> {
        let mut options = CollectionOptions::new();
        if let Some(field) = &self.key_field {
            options = options.key_field(field);
        }
        if self.revisions {
            options = options.revisions(true);
        }
        if let Some(count) = self.block_records {
            options = options.block_records(count);
        }
        if let Some(interval_ms) = self.seal_interval_ms {
            options = options.seal_interval_ms(interval_ms);
        }
        if let Some(file) = &self.schema {
            let schema = read_schema(file)?.try_to_object()?;
            Schema::compile(&schema)?;
            options = options.schema(schema);
        }
        Ok(options)
    }

    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        // What is wrong is refused before a database is made for it.
        validate_name(&self.name)?;
        let options = self.options()?;
        options.settings()?;
        let info =
            cli.write_or_create(|db| Ok(db.create_collection(&self.name, options)?.describe()?))?;
        Ok(output.object(&info)?)
    }
}
