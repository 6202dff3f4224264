//! The read side of a ledger: which segments there are, where a block lies in them, and the way of
//! a read through the block cache. Readers never wait: they load one immutable [`View`] and work on
//! it. Whoever changes the files (append, cut, extension, purge) holds the appender's mutex and
//! publishes a new view at the end.
//!
//! Nothing is read before it is needed. A finished segment is known by its trailer, looked up while
//! searching; the unfinished one by walking its block heads once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::LedgerOptions;
use super::append::Appender;
use super::block::{BlockHead, FrameKind, FrameRef};
use super::footer::{
    IndexEntry, SparseIndex, TRAILER_BYTES, Trailer, Wanted, find_entry, find_page, page_is_whole,
};
use super::frame::{read_leaf, read_slot};
use super::leaf::{Slot, StoredLeaf};
use super::position::LedgerPosition;
use super::row;
use super::view::{Segment, View};
use super::window::{HOP_BYTES, Window, check_frame};
use crate::disk::compression::Compression;
use crate::disk::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::disk::pool::FilePool;
use crate::disk::{Access, VfsFile};
use crate::error::{Code, Error, Result};
use crate::table::cache::BlockCache;

/// Where a block lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub number: u32,
    pub file_id: u64,
    pub offset: u64,
    /// Where the segment's blocks end.
    pub limit: u64,
}

/// The files of one ledger.
#[derive(Debug)]
pub(super) struct Store {
    pool: Arc<FilePool>,
    cache: Arc<BlockCache>,
    dir: PathBuf,
    collection: [u8; 16],
    options: LedgerOptions,
    compression: AtomicU8,
    view: ArcSwap<View>,
    tiles_file_id: AtomicU64,
    appender: Mutex<Appender>,
}

impl Store {
    pub fn new(
        pool: Arc<FilePool>,
        cache: Arc<BlockCache>,
        dir: PathBuf,
        collection: [u8; 16],
        options: LedgerOptions,
        position: LedgerPosition,
    ) -> Store {
        let view = View::at(position, &cache, 0);
        let tiles_file_id = AtomicU64::new(cache.new_file_id());
        let (view, appender) = (ArcSwap::from_pointee(view), Mutex::default());
        let compression = AtomicU8::new(options.compression as u8);
        Store { pool, cache, dir, collection, options, compression, view, tiles_file_id, appender }
    }

    pub fn pool(&self) -> &FilePool {
        &self.pool
    }

    pub fn cache(&self) -> &BlockCache {
        &self.cache
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn tiles_dir(&self) -> PathBuf {
        self.dir.join("tiles")
    }

    pub fn collection(&self) -> [u8; 16] {
        self.collection
    }

    /// The options in force now.
    pub fn options(&self) -> LedgerOptions {
        let number = self.compression.load(Ordering::Relaxed);
        let compression = Compression::from_number(number).unwrap_or(self.options.compression);
        LedgerOptions { compression, ..self.options.clone() }
    }

    /// Compresses frames written from now on in this way.
    pub fn set_compression(&self, compression: Compression) {
        self.compression.store(compression as u8, Ordering::Relaxed);
    }

    pub fn tiles_file_id(&self) -> u64 {
        self.tiles_file_id.load(Ordering::Acquire)
    }

    /// The mutex of everybody who changes files or publishes views.
    pub fn lock(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock()
    }

    /// The view of this moment; the tail may not be loaded yet.
    pub fn current(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Publishes `view`; the caller holds the appender.
    pub fn publish(&self, view: View, _appender: &mut Appender) {
        self.view.store(Arc::new(view));
    }

    /// Starts over at `position`, forgetting what was known of the files.
    pub fn restart(&self, position: LedgerPosition, appender: &mut Appender) {
        let epoch = self.current().epoch + 1;
        self.tiles_file_id.store(self.cache.new_file_id(), Ordering::Release);
        self.publish(View::at(position, &self.cache, epoch), appender);
    }

    /// Drops what was loaded of the segments.
    pub fn forget_indexes(&self, appender: &mut Appender) {
        let mut view = View::clone(&self.current());
        view.forget_indexes();
        self.publish(view, appender);
    }

    pub fn segment_path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("blockchain_{number:06}.dat"))
    }

    pub fn segment_header(&self, number: u32) -> FileHeader {
        FileHeader { kind: FileKind::LedgerSegment, owner: self.collection, number }
    }

    /// A file that must exist, for reading; a missing one is `corrupt`.
    pub fn existing(&self, path: &Path) -> Result<Arc<dyn VfsFile>> {
        self.pool.get(path, Access::Read).map_err(|error| match is_not_found(&error) {
            true => Error::corrupt(path, 0, "the file is missing"),
            false => error,
        })
    }

    /// A window on segment `number` after a check of its file header.
    pub fn window(&self, number: u32, read_bytes: usize) -> Result<Window> {
        let path = self.segment_path(number);
        let file = self.existing(&path)?;
        self.segment_header(number).read(file.as_ref(), &path)?;
        Window::new(file, path, read_bytes)
    }

