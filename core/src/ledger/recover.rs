//! What opening does to a ledger's files. A writer cuts everything above the durable end, because
//! the log will bring it again; a reader beside a writer follows the blocks beyond the end it
//! knows, and writes nothing.

use super::append::finished;
use super::block::BlockHead;
use super::inspect::inspect;
use super::locate::{purged_trailer, read_trailer};
use super::position::LedgerPosition;
use super::seal::load_frontier;
use super::store::{Store, is_not_found};
use super::tiles::{self, LEVELS_MAX, file_bytes, hashes_at};
use super::view::View;
use super::window::{STREAM_BYTES, Window};
use crate::disk::header::HEADER_BYTES;
use crate::disk::{Access, DirEntry};
use crate::error::{Code, Error, Result};
use crate::proof::{Frontier, Hash};

/// The number in the name of a segment file.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("blockchain_")?.strip_suffix(".dat")?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (format!("{number:06}") == digits).then_some(number)
}

/// The level in the name of a tile file.
pub(super) fn tile_level(name: &str) -> Option<u8> {
    let digits = name.strip_suffix(".dat")?;
    let level: u8 = digits.parse().ok().filter(|level| *level < LEVELS_MAX)?;
    (level.to_string() == digits).then_some(level)
}

/// The name of the file a purge writes before it replaces segment `number`.
pub(super) fn purge_name(number: u32) -> String {
    format!("blockchain_{number:06}.dat.tmp")
}

impl Store {
    /// Removes everything above the end from segments and tiles; returns how many bytes. `entries`
    /// are those of the folder.
    pub fn cut(&self, entries: &[DirEntry]) -> Result<u64> {
        let mut appender = self.lock();
        let mut end = self.current().end;
        appender.dirty.dir = true;
        let bytes = self.cut_above(&mut end, entries)?;
        self.restart(end, &mut appender);
        Ok(bytes)
    }

    /// Cuts the files at `end`; the caller holds the appender.
    pub fn cut_above(&self, end: &mut LedgerPosition, entries: &[DirEntry]) -> Result<u64> {
        Ok(self.cut_segments(end, entries)? + self.cut_tiles(end)?)
    }

    fn cut_segments(&self, end: &mut LedgerPosition, entries: &[DirEntry]) -> Result<u64> {
        let (mut bytes, mut found) = (0, 0);
        for DirEntry { name, .. } in entries.iter().filter(|entry| !entry.is_dir) {
            let is_left =
                name.strip_suffix(".tmp").is_some_and(|name| segment_number(name).is_some());
            match segment_number(name) {
                Some(number) if number > end.segment => bytes += self.remove(name)?,
                Some(_) => found += 1,
                None if is_left => bytes += self.remove(name)?,
                None => {}
            }
        }
        if found < end.segment {
            let what = format!("{} of {} segments are missing", end.segment - found, end.segment);
            return Err(Error::corrupt(self.dir(), 0, what));
        }
        match end.segment {
            0 => Ok(bytes),
            number => Ok(bytes + self.cut_segment(number, end)?),
        }
    }

    /// Cuts the last segment, unless a purge has finished it at this very block.
    fn cut_segment(&self, number: u32, end: &mut LedgerPosition) -> Result<u64> {
        let mut window = self.window(number, STREAM_BYTES)?;
        if let Some(trailer) = purged_trailer(&mut window, end)? {
            end.offset = trailer.footer_offset;
            return Ok(0);
        }
        self.cut_file(&self.segment_path(number), end.offset)
    }

    fn cut_tiles(&self, end: &LedgerPosition) -> Result<u64> {
        let dir = self.tiles_dir();
        let names = match self.names(&dir) {
            Err(error) if is_not_found(&error) => Vec::new(),
            result => result?,
        };
        let mut bytes = 0;
        for level in names.iter().filter_map(|name| tile_level(name)) {
            if file_bytes(level, end.end_seq).is_none() {
                bytes += self.remove(&format!("tiles/{level}.dat"))?;
            }
        }
        for level in 0..LEVELS_MAX {
            if let Some(size) = file_bytes(level, end.end_seq) {
                bytes += self.cut_file(&self.tile_path(level), size)?;
            }
        }
        Ok(bytes)
    }

    fn cut_file(&self, path: &std::path::Path, size: u64) -> Result<u64> {
        let found = self.existing(path)?;
        let found = found.size().map_err(|error| Error::storage("size", path, error))?;
        if found < size {
            let what = format!("the file ends before the restart point's {size} bytes");
            return Err(Error::corrupt(path, found, what));
        }
        if found > size {
            let file = self.pool().get(path, Access::ReadWrite)?;
            file.set_len(size).map_err(|error| Error::storage("truncate", path, error))?;
        }
        Ok(found - size)
    }

