//! The read side of a ledger: its files, the view of them that is in force, and the way of a read
//! through the block cache; `locate.rs` finds where a block lies. Readers never wait: they load one
//! immutable [`View`] and work on it. Whoever changes the files (append, cut, extension, purge) holds
//! the appender's mutex and publishes a new view at the end. Nothing is read before it is needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::LedgerOptions;
use super::append::Appender;
use super::block::{BlockHead, FrameKind, FrameRef};
use super::footer::Wanted;
use super::frame::{read_leaf, read_slot};
use super::leaf::{Slot, StoredLeaf};
use super::locate::Place;
use super::position::LedgerPosition;
use super::row;
use super::view::View;
use super::window::{Window, check_frame};
use crate::disk::compression::Compression;
use crate::disk::header::{FileHeader, FileKind};
use crate::disk::pool::FilePool;
use crate::disk::{Access, VfsFile};
use crate::error::{Code, Error, Result};
use crate::table::cache::BlockCache;

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
        let mut window = Window::new(file, path, read_bytes)?;
        window.check_header(&self.segment_header(number))?;
        Ok(window)
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

    /// The piece at `offset` of a file, from the cache or else by `read`.
    pub fn cached(
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

    /// So many bytes of a file that must have them.
    pub fn read_exact(&self, path: &Path, offset: u64, size: usize) -> Result<Vec<u8>> {
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
