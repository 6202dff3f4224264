//! The one order in which all groups write. Frames are collected in the log's buffer; a write takes
//! all of them, and only then is it known where each lies, and the groups learn of it.

use std::sync::Arc;

use super::encoding::{Encoded, HardState};
use super::group::Group;
use super::types::Entry;
use crate::error::{Code, Error, Result};
use crate::limits::RAFT_WRITE_BYTES_MAX;
use crate::log::{FrameKind, FrameMeta, FramePlace, LogWriter, Position, frame_bytes};

/// The writer with what is not yet written.
#[derive(Debug)]
pub(super) struct Lane {
    /// None once the log is closed.
    writer: Option<LogWriter>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// The number of the batch being collected.
    batch: u64,
}

/// A frame in the buffer.
#[derive(Debug)]
struct Pending {
    group: Arc<Group>,
    frame_bytes: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Entry(Entry),
    /// The first void index.
    Truncation(u64),
    State,
}

fn closed() -> Error {
    Error::new(Code::Closed, "the Raft log was closed")
}

impl Lane {
    pub fn new(writer: LogWriter) -> Self {
        Lane { writer: Some(writer), pending: Vec::new(), pending_bytes: 0, batch: 1 }
    }

    /// The log's writer; an error once the log is closed.
    pub fn writer(&mut self) -> Result<&mut LogWriter> {
        self.writer.as_mut().ok_or_else(closed)
    }

    /// The log's writer, if the log is open.
    pub fn open_writer(&self) -> Option<&LogWriter> {
        self.writer.as_ref()
    }

    /// Ends the log.
    pub fn take_writer(&mut self) -> Result<LogWriter> {
        self.writer.take().ok_or_else(closed)
    }

    /// The batch that frames are added to now.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// Adds an entry.
    pub fn push_entry(&mut self, group: &Arc<Group>, entry: Entry) -> Result<()> {
        let encoded = Encoded::of(&entry.payload)?;
        let frame_bytes = frame_bytes(encoded.request_id.len(), encoded.bytes());
        self.make_room(frame_bytes)?;
        let meta = FrameMeta {
            shard: group.shard,
            kind: FrameKind::Entry,
            term: entry.log_id.leader_id.term,
            index: entry.log_id.index,
            request_id: encoded.request_id,
            txn: encoded.txn,
        };
        self.writer()?.append_with(&meta, encoded.bytes(), |out| encoded.fill(out))?;
        drop(encoded);
        self.note(group, frame_bytes, What::Entry(entry));
        Ok(())
    }

    /// Adds a truncation from `first_void` on.
    pub fn push_truncation(&mut self, group: &Arc<Group>, first_void: u64) -> Result<()> {
        let payload = first_void.to_le_bytes();
        self.push(group, FrameKind::Truncate, first_void, &payload, What::Truncation(first_void))
    }

    /// Adds a state, which is the group's from now on; `oldest` is the first segment needed, or the
    /// one there is.
    pub fn push_state(
        &mut self,
        group: &Arc<Group>,
        hard: HardState,
        oldest: Option<u64>,
    ) -> Result<()> {
        let oldest = match oldest {
            Some(oldest) => oldest,
            None => self.writer()?.segments()[0].0,
        };
        self.push(group, FrameKind::State, 0, &hard.encode(oldest), What::State)?;
        group.state.lock().hard = hard;
        Ok(())
    }

    fn push(
        &mut self,
        group: &Arc<Group>,
        kind: FrameKind,
        index: u64,
        payload: &[u8],
        what: What,
    ) -> Result<()> {
        let frame_bytes = frame_bytes(0, payload.len());
        self.make_room(frame_bytes)?;
        let shard = group.shard;
        let meta = FrameMeta { shard, kind, term: 0, index, request_id: &[], txn: [0; 16] };
        self.writer()?.append(&meta, payload)?;
        self.note(group, frame_bytes, what);
        Ok(())
    }

    fn note(&mut self, group: &Arc<Group>, frame_bytes: usize, what: What) {
        self.pending_bytes += frame_bytes;
        let frame_bytes = frame_bytes as u32;
        self.pending.push(Pending { group: group.clone(), frame_bytes, what });
    }

    /// Keeps what is written in one piece bounded.
    fn make_room(&mut self, frame_bytes: usize) -> Result<()> {
        let full = self.pending_bytes + frame_bytes > RAFT_WRITE_BYTES_MAX;
        if full && self.pending_bytes > 0 { self.write() } else { Ok(()) }
    }

    /// Writes all there is, in one piece, and tells the groups. If that fails, every group that had
    /// a frame in it has failed.
    pub fn write(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let pending_bytes = std::mem::take(&mut self.pending_bytes) as u64;
        let writer = self.writer()?;
        if let Err(cause) = writer.write() {
            pending.iter().for_each(|frame| frame.group.fail(&cause));
            return Err(cause);
        }
        // A group of frames lies in one segment, one behind the other: its end tells all places.
        let end = writer.written_end();
        let mut offset = end.offset - pending_bytes;
        for Pending { group, frame_bytes, what } in pending {
            let place = FramePlace { start: Position { offset, ..end }, bytes: frame_bytes };
            offset += u64::from(frame_bytes);
            let mut state = group.state.lock();
            match what {
                What::Entry(entry) => state.push(entry, place),
                What::Truncation(first_void) => state.truncate(first_void),
                What::State => state.state_generation = Some(end.generation),
            }
        }
        Ok(())
    }

    /// Writes the batch and begins the next.
    pub fn write_batch(&mut self) -> Result<()> {
        self.batch += 1;
        self.write()
    }

    /// Frames in the buffer.
    #[cfg(test)]
    pub fn pending_frames(&self) -> usize {
        self.pending.len()
    }
}
