//! How the command ends: the one place where an outcome becomes words on stderr and an exit
//! status. 0 done, 1 failed, 2 wrong usage, 3 integrity, 4 missing; the status of an error is its
//! code's.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use blockdb::{Code, Error};
use clap::error::ErrorKind as UsageKind;
use serde_json::{Map, Value, json};

use crate::output::{Format, printable};

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// The engine, or a command itself, refused.
    Error(Error),
    /// Standard output could not be written.
    Output(std::io::Error),
    /// Lines were rejected; each was reported when it happened.
    Rejected,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Output(error)
    }
}

/// Ends a command that was understood.
pub fn finish(outcome: Outcome, format: Format) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            tell(&Error::storage("write", Path::new("standard output"), error), format)
        }
        Err(Failure::Rejected) => ExitCode::from(1),
        Err(Failure::Error(error)) => tell(&error, format),
    }
}

/// Ends a command line that was not understood, or that asked for help.
pub fn usage(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), UsageKind::DisplayHelp | UsageKind::DisplayVersion);
    if help || !asks_for_json(std::env::args()) {
        // Help goes to stdout, errors to stderr; a closed pipe is no reason to say more.
        let _ = error.print();
        return ExitCode::from(if help { 0 } else { Code::InvalidArgument.exit_status() });
    }
    let text = error.render().to_string();
    let detail = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
    tell(&Error::new(Code::InvalidArgument, detail), Format::Json)
}

/// Words that could not be parsed may still say how errors are wanted.
fn asks_for_json(words: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = words.collect();
    words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

fn tell(error: &Error, format: Format) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    // If even stderr is closed, the exit status still tells.
    let _ = match format {
        Format::Json => writeln!(stderr, "{}", to_json(error)),
        Format::Table => write_text(&mut stderr, error),
    };
    ExitCode::from(error.code().exit_status())
}

fn write_text(stderr: &mut impl Write, error: &Error) -> std::io::Result<()> {
    writeln!(stderr, "error: {}: {}", error.code().as_str(), printable(&detail(error)))?;
    for violation in error.errors() {
        let (path, rule) = (printable(&violation.path), printable(&violation.rule));
        let place = match path.is_empty() {
            true => "in the whole".to_owned(),
            false => format!("field {path}"),
        };
        writeln!(stderr, "  {place}: {rule}, found {}", printable(&violation.found))?;
    }
    match advice(error.code()) {
        Some(advice) => writeln!(stderr, "  {advice}"),
        None => Ok(()),
    }
}

fn to_json(error: &Error) -> Value {
    let mut object = Map::new();
    object.insert("code".to_owned(), error.code().as_str().into());
    object.insert("detail".to_owned(), detail(error).into());
    if !error.errors().is_empty() {
        let errors = error
            .errors()
            .iter()
            .map(|each| json!({ "path": each.path, "rule": each.rule, "found": each.found }));
        object.insert("errors".to_owned(), errors.collect());
    }
    Value::Object(object)
}

/// The sentence, and the place on disk if the error is about one.
pub fn detail(error: &Error) -> String {
    let whole = error.to_string();
    let code = format!("{}: ", error.code().as_str());
    whole.strip_prefix(&code).unwrap_or(&whole).to_owned()
}

/// What to do about an error, where its own sentence cannot know the commands.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::CollectionNotFound => {
            "blockdb collections lists what there is; blockdb create NAME makes one"
        }
        Code::DuplicateKey => {
            "records are never overwritten; blockdb put appends a revision where revisions are on"
        }
        Code::PreconditionFailed => "look at the newest revision with blockdb get and decide again",
        Code::Locked => "wait for that process or stop it; reading commands work beside it",
        Code::Corrupt | Code::IntegrityViolation => {
            "blockdb verify lists every fault; bring the named file back from a copy you trust"
        }
        Code::StorageFull => "make room on the disk; what was acknowledged is safe",
        Code::StorageFailed => "look at the disk and its permissions, then run the command again",
        Code::InvalidArgument => "blockdb help COMMAND shows how it is used, with an example",
        Code::Internal => "please report this with the command that led to it",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_json_has_its_code_and_its_place() {
        let error = Error::corrupt(Path::new("log/wal_1"), 72, "the checksum does not match");
        assert_eq!(
            to_json(&error).to_string(),
            r#"{"code":"corrupt","detail":"the checksum does not match (log/wal_1 at byte 72)"}"#
        );
    }

    #[test]
    fn the_wish_for_json_is_heard_even_in_a_wrong_command_line() {
        let hears = |words: &str| asks_for_json(words.split(' ').map(str::to_owned));
        assert!(hears("blockdb --output json nonsense") && hears("blockdb x --output=json"));
        assert!(!hears("blockdb --output table nonsense json"));
    }
}
