//! Repair: an opening that makes anew all that is derived from the ledgers, and then closes. What a
//! user holds is in the ledgers and the log; tables, indexes, tiles, statistics and rendered files
//! can be lost without loss.

use std::path::Path;

use serde::Serialize;

use crate::collection::SYSTEM_NAME;
use crate::database::{Database, Options};
use crate::error::Result;
use crate::shard::rebuild::{RepairScope, RepairedCollection};
use crate::shard::state::collection_not_found;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// What was made anew, by collection.
    pub collections: Vec<RepairedCollection>,
}

impl Options {
    /// Makes tables, indexes, tiles, statistics and rendered files anew from the ledgers: of all
    /// collections or of the one named. The database must not be open elsewhere. Errors: `not_found`,
    /// `collection_not_found`, and `corrupt` if a ledger itself is damaged, which nothing mends.
    pub fn repair(&self, dir: impl AsRef<Path>, collection: Option<&str>) -> Result<RepairReport> {
        let scope = match collection {
            None => RepairScope::All,
            Some(name) => RepairScope::Named(name.to_owned()),
        };
        let mut options = self.clone();
        options.create = false;
        options.read_only = false;
        options.repair = Some(scope);
        let database = Database::open(dir.as_ref(), &options)?;
        let mut collections = database.shard.take_repaired();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(name) = collection {
            let found = collections.iter().any(|repaired| repaired.name == name);
            if !found && name != SYSTEM_NAME {
                return Err(collection_not_found(name));
            }
        }
        database.close()?;
        Ok(RepairReport { collections })
    }
}
