//! Reading many leaves that lie near each other, for scans that look up records in the order of
//! their place: block head and frames are held from read to read, so that leaves of one frame cost
//! one look into the cache together.

use std::sync::Arc;

use bytes::Bytes;

use super::block::{BlockHead, FrameKind, FrameRef};
use super::footer::Wanted;
use super::leaf::StoredLeaf;
use super::locate::Place;
use super::store::Store;
use super::view::View;
use crate::error::{Code, Result};

/// A reader with a memory of one block. Sees the ledger as it was when first used.
#[derive(Debug)]
pub struct LedgerReader {
    store: Arc<Store>,
    view: Option<Arc<View>>,
    block: Option<(BlockHead, Place)>,
    frames: [Option<(FrameRef, Bytes)>; 2],
}

impl LedgerReader {
    pub(super) fn new(store: Arc<Store>) -> LedgerReader {
        LedgerReader { store, view: None, block: None, frames: [None, None] }
    }

    /// The leaf at `seq`, as [`super::Ledger::read`] gives it.
    pub fn read(&mut self, seq: u64) -> Result<Option<StoredLeaf>> {
        self.read_with(seq, true)
    }

    /// The leaf at `seq` without its body, as [`super::Ledger::read_leaf`] gives it.
    pub fn read_leaf(&mut self, seq: u64) -> Result<Option<StoredLeaf>> {
        self.read_with(seq, false)
    }

    fn read_with(&mut self, seq: u64, with_body: bool) -> Result<Option<StoredLeaf>> {
        loop {
            let (end_seq, epoch) = match &self.view {
                Some(view) => (view.end.end_seq, view.epoch),
                None => {
                    self.view = Some(self.store.loaded()?);
                    continue;
                }
            };
            if seq >= end_seq {
                return Ok(None);
            }
            match self.read_in(seq, with_body) {
                // The files were replaced meanwhile: the leaf is in the new ones.
                Err(error)
                    if error.code() == Code::Corrupt && self.store.current().epoch != epoch =>
                {
                    *self = LedgerReader::new(self.store.clone());
                }
                result => return result.map(Some),
            }
        }
    }

    fn read_in(&mut self, seq: u64, with_body: bool) -> Result<StoredLeaf> {
        let holds =
            |(head, _): &&(BlockHead, Place)| head.first_seq() <= seq && seq < head.end_seq();
        if self.block.as_ref().filter(holds).is_none() {
            self.frames = [None, None];
            let view = self.view.as_ref().expect("loaded by the caller");
            self.block = Some(self.store.find(view, Wanted::Seq(seq))?);
        }
        let (head, place) = self.block.as_ref().expect("filled above");
        let leaf = seq - head.first_seq();
        if leaf == head.count() {
            return Ok(StoredLeaf::of_header(head.header()));
        }
        let (store, [leaves, bodies]) = (&self.store, &mut self.frames);
        let (frame, raw) = held(leaves, store, head, *place, FrameKind::Leaves, leaf)?;
        let mut stored = store.leaf_in(raw, frame, *place, seq, leaf)?;
        if with_body {
            let (frame, raw) = held(bodies, store, head, *place, FrameKind::Bodies, leaf)?;
            stored.slot = store.slot_in(raw, frame, *place, &stored, leaf)?;
        }
        Ok(stored)
    }
}

/// The frame of `kind` that holds leaf `leaf` of the block: the one held, or a new one.
fn held<'h>(
    frame_held: &'h mut Option<(FrameRef, Bytes)>,
    store: &Store,
    head: &BlockHead,
    place: Place,
    kind: FrameKind,
    leaf: u64,
) -> Result<&'h (FrameRef, Bytes)> {
    if frame_held.as_ref().is_none_or(|(frame, _)| !frame.holds(leaf)) {
        let frame = head.frame_of(kind, leaf);
        let raw = store.frame(place, &frame)?;
        *frame_held = Some((frame, raw));
    }
    Ok(frame_held.as_ref().expect("filled above"))
}