    fn remove(&self, name: &str) -> Result<u64> {
        let path = self.dir().join(name);
        let file = self.pool().get(&path, Access::Read)?;
        let bytes = file.size().map_err(|error| Error::storage("size", &path, error))?;
        drop(file);
        self.pool().forget(&path);
        let removed = self.pool().vfs().unlink(&path);
        removed.map_err(|error| Error::storage("unlink", &path, error))?;
        Ok(bytes)
    }

    /// What lies in `dir`.
    pub fn list(&self, dir: &std::path::Path) -> Result<Vec<DirEntry>> {
        let entries = self.pool().vfs().list(dir);
        entries.map_err(|error| Error::storage("list", dir, error))
    }

    /// The names of the files in `dir`.
    pub fn names(&self, dir: &std::path::Path) -> Result<Vec<String>> {
        let files = self.list(dir)?.into_iter().filter(|entry| !entry.is_dir);
        Ok(files.map(|entry| entry.name).collect())
    }

    /// Moves the end over every whole block that follows it on disk; returns how many leaves that
    /// gave. A block counts as whole if its frames, its place in the chain, its leaves, the root
    /// in its header and its tiles all agree.
    pub fn extend(&self) -> Result<u64> {
        self.loaded()?;
        let mut appender = self.lock();
        self.load_tail(&mut appender)?;
        let start = self.current();
        let mut view = View::clone(&start);
        let mut frontier = load_frontier(self, &view.end)?;
        loop {
            let step = self.follow(&mut view, &mut frontier);
            match step {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.code() == Code::Corrupt => break,
                Err(error) => return Err(error),
            }
        }
        let leaves = view.end.end_seq - start.end.end_seq;
        if leaves > 0 {
            self.publish(view, &mut appender);
        }
        Ok(leaves)
    }

    /// Takes one more block into `view`; false or `corrupt` if there is no whole one.
    fn follow(&self, view: &mut View, frontier: &mut Frontier) -> Result<bool> {
        let mut next = view.clone();
        if next.tail.is_some() {
            let mut window = self.window(view.end.segment, STREAM_BYTES)?;
            match window.head(view.end.offset, window.file_bytes()) {
                Ok(head) => return self.take(view, next, &mut window, head, frontier),
                Err(error) if error.code() == Code::Corrupt => {}
                Err(error) => return Err(error),
            }
            let trailer = read_trailer(&mut window)?;
            if trailer.is_none_or(|trailer| trailer.footer_offset != view.end.offset) {
                return Ok(false);
            }
            let (segment, _) = finished(&next)?;
            next.finish(segment);
        }
        let number = next.segment_count() + 1;
        next.begin(number, self.cache().new_file_id());
        let mut window = self.window(number, STREAM_BYTES)?;
        let head = window.head(HEADER_BYTES as u64, window.file_bytes())?;
        self.take(view, next, &mut window, head, frontier)
    }

    /// Judges the block at the end of `next`, and if it is whole makes `next` the view.
    fn take(
        &self,
        view: &mut View,
        mut next: View,
        window: &mut Window,
        head: BlockHead,
        frontier: &mut Frontier,
    ) -> Result<bool> {
        let (end, header) = (&next.end, head.header());
        let chained = (header.id, header.first_seq, header.previous_hash)
            == (end.blocks, end.end_seq, end.head)
            && head.hash() == header.hash(self.collection(), header.first_seq + header.count);
        if !chained {
            return Ok(false);
        }
        let found = inspect(window, end.offset, &head, self.collection());
        let Some(hashes) = found.whole_hashes().filter(|_| found.faults.is_empty()) else {
            return Ok(false);
        };
        let mut above = vec![Vec::new(); usize::from(LEVELS_MAX)];
        let mut grown = frontier.clone();
        for hash in &hashes {
            tiles::push(&mut grown, *hash, |level, hash| above[usize::from(level)].push(hash));
        }
        if grown.root() != header.merkle_root {
            return Ok(false);
        }
        let complete = |level: u8, hash| above[usize::from(level)].push(hash);
        tiles::push(&mut grown, head.hash(), complete);
        if !self.tiles_agree(header.first_seq, &above)? {
            return Ok(false);
        }
        next.advance(head.end_seq(), head.hash(), head.block_bytes(), &found.tally);
        *view = next;
        *frontier = grown;
        Ok(true)
    }

    fn tiles_agree(&self, first_seq: u64, above: &[Vec<Hash>]) -> Result<bool> {
        for (level, hashes) in above.iter().enumerate() {
            let first = hashes_at(level as u8, first_seq);
            let found = self.read_tile_hashes(level as u8, first, hashes.len() as u64)?;
            if found != *hashes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
