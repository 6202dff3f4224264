//! The check of a collection's manifest and tables against its ledger. Neither is held in memory:
//! both sides add up a hash of (key, revision, sequence number) per record, in any order. Only if the
//! sums differ are the entries looked up one by one to name the wrong ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::Xxh3;

use crate::collection::Status;
use crate::database::verify::{Fault, VerifyReport, of_error};
use crate::database::{Database, index_check};
use crate::error::Result;
use crate::shard::state::View;
use crate::table::manifest::MANIFEST_NAME;
use crate::table::{Manifest, Table};

/// Table faults reported entry by entry; beyond that only their number.
pub(super) const ENTRY_FAULTS_MAX: usize = 20;

/// An order-independent sum over (key, revision, sequence number).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    sum: u128,
    pub count: u64,
}

impl Fingerprint {
    pub fn add(&mut self, key: &[u8], rank: u64, seq: u64) {
        let mut hash = Xxh3::new();
        hash.update(&rank.to_le_bytes());
        hash.update(&seq.to_le_bytes());
        hash.update(key);
        self.sum = self.sum.wrapping_add(hash.digest128());
        self.count += 1;
    }
}

impl Database {
    /// The manifest on disk is the one this database runs on, and no table lies beside it unnamed.
    pub(super) fn verify_manifest(
        &self,
        view: &View,
        faults: &mut Vec<Fault>,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let core = &view.core;
        let path = core.dir.join(MANIFEST_NAME);
        let fault = |what: &str| Fault::of_file(view, path.clone(), None, what.to_owned());
        let work = core.table_work.lock();
        let purged = view.descriptor.status == Status::Purged;
        match Manifest::load(&self.shard.env.pool, &core.dir, core.id.0) {
            Err(error) => faults.push(of_error(&view.descriptor.name, &path, error)?),
            Ok(None) if purged && !self.recovery.clean => report.not_checked.push(format!(
                "{}: being purged; the next open goes on with it",
                core.dir.display()
            )),
            Ok(None) if work.manifest.watermark_seq > 0 || purged => {
                faults.push(fault("the manifest is missing"));
            }
            Ok(Some(stored))
                if (&stored.tables, &stored.indexes)
                    != (&work.manifest.tables, &work.manifest.indexes) =>
            {
                faults.push(fault("the manifest names other tables than those in use"));
            }
            Ok(_) => {}
        }
        if self.writes_live() || self.shard.beside_writer.load(Ordering::Relaxed) {
            return Ok(());
        }
        let vfs = &self.shard.env.host.vfs;
        let own = vfs.list(&core.dir).unwrap_or_default();
        let is_unnamed = |name: &str| {
            let number = core.files.number(name);
            number
                .is_some_and(|number| work.manifest.tables.iter().all(|meta| meta.number != number))
        };
        let own = own.iter().filter(|entry| is_unnamed(&entry.name));
        let mut unnamed: Vec<PathBuf> = own.map(|entry| core.dir.join(&entry.name)).collect();
        let of_indexes = vfs.list(&core.dir.join("indexes")).unwrap_or_default();
        let names = of_indexes.into_iter().map(|entry| entry.name);
        unnamed.extend(index_check::unnamed_files(view, &work.manifest, names));
        if self.recovery.clean
            && !unnamed.is_empty()
            && vfs.list(&core.dir).is_ok_and(|own| own.iter().all(|e| e.name != MANIFEST_NAME))
        {
            faults.push(fault("the manifest is missing"));
        }
        // A crash may come between writing a table and naming it, and a power loss may undo the
        // removal of one that no longer was, even after closing.
        report.not_checked.extend(unnamed.iter().map(|path| {
            format!("{}: no manifest names it; the next open removes it", path.display())
        }));
        Ok(())
    }
}

/// The tables hold what the ledger says, `expected` in sum; returns the number of their entries.
pub(super) fn check_tables<'a>(
    view: &View,
    expected: Fingerprint,
    tables: impl Iterator<Item = &'a Arc<Table>>,
    faults: &mut Vec<Fault>,
) -> Result<u64> {
    let name = &view.descriptor.name;
    let mut sum = Fingerprint::default();
    let mut readable = true;
    let tables: Vec<_> = tables.collect();
    for table in &tables {
        let checked = table.verify(&mut |entry| {
            sum.add(entry.key, entry.rank, entry.seq);
            Ok(())
        });
        if let Err(error) = checked {
            readable = false;
            faults.push(of_error(name, &table.path(), error)?);
        }
    }
    if readable && sum != expected {
        name_faults(view, &tables, sum, expected, faults)?;
    }
    Ok(sum.count)
}

/// The tables are whole and say something else than the ledger: looks up entry by entry.
fn name_faults(
    view: &View,
    tables: &[&Arc<Table>],
    sum: Fingerprint,
    expected: Fingerprint,
    faults: &mut Vec<Fault>,
) -> Result<()> {
    let before = faults.len();
    for table in tables {
        table.verify(&mut |entry| {
            if faults.len() - before >= ENTRY_FAULTS_MAX {
                return Ok(());
            }
            let leaf = view.core.ledger.read_leaf(entry.seq)?;
            let right = leaf.is_some_and(|leaf| {
                leaf.key.as_deref() == Some(entry.key) && leaf.revision == Some(entry.rank)
            });
            if !right {
                let key = String::from_utf8_lossy(entry.key);
                let what = format!("the entry of key {key:?} is not what the ledger holds there");
                faults.push(Fault::of_file(view, table.path(), Some(entry.seq), what));
            }
            Ok(())
        })?;
    }
    if faults.len() == before {
        let what = format!(
            "the tables hold {} entries, the ledger {} records below their watermark",
            sum.count, expected.count
        );
        faults.push(Fault::of_file(view, view.core.dir.join(MANIFEST_NAME), None, what));
    }
    Ok(())
}
