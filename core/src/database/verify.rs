//! Verification of a whole database: every body, leaf, block, tile and table entry is read and
//! compared, the rendered files too. It writes nothing, goes on after a fault where it can, and says
//! what it did not check.
//!
//! Tables are compared with the ledger without holding either in memory: both sides add up a hash of
//! (key, revision, sequence number) per record, in any order. Only if the sums differ are the entries
//! looked up one by one to name the wrong ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::collection::render::{hex, metadata_toml};
use crate::collection::{Descriptor, Status};
use crate::database::{Database, index_check};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::{self, FaultKind, Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::state::View;
use crate::shard::statistics;
use crate::table::manifest::MANIFEST_NAME;
use crate::table::{Manifest, Table};

/// Table faults reported entry by entry; beyond that only their number.
pub(super) const ENTRY_FAULTS_MAX: usize = 20;

/// What to verify and how.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// One collection by name; otherwise all, dropped ones too.
    pub collection: Option<String>,
    /// Worker threads; 0 takes one per processor.
    pub threads: usize,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The byte in it, or the start of the smallest checked piece around it.
    pub offset: Option<u64>,
    /// The collection concerned.
    pub collection: Option<String>,
    /// The block concerned.
    pub block: Option<u64>,
    /// The leaf concerned, or the first of them.
    pub seq: Option<u64>,
    /// A sentence for people.
    pub what: String,
}

/// What was found to be there in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedCollection {
    /// Its name; a dropped one's last name.
    pub name: String,
    /// `live`, `dropped` or `purged`.
    pub status: &'static str,
    /// Blocks read.
    pub blocks: u64,
    /// Leaves read, headers included.
    pub leaves: u64,
    /// Records read.
    pub records: u64,
    /// Bytes of their documents.
    pub bytes: u64,
    /// Entries of its tables.
    pub table_entries: u64,
    /// Entries of its indexes' tables.
    pub index_entries: u64,
    /// Merkle root over all leaves, hexadecimal.
    pub root: String,
    /// Hash of the newest block header, hexadecimal; absent before the first block.
    pub head: Option<String>,
}

