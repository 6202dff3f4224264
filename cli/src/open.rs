//! Opening the database that `--db` names: for reading, for writing, or making it. Only `create`
//! and `import` make one; reading commands change no byte and work beside a running writer.

use blockdb::{Code, Db, Error, Options, Result};

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::{Format, note};

impl Cli {
    /// The existing database, for reading.
    pub fn open_to_read(&self) -> Result<Db> {
        self.open(Options::new().create(false).read_only(true))
    }

    /// Does `act` on the existing database, opened for writing, and closes it.
    pub fn write<T>(&self, act: impl FnOnce(&Db) -> Outcome<T>) -> Outcome<T> {
        self.act(Options::new().create(false), act)
    }

    /// Does `act` on the database, made if there is none, and closes it.
    pub fn write_or_create<T>(&self, act: impl FnOnce(&Db) -> Outcome<T>) -> Outcome<T> {
        self.act(Options::new().create(true), act)
    }

    fn act<T>(&self, options: Options, act: impl FnOnce(&Db) -> Outcome<T>) -> Outcome<T> {
        let db = self.open(options)?;
        tell_recovery(&db, self.output);
        let done = act(&db)?;
        db.close()?;
        Ok(done)
    }

    fn open(&self, options: Options) -> Result<Db> {
        let shown = self.db.display();
        if self.db.to_str().is_some_and(|db| db.contains("://")) {
            return Err(Error::new(
                Code::Unsupported,
                format!("{shown} is a URL, and this build has no client; give a folder with --db"),
            ));
        }
        options.open(&self.db).map_err(|error| match error.code() {
            Code::NotFound => Error::new(
                Code::NotFound,
                format!(
                    "there is no database in {shown}; blockdb create NAME or blockdb import makes \
                     one, --db or BLOCKDB_DB names another folder"
                ),
            ),
            _ => error,
        })
    }
}

/// Opening never repairs silently.
fn tell_recovery(db: &Db, format: Format) {
    let report = db.recovery();
    if report.created || report.clean {
        return;
    }
    note(
        format,
        &format!(
            "the database was not closed the last time; {} log entries were applied again, {} \
             bytes of an unacknowledged write were cut",
            report.entries_replayed, report.log_bytes_cut
        ),
    );
}
