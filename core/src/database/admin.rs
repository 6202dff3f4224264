//! Administrative acts: creating, configuring and dropping collections. Each is a record of the
//! system collection, logged in one entry with whatever leaf it gives the collection itself, and
//! carried out by applying that entry.

use std::time::Duration;

use crate::collection::descriptor::{SchemaVersion, Tombstone};
use crate::collection::name::validate_name;
use crate::collection::schema::Schema;
use crate::collection::{
    CollectionId, CollectionOptions, Descriptor, SYSTEM_NAME, Settings, Status,
};
use crate::database::Database;
use crate::document::{Document, Object, Value};
use crate::error::{Code, Error, Result};
use crate::host::Background;
use crate::proof::{self, LeafKind};
use crate::shard::state::View;

impl Database {
    /// Creates a collection; with `if_not_exists` an existing one of the same settings will do.
    pub fn create_collection(&self, name: &str, options: &CollectionOptions) -> Result<View> {
        self.check_writable()?;
        validate_name(name)?;
        let settings = options.settings()?;
        let schema = options.schema.as_ref().map(|source| self.first_schema(source)).transpose()?;
        let _admin = self.shard.admin.lock();
        if let Ok(view) = self.shard.snapshot().by_name(name) {
            return existing(view, options, &settings);
        }
        let random = &*self.shard.env.host.random;
        let descriptor = Descriptor {
            id: CollectionId::random(random),
            name: name.to_owned(),
            status: Status::Live,
            created_us: self.shard.env.host.clock.wall_us(),
            settings,
            tombstone: None,
            schema,
            indexes: Vec::new(),
            next_index_id: 0,
        };
        let genesis = descriptor.genesis_body(self.shard.env.database_id)?;
        self.shard.record_act(&descriptor, Some((LeafKind::Genesis, &genesis)))?;
        self.shard.snapshot().by_name(name).cloned()
    }

    fn first_schema(&self, source: &Object) -> Result<SchemaVersion> {
        Schema::compile(source)?;
        let set_us = self.shard.env.host.clock.wall_us();
        Ok(SchemaVersion { version: 1, set_us, source: source.clone() })
    }

    /// Changes settings of a collection at run time; returns its new descriptor.
    pub fn configure(&self, name: &str, changes: &[(String, Value)]) -> Result<Descriptor> {
        self.check_writable()?;
        refuse_system(name, "configured")?;
        let _admin = self.shard.admin.lock();
        let view = self.shard.snapshot().by_name(name)?.clone();
        let _gate = view.core.gate.write();
        self.shard.refuse_prepared(view.core.id, name)?;
        let mut descriptor = Descriptor::clone(&view.descriptor);
        descriptor.settings = descriptor.settings.changed(changes)?;
        if descriptor.settings == view.descriptor.settings {
            return Ok(descriptor);
        }
        let body = Document::from_value(&descriptor.settings.to_object())?;
        self.shard.record_act(&descriptor, Some((LeafKind::Settings, &body)))?;
        Ok(descriptor)
    }

    /// Drops a collection: hides it, frees its name, and records its final size and root. With
    /// `purge`, bodies and tables go at once; leaves and tiles stay for ever.
    pub fn drop_collection(&self, name: &str, purge: bool) -> Result<Tombstone> {
        self.check_writable()?;
        refuse_system(name, "dropped")?;
        let _admin = self.shard.admin.lock();
        let view = self.shard.snapshot().by_name(name)?.clone();
        let _gate = view.core.gate.write();
        self.shard.refuse_prepared(view.core.id, name)?;
        self.shard.seal(view.core.id)?;
        self.wait_for_ledger(view.core.id)?;
        let position = view.core.ledger.position();
        let tombstone = Tombstone {
            dropped_us: self.shard.env.host.clock.wall_us(),
            size: position.end_seq,
            root: proof::root_at(&view.core.ledger.tiles(), position.end_seq)?,
        };
        let mut descriptor = Descriptor::clone(&view.descriptor);
        descriptor.status = if purge { Status::Purged } else { Status::Dropped };
        descriptor.tombstone = Some(tombstone.clone());
        self.shard.record_act(&descriptor, None)?;
        if purge {
            self.shard.purge(view.core.id)?;
        }
        Ok(tombstone)
    }

    /// Waits until every sealed block of a collection is in the ledger.
    pub fn wait_for_ledger(&self, id: CollectionId) -> Result<()> {
        let core = self.shard.core(id)?;
        loop {
            self.shard.env.check_healthy()?;
            let seen = self.shard.env.progress.seen();
            if core.sealing.lock().is_empty() {
                return Ok(());
            }
            match self.shard.env.host.background {
                Background::Threads => {
                    self.shard.env.work.notify();
                    self.shard.env.progress.wait(seen, Some(Duration::from_millis(100)));
                }
                Background::Manual => drop(self.shard.write_blocks()?),
            }
        }
    }
}

fn existing(view: &View, options: &CollectionOptions, settings: &Settings) -> Result<View> {
    let name = &view.descriptor.name;
    if !options.if_not_exists {
        return Err(Error::new(Code::CollectionExists, format!("collection {name:?} exists")));
    }
    let schema = view.descriptor.schema.as_ref().map(|schema| &schema.source);
    match view.descriptor.settings == *settings && schema == options.schema.as_ref() {
        true => Ok(view.clone()),
        false => Err(Error::new(
            Code::CollectionExists,
            format!("collection {name:?} exists with other settings or schema; see describe"),
        )),
    }
}

pub(super) fn refuse_system(name: &str, what: &str) -> Result<()> {
    match name == SYSTEM_NAME {
        true => Err(Error::new(
            Code::PermissionDenied,
            format!("the system collection cannot be {what}: it records what happens to others"),
        )),
        false => Ok(()),
    }
}
