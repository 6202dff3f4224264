//! The end of a finished segment: a sparse index of its blocks and a trailer of fixed size at the
//! end of the file. The index is a function of the blocks before it, so `verify` recomputes it.
//!
//! Not every block has an entry, only those [`INDEX_STRIDE_BYTES`] or more behind the last entry:
//! an index stays small when blocks are tiny, and a reader hops over at most that many bytes of
//! heads. Entries lie in pages that are cached one by one; a root page finds the right one.

use imbl::Vector;

use crate::proof::Hash;

/// Bytes between two indexed blocks, at least.
pub(super) const INDEX_STRIDE_BYTES: u64 = 16 << 10;
/// Bytes of the trailer of a finished segment.
pub(super) const TRAILER_BYTES: usize = 96;
const TRAILER_MAGIC: &[u8; 8] = b"BDBLKIDX";
const FLAG_PURGED: u32 = 1;
const ENTRY_BYTES: usize = 24;
const ROOT_ENTRY_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
/// Entries of a full index page, about 3 KiB.
const PAGE_ENTRIES: u64 = 128;

/// Where an indexed block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub first_seq: u64,
    pub block: u64,
    pub offset: u64,
}

/// The sparse index of one segment. Cloning shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SparseIndex {
    entries: Vector<IndexEntry>,
}

/// What a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The block that holds a sequence number.
    Seq(u64),
    /// The block with an id.
    Block(u64),
}

impl Wanted {
    /// Whether something that begins at this sequence number and block lies at or before the goal.
    pub fn reached(self, first_seq: u64, block: u64) -> bool {
        match self {
            Wanted::Seq(seq) => first_seq <= seq,
            Wanted::Block(id) => block <= id,
        }
    }
}

impl SparseIndex {
    /// Notes a block; blocks are noted in order.
    pub fn note(&mut self, entry: IndexEntry) {
        let last = self.entries.last().map(|last| last.offset);
        if last.is_none_or(|last| entry.offset - last >= INDEX_STRIDE_BYTES) {
            self.entries.push_back(entry);
        }
    }

    /// The first block.
    pub fn first(&self) -> Option<IndexEntry> {
        self.entries.front().copied()
    }

    /// The last indexed block at or before the goal.
    pub fn find(&self, wanted: Wanted) -> Option<IndexEntry> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entries.get(middle)?;
            match wanted.reached(entry.first_seq, entry.block) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        self.entries.get(low.checked_sub(1)?).copied()
    }

    /// Index pages, root page and trailer of a segment that ends as `trailer` says.
    pub fn footer(&self, trailer: &Trailer) -> Vec<u8> {
        let mut out = Vec::with_capacity(trailer.footer_bytes() as usize);
        let mut root = Vec::new();
        let mut page = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if page.is_empty() {
                root.extend_from_slice(&entry.first_seq.to_le_bytes());
                root.extend_from_slice(&entry.block.to_le_bytes());
            }
            for number in [entry.first_seq, entry.block, entry.offset] {
                page.extend_from_slice(&number.to_le_bytes());
            }
            if (index as u64 + 1).is_multiple_of(PAGE_ENTRIES) {
                close(&mut page, &mut out);
            }
        }
        close(&mut page, &mut out);
        close(&mut root, &mut out);
        out.extend_from_slice(&trailer.encode());
        out
    }

    /// How many blocks have an entry.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }
}

fn close(page: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !page.is_empty() {
        out.extend_from_slice(page);
        out.extend_from_slice(&crc32c::crc32c(page).to_le_bytes());
        page.clear();
    }
}

/// The last bytes of a finished segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Where blocks end and the footer begins.
    pub footer_offset: u64,
    /// Indexed blocks.
    pub entries: u64,
    pub first_block: u64,
    pub blocks: u64,
    pub first_seq: u64,
    pub end_seq: u64,
    /// Hash of the last block.
    pub head: Hash,
    /// Whether the bodies of all records were erased.
    pub purged: bool,
}

