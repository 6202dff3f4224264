//! Reading a ledger in sequence, block by block, past the cache: for backups, change feeds,
//! rebuilding tables and catching up. Ends where the ledger ended when the iterator was made.

use std::sync::Arc;

use bytes::Bytes;

use super::block::{BlockHead, FrameKind, FrameRef};
use super::footer::Wanted;
use super::frame::{read_leaf, read_slot};
use super::leaf::StoredLeaf;
use super::store::{Store, slot_fits};
use super::view::View;
use super::window::{STREAM_BYTES, Window};
use crate::disk::header::HEADER_BYTES;
use crate::error::{Error, Result};

/// Leaves in sequence order, header leaves included. After an error it yields nothing more.
#[derive(Debug)]
pub struct LedgerIter {
    store: Arc<Store>,
    view: Option<Arc<View>>,
    seq: u64,
    with_bodies: bool,
    block: Option<OpenBlock>,
}

/// The block being read: leaf frames and body frames advance side by side.
#[derive(Debug)]
struct OpenBlock {
    number: u32,
    offset: u64,
    head: BlockHead,
    /// Leaf and body frames each have a window: they lie apart. That of bodies reads nothing
    /// unless they are asked for.
    windows: [Window; 2],
    frames: [Option<(FrameRef, Bytes)>; 2],
}

impl LedgerIter {
    pub(super) fn new(store: Arc<Store>, from_seq: u64, with_bodies: bool) -> LedgerIter {
        LedgerIter { store, view: None, seq: from_seq, with_bodies, block: None }
    }

    fn step(&mut self) -> Result<Option<StoredLeaf>> {
        let view = match &self.view {
            Some(view) => view.clone(),
            None => self.view.insert(self.store.loaded()?).clone(),
        };
        if self.seq >= view.end.end_seq {
            return Ok(None);
        }
        let block = match self.block.take() {
            Some(block) if self.seq < block.head.end_seq() => block,
            Some(block) => block.next(&self.store, &view)?,
            None => OpenBlock::find(&self.store, &view, self.seq)?,
        };
        let leaf = self.block.insert(block).leaf(self.seq, self.with_bodies)?;
        self.seq += 1;
        Ok(Some(leaf))
    }
}

impl Iterator for LedgerIter {
    type Item = Result<StoredLeaf>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.seq = u64::MAX;
        }
        step.transpose()
    }
}

impl OpenBlock {
    fn find(store: &Store, view: &View, seq: u64) -> Result<OpenBlock> {
        let (head, place) = store.find(view, Wanted::Seq(seq))?;
        let (number, offset) = (place.number, place.offset);
        let windows = store.window(number, STREAM_BYTES)?.twice();
        Ok(OpenBlock { number, offset, head, windows, frames: [None, None] })
    }

    fn next(self, store: &Store, view: &View) -> Result<OpenBlock> {
        let OpenBlock { mut number, mut offset, head, mut windows, .. } = self;
        let expected = (head.id() + 1, head.end_seq());
        offset += head.block_bytes();
        let mut limit = limit(store, view, number)?;
        if offset >= limit {
            number += 1;
            offset = HEADER_BYTES as u64;
            limit = self::limit(store, view, number)?;
            windows = store.window(number, STREAM_BYTES)?.twice();
        }
        let head = windows[0].head(offset, limit)?;
        if (head.id(), head.first_seq()) != expected {
            let path = store.segment_path(number);
            return Err(Error::corrupt(&path, offset, "the block does not follow the last"));
        }
        Ok(OpenBlock { number, offset, head, windows, frames: [None, None] })
    }

    fn leaf(&mut self, seq: u64, with_body: bool) -> Result<StoredLeaf> {
        let leaf = seq - self.head.first_seq();
        if leaf == self.head.count() {
            return Ok(StoredLeaf::of_header(self.head.header()));
        }
        let (frame, raw) = self.frame(FrameKind::Leaves, leaf)?;
        let mut stored = read_leaf(raw, frame.count, (leaf - frame.first_leaf) as usize, seq);
        if let Some(stored) = stored.as_mut().filter(|_| with_body) {
            let (frame, raw) = self.frame(FrameKind::Bodies, leaf)?;
            let slot = read_slot(raw, frame.count, (leaf - frame.first_leaf) as usize)
                .filter(|slot| slot_fits(slot, stored.body_len));
            stored.slot = match slot {
                Some(slot) => slot,
                None => return Err(self.malformed(FrameKind::Bodies, leaf)),
            };
        }
        stored.ok_or_else(|| self.malformed(FrameKind::Leaves, leaf))
    }

    fn malformed(&self, kind: FrameKind, leaf: u64) -> Error {
        let offset = self.offset + self.head.frame_of(kind, leaf).offset;
        Error::corrupt(self.windows[0].path(), offset, "the frame's content is malformed")
    }

    fn frame(&mut self, kind: FrameKind, leaf: u64) -> Result<&(FrameRef, Bytes)> {
        let held = &mut self.frames[kind as usize];
        if held.as_ref().is_none_or(|(frame, _)| !frame.holds(leaf)) {
            let frame = self.head.frame_of(kind, leaf);
            let raw = self.windows[kind as usize].frame(self.offset, &frame)?;
            *held = Some((frame, raw));
        }
        Ok(held.as_ref().expect("filled above"))
    }
}

/// Where the blocks of segment `number` end.
fn limit(store: &Store, view: &View, number: u32) -> Result<u64> {
    match (number as usize).checked_sub(1) {
        Some(place) if place < view.finished.len() => {
            Ok(store.segment(view, place)?.trailer.footer_offset)
        }
        _ => Ok(view.end.offset),
    }
}
