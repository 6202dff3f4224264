//! The log's single writer: collects a group of frames, writes it in one piece, syncs it, goes on
//! to the next segment when one is full. Acknowledge nothing beyond `synced_end`; after any failed
//! write or sync it refuses everything, and only a new `replay` and `open` go on.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::finish::finish_segment;
use super::folder::{Folder, is_full, list_segments};
use super::frame::{self, FIRST_FRAME, FrameKind, FrameMeta, SECTOR_BYTES};
use super::live::Live;
use super::sync::SyncHandle;
use super::{LogOptions, Position, Recovered};
use crate::disk::Vfs;
use crate::error::{Error, Result};

/// A group buffer larger than this is given back after its write.
const GROUP_BYTES_KEPT: usize = 4 << 20;

/// Appends to the log of one database.
///
/// ```text
/// append, append, … ── write ── sync ── acknowledge up to synced_end
/// ```
#[derive(Debug)]
pub struct LogWriter {
    folder: Folder,
    live: Live,
    /// Complete segments, oldest first: generation and length.
    older: VecDeque<(u64, u64)>,
    /// Frames appended and not yet written.
    group: Vec<u8>,
}

impl LogWriter {
    /// Opens the log of folder `dir` (made if missing) for writing, in a new generation.
    ///
    /// `recovered` is what `replay` just returned: its torn tail is cut here, and what it read is
    /// made durable. None is for a new database; a log that exists is refused then.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: LogOptions,
        recovered: Option<&Recovered>,
    ) -> Result<LogWriter> {
        let mut folder = Folder::open(vfs, dir, &options)?;
        let mut generations = list_segments(&*folder.vfs, dir)?;
        let newest = generations.last().copied().unwrap_or(0);
        if newest != recovered.map_or(0, |recovered| recovered.end.generation) {
            return Err(Error::invalid("the log is not the one that was replayed"));
        }
        let blank = recovered.is_some_and(|recovered| recovered.is_blank());
        let generation = if blank {
            // Without a frame, not even its name need be durable: it is made once more, in place.
            generations.pop();
            newest
        } else {
            if let Some(recovered) = recovered.filter(|_| newest > 0) {
                finish_segment(&folder, recovered)?;
            }
            newest + 1
        };
        let sizes = generations.iter().map(|older| Ok((*older, folder.segment_size(*older)?)));
        let older = sizes.collect::<Result<_>>()?;
        let mut live = folder.prepare(generation, 0)?;
        folder.install(&mut live)?;
        Ok(LogWriter { folder, live, older, group: Vec::new() })
    }

    /// Adds a frame to the group, without I/O, and returns the place right behind it.
    ///
    /// If a later frame makes the group too long for the segment, the whole group moves to the next
    /// one: the place returned is then a lower bound, in the older generation. Comparing it with
    /// [`LogWriter::synced_end`] stays right, and so does retiring by its generation.
    pub fn append(&mut self, meta: &FrameMeta<'_>, payload: &[u8]) -> Result<Position> {
        self.append_with(meta, payload.len(), |bytes| bytes.copy_from_slice(payload))
    }

    /// Like [`LogWriter::append`], for a payload that `fill` writes straight into the group; it is
    /// given `payload_len` zeros.
    pub fn append_with(
        &mut self,
        meta: &FrameMeta<'_>,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Position> {
        self.folder.gate.check()?;
        if meta.kind.ends_segment() {
            return Err(Error::invalid("End and Close frames are the log's own"));
        }
        fill(frame::push(&mut self.group, meta, payload_len)?);
        let bytes = self.group.len() as u64;
        Ok(if self.live.fits(bytes) {
            self.live.at(self.live.end + bytes)
        } else {
            Position { generation: self.live.generation + 1, offset: FIRST_FRAME + bytes }
        })
    }

    /// Writes the group in one piece, in the next segment if it does not fit. Nothing may be
    /// acknowledged before a sync.
    ///
    /// Whatever the outcome, the group is empty afterwards. `storage_full` leaves the log usable
    /// and none of the group in it; any other failure poisons it, unless [`LogWriter::poisoned`]
    /// says that a new segment could not even be begun.
    pub fn write(&mut self) -> Result<()> {
        let mut group = std::mem::take(&mut self.group);
        let outcome = self.write_group(&mut group);
        group.clear();
        group.shrink_to(GROUP_BYTES_KEPT);
        self.group = group;
        outcome
    }

    fn write_group(&mut self, group: &mut Vec<u8>) -> Result<()> {
        self.folder.gate.check()?;
        if group.is_empty() {
            return Ok(());
        }
        if !self.live.fits(group.len() as u64) {
            self.rotate(group.len() as u64)?;
        }
        frame::stamp(group, self.live.generation, self.live.synced);
        self.put(group)
    }

    /// Goes on to a new segment with room for a group of `group_bytes`.
    fn rotate(&mut self, group_bytes: u64) -> Result<()> {
        let mut next = self.folder.prepare(self.live.generation + 1, group_bytes)?;
        if let Err(error) = self.end_segment(FrameKind::End) {
            self.folder.discard(&next.path);
            return Err(error);
        }
        self.folder.install(&mut next)?;
        let ended = std::mem::replace(&mut self.live, next);
        self.older.push_back((ended.generation, ended.end));
        Ok(())
    }

    /// Appends the frame that ends the live segment, syncs it, and cuts the file behind it.
    fn end_segment(&mut self, kind: FrameKind) -> Result<()> {
        let mut ender = frame::ender(kind, self.live.at(self.live.end), self.live.synced);
        self.put(&mut ender)?;
        self.sync()?;
        let cut = self.live.file.set_len(self.live.end);
        cut.map_err(|cause| self.folder.gate.fail("cut", &self.live.path, cause))
    }

    /// Writes finished frames at the end of the live segment, with zeros to the end of the sector:
    /// so a write that arrives in part, in bytes or length, never leaves a length that looks final.
    fn put(&mut self, frames: &mut Vec<u8>) -> Result<()> {
        let bytes = frames.len() as u64;
        let live = &mut self.live;
        let padded = (live.end + bytes).next_multiple_of(SECTOR_BYTES) - live.end;
        frames.resize(padded as usize, 0);
        let outcome = live.fill_for(bytes).and_then(|()| live.file.write_all_at(frames, live.end));
        match outcome {
            Ok(()) => {
                live.end += bytes;
                Ok(())
            }
            Err(cause) if is_full(&cause) => {
                let refused = Error::storage("write", &live.path, cause);
                self.cut_back()?;
                Err(refused)
            }
            Err(cause) => Err(self.folder.gate.fail("write", &live.path, cause)),
        }
    }

    /// Drops what a write to a full disk left behind the last good frame, durably: a refused group
    /// must not come back after a crash. What stays is synced first, as before every cut.
    fn cut_back(&mut self) -> Result<()> {
        self.sync()?;
        let live = &mut self.live;
        let gate = &self.folder.gate;
        live.cut_back().map_err(|cause| gate.fail("cut", &live.path, cause))?;
        gate.sync(&*live.file, &live.path)
    }

    /// Makes everything written durable; does nothing if it is.
    pub fn sync(&mut self) -> Result<()> {
        self.folder.gate.check()?;
        if self.live.synced < self.live.end {
            self.folder.gate.sync(&*self.live.file, &self.live.path)?;
            self.live.synced = self.live.end;
        }
        Ok(())
    }

    /// A handle that syncs what is written by now from another thread.
    pub fn sync_handle(&self) -> SyncHandle {
        SyncHandle {
            gate: self.folder.gate.clone(),
            file: self.live.file.clone(),
            path: self.live.path.clone(),
            end: self.written_end(),
        }
    }

    /// Takes note of what a [`SyncHandle`] has synced.
    pub fn note_synced(&mut self, position: Position) {
        if position.generation == self.live.generation && !self.poisoned() {
            self.live.synced = self.live.synced.max(position.offset.min(self.live.end));
        }
    }

    /// The end of what was written.
    pub fn written_end(&self) -> Position {
        self.live.at(self.live.end)
    }

    /// The end of what is durable.
    pub fn synced_end(&self) -> Position {
        self.live.at(self.live.synced)
    }

    /// Drops the segments of generations below `before_generation`, never the current one: keeps up
    /// to two for use again, removes the others. The restart point that makes them unnecessary must
    /// be durable already. One at a time, oldest first, so that no crash leaves a gap: of unsynced
    /// changes to a folder any may be lost and any kept.
    pub fn retire(&mut self, before_generation: u64) -> Result<()> {
        self.folder.gate.check()?;
        while let Some(oldest) = self.older.front().copied() {
            if oldest.0 >= before_generation {
                break;
            }
            let spare = self.folder.take_out(oldest)?;
            self.older.pop_front();
            self.folder.sync_names()?;
            self.folder.keep(spare);
        }
        Ok(())
    }

    /// Generation and bytes (header and frames, not what is filled ahead) of every segment, oldest
    /// first.
    pub fn segments(&self) -> Vec<(u64, u64)> {
        let current = (self.live.generation, self.live.end);
        self.older.iter().copied().chain([current]).collect()
    }

    /// Bytes of all segments together, as [`LogWriter::segments`] counts them.
    pub fn total_bytes(&self) -> u64 {
        self.live.end + self.older.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// The generation frames are written to now.
    pub fn current_generation(&self) -> u64 {
        self.live.generation
    }

    /// Whether an earlier failure makes every call fail.
    pub fn poisoned(&self) -> bool {
        self.folder.gate.poisoned()
    }

    /// Writes what is still in the group, then a Close frame; syncs, cuts the unused tail, removes
    /// the spares. Returns the log's end.
    pub fn close(mut self) -> Result<Position> {
        self.write()?;
        // Synced first: so the Close frame's own watermark covers every frame before it.
        self.sync()?;
        self.end_segment(FrameKind::Close)?;
        self.folder.gate.sync(&*self.live.file, &self.live.path)?;
        self.folder.remove_spares()?;
        self.folder.sync_names()?;
        Ok(self.written_end())
    }
}
