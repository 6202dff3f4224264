//! Lines an import leaves out: each is told with its number and reason, up to a bound, so that a
//! million bad lines do not bury the first.

use std::io::Write;

use blockdb::Code;
use indicatif::ProgressBar;
use serde_json::json;

use crate::output::{Format, note, printable};

/// Lines told one by one; of the rest only the number.
pub const TOLD_MAX: u64 = 100;

/// One line that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its number, from 1.
    pub line: u64,
    /// The stable code.
    pub code: Code,
    /// Why.
    pub detail: String,
}

impl Rejection {
    /// Line `line` was left out because of `error`.
    pub fn new(line: u64, error: &blockdb::Error) -> Self {
        Rejection { line, code: error.code(), detail: error.detail().to_owned() }
    }
}

/// Counts and tells.
pub struct Rejected {
    format: Format,
    progress: ProgressBar,
    count: u64,
    told: u64,
}

impl Rejected {
    /// None so far. Telling makes way for `progress`.
    pub fn new(format: Format, progress: ProgressBar) -> Self {
        Rejected { format, progress, count: 0, told: 0 }
    }

    /// Lines left out so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Tells of lines left out; `count` of them, of which `known` are known one by one.
    pub fn tell(&mut self, mut known: Vec<Rejection>, count: u64) {
        self.count += count;
        known.sort_by_key(|rejection| rejection.line);
        let room = TOLD_MAX.saturating_sub(self.told) as usize;
        known.truncate(room);
        if known.is_empty() {
            return;
        }
        self.told += known.len() as u64;
        let format = self.format;
        self.progress.suspend(|| known.iter().for_each(|rejection| tell_one(format, rejection)));
    }

    /// Says how many lines were left out, if not all were told.
    pub fn finish(&self) {
        if self.count > self.told {
            let sentence = format!(
                "{} lines were rejected, of which {} are listed here",
                self.count, self.told
            );
            note(self.format, &sentence);
        }
    }
}

fn tell_one(format: Format, rejection: &Rejection) {
    let Rejection { line, detail, .. } = rejection;
    let code = rejection.code.as_str();
    let mut stderr = std::io::stderr().lock();
    // A line that cannot be told is still counted, and the exit status says so.
    let _ = match format {
        Format::Json => {
            writeln!(stderr, "{}", json!({ "line": line, "code": code, "detail": detail }))
        }
        Format::Table => writeln!(stderr, "line {line}: {code}: {}", printable(detail)),
    };
}

/// Whether an error is about one item, so that the others can go on without it.
pub fn is_about_item(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::DuplicateKey
            | Code::TooLarge
            | Code::SchemaViolation
            | Code::PreconditionFailed
            | Code::Unsupported
    )
}
