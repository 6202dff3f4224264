//! Opening: from files to a running shard, in an order in which each step needs only what the one
//! before has made sure of. Opening never repairs silently: what was cut is in the report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collection::{CollectionId, Descriptor, SYSTEM_NAME, Settings, Status};
use crate::database::Options;
use crate::disk::{Vfs, VfsLock};
use crate::document::Document;
use crate::error::{Code, Error, Result};
use crate::ledger::Slot;
use crate::log::{self, FrameKind, LogOptions, LogWriter, Recovered};
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::committer::Work;
use crate::shard::entry::{self, BatchBuilder, NewRecord};
use crate::shard::environment::Environment;
use crate::shard::read::KeyRange;
use crate::shard::restart::RestartPoint;

/// The embedded database has one shard.
const SHARD: u32 = 0;

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the database was made by this call.
    pub created: bool,
    /// Whether it was closed properly the last time.
    pub clean: bool,
    /// Log entries applied again.
    pub entries_replayed: u64,
    /// Bytes of a torn tail cut from the log: a write that was never acknowledged.
    pub log_bytes_cut: u64,
}

/// A running shard and what goes with it.
pub(super) struct Opened {
    pub shard: Arc<Shard>,
    pub lock: Option<Box<dyn VfsLock>>,
    pub report: RecoveryReport,
}

/// Opens the database in `dir`.
pub(super) fn open(dir: &Path, options: &Options) -> Result<Opened> {
    let vfs = &*options.host.vfs;
    let mut report = RecoveryReport::default();
    let (lock, beside_writer) = match options.read_only {
        true => (None, is_locked(vfs, dir)?),
        false => (Some(take_lock(vfs, dir, options.create)?), false),
    };
    let (database_id, restart) = match RestartPoint::load(vfs, dir, SHARD)? {
        Some(found) => found,
        None if options.read_only || !options.create => return Err(missing(dir)),
        None => {
            report.created = true;
            create(dir, options)?
        }
    };
    report.clean = restart.clean;
    if !options.read_only {
        sync_names(vfs, dir)?;
    }
    let env = Environment::new(
        options.host.clone(),
        dir,
        database_id,
        options.tuning.clone(),
        options.durability,
        options.read_only,
        options.repair.clone(),
    );
    let shard = Arc::new(Shard::new(SHARD, Arc::new(env), restart.clone()));
    shard.beside_writer.store(beside_writer, Ordering::Relaxed);
    match options.repair {
        Some(_) => shard.remove_statistics()?,
        None => shard.load_statistics()?,
    }
    shard.register(vec![system_descriptor(database_id)])?;
    shard.register(registry(&shard).map_err(missing_is_corrupt)?)?;
    if !beside_writer {
        let recovered = replay(&shard, &restart, &mut report)?;
        if !options.read_only {
            open_log(&shard, recovered)?;
        }
    }
    shard.end_recovery();
    check_all_claimed(&shard, dir)?;
    if !options.read_only {
        shard.write_blocks()?;
        write_system_genesis(&shard)?;
    }
    Ok(Opened { shard, lock, report })
}

/// A process that was killed may have made or renamed entries without making that durable: the
/// restart point, on which all that is done from here on builds, the folders of collections, which
/// are taken for made once they are listed, and the registry for people.
fn sync_names(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let restart = RestartPoint::path(dir, SHARD);
    let (collections, registry) = (dir.join("collections"), dir.join("global_metadata"));
    for folder in [restart.parent().unwrap_or(dir), &collections, &registry] {
        vfs.sync_dir(folder).map_err(|error| Error::storage("sync folder", folder, error))?;
    }
    Ok(())
}

fn missing(dir: &Path) -> Error {
    Error::new(Code::NotFound, format!("there is no database in {}", dir.display()))
}

fn is_locked(vfs: &dyn Vfs, dir: &Path) -> Result<bool> {
    let path = dir.join("LOCK");
    vfs.is_locked(&path).map_err(|error| Error::storage("look at the lock", &path, error))
}

fn take_lock(vfs: &dyn Vfs, dir: &Path, create: bool) -> Result<Box<dyn VfsLock>> {
    if create {
        make_dirs(vfs, dir)?;
    } else if vfs.list(dir).is_err() {
        return Err(missing(dir));
    }
    let path = dir.join("LOCK");
    let owner = format!("process {}", std::process::id());
    vfs.lock(&path, &owner).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::new(
            Code::Locked,
            format!("the database in {} is held by {error}", dir.display()),
        ),
        _ => Error::storage("lock", &path, error),
    })
}

/// Makes a folder and those above it that are missing.
fn make_dirs(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match vfs.create_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && parent.is_some() => {
            make_dirs(vfs, parent.expect("looked at above"))?;
            vfs.create_dir(dir)
        }
        made => made,
    };
    made.map_err(|error| Error::storage("create folder", dir, error))
}

