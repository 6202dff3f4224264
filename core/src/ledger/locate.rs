//! Where a block lies: the index that finds it. A finished segment has one in its footer, known by
//! its trailer and looked up while searching; the unfinished one is indexed by walking its block
//! heads once. Between two indexed blocks the heads lead on.

use std::sync::Arc;

use bytes::Bytes;

use super::append::Appender;
use super::block::BlockHead;
use super::footer::{
    IndexEntry, SparseIndex, TRAILER_BYTES, Trailer, Wanted, find_entry, find_page, page_is_whole,
};
use super::position::LedgerPosition;
use super::store::Store;
use super::view::{Segment, View};
use super::window::{HOP_BYTES, Window};
use crate::disk::header::HEADER_BYTES;
use crate::error::{Error, Result};

/// Where a block lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub number: u32,
    pub file_id: u64,
    pub offset: u64,
    /// Where the segment's blocks end.
    pub limit: u64,
}

impl Store {
    /// Walks the unfinished segment to index its blocks, unless that was done.
    pub fn load_tail(&self, appender: &mut Appender) -> Result<()> {
        let mut view = View::clone(&self.current());
        let Some(tail) = view.tail.as_mut().filter(|tail| tail.index.is_none()) else {
            return Ok(());
        };
        let (number, file_id) = (tail.number, tail.file_id);
        let mut window = self.window(number, HOP_BYTES)?;
        match purged_trailer(&mut window, &view.end)? {
            Some(trailer) => view.adopt(Segment::new(number, file_id, trailer)),
            None => tail.index = Some(walk(&mut window, &view.end)?),
        }
        self.publish(view, appender);
        Ok(())
    }

    /// Finished segment number `place + 1` of `view`.
    pub fn segment<'v>(&self, view: &'v View, place: usize) -> Result<&'v Arc<Segment>> {
        let cell = &view.finished[place];
        if let Some(segment) = cell.get() {
            return Ok(segment);
        }
        let number = place as u32 + 1;
        let mut window = self.window(number, TRAILER_BYTES)?;
        let trailer = read_trailer(&mut window)?.ok_or_else(|| {
            let at = window.file_bytes().saturating_sub(TRAILER_BYTES as u64);
            Error::corrupt(window.path(), at, "the finished segment has no valid trailer")
        })?;
        let file_id = self.cache().new_file_id();
        Ok(cell.get_or_init(|| Arc::new(Segment::new(number, file_id, trailer))))
    }

    /// Head and place of the block that `wanted`, which lies before the end, names.
    pub fn find(&self, view: &View, wanted: Wanted) -> Result<(BlockHead, Place)> {
        let mut place = self.locate(view, wanted)?;
        loop {
            let head = self.head(place)?;
            let found = match wanted {
                Wanted::Seq(seq) => seq < head.end_seq(),
                Wanted::Block(id) => id <= head.id(),
            };
            if found && wanted.reached(head.first_seq(), head.id()) {
                return Ok((head, place));
            }
            let next = place.offset + head.block_bytes();
            if found || next >= place.limit {
                let path = self.segment_path(place.number);
                return Err(Error::corrupt(&path, place.offset, "the index misses a block"));
            }
            place.offset = next;
        }
    }

    /// The last indexed block at or before the goal.
    fn locate(&self, view: &View, wanted: Wanted) -> Result<Place> {
        if let Some(tail) = &view.tail
            && let Some(entry) = tail.index.as_ref().and_then(|index| index.find(wanted))
        {
            let (number, file_id, limit) = (tail.number, tail.file_id, view.end.offset);
            return Ok(Place { number, file_id, offset: entry.offset, limit });
        }
        let (mut low, mut high) = (0, view.finished.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let trailer = &self.segment(view, middle)?.trailer;
            match wanted.reached(trailer.first_seq, trailer.first_block) {
                true => low = middle,
                false => high = middle,
            }
        }
        if view.finished.is_empty() {
            return Err(Error::corrupt(self.dir(), 0, "no segment holds the leaf"));
        }
        let segment = self.segment(view, low)?;
        let entry = self.footer_entry(segment, wanted)?;
        let (number, file_id) = (segment.number, segment.file_id);
        Ok(Place { number, file_id, offset: entry.offset, limit: segment.trailer.footer_offset })
    }

    fn footer_entry(&self, segment: &Segment, wanted: Wanted) -> Result<IndexEntry> {
        let trailer = &segment.trailer;
        let missing = || {
            let path = self.segment_path(segment.number);
            Error::corrupt(&path, trailer.footer_offset, "the segment's index misses the leaf")
        };
        let entry = match trailer.root() {
            None => find_entry(self.only_page(segment)?, wanted),
            Some((offset, size)) => {
                let root = self.footer_page(segment, offset, size)?;
                let page = find_page(&root, wanted).ok_or_else(missing)?;
                let (offset, size) = trailer.page(page);
                find_entry(&self.footer_page(segment, offset, size)?, wanted)
            }
        };
        let entry = entry.ok_or_else(missing)?;
        let inside = entry.offset >= HEADER_BYTES as u64 && entry.offset < trailer.footer_offset;
        if inside { Ok(entry) } else { Err(missing()) }
    }

    fn only_page<'s>(&self, segment: &'s Segment) -> Result<&'s Bytes> {
        if let Some(page) = segment.page.get() {
            return Ok(page);
        }
        let (offset, size) = segment.trailer.page(0);
        let page = self.footer_page(segment, offset, size)?;
        Ok(segment.page.get_or_init(|| page))
    }

    fn footer_page(&self, segment: &Segment, offset: u64, size: usize) -> Result<Bytes> {
        self.cached(segment.file_id, offset, || {
            let path = self.segment_path(segment.number);
            let page = self.read_exact(&path, offset, size)?;
            match page_is_whole(&page) {
                true => Ok(page.into()),
                false => Err(Error::corrupt(&path, offset, "the index page is damaged")),
            }
        })
    }

    fn head(&self, place: Place) -> Result<BlockHead> {
        let head = self.cached(place.file_id, place.offset, || {
            let path = self.segment_path(place.number);
            let file = self.existing(&path)?;
            let mut window = Window::new(file, path, HOP_BYTES)?;
            Ok(window.head(place.offset, place.limit)?.bytes().clone())
        })?;
        Ok(BlockHead::cached(head))
    }
}

