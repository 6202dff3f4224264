//! The check of secondary indexes against the ledger: each holds exactly the entries that building
//! it anew would give. As with tables, both sides add up hashes of their entries in any order, and
//! only if the sums differ are entries looked up one by one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::database::table_check::{ENTRY_FAULTS_MAX, Fingerprint};
use crate::database::verify::{Fault, of_error};
use crate::document::Document;
use crate::error::Result;
use crate::ledger::{Slot, StoredLeaf};
use crate::proof::LeafKind;
use crate::shard::index::{Index, record_keys};
use crate::shard::state::View;
use crate::table::manifest::MANIFEST_NAME;
use crate::table::{Manifest, TableSet};

/// One index and what its tables must hold.
pub(super) struct IndexCheck {
    index: Arc<Index>,
    tables: Arc<TableSet>,
    built_seq: u64,
    watermark_seq: u64,
    expected: Fingerprint,
    unreadable: bool,
}

/// The checks of a collection's indexes; to be made while its manifest cannot change.
pub(super) fn checks(view: &View, manifest: &Manifest) -> Vec<IndexCheck> {
    let indexes = view.core.indexes.load();
    let one = |index: &Arc<Index>| IndexCheck {
        index: index.clone(),
        tables: index.tables.load_full(),
        built_seq: manifest.index(index.id).built_seq,
        watermark_seq: manifest.watermark_seq,
        expected: Fingerprint::default(),
        unreadable: false,
    };
    indexes.iter().map(one).collect()
}

/// Adds a leaf of the ledger to what each index must hold.
pub(super) fn add_leaf(checks: &mut [IndexCheck], leaf: &StoredLeaf) {
    if checks.is_empty() || leaf.kind != LeafKind::Record {
        return;
    }
    let Slot::Live { body, .. } = &leaf.slot else {
        // A lost body is a fault already, and what it would give the indexes is unknown.
        let lost = matches!(leaf.slot, Slot::Skipped);
        checks.iter_mut().for_each(|check| check.unreadable |= lost);
        return;
    };
    let document = Document::from_trusted(body.clone());
    for check in checks.iter_mut().filter(|check| check.covers(leaf.seq)) {
        match record_keys(std::slice::from_ref(&check.index), &document) {
            Ok(keys) => {
                for key in keys.iter().flat_map(|(_, keys)| &keys.keys) {
                    check.expected.add(key, leaf.seq, leaf.seq);
                }
            }
            // Such a record was refused when written, or ends the building of the index.
            Err(_) => check.unreadable = true,
        }
    }
}

impl IndexCheck {
    /// Whether the tables hold the entries of the record at `seq`.
    fn covers(&self, seq: u64) -> bool {
        match seq < self.index.since_seq {
            true => seq < self.built_seq,
            false => seq < self.watermark_seq,
        }
    }

    /// Reads every table and compares; returns the number of entries.
    pub(super) fn finish(self, view: &View, faults: &mut Vec<Fault>) -> Result<u64> {
        let name = &view.descriptor.name;
        let mut sum = Fingerprint::default();
        let mut readable = !self.unreadable;
        for table in self.tables.tables() {
            let checked = table.verify(&mut |entry| {
                if !Index::is_mark(entry.key) {
                    sum.add(entry.key, entry.rank, entry.seq);
                }
                Ok(())
            });
            if let Err(error) = checked {
                readable = false;
                faults.push(of_error(name, &table.path(), error)?);
            }
        }
        if readable && sum != self.expected {
            self.name_faults(view, sum, faults)?;
        }
        Ok(sum.count)
    }

    fn name_faults(&self, view: &View, sum: Fingerprint, faults: &mut Vec<Fault>) -> Result<()> {
        let before = faults.len();
        let indexes = std::slice::from_ref(&self.index);
        for table in self.tables.tables() {
            table.verify(&mut |entry| {
                if faults.len() - before >= ENTRY_FAULTS_MAX || Index::is_mark(entry.key) {
                    return Ok(());
                }
                let right = match view.core.ledger.read(entry.seq)?.map(|leaf| leaf.slot) {
                    Some(Slot::Live { body, .. }) => {
                        record_keys(indexes, &Document::from_trusted(body))?
                            .iter()
                            .any(|(_, keys)| keys.keys.iter().any(|key| key == entry.key))
                    }
                    _ => false,
                };
                if !right || entry.rank != entry.seq {
                    let what = "an entry of the index is not what the record there says";
                    let what = what.to_owned();
                    faults.push(Fault::of_file(view, table.path(), Some(entry.seq), what));
                }
                Ok(())
            })?;
        }
        if faults.len() == before {
            let what = format!(
                "index {:?} holds {} entries, the records below its watermark give {}",
                self.index.name, sum.count, self.expected.count
            );
            faults.push(Fault::of_file(view, view.core.dir.join(MANIFEST_NAME), None, what));
        }
        Ok(())
    }
}

/// Files in the folder of indexes that no manifest names.
pub(super) fn unnamed_files(
    view: &View,
    manifest: &Manifest,
    names: impl Iterator<Item = String>,
) -> Vec<PathBuf> {
    let dir = view.core.dir.join("indexes");
    let mut named = BTreeSet::new();
    for index in view.core.indexes.load().iter() {
        let tables = manifest.index(index.id).tables;
        named.extend(tables.iter().map(|meta| index.files.path(meta.number)));
    }
    names.map(|name| dir.join(name)).filter(|path| !named.contains(path)).collect()
}