/// Makes a new database: its folders, then its restart point, whose appearance is the creation.
fn create(dir: &Path, options: &Options) -> Result<(CollectionId, RestartPoint)> {
    let vfs = &*options.host.vfs;
    refuse_remains(vfs, dir)?;
    for folder in ["log", "shard", "shard/0", "collections", "global_metadata"] {
        let path = dir.join(folder);
        vfs.create_dir(&path).map_err(|error| Error::storage("create folder", &path, error))?;
    }
    for path in [dir.join("shard"), dir.to_owned()] {
        vfs.sync_dir(&path).map_err(|error| Error::storage("sync folder", &path, error))?;
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        vfs.sync_dir(parent).map_err(|error| Error::storage("sync folder", parent, error))?;
    }
    let id = CollectionId::random(&*options.host.random);
    let restart = RestartPoint::empty();
    restart.store(vfs, dir, id, SHARD)?;
    Ok((id, restart))
}

/// Data without a restart point is a damaged database, never an empty one.
fn refuse_remains(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    for folder in ["log", "collections"] {
        let path = dir.join(folder);
        let Ok(entries) = vfs.list(&path) else { continue };
        let data = |name: &str| name.starts_with("wal_") || name.starts_with("col_");
        if entries.iter().any(|entry| data(&entry.name)) {
            let path = RestartPoint::path(dir, SHARD);
            return Err(Error::corrupt(
                &path,
                0,
                "the restart point is missing beside existing data",
            ));
        }
    }
    Ok(())
}

/// What is known of the system collection without reading it.
fn system_descriptor(database_id: CollectionId) -> Descriptor {
    Descriptor {
        id: database_id,
        name: SYSTEM_NAME.to_owned(),
        status: Status::Live,
        created_us: 0,
        settings: Settings { revisions: true, ..Settings::default() },
        tombstone: None,
        schema: None,
        indexes: Vec::new(),
        next_index_id: 0,
    }
}

/// A file that a manifest names and that is not there was taken away.
fn missing_is_corrupt(error: Error) -> Error {
    let source = std::error::Error::source(&error);
    let not_found = source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::NotFound);
    match error.place() {
        Some((path, _)) if not_found => Error::corrupt(path, 0, "the file is missing"),
        _ => error,
    }
}

/// The descriptors that the sealed part of the system collection holds.
fn registry(shard: &Shard) -> Result<Vec<Descriptor>> {
    let state = shard.snapshot();
    let view = &state.collections[&state.system];
    let mut descriptors = Vec::new();
    for leaf in view.scan(&KeyRange::prefix(b"collection/")) {
        if let Slot::Live { body, .. } = leaf?.slot {
            descriptors.push(Descriptor::from_document(&Document::from_canonical(body)?)?);
        }
    }
    Ok(descriptors)
}

/// Applies what the log holds beyond the restart point.
fn replay(
    shard: &Shard,
    restart: &RestartPoint,
    report: &mut RecoveryReport,
) -> Result<Option<Recovered>> {
    let env = &shard.env;
    let mut next_index = restart.applied + 1;
    let mut each = |frame: log::Frame| {
        if frame.kind != FrameKind::Entry || frame.index <= restart.applied {
            return Ok(());
        }
        if frame.index != next_index {
            return Err(Error::new(
                Code::Corrupt,
                format!("the log goes on at entry {}, expected was {next_index}", frame.index),
            ));
        }
        let txn = (frame.txn != [0; 16]).then_some(frame.txn);
        let entry = entry::decode(frame.payload.clone(), txn)?;
        shard.replay(frame.index, entry, frame.position)?;
        next_index += 1;
        report.entries_replayed += 1;
        Ok(())
    };
    let recovered = log::replay(
        &env.host.vfs,
        &env.dir.join("log"),
        env.database_id.0,
        (restart.log_synced.generation > 0).then_some(restart.log_synced),
        0,
        &mut each,
    )?;
    report.log_bytes_cut = recovered.bytes_cut;
    // A process that opened the database since has begun a segment that is not closed.
    report.clean &= recovered.clean;
    Ok((recovered.end.generation > 0).then_some(recovered))
}

fn open_log(shard: &Shard, recovered: Option<Recovered>) -> Result<()> {
    let env = &shard.env;
    let options =
        LogOptions { segment_bytes: env.tuning.log_segment_bytes, database_id: env.database_id.0 };
    let dir = env.dir.join("log");
    let log = LogWriter::open(env.host.vfs.clone(), &dir, options, recovered.as_ref())?;
    shard.lane.lock().log = Some(log);
    Ok(())
}

/// Every collection of the restart point must have been found in the system collection.
fn check_all_claimed(shard: &Shard, dir: &Path) -> Result<()> {
    match shard.unclaimed() {
        None => Ok(()),
        Some(id) => Err(Error::corrupt(
            &RestartPoint::path(dir, SHARD),
            72,
            format!("collection {id} is not in the system collection"),
        )),
    }
}

/// The first leaf of a new database.
fn write_system_genesis(shard: &Shard) -> Result<()> {
    let state = shard.snapshot();
    let view = &state.collections[&state.system];
    if view.end_seq > 0 {
        return Ok(());
    }
    let body = view.descriptor.genesis_body(state.system)?;
    let mut salt = [0; 16];
    shard.env.host.random.fill(&mut salt);
    let mut batch = BatchBuilder::new(None);
    batch.part(state.system);
    batch.record(&NewRecord::unkeyed(LeafKind::Genesis, &body, salt));
    shard.commit(Work::Write(batch.finish())).map(drop)
}
