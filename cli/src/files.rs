//! Files of the user: what is imported, what is exported, and, for the demonstration alone, one
//! byte of a ledger. Nothing else in this crate opens a file, and the files of a database belong
//! to the engine.
#![allow(
    clippy::disallowed_methods,
    reason = "the engine's file-system trait is for the files of a database, not for the user's"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blockdb::{Error, Result};

/// A file that is read whole, such as a schema: far more than any engine limit lets through.
const SMALL_BYTES_MAX: u64 = 16 << 20;

/// A file to read and its length; a pipe or device has length 0.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let refuse = |error: std::io::Error| {
        Error::invalid(format!("the file {} cannot be read: {error}", path.display()))
    };
    let file = File::open(path).map_err(refuse)?;
    let metadata = file.metadata().map_err(refuse)?;
    if metadata.is_dir() {
        return Err(Error::invalid(format!("{} is a folder, not a file", path.display())));
    }
    Ok((file, metadata.len()))
}

/// The whole of a small file, or of standard input for `-`.
pub fn read_small(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let refuse = |error: std::io::Error| {
        Error::invalid(format!("the file {} cannot be read: {error}", path.display()))
    };
    let mut source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(open(path)?.0),
    };
    source.by_ref().take(SMALL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refuse)?;
    match bytes.len() as u64 > SMALL_BYTES_MAX {
        true => Err(Error::too_large("the size of the file", bytes.len() as u64, SMALL_BYTES_MAX)),
        false => Ok(bytes),
    }
}

/// A file to write; what it held before is gone.
pub fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| {
        Error::invalid(format!("the file {} cannot be written: {error}", path.display()))
    })
}

/// The largest file below `dir` whose name begins with `prefix`, and its length.
pub fn largest(dir: &Path, prefix: &str) -> Result<Option<(PathBuf, u64)>> {
    let failed = |error| Error::storage("list", dir, error);
    let mut best: Option<(PathBuf, u64)> = None;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let length = entry.metadata().map_err(failed)?.len();
        let fits = entry.file_name().to_string_lossy().starts_with(prefix);
        if fits && best.as_ref().is_none_or(|(_, most)| length > *most) {
            best = Some((entry.path(), length));
        }
    }
    Ok(best)
}

/// Inverts the lowest bit of one byte; returns the byte before and after.
pub fn flip_bit(path: &Path, offset: u64) -> Result<(u8, u8)> {
    let flip = || -> std::io::Result<(u8, u8)> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut byte)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&[byte[0] ^ 1])?;
        file.sync_all()?;
        Ok((byte[0], byte[0] ^ 1))
    };
    flip().map_err(|error| Error::storage("flip a bit", path, error))
}
