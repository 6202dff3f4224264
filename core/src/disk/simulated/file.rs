//! One simulated file: what processes see, what the medium holds, and the changes between the two
//! in their order. Syncs of the recent past are kept as well, for the disk that lied about them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::content::Content;

/// Syncs that a lying disk may have skipped.
const LIES_MAX: usize = 8;

/// One change of a file, numbered among all changes of the disk.
#[derive(Clone)]
pub(super) struct FileOp {
    pub seq: u64,
    pub change: Change,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Resize { len: u64 },
}

impl Change {
    pub fn apply(&self, content: &mut Content) {
        match self {
            Change::Write { offset, bytes } => content.write(*offset, bytes),
            Change::Resize { len } => content.cut(*len),
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    /// The page cache: every write so far.
    pub now: Content,
    /// The medium: every write that a sync covered.
    pub durable: Content,
    /// Changes since the last sync.
    pub pending: Vec<FileOp>,
    /// The medium before the syncs in `synced`.
    older: Content,
    synced: VecDeque<Vec<FileOp>>,
    /// Open handles: a file without a name lives as long as they do.
    pub handles: u32,
}

impl FileNode {
    /// A file whose bytes are all on the medium.
    pub fn settled(content: Content) -> Self {
        FileNode {
            now: content.clone(),
            durable: content.clone(),
            older: content,
            ..FileNode::default()
        }
    }

    pub fn change(&mut self, seq: u64, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(FileOp { seq, change });
    }

    pub fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.pending);
        group.iter().for_each(|op| op.change.apply(&mut self.durable));
        self.synced.push_back(group);
        if self.synced.len() > LIES_MAX
            && let Some(group) = self.synced.pop_front()
        {
            group.iter().for_each(|op| op.change.apply(&mut self.older));
        }
    }

    /// A failed sync whose pages the system marked clean: nobody will ever write them.
    pub fn lose_pending(&mut self) {
        self.pending.clear();
    }

    /// Changes one stored byte everywhere, beside the file system.
    pub fn corrupt(&mut self, offset: u64, mask: u8) {
        for content in [&mut self.now, &mut self.durable, &mut self.older] {
            let mut byte = [0];
            content.peek(offset, &mut byte);
            if offset < content.len() {
                content.put(offset, &[byte[0] ^ mask]);
            }
        }
    }

    pub fn lies_possible(&self) -> usize {
        self.synced.len()
    }

    /// The medium as if the last `count` syncs had done nothing, and all changes since.
    pub fn before_lies(&self, count: usize) -> (Content, Vec<&FileOp>) {
        let honest = self.synced.len().saturating_sub(count);
        let mut content = self.older.clone();
        for op in self.synced.iter().take(honest).flatten() {
            op.change.apply(&mut content);
        }
        let ops = self.synced.iter().skip(honest).flatten().chain(&self.pending).collect();
        (content, ops)
    }
}
