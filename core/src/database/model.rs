//! Administrative acts on a collection's model: its schema and its indexes. A schema is accepted if
//! the documents there stay valid; an index is asked for by one logged act and declared ready, or
//! failed, by another, with the building of what is there in between.

use std::time::Duration;

use crate::collection::descriptor::SchemaVersion;
use crate::collection::index::{IndexDescriptor, IndexState};
use crate::collection::name::validate_name;
use crate::collection::query::IndexFields;
use crate::collection::schema::Schema;
use crate::collection::{CollectionId, Descriptor};
use crate::database::Database;
use crate::database::admin::refuse_system;
use crate::document::{Document, Object};
use crate::error::{Code, Error, Result, Violation};
use crate::host::Background;
use crate::ledger::Slot;
use crate::limits::INDEXES_MAX;
use crate::proof::LeafKind;
use crate::shard::state::View;

/// Violations of documents that a refused schema names.
const VIOLATIONS_MAX: usize = 10;

/// What an index is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexOptions {
    /// No two records may have the same values (default no).
    pub unique: bool,
    /// Leave out records that have none of the fields (default no).
    pub sparse: bool,
    /// Return at once and build in the background (default: wait until it is ready).
    pub background: bool,
    /// Accept an existing index of that name over the same fields.
    pub if_not_exists: bool,
}

/// How far an index has come.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexProgress {
    /// What was asked for, and its state.
    pub descriptor: IndexDescriptor,
    /// Share of old records that are in, 0 to 1.
    pub built: f64,
    /// Its entries.
    pub entries: u64,
    /// Bytes of its table files.
    pub bytes: u64,
    /// Queries that used it since the database was opened.
    pub uses: u64,
}

impl Database {
    /// Makes `source` the schema of a collection; returns its version. It is accepted if everything
    /// the old schema accepts is accepted by the new one, or if every document there is; otherwise
    /// `schema_violation` lists the incompatible changes and the first documents that break it.
    pub fn set_schema(&self, name: &str, source: &Object) -> Result<u32> {
        self.check_writable()?;
        refuse_system(name, "given a schema")?;
        let schema = Schema::compile(source)?;
        let _admin = self.shard.admin.lock();
        let view = self.shard.snapshot().by_name(name)?.clone();
        let old = view.descriptor.schema.as_ref();
        if let Some(old) = old.filter(|old| old.source == *source) {
            return Ok(old.version);
        }
        let version = old.map_or(1, |old| old.version + 1);
        let changes = {
            let running = view.core.schema.load();
            Schema::incompatibilities(running.as_ref().map(|old| &old.schema), &schema)
        };
        let fits = changes.is_empty();
        if !fits {
            // What is there first, while writers go on; what came meanwhile, with writers waiting.
            check_documents(&view, &schema, 0, &changes)?;
        }
        let seen_seq = view.end_seq;
        let _gate = view.core.gate.write();
        self.shard.refuse_prepared(view.core.id, name)?;
        let view = self.shard.snapshot().by_name(name)?.clone();
        if !fits {
            check_documents(&view, &schema, seen_seq, &changes)?;
        }
        let set_us = self.shard.env.host.clock.wall_us();
        let schema = SchemaVersion { version, set_us, source: source.clone() };
        let body = Document::from_value(&schema.to_object())?;
        let mut descriptor = Descriptor::clone(&view.descriptor);
        descriptor.schema = Some(schema);
        self.shard.record_act(&descriptor, Some((LeafKind::Settings, &body)))?;
        Ok(version)
    }