/// The trailer at the end of a segment, if there is a valid one.
pub(super) fn read_trailer(window: &mut Window) -> Result<Option<Trailer>> {
    let file_bytes = window.file_bytes();
    let Some(offset) = file_bytes.checked_sub((TRAILER_BYTES + HEADER_BYTES) as u64) else {
        return Ok(None);
    };
    let bytes = window.get(offset + HEADER_BYTES as u64, TRAILER_BYTES)?;
    Ok(bytes
        .and_then(|bytes| bytes.try_into().ok())
        .and_then(|bytes| Trailer::decode(bytes, file_bytes)))
}

/// The trailer of a last segment that a purge rewrote and finished: its bytes no longer end where
/// the position says, but at the same block.
pub(super) fn purged_trailer(window: &mut Window, end: &LedgerPosition) -> Result<Option<Trailer>> {
    let trailer = read_trailer(window)?;
    Ok(trailer.filter(|trailer| {
        trailer.purged && trailer.end_seq == end.end_seq && trailer.head == end.head
    }))
}

/// Indexes the blocks of the unfinished segment and checks that they end as `end` says.
fn walk(window: &mut Window, end: &LedgerPosition) -> Result<SparseIndex> {
    let mut index = SparseIndex::default();
    let mut offset = HEADER_BYTES as u64;
    let mut last = None::<BlockHead>;
    while offset < end.offset {
        let head = window.head(offset, end.offset)?;
        let chained = last.as_ref().is_none_or(|last| {
            head.first_seq() == last.end_seq()
                && head.id() == last.id() + 1
                && head.header().previous_hash == last.hash()
        });
        if !chained {
            return Err(Error::corrupt(
                window.path(),
                offset,
                "the block does not follow the last",
            ));
        }
        index.note(IndexEntry { first_seq: head.first_seq(), block: head.id(), offset });
        offset += head.block_bytes();
        last = Some(head);
    }
    let whole = last.is_some_and(|last| {
        last.end_seq() == end.end_seq && last.id() + 1 == end.blocks && last.hash() == end.head
    });
    match whole {
        true => Ok(index),
        false => {
            let what = "the segment's blocks are not those of the restart point";
            Err(Error::corrupt(window.path(), offset, what))
        }
    }
}
