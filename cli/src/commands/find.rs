//! `find` and `count`: reading by a filter.

use blockdb::{Document, Object};
use clap::Args;
use serde_json::json;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb find packages '{\"section\": \"games\"}' --sort -size --limit 10
  blockdb find events '{\"user\": \"u1\", \"amount_cents\": {\"$gte\": 1000}}' --sort=-$seq --explain

Operators: $eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not $prefix. Dotted names reach into
objects; a scalar matches an array that contains it; $key, $seq and $time are the record's own
values. Without --sort the order is not promised. --explain shows how the answer is found and how
many records are read for it, instead of the records.")]
pub struct Find {
    /// Name of the collection
    name: String,
    /// A JSON object; {} matches everything
    filter: String,
    /// Fields to sort by, - in front for descending
    #[arg(long, value_name = "F,-G", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Show only these fields of the documents
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    fields: Vec<String>,
    /// At most this many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show the plan and what it reads instead of the records
    #[arg(long)]
    explain: bool,
}

impl Find {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let filter = parse_filter(&self.filter)?;
        let db = cli.open_to_read()?;
        let mut find = db.collection(&self.name).find(filter)?;
        if let Some(fields) = &self.sort {
            find = find.sort(fields)?;
        }
        if !self.fields.is_empty() {
            find = find.fields(&self.fields)?;
        }
        if let Some(limit) = self.limit {
            find = find.limit(limit);
        }
        if self.explain {
            return Ok(output.object(&find.explain()?)?);
        }
        output.records(find.into_iter()).map(drop)
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb count packages
  blockdb count packages '{\"section\": \"games\"}'")]
pub struct Count {
    /// Name of the collection
    name: String,
    /// Count only what matches this JSON object
    filter: Option<String>,
}

impl Count {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let filter = self.filter.as_deref().map(parse_filter).transpose()?;
        let db = cli.open_to_read()?;
        let collection = db.collection(&self.name);
        let count = match filter {
            None => collection.count()?,
            Some(filter) => collection.find(filter)?.count()?,
        };
        match output.is_json() {
            true => output.object(&json!({ "count": count }))?,
            false => output.line(&count.to_string())?,
        }
        Ok(())
    }
}

fn parse_filter(text: &str) -> blockdb::Result<Object> {
    let wrong = |error: blockdb::Error| {
        blockdb::Error::invalid(format!("the filter is not a JSON object: {}", error.detail()))
    };
    Document::from_json(text).and_then(|document| document.try_to_object()).map_err(wrong)
}