impl Trailer {
    /// The bytes on disk.
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        let numbers = [
            self.footer_offset,
            self.entries,
            self.first_block,
            self.blocks,
            self.first_seq,
            self.end_seq,
        ];
        for (place, number) in numbers.into_iter().enumerate() {
            bytes[place * 8..place * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[48..80].copy_from_slice(&self.head);
        let flags = if self.purged { FLAG_PURGED } else { 0 };
        bytes[80..84].copy_from_slice(&flags.to_le_bytes());
        bytes[84..92].copy_from_slice(TRAILER_MAGIC);
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The trailer in the last bytes of a file of `file_bytes`; `None` if there is no valid one.
    pub fn decode(bytes: &[u8; TRAILER_BYTES], file_bytes: u64) -> Option<Trailer> {
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let flags = u32::from_le_bytes(bytes[80..84].try_into().expect("four bytes"));
        let trailer = Trailer {
            footer_offset: number(0),
            entries: number(8),
            first_block: number(16),
            blocks: number(24),
            first_seq: number(32),
            end_seq: number(40),
            head: bytes[48..80].try_into().expect("32 bytes"),
            purged: flags & FLAG_PURGED != 0,
        };
        let whole = trailer.encode() == *bytes
            && trailer.entries > 0
            && trailer.entries <= trailer.blocks
            && trailer.blocks <= trailer.end_seq
            && trailer.entries < file_bytes
            && trailer.footer_offset.checked_add(trailer.footer_bytes()) == Some(file_bytes);
        whole.then_some(trailer)
    }

    /// Index pages, without the root page.
    pub fn pages(&self) -> u64 {
        self.entries.div_ceil(PAGE_ENTRIES)
    }

    /// Bytes from the end of the blocks to the end of the file.
    pub fn footer_bytes(&self) -> u64 {
        footer_bytes(self.entries)
    }

    /// Offset and length of the root page; `None` if there is a single index page.
    pub fn root(&self) -> Option<(u64, usize)> {
        let pages = self.pages();
        let bytes = pages * ROOT_ENTRY_BYTES as u64 + CRC_BYTES as u64;
        let end = self.footer_offset + self.footer_bytes() - TRAILER_BYTES as u64;
        (pages > 1).then(|| (end - bytes, bytes as usize))
    }

    /// Offset and length of index page `page`.
    pub fn page(&self, page: u64) -> (u64, usize) {
        let full = PAGE_ENTRIES * ENTRY_BYTES as u64 + CRC_BYTES as u64;
        let entries = (self.entries - page * PAGE_ENTRIES).min(PAGE_ENTRIES);
        let bytes = entries as usize * ENTRY_BYTES + CRC_BYTES;
        (self.footer_offset + page * full, bytes)
    }
}

/// Bytes of a footer with so many index entries.
pub(super) fn footer_bytes(entries: u64) -> u64 {
    let pages = entries.div_ceil(PAGE_ENTRIES);
    entries * ENTRY_BYTES as u64
        + pages * (ROOT_ENTRY_BYTES + CRC_BYTES) as u64
        + (CRC_BYTES + TRAILER_BYTES) as u64
}

/// The page of a root page that holds the goal.
pub(super) fn find_page(root: &[u8], wanted: Wanted) -> Option<u64> {
    find(root, ROOT_ENTRY_BYTES, wanted).map(|index| index as u64)
}

/// The last indexed block at or before the goal, in one index page.
pub(super) fn find_entry(page: &[u8], wanted: Wanted) -> Option<IndexEntry> {
    let at = find(page, ENTRY_BYTES, wanted)? * ENTRY_BYTES;
    Some(IndexEntry {
        first_seq: number_at(page, at)?,
        block: number_at(page, at + 8)?,
        offset: number_at(page, at + 16)?,
    })
}

/// The last of the `stride`-byte entries of a page (checksum at its end) at or before the goal.
fn find(page: &[u8], stride: usize, wanted: Wanted) -> Option<usize> {
    let (mut low, mut high) = (0, page.len().saturating_sub(CRC_BYTES) / stride);
    while low < high {
        let middle = low + (high - low) / 2;
        let at = middle * stride;
        match wanted.reached(number_at(page, at)?, number_at(page, at + 8)?) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low.checked_sub(1)
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Whether a page read from disk matches the checksum at its end.
pub(super) fn page_is_whole(page: &[u8]) -> bool {
    page.split_last_chunk::<CRC_BYTES>()
        .is_some_and(|(entries, crc)| crc32c::crc32c(entries).to_le_bytes() == *crc)
}
