//! `export`: every record of a collection, all revisions, in sequence order, one JSON object a
//! line. What it writes is what `import --records` reads.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use blockdb::{Error, Record, Result, Timestamp};
use clap::Args;
use serde_json::json;

use crate::args::Cli;
use crate::exit::{Failure, Outcome};
use crate::files;
use crate::output::Output;
use crate::stopwatch::Stopwatch;

const WRITE_BYTES: usize = 256 << 10;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  blockdb export packages packages.jsonl
  blockdb export events --after 2024-05-01T00:00:00Z | gzip > since-may.jsonl.gz

Records come in sequence order, all revisions, the same in both output formats. --after is
exclusive and --until inclusive; each is a sequence number or a time (RFC 3339). blockdb import NAME
FILE --records reads the result back.")]
pub struct Export {
    /// Name of the collection
    name: String,
    /// File to write instead of standard output; what it held before is gone
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Only records after this sequence number or time
    #[arg(long, value_name = "X", value_parser = parse_position)]
    after: Option<Position>,
    /// Only records up to this sequence number or time
    #[arg(long, value_name = "X", value_parser = parse_position)]
    until: Option<Position>,
}

/// A place in a collection's log.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Position {
    Seq(u64),
    Time(Timestamp),
}

fn parse_position(word: &str) -> Result<Position> {
    if let Ok(seq) = word.parse() {
        return Ok(Position::Seq(seq));
    }
    Timestamp::parse(word).map(Position::Time).map_err(|_| {
        Error::invalid("a sequence number like 1200 or a time like 2024-05-01T00:00:00Z is wanted")
    })
}

impl Export {
    pub fn run(&self, cli: &Cli, output: &mut Output) -> Outcome {
        let clock = Stopwatch::start();
        let db = cli.open_to_read()?;
        let collection = db.collection(&self.name);
        let (after, until) = (seq(self.after), seq(self.until));
        let records = collection.changes(after, until)?.skip_while(|record| self.is_before(record));
        let mut records = records.take_while(|record| !self.is_beyond(record));
        let Some(path) = self.file.as_ref().filter(|file| *file != Path::new("-")) else {
            return records.try_for_each(|record| Ok(output.line(&record?.to_json())?));
        };
        let exported = write_file(path, &mut records)?;
        match output.is_json() {
            true => output.object(&json!({ "exported": exported, "seconds": clock.seconds() }))?,
            false => output.line(&format!(
                "exported {exported} records to {} in {:.1} s",
                path.display(),
                clock.seconds()
            ))?,
        }
        Ok(())
    }

    /// Times never decrease with seq, so both bounds can be met in passing.
    fn is_before(&self, record: &Result<Record>) -> bool {
        match (self.after, record) {
            (Some(Position::Time(after)), Ok(record)) => record.timestamp <= after,
            _ => false,
        }
    }

    fn is_beyond(&self, record: &Result<Record>) -> bool {
        match (self.until, record) {
            (Some(Position::Time(until)), Ok(record)) => record.timestamp > until,
            _ => false,
        }
    }
}

fn seq(position: Option<Position>) -> Option<u64> {
    match position {
        Some(Position::Seq(seq)) => Some(seq),
        _ => None,
    }
}

fn write_file(
    path: &Path,
    records: &mut impl Iterator<Item = Result<Record>>,
) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        // The file is a pipe, and its reader has seen enough.
        std::io::ErrorKind::BrokenPipe => Failure::Output(error),
        _ => Failure::Error(Error::storage("write", path, error)),
    };
    let mut file = BufWriter::with_capacity(WRITE_BYTES, files::create(path)?);
    let mut count = 0;
    for record in records {
        writeln!(file, "{}", record?.to_json()).map_err(failed)?;
        count += 1;
    }
    file.flush().map_err(failed)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_number_or_a_time() {
        assert_eq!(parse_position("12").unwrap(), Position::Seq(12));
        assert!(matches!(parse_position("2024-05-01T00:00:00Z"), Ok(Position::Time(_))));
        assert!(parse_position("yesterday").is_err());
    }
}
