//! The restart point: one small file per shard, replaced atomically, that says from where recovery
//! begins. It names each ledger's durable end; entries up to `applied` are in the ledgers, so the
//! log behind it can be recycled.
//!
//! Making one: sync the log, sync the ledgers written to since the last, then replace the file
//! (write a temporary one, sync it, rename, sync the folder), and only then retire log segments.
//!
//! File: header 64 (kind 6, owner database id, number shard), `body_len u32, crc32c u32` of the
//! body, then the body: `applied u64, last_time_us i64, clean u8, log generation u64, log offset
//! u64, count u32`, and per collection `id 16` and its ledger position. If transactions over several
//! shards have left anything to remember, the file has the incompatible feature 1 and that follows
//! (`two_phase/stored.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::collection::CollectionId;
use crate::disk::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::disk::{Access, Vfs};
use crate::error::{Code, Error, Result};
use crate::ledger::LedgerPosition;
use crate::log::Position;
use crate::shard::Shard;
use crate::shard::state::ShardState;
use crate::shard::two_phase::TwoPhase;

/// The file ends with what two-phase commit remembers.
const FEATURE_TWO_PHASE: u32 = 1;

/// From where recovery begins.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPoint {
    /// Entries up to this index are in the ledgers.
    pub applied: u64,
    /// Time of the last entry then, microseconds since the epoch.
    pub last_time_us: i64,
    /// Whether the database was closed: the log ends exactly at `log_synced`.
    pub clean: bool,
    /// Log position known to be durable: wrong bytes before it are corruption, not a torn tail.
    pub log_synced: Position,
    /// Durable end of each collection's ledger.
    pub collections: BTreeMap<CollectionId, LedgerPosition>,
    /// Two-phase commit as of `applied`.
    pub two_phase: TwoPhase,
}

impl RestartPoint {
    /// Of a database that holds nothing yet.
    pub fn empty() -> Self {
        RestartPoint {
            applied: 0,
            last_time_us: 0,
            clean: false,
            log_synced: Position { generation: 0, offset: 0 },
            collections: BTreeMap::new(),
            two_phase: TwoPhase::default(),
        }
    }

    /// The file of a shard below the database's folder.
    pub fn path(dir: &Path, shard: u32) -> PathBuf {
        dir.join("shard").join(shard.to_string()).join("restart")
    }

    /// The file's bytes.
    pub fn encode(&self, database_id: CollectionId, shard: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.collections.len() * 160);
        body.extend_from_slice(&self.applied.to_le_bytes());
        body.extend_from_slice(&self.last_time_us.to_le_bytes());
        body.push(u8::from(self.clean));
        body.extend_from_slice(&self.log_synced.generation.to_le_bytes());
        body.extend_from_slice(&self.log_synced.offset.to_le_bytes());
        body.extend_from_slice(&(self.collections.len() as u32).to_le_bytes());
        for (id, position) in &self.collections {
            body.extend_from_slice(&id.0);
            position.encode(&mut body);
        }
        let mut features = 0;
        if !self.two_phase.is_empty() {
            features = FEATURE_TWO_PHASE;
            self.two_phase.encode(&mut body);
        }
        let header =
            FileHeader { kind: FileKind::RestartPoint, owner: database_id.0, number: shard };
        let mut bytes = header.encode_with(features).to_vec();
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a file's bytes; returns the database's id too, which is known from here alone.
    pub fn decode(bytes: &[u8], shard: u32, path: &Path) -> Result<(CollectionId, RestartPoint)> {
        let short = || Error::corrupt(path, bytes.len() as u64, "the restart point ends too early");
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(short)?;
        let owner: [u8; 16] = header[40..56].try_into().expect("sixteen bytes");
        let identity = FileHeader { kind: FileKind::RestartPoint, owner, number: shard };
        let features = identity.check_with(FEATURE_TWO_PHASE, header, path)?;
        let mut rest = &bytes[HEADER_BYTES..];
        let len = u32::from_le_bytes(take(&mut rest).ok_or_else(short)?) as usize;
        let sum = u32::from_le_bytes(take(&mut rest).ok_or_else(short)?);
        if rest.len() != len {
            return Err(Error::corrupt(path, 64, "the restart point's length is wrong"));
        }
        if crc32c::crc32c(rest) != sum {
            return Err(Error::corrupt(path, 72, "the restart point does not match its checksum"));
        }
        let malformed = || Error::corrupt(path, 72, "the restart point is malformed");
        let mut point = decode_body(&mut rest).ok_or_else(malformed)?;
        if features & FEATURE_TWO_PHASE != 0 {
            point.two_phase = TwoPhase::decode(&mut rest).map_err(|_| malformed())?;
        }
        match rest.is_empty() {
            true => Ok((CollectionId(owner), point)),
            false => Err(malformed()),
        }
    }

    /// Reads the file of a shard; `None` if there is none.
    pub fn load(
        vfs: &dyn Vfs,
        dir: &Path,
        shard: u32,
    ) -> Result<Option<(CollectionId, RestartPoint)>> {
        let path = Self::path(dir, shard);
        let file = match vfs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::storage("open", &path, error)),
        };
        let read = || {
            let mut bytes = vec![0; file.size()? as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| Error::storage("read", &path, error))?;
        Self::decode(&bytes, shard, &path).map(Some)
    }

    /// Replaces the file of a shard, atomically and durably.
    pub fn store(
        &self,
        vfs: &dyn Vfs,
        dir: &Path,
        database_id: CollectionId,
        shard: u32,
    ) -> Result<()> {
        let path = Self::path(dir, shard);
        replace_file(vfs, &path, &self.encode(database_id, shard))
    }
}

