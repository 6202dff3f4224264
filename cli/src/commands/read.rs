//! `get`, `history`, `scan`: reading by key.

use blockdb::{Code, Collection, Error, Scan as Records};
use clap::Args;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb get packages bash
  blockdb --output json get packages bash --revision 1

A missing key or revision is an error (exit status 4).")]
pub struct Get {
    /// Name of the collection
    name: String,
    /// Key of the record
    key: String,
    /// An earlier revision instead of the newest
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

impl Get {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let db = cli.open_to_read()?;
        let collection = db.collection(&self.name);
        let found = match self.revision {
            None => collection.get(&self.key)?,
            Some(revision) => collection.get_revision(&self.key, revision)?,
        };
        match (found, self.revision) {
            (Some(record), _) => output.record(&record),
            (None, None) => Err(missing(&self.name, &self.key).into()),
            (None, Some(revision)) => {
                let key = &self.key;
                let detail = format!("key {key:?} in {:?} has no revision {revision}", self.name);
                Err(Error::new(Code::NotFound, format!("{detail}; history shows those it has"))
                    .into())
            }
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb history notes n-1")]
pub struct History {
    /// Name of the collection
    name: String,
    /// Key of the record
    key: String,
}

impl History {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let revisions = cli.open_to_read()?.collection(&self.name).history(&self.key)?;
        if revisions.is_empty() {
            return Err(missing(&self.name, &self.key).into());
        }
        output.records(revisions.into_iter().map(Ok)).map(drop)
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb scan packages --prefix lib --limit 5
  blockdb --output json scan events --start 2024-01 --end 2024-02

Keys are ordered by their bytes. --start is inclusive, --end exclusive; with --prefix both hold.")]
pub struct Scan {
    /// Name of the collection
    name: String,
    /// Only keys that begin with this
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// First key
    #[arg(long, value_name = "K")]
    start: Option<String>,
    /// Key to end before
    #[arg(long, value_name = "K")]
    end: Option<String>,
    /// At most this many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// From the last key to the first
    #[arg(long)]
    reverse: bool,
}

impl Scan {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let db = cli.open_to_read()?;
        let prefix = self.prefix.as_deref();
        let start = self.start.as_deref().max(prefix);
        let after = prefix.and_then(after_prefix);
        let end = match (self.end.as_deref(), after.as_deref()) {
            (Some(end), Some(after)) => Some(end.min(after)),
            (end, after) => end.or(after),
        };
        let mut scan = records(&db.collection(&self.name), start, end).reverse(self.reverse);
        if let Some(limit) = self.limit {
            scan = scan.limit(limit);
        }
        output.records(scan.into_iter()).map(drop)
    }
}

fn records(collection: &Collection, start: Option<&str>, end: Option<&str>) -> Records {
    match (start, end) {
        // A range that ends before it starts holds nothing.
        (Some(start), Some(end)) => collection.scan(start..end.max(start)),
        (Some(start), None) => collection.scan(start..),
        (None, Some(end)) => collection.scan(..end),
        (None, None) => collection.scan(..),
    }
}

/// The least text greater than all that begin with `prefix`. The order of UTF-8 bytes is the order
/// of code points, so it is the prefix with its last character replaced by the next one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // A range of characters steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn missing(name: &str, key: &str) -> Error {
    Error::new(
        Code::NotFound,
        format!("there is no key {key:?} in {name:?}; blockdb scan {name} shows those there are"),
    )
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_end_of_a_prefix_is_the_next_text_in_byte_order() {
        assert_eq!(after_prefix("lib").as_deref(), Some("lic"));
        assert_eq!(after_prefix("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{10ffff}"), None);
        assert_eq!(after_prefix(""), None);
    }
}
