//! Erasing the bodies of a dropped collection. Each segment is written anew with every slot erased:
//! the commitment stays, salt and body go, leaf frames are copied as they are, so that every leaf,
//! root and proof stays valid. The new file replaces the old by a rename; a crash leaves whole old
//! and whole new segments, and the next purge continues.
//!
//! The last segment is finished by a purge whether full or not: its trailer says `purged`, and an
//! older restart point is recognised by the sequence number and head it ends with.
//!
//! A block is hashed again and compared with the tiles before its bodies go: a purge must not turn
//! damaged bodies into commitments that nobody can judge.

use std::io;
use std::sync::{Arc, OnceLock};

use super::append::Appender;
use super::block::{BlockBuilder, BlockHead, FrameKind, SlotRef};
use super::footer::{IndexEntry, SparseIndex, Trailer};
use super::inspect::inspect;
use super::locate::read_trailer;
use super::recover::purge_name;
use super::store::Store;
use super::view::{Segment, View};
use super::window::{STREAM_BYTES, Window};
use crate::disk::VfsFile;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Error, Result};

impl Store {
    /// Erases all bodies; readers go on meanwhile.
    pub fn purge(&self) -> Result<()> {
        let mut appender = self.lock();
        self.load_tail(&mut appender)?;
        for number in 1..=self.current().segment_count() {
            self.purge_segment(number, &mut appender)?;
        }
        Ok(())
    }

    fn purge_segment(&self, number: u32, appender: &mut Appender) -> Result<()> {
        let mut view = View::clone(&self.current());
        let mut window = self.window(number, STREAM_BYTES)?;
        let place = number as usize - 1;
        let limit = match place < view.finished.len() {
            true => self.segment(&view, place)?.trailer.footer_offset,
            false => view.end.offset,
        };
        if read_trailer(&mut window)?.is_some_and(|trailer| trailer.purged) {
            return Ok(());
        }
        let path = self.segment_path(number);
        let temporary = self.dir().join(purge_name(number));
        let trailer = self.write_purged(&mut window, number, limit, &temporary)?;
        // A reader may open the old file again in between; the second `forget` closes that one.
        self.pool().forget(&path);
        let renamed = self.pool().vfs().rename(&temporary, &path);
        renamed.map_err(|error| Error::storage("rename", &path, error))?;
        self.pool().forget(&path);
        self.sync_dir(self.dir())?;
        let segment = Segment::new(number, self.cache().new_file_id(), trailer);
        match place < view.finished.len() {
            true => {
                let mut finished = view.finished.to_vec();
                finished[place] = OnceLock::from(Arc::new(segment));
                view.finished = Arc::new(finished);
            }
            false => view.adopt(segment),
        }
        view.epoch += 1;
        view.rows_id = self.cache().new_file_id();
        self.publish(view, appender);
        Ok(())
    }

    /// Writes and syncs the erased twin of a segment whose blocks end at `limit`.
    fn write_purged(
        &self,
        window: &mut Window,
        number: u32,
        limit: u64,
        temporary: &std::path::Path,
    ) -> Result<Trailer> {
        let failed = |error: io::Error| Error::storage("write", temporary, error);
        match self.pool().vfs().unlink(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let file: Arc<dyn VfsFile> = self.pool().vfs().create(temporary, false).map_err(failed)?;
        file.write_all_at(&self.segment_header(number).encode(), 0).map_err(failed)?;
        let (mut offset, mut target) = (HEADER_BYTES as u64, HEADER_BYTES as u64);
        let mut index = SparseIndex::default();
        let mut last = None::<BlockHead>;
        let mut blocks = 0;
        let mut builder = BlockBuilder::default();
        while offset < limit {
            let head = window.head(offset, limit)?;
            let bytes = self.erased_block(window, offset, &head, &mut builder)?;
            file.write_all_at(&bytes, target).map_err(failed)?;
            let (first_seq, block) = (head.first_seq(), head.id());
            index.note(IndexEntry { first_seq, block, offset: target });
            offset += head.block_bytes();
            target += bytes.len() as u64;
            blocks += 1;
            last = Some(head);
        }
        let (Some(first), Some(last)) = (index.first(), last) else {
            return Err(Error::corrupt(window.path(), offset, "the segment has no block"));
        };
        let trailer = Trailer {
            footer_offset: target,
            entries: index.len(),
            first_block: first.block,
            blocks,
            first_seq: first.first_seq,
            end_seq: last.end_seq(),
            head: last.hash(),
            purged: true,
        };
        file.write_all_at(&index.footer(&trailer), target).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        Ok(trailer)
    }

    fn erased_block(
        &self,
        window: &mut Window,
        offset: u64,
        head: &BlockHead,
        builder: &mut BlockBuilder,
    ) -> Result<Vec<u8>> {
        let found = inspect(window, offset, head, self.collection());
        if let Some(fault) = found.faults.first() {
            return Err(Error::corrupt(window.path(), fault.offset, fault.what.clone()));
        }
        let tiles = self.read_tile_hashes(0, head.first_seq(), head.count())?;
        if found.whole_hashes() != Some(tiles) {
            let what = "the block's leaves differ from the tree; its bodies are kept";
            return Err(Error::corrupt(window.path(), offset, what));
        }
        for index in 0..head.frame_count(FrameKind::Leaves) {
            let frame = head.frame(FrameKind::Leaves, index);
            builder.push_stored_leaves(&frame, window.stored(offset, &frame)?);
        }
        let options = self.options();
        for leaf in &found.leaves {
            let commitment = leaf.commitment().unwrap_or_default();
            let slot = SlotRef::Erased(&commitment);
            builder.push_slot(slot, options.frame_bytes, options.compression);
        }
        builder.finish(&head.header(), &head.hash(), head.raw_bytes(), options.compression)
    }
}
