//! What one group's part of the log says, in memory: its hard state, where its entries lie, the
//! newest of them. [`GroupState::replay`] builds it from frames in their order; the writer keeps it
//! by the same steps. Pure: which step may be taken is decided here, and no file is touched.

use super::encoding::{HardState, Malformed, decode_entry};
use super::index::EntryIndex;
use super::tail::Tail;
use super::types::{Entry, LogId, Vote};
use crate::error::{Code, Error, Result};
use crate::log::{Frame, FrameKind, FramePlace, frame_bytes};

/// What is written of a group.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub hard: HardState,
    /// The segment of the newest frame of kind State.
    pub state_generation: Option<u64>,
    pub index: EntryIndex,
    pub tail: Tail,
}

impl GroupState {
    /// The newest entry, or what was purged last if there is none.
    pub fn last(&self) -> Option<LogId> {
        self.index.last().or(self.hard.purged)
    }

    /// Refuses entries that do not follow the last one, or each other.
    pub fn check_append(&self, entries: &[Entry]) -> Result<()> {
        let mut last = self.last();
        for entry in entries {
            let id = entry.log_id;
            let follows = last.is_none_or(|last| {
                last.index.checked_add(1) == Some(id.index) && id.leader_id >= last.leader_id
            });
            if !follows || id.index == u64::MAX {
                return Err(broken(format!("entry {id} does not follow {last:?}")));
            }
            last = Some(id);
        }
        Ok(())
    }

    /// The index from which on entries are void after a truncation behind `last`; `None` if that is
    /// nothing. What is committed is not truncated.
    pub fn truncation(&self, last: Option<LogId>) -> Result<Option<u64>> {
        let first_void = last.map_or(0, |last| last.index.saturating_add(1));
        if self.hard.committed.is_some_and(|committed| committed.index >= first_void) {
            return Err(broken(format!("entry {first_void} is committed and cannot be truncated")));
        }
        let past = self.index.is_empty() || first_void >= self.index.end_index();
        Ok((!past).then_some(first_void.max(self.index.first_index())))
    }

    /// Refuses a vote that takes back what was promised.
    pub fn check_vote(&self, vote: &Vote) -> Result<()> {
        match self.hard.vote {
            Some(promised) if *vote < promised => {
                Err(broken(format!("vote {vote} would take back {promised}")))
            }
            _ => Ok(()),
        }
    }

    /// Takes in a written entry.
    pub fn push(&mut self, entry: Entry, place: FramePlace) {
        self.index.push(entry.log_id, place);
        self.tail.push(entry);
    }

    /// Takes in a truncation.
    pub fn truncate(&mut self, first_void: u64) {
        self.index.truncate(first_void);
        self.tail.truncate(first_void);
    }

    /// Takes in a purge.
    pub fn purge(&mut self, id: LogId) {
        self.hard.purged = Some(id);
        self.index.purge(id.index);
        self.tail.purge(id.index);
    }

    /// Takes in a frame of an earlier run; returns the oldest segment that was needed when it was
    /// written, if it says.
    pub fn replay(&mut self, frame: &Frame) -> Result<Option<u64>, Malformed> {
        let corrupt = |what: String| Err((Code::Corrupt, what));
        match frame.kind {
            FrameKind::Entry => {
                let id = decode_entry(frame)?.log_id;
                let expected = (!self.index.is_empty()).then(|| self.index.end_index());
                if expected.is_some_and(|expected| expected != id.index) || id.index == u64::MAX {
                    return corrupt(format!("entry {id} does not follow {:?}", self.index.last()));
                }
                let bytes = frame_bytes(frame.request_id.len(), frame.payload.len());
                let place = FramePlace { start: frame.start(), bytes: bytes as u32 };
                self.index.push(id, place);
            }
            FrameKind::Truncate => {
                let Ok(payload) = frame.payload[..].try_into() else {
                    return corrupt("a truncation without an index".into());
                };
                self.index.truncate(u64::from_le_bytes(payload));
            }
            FrameKind::State => {
                let (hard, oldest) = HardState::decode(&frame.payload)?;
                if let Some(purged) = hard.purged {
                    self.index.purge(purged.index);
                }
                self.hard = hard;
                self.state_generation = Some(frame.position.generation);
                return Ok(Some(oldest));
            }
            FrameKind::End | FrameKind::Close => {}
        }
        Ok(None)
    }

    /// Says what is missing of the group after all frames were taken in: nothing, if its entries
    /// begin right behind what was purged.
    pub fn missing(&self) -> Option<String> {
        let purged = self.hard.purged?;
        let first_due = purged.index.checked_add(1);
        let gap = !self.index.is_empty() && Some(self.index.first_index()) != first_due;
        gap.then(|| {
            let first = self.index.first_index();
            format!("the entries between {} and {first} are missing", purged.index)
        })
    }
}

/// What a read takes from where.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The entries on the disk, older than those at hand.
    pub ids: Vec<LogId>,
    /// Where they lie.
    pub places: Vec<FramePlace>,
    /// The entries at hand.
    pub newest: Vec<Entry>,
}

impl GroupState {
    /// How to read the entries there are of those from `start` to before `end`: a first part of
    /// them when they are more than `bytes_max`, and at least one.
    pub fn plan(&self, (start, end): (u64, u64), bytes_max: usize) -> Plan {
        let mut plan = Plan::default();
        if self.index.is_empty() {
            return plan;
        }
        let mut bytes = 0;
        for index in start.max(self.index.first_index())..end.min(self.index.end_index()) {
            let place = self.index.place(index);
            bytes += place.bytes as usize;
            if bytes > bytes_max && !(plan.ids.is_empty() && plan.newest.is_empty()) {
                break;
            }
            match self.tail.get(index) {
                Some(entry) => plan.newest.push(entry.clone()),
                None => {
                    plan.ids.push(self.index.id(index));
                    plan.places.push(place);
                }
            }
        }
        plan
    }
}

/// What would break the log's rules: a defect of whoever asks.
fn broken(what: String) -> Error {
    Error::new(Code::Internal, format!("{what}; the Raft log refuses it"))
}