/// The outcome of a verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VerifyReport {
    /// What was read, by collection.
    pub collections: Vec<VerifiedCollection>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What was not checked, in sentences.
    pub not_checked: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

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
    /// Verifies the database, or one collection of it.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport> {
        let clock = &self.shard.env.host.clock;
        let begun_us = clock.monotonic_us();
        let views = self.views_to_verify(options.collection.as_deref())?;
        let total: u64 = views.iter().map(|view| view.core.ledger.position().end_seq).sum();
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let mut report = VerifyReport::default();
        let mut done = 0;
        for view in &views {
            let verified = self.verify_collection(view, threads, &mut report, &|leaves| {
                progress(done + leaves, total);
            })?;
            done += view.core.ledger.position().end_seq;
            report.collections.push(verified);
        }
        if options.collection.is_none() {
            self.verify_folder(&mut report)?;
        }
        report.not_checked.push("checkpoints and signatures: this version makes none".to_owned());
        report.seconds = (clock.monotonic_us() - begun_us) as f64 / 1e6;
        Ok(report)
    }

    fn views_to_verify(&self, name: Option<&str>) -> Result<Vec<View>> {
        let state = self.shard.snapshot();
        if let Some(name) = name {
            return Ok(vec![state.by_name(name)?.clone()]);
        }
        let mut views: Vec<View> = state.collections.values().cloned().collect();
        views.sort_by(|a, b| (&a.descriptor.name, a.core.id).cmp(&(&b.descriptor.name, b.core.id)));
        Ok(views)
    }

    fn verify_collection(
        &self,
        view: &View,
        threads: usize,
        report: &mut VerifyReport,
        progress: &dyn Fn(u64),
    ) -> Result<VerifiedCollection> {
        let core = &view.core;
        let name = &view.descriptor.name;
        // The manifest first: what it covers is in the ledger read after it.
        let (watermark_seq, tables, mut index_checks) = {
            let work = core.table_work.lock();
            let checks = index_check::checks(view, &work.manifest);
            (work.manifest.watermark_seq, core.tables.load_full(), checks)
        };
        let position = core.ledger.position();
        let beside_writer = self.shard.beside_writer.load(Ordering::Relaxed);
        let mut expected = Fingerprint::default();
        let mut faults = Vec::new();
        let mut each = |leaf: &StoredLeaf| {
            if let (LeafKind::Record, Some(key), true) =
                (leaf.kind, &leaf.key, leaf.seq < watermark_seq)
            {
                expected.add(key, leaf.revision.unwrap_or(1), leaf.seq);
            }
            index_check::add_leaf(&mut index_checks, leaf);
        };
        let mut live_tail = false;
        let mut found = |fault: ledger::Fault| {
            // After a crash the log brings again what lies beyond the restart point.
            let ours = self.writes_live() || beside_writer || !self.recovery.clean;
            match fault.kind {
                FaultKind::Trailing if ours => live_tail = true,
                _ => faults.push(of_ledger(name, fault)),
            }
        };
        let summary = ledger::verify(&core.ledger, threads, &mut each, &mut found, progress)?;
        self.verify_manifest(view, &mut faults, report)?;
        let (mut entries, mut index_entries) = (0, 0);
        if view.descriptor.status != Status::Purged {
            entries = self.verify_tables(view, expected, tables.tables(), &mut faults)?;
            for check in index_checks {
                index_entries += check.finish(view, &mut faults)?;
            }
        }
        let pending = view.end_seq.saturating_sub(position.end_seq);
        if pending > 0 {
            report
                .not_checked
                .push(format!("{name}: {pending} leaves at the end are not in the ledger yet"));
        }
        if live_tail {
            report.not_checked.push(format!("{name}: bytes beyond the last restart point"));
        }
        report.faults.extend(faults);
        Ok(VerifiedCollection {
            name: name.clone(),
            status: view.descriptor.status.as_str(),
            blocks: summary.blocks,
            leaves: summary.leaves,
            records: summary.records,
            bytes: summary.body_bytes,
            table_entries: entries,
            index_entries,
            root: hex(&summary.root),
            head: (position.blocks > 0).then(|| hex(&position.head)),
        })
    }

    /// Whether this process writes the database while it is verified.
    fn writes_live(&self) -> bool {
        !self.shard.env.read_only
    }

    /// The manifest on disk is the one this database runs on, and no table lies beside it unnamed.
    fn verify_manifest(
        &self,
        view: &View,
        faults: &mut Vec<Fault>,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let core = &view.core;
        let path = core.dir.join("MANIFEST");
        let fault = |file: PathBuf, what: &str| Fault {
            file,
            offset: None,
            collection: Some(view.descriptor.name.clone()),
            block: None,
            seq: None,
            what: what.to_owned(),
        };
        let work = core.table_work.lock();
        let purged = view.descriptor.status == Status::Purged;
        match Manifest::load(&self.shard.env.pool, &core.dir, core.id.0) {
            Err(error) => faults.push(of_error(&view.descriptor.name, &path, error)?),
            Ok(None) if purged && !self.recovery.clean => report.not_checked.push(format!(
                "{}: being purged; the next open goes on with it",
                core.dir.display()
            )),
            Ok(None) if work.manifest.watermark_seq > 0 || purged => {
                faults.push(fault(path, "the manifest is missing"));
            }
            Ok(Some(stored))
                if (&stored.tables, &stored.indexes)
                    != (&work.manifest.tables, &work.manifest.indexes) =>
            {
                faults.push(fault(path, "the manifest names other tables than those in use"));
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
            faults.push(fault(core.dir.join(MANIFEST_NAME), "the manifest is missing"));
        }
        // A crash may come between writing a table and naming it, and a power loss may undo the
        // removal of one that no longer was, even after closing.
        report.not_checked.extend(unnamed.iter().map(|path| {
            format!("{}: no manifest names it; the next open removes it", path.display())
        }));
        Ok(())
    }

    fn verify_tables<'a>(
        &self,
        view: &View,
        expected: Fingerprint,
        tables: impl Iterator<Item = &'a std::sync::Arc<Table>>,
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
            self.name_table_faults(view, &tables, sum, expected, faults)?;
        }
        Ok(sum.count)
    }

    /// The tables are whole and say something else than the ledger: looks up entry by entry.
    fn name_table_faults(
        &self,
        view: &View,
        tables: &[&std::sync::Arc<Table>],
        sum: Fingerprint,
        expected: Fingerprint,
        faults: &mut Vec<Fault>,
    ) -> Result<()> {
        let name = &view.descriptor.name;
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
                    faults.push(Fault {
                        file: table.path(),
                        offset: None,
                        collection: Some(name.clone()),
                        block: None,
                        seq: Some(entry.seq),
                        what: format!(
                            "the entry of key {key:?} is not what the ledger holds there"
                        ),
                    });
                }
                Ok(())
            })?;
        }
        if faults.len() == before {
            faults.push(Fault {
                file: view.core.dir.join("MANIFEST"),
                offset: None,
                collection: Some(name.clone()),
                block: None,
                seq: None,
                what: format!(
                    "the tables hold {} entries, the ledger {} records below their watermark",
                    sum.count, expected.count
                ),
            });
        }
        Ok(())
    }

    /// Files outside the collections' ledgers and tables: rendered texts, and what has no place.
    fn verify_folder(&self, report: &mut VerifyReport) -> Result<()> {
        let state = self.shard.snapshot();
        let env = &self.shard.env;
        if self.shard.beside_writer.load(Ordering::Relaxed) {
            report.not_checked.push("the log and rendered files: a writer is running".to_owned());
            return Ok(());
        }
        let path = statistics::path(&env.dir, self.shard.number);
        if let Some(bytes) = self.shard.read_file(&path)?
            && let Err(error) =
                statistics::decode(&bytes, env.database_id, self.shard.number, &path)
        {
            report.faults.push(Fault { collection: None, ..of_error("", &path, error)? });
        }
        for view in state.collections.values().filter(|view| view.core.id != state.system) {
            let path = view.core.dir.join("metadata.toml");
            let text = metadata_toml(&view.descriptor);
            self.verify_rendered(&path, &text, Some(view), report)?;
        }
        let (path, text) = self.shard.rendered_registry(&state);
        self.verify_rendered(&path, &text, None, report)?;
        for dir in [env.dir.clone(), env.dir.join("collections"), env.dir.join("global_metadata")] {
            self.note_unknown(&dir, &state, report)?;
        }
        Ok(())
    }

    fn verify_rendered(
        &self,
        path: &Path,
        expected: &str,
        view: Option<&View>,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let found = self.shard.read_file(path)?;
        if found.as_deref() == Some(expected.as_bytes()) {
            return Ok(());
        }
        // A crash may leave an older text, which the next open replaces. After closing there is
        // always a text, and it is old only if a rename was lost that a killed process had made.
        let crashed = self.writes_live() || !self.recovery.clean;
        let stale = crashed || (found.is_some() && view.is_some());
        if stale && self.is_older_text(found.as_deref(), view)? {
            report.not_checked.push(format!("{} is older than its record", path.display()));
            return Ok(());
        }
        let offset = found.as_deref().map(|found| {
            let same = found.iter().zip(expected.as_bytes()).take_while(|(a, b)| a == b);
            same.count() as u64
        });
        report.faults.push(Fault {
            file: path.to_owned(),
            offset,
            collection: view.map(|view| view.descriptor.name.clone()),
            block: None,
            seq: None,
            what: match offset {
                Some(_) => "the rendered file differs from the system collection".to_owned(),
                None => "the rendered file is missing".to_owned(),
            },
        });
        Ok(())
    }

    /// Whether a text is missing, or a rendering of an earlier revision of the descriptor. The
    /// registry combines many revisions and is taken as old without a look.
    fn is_older_text(&self, found: Option<&[u8]>, view: Option<&View>) -> Result<bool> {
        let (Some(found), Some(view)) = (found, view) else { return Ok(true) };
        let state = self.shard.snapshot();
        let system = &state.collections[&state.system];
        for leaf in system.history(view.descriptor.key().as_bytes())? {
            if let Slot::Live { body, .. } = leaf.slot {
                let descriptor = Descriptor::from_document(&Document::from_canonical(body)?)?;
                if metadata_toml(&descriptor).as_bytes() == found {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn note_unknown(
        &self,
        dir: &Path,
        state: &crate::shard::state::ShardState,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let known = [
            "LOCK",
            "log",
            "shard",
            "collections",
            "global_metadata",
            "collections.toml",
            "cluster_config.toml",
            "keys",
        ];
        let entries = self.shard.env.host.vfs.list(dir);
        let entries = entries.map_err(|error| Error::storage("list", dir, error))?;
        for entry in entries {
            let is_collection = state.collections.keys().any(|id| id.folder() == entry.name);
            if !is_collection && !known.contains(&entry.name.as_str()) {
                let path = dir.join(&entry.name);
                report.not_checked.push(format!("{}: not a file of BlockDB", path.display()));
            }
        }
        Ok(())
    }
}

fn of_ledger(collection: &str, fault: ledger::Fault) -> Fault {
    Fault {
        file: fault.path,
        offset: Some(fault.offset),
        collection: Some(collection.to_owned()),
        block: fault.block,
        seq: fault.seq,
        what: fault.what,
    }
}

/// A `corrupt` error as a fault; any other failure of the disk ends the verification.
pub(super) fn of_error(collection: &str, path: &Path, error: Error) -> Result<Fault> {
    let missing = error.code() == Code::StorageFailed;
    if error.code() != Code::Corrupt && !missing {
        return Err(error);
    }
    let (file, offset) = error.place().map_or((path, None), |(file, offset)| (file, offset));
    Ok(Fault {
        file: file.to_owned(),
        offset,
        collection: Some(collection.to_owned()),
        block: None,
        seq: None,
        what: error.detail().to_owned(),
    })
}
