//! Verification of a whole database: every body, leaf, block, tile and table entry is read and
//! compared, the rendered files too. It writes nothing, goes on after a fault where it can, and says
//! what it did not check. Tables are compared in `table_check.rs`, indexes in `index_check.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::collection::render::{hex, metadata_toml};
use crate::collection::{Descriptor, Status};
use crate::database::table_check::{self, Fingerprint};
use crate::database::{Database, index_check};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::{self, FaultKind, Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::state::View;
use crate::shard::statistics;

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

impl Fault {
    /// Something about a file of a collection as a whole, or about the leaf `seq` as it tells of it.
    pub(super) fn of_file(view: &View, file: PathBuf, seq: Option<u64>, what: String) -> Self {
        let collection = Some(view.descriptor.name.clone());
        Fault { file, offset: None, collection, block: None, seq, what }
    }
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
            entries = table_check::check_tables(view, expected, tables.tables(), &mut faults)?;
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
    pub(super) fn writes_live(&self) -> bool {
        !self.shard.env.read_only
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