    /// The view of this moment with the tail's index.
    pub fn loaded(&self) -> Result<Arc<View>> {
        loop {
            let view = self.current();
            if view.is_loaded() {
                return Ok(view);
            }
            self.load_tail(&mut self.lock())?;
        }
    }

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
        let file_id = self.cache.new_file_id();
        Ok(cell.get_or_init(|| Arc::new(Segment::new(number, file_id, trailer))))
    }

    /// The leaf at `seq`, or `None` beyond the end.
    pub fn read(&self, seq: u64, with_body: bool) -> Result<Option<StoredLeaf>> {
        self.retrying(|view| {
            if seq >= view.end.end_seq {
                return Ok(None);
            }
            let row_key = (view.rows_id, seq);
            if let Some(leaf) = self.cache.find(row_key).and_then(|row| row::decode(&row, seq)) {
                return Ok(Some(leaf));
            }
            let (head, place) = self.find(view, Wanted::Seq(seq))?;
            let leaf = seq - head.first_seq();
            let fetch = |kind| {
                let frame = head.frame_of(kind, leaf);
                self.frame(place, &frame).map(|raw| (frame, raw))
            };
            if leaf == head.count() {
                return Ok(Some(StoredLeaf::of_header(head.header())));
            }
            let (frame, raw) = fetch(FrameKind::Leaves)?;
            let mut stored = self.leaf_in(&raw, &frame, place, seq, leaf)?;
            if with_body {
                let (frame, raw) = fetch(FrameKind::Bodies)?;
                stored.slot = self.slot_in(&raw, &frame, place, &stored, leaf)?;
                if let Some(row) = row::encode(&stored) {
                    self.cache.insert(row_key, row);
                }
            }
            Ok(Some(stored))
        })
    }

    /// The head of the block that `wanted` names, or `None` beyond the end.
    pub fn block(&self, wanted: Wanted) -> Result<Option<BlockHead>> {
        self.retrying(|view| {
            let beyond = match wanted {
                Wanted::Seq(seq) => seq >= view.end.end_seq,
                Wanted::Block(id) => id >= view.end.blocks,
            };
            if beyond {
                return Ok(None);
            }
            self.find(view, wanted).map(|(head, _)| Some(head))
        })
    }

    /// Runs `read` on a loaded view; again if it failed on a view whose files were replaced.
    fn retrying<T>(&self, read: impl Fn(&View) -> Result<T>) -> Result<T> {
        loop {
            let view = self.view.load();
            if !view.is_loaded() {
                drop(view);
                self.loaded()?;
                continue;
            }
            match read(&view) {
                Err(error)
                    if error.code() == Code::Corrupt && self.current().epoch != view.epoch => {}
                result => return result,
            }
        }
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
            return Err(Error::corrupt(&self.dir, 0, "no segment holds the leaf"));
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

    /// The raw bytes of a frame of the block at `place`.
    pub fn frame(&self, place: Place, frame: &FrameRef) -> Result<Bytes> {
        let offset = place.offset + frame.offset;
        self.cached(place.file_id, offset, || {
            let path = self.segment_path(place.number);
            let stored = self.read_exact(&path, offset, frame.stored_bytes)?;
            check_frame(&stored, frame, &path, offset)?;
            Ok(frame.codec.decompress(&stored, frame.raw_bytes, &path, offset)?.into())
        })
    }

    fn cached(
        &self,
        file_id: u64,
        offset: u64,
        read: impl FnOnce() -> Result<Bytes>,
    ) -> Result<Bytes> {
        let key = (file_id, offset);
        if let Some(piece) = self.cache.get(key) {
            return Ok(piece);
        }
        let piece = read()?;
        self.cache.insert(key, piece.clone());
        Ok(piece)
    }

    fn read_exact(&self, path: &Path, offset: u64, size: usize) -> Result<Vec<u8>> {
        let file = self.existing(path)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(path, offset, "the segment ends too early")
            }
            _ => Error::storage("read", path, error),
        })?;
        Ok(bytes)
    }

    /// Leaf `leaf` of a block, in its raw leaf frame.
    #[inline]
    pub fn leaf_in(
        &self,
        raw: &Bytes,
        frame: &FrameRef,
        place: Place,
        seq: u64,
        leaf: u64,
    ) -> Result<StoredLeaf> {
        match read_leaf(raw, frame.count, (leaf - frame.first_leaf) as usize, seq) {
            Some(stored) => Ok(stored),
            None => Err(self.malformed(place, frame)),
        }
    }

    /// The slot of leaf `leaf` of a block, in its raw body frame.
    #[inline]
    pub fn slot_in(
        &self,
        raw: &Bytes,
        frame: &FrameRef,
        place: Place,
        stored: &StoredLeaf,
        leaf: u64,
    ) -> Result<Slot> {
        match read_slot(raw, frame.count, (leaf - frame.first_leaf) as usize) {
            Some(slot) if slot_fits(&slot, stored.body_len) => Ok(slot),
            _ => Err(self.malformed(place, frame)),
        }
    }

    #[cold]
    fn malformed(&self, place: Place, frame: &FrameRef) -> Error {
        let path = self.segment_path(place.number);
        Error::corrupt(&path, place.offset + frame.offset, "the frame's content is malformed")
    }
}

/// Whether a live body has the length its leaf states.
pub(super) fn slot_fits(slot: &Slot, body_len: u64) -> bool {
    match slot {
        Slot::Live { body, .. } => body.len() as u64 == body_len,
        _ => true,
    }
}

/// Whether `error` says that a file does not exist.
pub(super) fn is_not_found(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::NotFound)
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
