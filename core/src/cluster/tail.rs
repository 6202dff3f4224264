//! The newest entries of a group in memory: those that are about to be sent to followers and
//! applied. A bounded suffix of the log; whatever is older is read from the disk.

use std::collections::VecDeque;

use openraft::entry::RaftEntry;

use super::types::{Entry, Payload};

/// What an entry takes besides its content, about.
const ENTRY_BYTES: usize = 160;

fn bytes_of(entry: &Entry) -> usize {
    let content = match &entry.payload {
        Payload::Normal(command) => command.bytes(),
        // Rare and small.
        Payload::Blank | Payload::Membership(_) => 0,
    };
    ENTRY_BYTES + content
}

/// A suffix of a log.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// Sets how much is kept.
    pub fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink();
    }

    /// Adds the next entry.
    pub fn push(&mut self, entry: Entry) {
        self.bytes += bytes_of(&entry);
        self.entries.push_back(entry);
        self.shrink();
    }

    /// Drops the entries from `index` on.
    pub fn truncate(&mut self, index: u64) {
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.index() >= index) {
            self.bytes -= bytes_of(&entry);
        }
    }

    /// Drops the entries up to `index`.
    pub fn purge(&mut self, index: u64) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.index() <= index) {
            self.bytes -= bytes_of(&entry);
        }
    }

    /// The index of the first entry here; none if there is no entry.
    pub fn first_index(&self) -> Option<u64> {
        self.entries.front().map(Entry::index)
    }

    /// The entry at `index`, if it is here.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let place = index.checked_sub(self.first_index()?)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= bytes_of(&entry);
        }
    }
}