    /// Asks for an index on `fields` (dotted paths, `-` in front for descending); waits until it is
    /// ready unless told otherwise. A unique index over values that are not unique fails with
    /// `duplicate_key`, naming offending keys.
    pub fn create_index(
        &self,
        name: &str,
        index_name: &str,
        fields: &[&str],
        options: &IndexOptions,
    ) -> Result<IndexProgress> {
        self.check_writable()?;
        refuse_system(name, "indexed")?;
        let named = |error: Error| Error::invalid(error.detail().replace("collection", "index"));
        validate_name(index_name).map_err(named)?;
        IndexFields::parse(fields)?;
        let id = self.begin_index(name, index_name, fields, options)?;
        match options.background {
            true => self.index_progress(name, index_name),
            false => self.wait_for_index(id, index_name),
        }
    }

    /// Logs that an index is being built, unless there is one.
    fn begin_index(
        &self,
        name: &str,
        index_name: &str,
        fields: &[&str],
        options: &IndexOptions,
    ) -> Result<CollectionId> {
        let _admin = self.shard.admin.lock();
        let view = self.shard.snapshot().by_name(name)?.clone();
        let wanted: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        if let Some(there) = view.descriptor.index(index_name) {
            let same = there.fields == wanted
                && (there.unique, there.sparse) == (options.unique, options.sparse)
                && there.is_live();
            return match options.if_not_exists && same {
                true => Ok(view.core.id),
                false => Err(Error::invalid(format!(
                    "collection {name:?} has an index {index_name:?} on {} ({}); drop it first",
                    there.fields.join(","),
                    there.state.as_str()
                ))),
            };
        }
        if view.descriptor.indexes.len() >= INDEXES_MAX {
            let found = view.descriptor.indexes.len() as u64 + 1;
            return Err(Error::too_large("indexes of a collection", found, INDEXES_MAX as u64));
        }
        // With the gate closed no record is on its way: those from here on are indexed as they come.
        let _gate = view.core.gate.write();
        self.shard.refuse_prepared(view.core.id, name)?;
        let view = self.shard.snapshot().by_name(name)?.clone();
        let mut descriptor = Descriptor::clone(&view.descriptor);
        descriptor.next_index_id += 1;
        let index = IndexDescriptor {
            id: descriptor.next_index_id,
            name: index_name.to_owned(),
            fields: wanted,
            unique: options.unique,
            sparse: options.sparse,
            created_us: self.shard.env.host.clock.wall_us(),
            since_seq: view.end_seq,
            state: IndexState::Building,
        };
        let body = Document::from_value(&index.to_object())?;
        descriptor.indexes.push(index);
        self.shard.record_act(&descriptor, Some((LeafKind::Settings, &body)))?;
        Ok(view.core.id)
    }

    fn wait_for_index(&self, id: CollectionId, index_name: &str) -> Result<IndexProgress> {
        loop {
            self.check_open()?;
            self.shard.env.check_healthy()?;
            let seen = self.shard.env.progress.seen();
            let state = self.shard.snapshot();
            let gone = || Error::new(Code::NotFound, format!("index {index_name:?} was dropped"));
            let view = state.live(id).ok_or_else(gone)?;
            let index = view.descriptor.index(index_name).ok_or_else(gone)?;
            match &index.state {
                IndexState::Ready => return Ok(progress_of(view, index)),
                IndexState::Failed(errors) => return Err(failed(index, errors)),
                IndexState::Building => {}
            }
            match self.shard.env.host.background {
                Background::Threads => {
                    self.shard.env.work.notify();
                    self.shard.env.progress.wait(seen, Some(Duration::from_millis(100)));
                }
                Background::Manual => {
                    // Nobody would end it meanwhile.
                    self.shard.refuse_prepared(id, &view.descriptor.name)?;
                    self.shard.run_background()?;
                }
            }
        }
    }

