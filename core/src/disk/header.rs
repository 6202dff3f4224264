//! The 64 bytes every file begins with: what it is, which version wrote it, whose it is. A reader
//! that meets something newer says so and changes nothing; a file moved to another collection's
//! folder, or to another number, is recognised as foreign.
//!
//! Layout (little-endian): magic 8, kind u16, version u16, feature bits compatible u32, read-only
//! compatible u32, incompatible u32, cipher u32, key id u32, nonce epoch u64, owner 16 bytes,
//! number u32, CRC-32C of the first 60 bytes u32. Cipher, key id and nonce epoch are reserved for
//! encryption at rest and must be zero.

use std::path::Path;

use crate::disk::VfsFile;
use crate::error::{Code, Error, Result};

/// Bytes of a file header.
pub const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"BLOCKDB\0";
const VERSION: u16 = 1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum FileKind {
    /// A segment of the write-ahead log; number: low 32 bits of its generation.
    LogSegment = 1,
    /// A ledger segment; number: its position in the collection.
    LedgerSegment = 2,
    /// One level of Merkle tiles; number: the level.
    Tiles = 3,
    /// A sorted table from key to sequence number; number: its file number.
    Table = 4,
    /// The list of live tables of a collection.
    Manifest = 5,
    /// A shard's restart point; number: the shard.
    RestartPoint = 6,
    /// Counters of a shard's operations; number: the shard.
    Statistics = 7,
}

/// The identity of a file: kind, owner (collection or database id) and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file holds.
    pub kind: FileKind,
    /// The collection (or database) it belongs to.
    pub owner: [u8; 16],
    /// Its number among its siblings.
    pub number: u32,
}

impl FileHeader {
    /// The 64 bytes on disk.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        self.encode_with(0)
    }

    /// The 64 bytes on disk of a file that can only be read by who knows these `features`.
    pub fn encode_with(&self, features: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[10..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[20..24].copy_from_slice(&features.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.owner);
        bytes[56..60].copy_from_slice(&self.number.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Refuses `bytes` unless they are this very header: `corrupt` for wrong bytes or a foreign
    /// file, `unsupported` for a newer format.
    pub fn check(&self, bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<()> {
        self.check_with(0, bytes, path).map(drop)
    }

    /// [`FileHeader::check`] by a reader that knows the incompatible features `known`; returns
    /// those the file uses.
    pub fn check_with(&self, known: u32, bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<u32> {
        let sum = u32::from_le_bytes(bytes[60..].try_into().expect("four bytes"));
        if &bytes[..8] != MAGIC {
            return Err(Error::corrupt(path, 0, "not a BlockDB file: wrong magic"));
        }
        if crc32c::crc32c(&bytes[..60]) != sum {
            return Err(Error::corrupt(path, 60, "file header does not match its checksum"));
        }
        let version = u16::from_le_bytes([bytes[10], bytes[11]]);
        let incompatible = u32::from_le_bytes(bytes[20..24].try_into().expect("four bytes"));
        if version > VERSION || incompatible & !known != 0 || bytes[24..40] != [0; 16] {
            let detail = format!(
                "{} needs a newer BlockDB (format {version}, features {incompatible:#x})",
                path.display()
            );
            return Err(Error::new(Code::Unsupported, detail));
        }
        if *bytes != self.encode_with(incompatible) {
            let detail =
                format!("the file is not {:?} number {} of its owner", self.kind, self.number);
            return Err(Error::corrupt(path, 8, detail));
        }
        Ok(incompatible)
    }

    /// Reads and checks the header of an open file.
    pub fn read(&self, file: &dyn VfsFile, path: &Path) -> Result<()> {
        self.read_with(0, file, path).map(drop)
    }

    /// [`FileHeader::read`] by a reader that knows the incompatible features `known`.
    pub fn read_with(&self, known: u32, file: &dyn VfsFile, path: &Path) -> Result<u32> {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(path, 0, "the file is shorter than its header")
            }
            _ => Error::storage("read", path, error),
        })?;
        self.check_with(known, &bytes, path)
    }
}
