//! A database handle: cheap to clone, usable from any thread.

use std::path::Path;
use std::sync::Arc;

use crate::api::collection::Collection;
use crate::api::info::CollectionInfo;
use crate::collection::CollectionOptions;
use crate::collection::descriptor::Tombstone;
use crate::collection::name::validate_name;
use crate::database::stats::DatabaseStats;
use crate::database::verify::{VerifyOptions, VerifyReport};
use crate::database::{Database, Options, RecoveryReport};
use crate::error::Result;

/// An open database.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use blockdb::{Db, doc};
/// let db = Db::open(dir.path().join("data"))?;
/// let events = db.create_collection("events", Default::default())?;
/// events.insert(("e-1", doc! { "user": "u1", "amount_cents": 1200 }))?;
/// assert_eq!(events.count()?, 1);
/// db.close()?;
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Db {
    pub(crate) database: Arc<Database>,
}

impl Options {
    /// Opens the database in the folder `path`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Db> {
        Ok(Db { database: self.open_database(path.as_ref())? })
    }
}

impl Db {
    /// Opens the database in the folder `path` with the default [`Options`]; makes it if missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Options::new().open(path)
    }

    /// Creates a collection. Errors: `collection_exists` (unless `if_not_exists` and the settings
    /// are equal), `invalid_argument`.
    pub fn create_collection(&self, name: &str, options: CollectionOptions) -> Result<Collection> {
        self.database.create_collection(name, &options)?;
        Ok(self.collection(name))
    }

    /// A handle on a collection, without I/O; its first use may raise `collection_not_found`. The
    /// collection `default` is made on first write.
    pub fn collection(&self, name: &str) -> Collection {
        Collection::new(self.database.clone(), name)
    }

    /// The live collections whose names begin with `prefix`, by name.
    pub fn collections(&self, prefix: &str) -> Result<Vec<CollectionInfo>> {
        self.database.check_open()?;
        let state = self.database.shard.snapshot();
        let names = state.names.range(prefix.to_owned()..);
        let matching = names.take_while(|(name, _)| name.starts_with(prefix));
        Ok(matching
            .filter_map(|(_, id)| state.collections.get(id))
            .filter(|view| view.core.id != state.system)
            .map(CollectionInfo::of)
            .collect())
    }

    /// Drops a collection: hides it, frees its name, records its final size and root in `_system`.
    /// With `purge` its bodies and tables go at once; its leaves and tiles stay.
    pub fn drop_collection(&self, name: &str, purge: bool) -> Result<Tombstone> {
        validate_name(name)?;
        self.database.drop_collection(name, purge)
    }

    /// Re-hashes everything and compares it with what is stored; writes nothing. `progress` is
    /// called with the number of leaves done and their sum.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport> {
        self.database.check_open()?;
        self.database.verify(options, progress)
    }

    /// Figures of the database.
    pub fn stats(&self) -> Result<DatabaseStats> {
        self.database.stats()
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.database.recovery
    }

    /// Waits until everything accepted is durable, sealed and in the tiles, and no background work
    /// is left.
    pub fn settle(&self) -> Result<()> {
        self.database.check_writable()?;
        self.database.shard.settle()
    }

    /// Seals what is pending, makes everything durable and releases the lock. Other handles of the
    /// same database answer `closed` from then on. A second call does nothing.
    pub fn close(&self) -> Result<()> {
        self.database.close()
    }

    /// Does all background work that is due, on this thread; for hosts without own threads.
    #[doc(hidden)]
    pub fn run_background(&self) -> Result<()> {
        self.database.shard.run_background()
    }

    /// Makes a restart point now.
    #[doc(hidden)]
    pub fn make_restart_point(&self) -> Result<()> {
        self.database.shard.make_restart_point()
    }

    /// Seals a collection and puts a fresh memtable in front.
    #[doc(hidden)]
    pub fn rotate(&self, name: &str) -> Result<()> {
        let view = self.database.shard.snapshot().by_name(name)?.clone();
        self.database.shard.rotate(view.core.id)
    }

    /// The engine below, for suites that look at leaves and files.
    #[doc(hidden)]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }
}