/// Writes `bytes` to a temporary file beside `path`, syncs it, renames it over `path` and syncs the
/// folder: after a crash there is the old file or the new one, whole.
pub fn replace_file(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        match vfs.unlink(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = vfs.create(&temporary, false)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        drop(file);
        vfs.rename(&temporary, path)?;
        vfs.sync_dir(folder)
    };
    write().map_err(|error| Error::storage("replace", path, error))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*taken)
}

fn decode_body(rest: &mut &[u8]) -> Option<RestartPoint> {
    let applied = u64::from_le_bytes(take(rest)?);
    let last_time_us = i64::from_le_bytes(take(rest)?);
    let clean = match take::<1>(rest)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let generation = u64::from_le_bytes(take(rest)?);
    let offset = u64::from_le_bytes(take(rest)?);
    let count = u32::from_le_bytes(take(rest)?);
    let mut collections = BTreeMap::new();
    for _ in 0..count {
        let id = CollectionId(take(rest)?);
        collections.insert(id, LedgerPosition::decode(rest).ok()?);
    }
    let log_synced = Position { generation, offset };
    let two_phase = TwoPhase::default();
    Some(RestartPoint { applied, last_time_us, clean, log_synced, collections, two_phase })
}

impl Shard {
    /// Makes a restart point and recycles the log behind it.
    pub fn make_restart_point(&self) -> Result<()> {
        let mut restart = self.sealer.lock();
        self.write_blocks_locked(&mut restart)?;
        self.make_restart_point_locked(&mut restart)
    }

    fn make_restart_point_locked(&self, restart: &mut RestartPoint) -> Result<()> {
        self.env.check_healthy()?;
        let state = self.snapshot();
        #[cfg(bug = "recycle_log_early")]
        self.retire_log(state.applied)?;
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let next = self.write_restart_point(restart, &state, &dirty).inspect_err(|error| {
            // The next restart point must name what this one would have.
            self.dirty.lock().extend(dirty.iter());
            if error.code() != Code::StorageFull {
                self.env.poison(error);
            }
        })?;
        *restart = next;
        self.retire_log(restart.applied)?;
        self.store_statistics()?;
        self.env.progress.notify();
        Ok(())
    }

    /// Syncs the log and the `dirty` ledgers, and stores the restart point that follows.
    fn write_restart_point(
        &self,
        restart: &RestartPoint,
        state: &ShardState,
        dirty: &BTreeSet<CollectionId>,
    ) -> Result<RestartPoint> {
        let mut next = restart.clone();
        self.sync_log(&mut next)?;
        for id in dirty {
            let Some(view) = state.collections.get(id) else { continue };
            // After a failed fsync nothing is known about the pages: no second try.
            let position = view.core.ledger.sync().inspect_err(|error| self.env.poison(error))?;
            next.collections.insert(*id, position);
        }
        next.applied = self.covered(state);
        next.two_phase = match cfg!(bug = "restart_point_ahead") {
            true => TwoPhase::clone(&state.two_phase),
            false => self.two_phase.at(next.applied)?,
        };
        next.last_time_us = state.last_time_us;
        next.clean = false;
        if next != *restart {
            next.store(&*self.env.host.vfs, &self.env.dir, self.env.database_id, self.number)?;
        }
        Ok(next)
    }

    /// The last index whose records, and all before it, are in the ledgers. Only the sealer moves
    /// records there, and the caller is the sealer.
    pub(super) fn covered(&self, state: &ShardState) -> u64 {
        let first_pending =
            state.collections.values().filter_map(|view| view.core.pending.first_index()).min();
        first_pending.map_or(state.applied, |index| (index - 1).min(state.applied))
    }

    fn retire_log(&self, applied: u64) -> Result<()> {
        let mut lane = self.lane.lock();
        lane.retire_log(applied + 1)?;
        if let Some(log) = &lane.log {
            self.restart_log_bytes.store(log.total_bytes(), Ordering::Relaxed);
            self.log_bytes.store(log.total_bytes(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes sure that a restart point names the ledger of `id` up to `end_seq`.
    pub(super) fn cover(&self, id: CollectionId, end_seq: u64) -> Result<()> {
        let mut restart = self.sealer.lock();
        self.write_blocks_locked(&mut restart)?;
        let covered = restart.collections.get(&id).map_or(0, |position| position.end_seq);
        if covered < end_seq {
            self.make_restart_point_locked(&mut restart)?;
        }
        let covered = restart.collections.get(&id).map_or(0, |position| position.end_seq);
        match covered >= end_seq {
            true => Ok(()),
            false => Err(Error::new(
                Code::Internal,
                format!("collection {id}: sealed to {covered}, but a memtable ends at {end_seq}"),
            )),
        }
    }

    /// Whether the log has grown enough for the next restart point.
    pub fn restart_point_is_due(&self) -> bool {
        let lane = self.lane.lock();
        let Some(log) = &lane.log else { return false };
        log.total_bytes() > self.env.tuning.log_bytes_max / 2
            && log.total_bytes()
                > self.restart_log_bytes.load(Ordering::Relaxed) + self.env.tuning.log_bytes_max / 8
    }

    /// Ends the log and writes the last restart point: everything sealed, nothing left to replay.
    pub fn close_log(&self) -> Result<()> {
        let mut restart = self.sealer.lock();
        self.write_blocks_locked(&mut restart)?;
        self.make_restart_point_locked(&mut restart)?;
        let log = self.lane.lock().log.take();
        let Some(log) = log else { return Ok(()) };
        let mut next = restart.clone();
        next.log_synced = log.close()?;
        next.clean = true;
        next.store(&*self.env.host.vfs, &self.env.dir, self.env.database_id, self.number)?;
        *restart = next;
        Ok(())
    }
}