    /// Drops an index; its files go when the last query that reads them ends.
    pub fn drop_index(&self, name: &str, index_name: &str) -> Result<()> {
        self.check_writable()?;
        let (id, number) = {
            let _admin = self.shard.admin.lock();
            let view = self.shard.snapshot().by_name(name)?.clone();
            let index = view.descriptor.index(index_name);
            let number = index.ok_or_else(|| no_index(name, index_name))?.id;
            let _gate = view.core.gate.write();
            self.shard.refuse_prepared(view.core.id, name)?;
            let mut descriptor = Descriptor::clone(&view.descriptor);
            descriptor.indexes.retain(|index| index.id != number);
            self.shard.record_act(&descriptor, None)?;
            (view.core.id, number)
        };
        self.shard.forget_index(id, number)
    }

    /// All indexes of a collection.
    pub fn indexes(&self, name: &str) -> Result<Vec<IndexProgress>> {
        self.check_open()?;
        let view = self.shard.snapshot().by_name(name)?.clone();
        Ok(view.descriptor.indexes.iter().map(|index| progress_of(&view, index)).collect())
    }

    /// One index of a collection.
    pub fn index_progress(&self, name: &str, index_name: &str) -> Result<IndexProgress> {
        let view = self.shard.snapshot().by_name(name)?.clone();
        let index = view.descriptor.index(index_name);
        Ok(progress_of(&view, index.ok_or_else(|| no_index(name, index_name))?))
    }
}

/// How far `index` has come.
pub fn progress_of(view: &View, index: &IndexDescriptor) -> IndexProgress {
    let running = view.core.index(index.id);
    let (mut built, mut entries, mut bytes, mut uses) = (0.0, 0, 0, 0);
    if let Some(running) = &running {
        let tables = running.tables.load();
        let built_seq = running.built_seq.load(std::sync::atomic::Ordering::Acquire);
        built = match index.since_seq {
            0 => 1.0,
            since_seq => (built_seq as f64 / since_seq as f64).min(1.0),
        };
        entries = tables.entries();
        bytes = tables.tables().map(|table| table.meta().file_bytes).sum();
        uses = running.uses.load(std::sync::atomic::Ordering::Relaxed);
    }
    IndexProgress { descriptor: index.clone(), built, entries, bytes, uses }
}

/// Refuses a schema that some record of `view` from `from_seq` on would break.
fn check_documents(
    view: &View,
    schema: &Schema,
    from_seq: u64,
    changes: &[Violation],
) -> Result<()> {
    let mut broken = Vec::new();
    for leaf in view.leaves(from_seq) {
        let leaf = leaf?;
        let (LeafKind::Record, Some(key), Slot::Live { body, .. }) =
            (leaf.kind, &leaf.key, &leaf.slot)
        else {
            continue;
        };
        if let Err(error) = schema.check(Document::from_trusted(body.clone())) {
            let key = String::from_utf8_lossy(key);
            let first = error.errors().first();
            broken.push(Violation {
                path: first.map(|first| first.path.clone()).unwrap_or_default(),
                rule: first.map(|first| first.rule.clone()).unwrap_or_default(),
                found: format!(
                    "record {key:?}: {}",
                    first.map_or(error.detail(), |first| &first.found)
                ),
            });
            if broken.len() >= VIOLATIONS_MAX {
                break;
            }
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "the schema is not compatible with collection {:?}: {} changes could refuse documents that \
         were valid, and records break it",
        view.descriptor.name,
        changes.len()
    );
    Err(Error::new(Code::SchemaViolation, detail).with_errors([changes, &broken].concat()))
}

fn failed(index: &IndexDescriptor, errors: &[Violation]) -> Error {
    let first = errors.first().map(|error| error.found.as_str()).unwrap_or_default();
    let code = match errors.first().map(|error| error.rule.as_str()) {
        Some("too_large") => Code::TooLarge,
        Some("invalid_argument") => Code::InvalidArgument,
        _ => Code::DuplicateKey,
    };
    let detail = format!("index {:?} could not be built: {first}", index.name);
    Error::new(code, detail).with_errors(errors.to_vec())
}

fn no_index(name: &str, index_name: &str) -> Error {
    Error::new(Code::NotFound, format!("collection {name:?} has no index {index_name:?}"))
}
