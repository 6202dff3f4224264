//! Making the tiles of a ledger anew from its leaves, for a repair. The leaves are believed only as
//! far as the headers confirm them: a root that differs ends the repair with `corrupt`, and the old
//! files stay as they are.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::iter::LedgerIter;
use super::leaf::Slot;
use super::store::{Store, is_not_found};
use super::tiles::{LEVELS_MAX, push};
use crate::disk::VfsFile;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Error, Result};
use crate::proof::{Frontier, Hash, hash_leaf};

const WRITE_BYTES: usize = 64 << 10;

/// A tile file being written beside the old one.
struct Level {
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn VfsFile>,
    buffer: Vec<u8>,
    offset: u64,
}

impl Level {
    fn add(&mut self, hash: &Hash) -> Result<()> {
        self.buffer.write_all(hash).expect("a Vec takes all");
        if self.buffer.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.buffer, self.offset);
        written.map_err(|error| Error::storage("write", &self.temporary, error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Store {
    /// Writes every tile file anew, as the leaves up to the end say, and replaces the old ones.
    pub(super) fn rebuild_tiles(self: &Arc<Self>) -> Result<()> {
        let end = self.current().end;
        let dir = self.tiles_dir();
        if end.end_seq == 0 {
            return Ok(());
        }
        let vfs = self.pool().vfs().clone();
        let made = vfs.create_dir(&dir).and_then(|()| vfs.sync_dir(self.dir()));
        made.map_err(|error| Error::storage("create folder", &dir, error))?;
        let mut levels = Vec::new();
        let mut frontier = Frontier::new();
        let mut bytes = Vec::new();
        for leaf in LedgerIter::new(self.clone(), 0, true) {
            let leaf = leaf?;
            if let Slot::Header(header) = &leaf.slot
                && header.merkle_root != frontier.root()
            {
                let what =
                    format!("block {}: its leaves do not give the root it states", header.id);
                return Err(Error::corrupt(self.dir(), 0, what));
            }
            leaf.encode(self.collection(), &mut bytes)?;
            let mut completed = Vec::new();
            push(&mut frontier, hash_leaf(&bytes), |level, hash| completed.push((level, hash)));
            bytes.clear();
            for (level, hash) in completed {
                if levels.len() <= usize::from(level) {
                    levels.push(self.begin_level(level)?);
                }
                levels[usize::from(level)].add(&hash)?;
            }
        }
        if frontier.size() != end.end_seq {
            return Err(Error::corrupt(self.dir(), 0, "the ledger ends too early"));
        }
        for level in &mut levels {
            level.write_out()?;
            let synced = level.file.sync_data();
            synced.map_err(|error| Error::storage("sync", &level.temporary, error))?;
        }
        for level in &levels {
            self.pool().forget(&level.path);
            let renamed = vfs.rename(&level.temporary, &level.path);
            renamed.map_err(|error| Error::storage("rename", &level.path, error))?;
        }
        for level in levels.len() as u8..LEVELS_MAX {
            remove_if_there(self, &self.tile_path(level))?;
        }
        vfs.sync_dir(&dir).map_err(|error| Error::storage("sync folder", &dir, error))
    }

    fn begin_level(&self, level: u8) -> Result<Level> {
        let path = self.tile_path(level);
        let temporary = path.with_extension("new");
        remove_if_there(self, &temporary)?;
        let file = self.pool().vfs().create(&temporary, false);
        let file = file.map_err(|error| Error::storage("create", &temporary, error))?;
        let buffer = self.tile_header(level).encode().to_vec();
        debug_assert_eq!(buffer.len(), HEADER_BYTES);
        Ok(Level { path, temporary, file, buffer, offset: 0 })
    }
}

fn remove_if_there(store: &Store, path: &std::path::Path) -> Result<()> {
    store.pool().forget(path);
    match store.pool().vfs().unlink(path) {
        Ok(()) => Ok(()),
        Err(error) => {
            let error = Error::storage("remove", path, error);
            if is_not_found(&error) { Ok(()) } else { Err(error) }
        }
    }
}
