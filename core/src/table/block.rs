//! A data block: a few hundred entries in order, keys stored as what differs from the key before.
//! Every sixteenth entry is a restart that stands alone. Four bytes of each restart's key, those
//! that follow what all keys of the block begin with, stand together in an array: so a lookup is a
//! binary search over a few adjacent numbers and a walk of at most sixteen entries. Reading works
//! on the bytes in place, checks every bound and never panics, whatever the bytes are.
//!
//! Entry: varint `shared << 2 | rank_is_seq << 1 | has_inline`, varint suffix length, varint rank
//! (absent if it equals the sequence number), varint zigzag of the sequence number against the
//! entry before (against 0 at a restart), suffix, and if inline a varint length and the value.
//! After the entries: the common prefix, per restart the next four key bytes as a number (u32,
//! zero-padded), per restart the u32 offset of its entry, the u32 length of the prefix, and the u32
//! count of restarts.

use super::varint::{self, get_slice};
use super::{Boundary, EntryRef, Hit, Malformed, Parsed, TABLE_KEY_BYTES_MAX};

/// Bytes after the arrays.
const TAIL_BYTES: usize = 8;
/// Bytes of each restart in the arrays.
const RESTART_BYTES: usize = 8;
/// Entries from one restart to the next.
pub const RESTART_INTERVAL: usize = 16;

/// Collects entries in order and makes a block of them.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    /// Offset of each restart.
    restarts: Vec<u32>,
    /// The keys of the restarts, one after the other, and where each ends.
    restart_keys: Vec<u8>,
    restart_key_ends: Vec<usize>,
    last_key: Vec<u8>,
    last_seq: u64,
    since_restart: usize,
}

impl BlockBuilder {
    /// Appends `entry`, which follows the one before in the order of tables.
    pub fn add(&mut self, entry: &EntryRef<'_>) {
        if self.since_restart == RESTART_INTERVAL || self.restarts.is_empty() {
            self.restarts.push(self.bytes.len() as u32);
            self.restart_keys.extend_from_slice(entry.key);
            self.restart_key_ends.push(self.restart_keys.len());
            self.since_restart = 0;
            self.last_seq = 0;
            self.last_key.clear();
        }
        let shared = shared_bytes(&self.last_key, entry.key);
        let rank_is_seq = entry.rank == entry.seq;
        let flags = u64::from(rank_is_seq) << 1 | u64::from(entry.inline.is_some());
        varint::put(&mut self.bytes, (shared as u64) << 2 | flags);
        varint::put(&mut self.bytes, (entry.key.len() - shared) as u64);
        if !rank_is_seq {
            varint::put(&mut self.bytes, entry.rank);
        }
        varint::put(&mut self.bytes, varint::zigzag(self.last_seq, entry.seq));
        self.bytes.extend_from_slice(&entry.key[shared..]);
        if let Some(value) = entry.inline {
            varint::put(&mut self.bytes, value.len() as u64);
            self.bytes.extend_from_slice(value);
        }
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&entry.key[shared..]);
        self.last_seq = entry.seq;
        self.since_restart += 1;
    }

    /// Bytes the block would have now.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len() + RESTART_BYTES * self.restarts.len() + TAIL_BYTES
    }

    /// Whether no entry was added.
    pub fn is_empty(&self) -> bool {
        self.restarts.is_empty()
    }

    /// Hands the finished block to `take` and starts a new one, keeping the buffers.
    pub fn finish<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> T {
        let first_end = self.restart_key_ends.first().copied().unwrap_or(0);
        let common = shared_bytes(&self.restart_keys[..first_end], &self.last_key);
        self.bytes.extend_from_slice(&self.restart_keys[..common]);
        let mut start = 0;
        for &end in &self.restart_key_ends {
            let head = head(&self.restart_keys[start + common..end]);
            self.bytes.extend_from_slice(&head.to_le_bytes());
            start = end;
        }
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(common as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        let taken = take(&self.bytes);
        self.bytes.clear();
        self.restarts.clear();
        self.restart_keys.clear();
        self.restart_key_ends.clear();
        taken
    }
}

/// What a block says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The newest entry asked for.
    Hit(Hit),
    /// A greater key follows: no such entry anywhere.
    Absent,
    /// The block ended before a greater key came.
    Exhausted,
}

/// A block, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    entries: &'a [u8],
    /// What every key begins with.
    prefix: &'a [u8],
    heads: &'a [u8],
    restarts: &'a [u8],
}

struct Raw<'a> {
    shared: usize,
    suffix: &'a [u8],
    rank: u64,
    seq: u64,
    inline: Option<&'a [u8]>,
}

impl<'a> Block<'a> {
    /// The block that `bytes` hold.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Parsed<Self> {
        let wrong = Malformed("a block does not hold its restarts");
        let tail = bytes.len().checked_sub(TAIL_BYTES).ok_or(wrong)?;
        let prefix_bytes = varint::u32_at(bytes, tail)? as usize;
        let count = varint::u32_at(bytes, tail + 4)? as usize;
        let arrays = count
            .checked_mul(RESTART_BYTES)
            .and_then(|size| tail.checked_sub(size))
            .ok_or(wrong)?;
        let prefix = arrays.checked_sub(prefix_bytes).ok_or(wrong)?;
        if count == 0 {
            return Err(wrong);
        }
        let (heads, restarts) = bytes[arrays..tail].split_at(count * 4);
        Ok(Block { entries: &bytes[..prefix], prefix: &bytes[prefix..arrays], heads, restarts })
    }

    /// Number of restarts, at least one.
    pub fn restart_count(&self) -> usize {
        self.restarts.len() / 4
    }

    fn restart(&self, number: usize) -> Parsed<usize> {
        Ok(varint::u32_at(self.restarts, number * 4)? as usize)
    }

    /// Where the interval of restart `number` ends.
    fn interval_end(&self, number: usize) -> Parsed<usize> {
        if number + 1 < self.restart_count() {
            self.restart(number + 1)
        } else {
            Ok(self.entries.len())
        }
    }

    /// The entry at `*at`; moves `*at` past it.
    #[inline(always)]
    fn decode(&self, at: &mut usize, last_seq: u64) -> Parsed<Raw<'a>> {
        let bytes = self.entries;
        let head = varint::get(bytes, at)?;
        let suffix_bytes = varint::get(bytes, at)?;
        let rank = if head & 2 == 0 { Some(varint::get(bytes, at)?) } else { None };
        let seq = varint::unzigzag(last_seq, varint::get(bytes, at)?);
        let suffix = get_slice(bytes, at, suffix_bytes)?;
        let inline = if head & 1 == 0 {
            None
        } else {
            let value_bytes = varint::get(bytes, at)?;
            Some(get_slice(bytes, at, value_bytes)?)
        };
        let shared = usize::try_from(head >> 2).map_err(|_| TOO_LONG)?;
        Ok(Raw { shared, suffix, rank: rank.unwrap_or(seq), seq, inline })
    }

    /// The number of restarts whose entry lies before `boundary`.
    pub(crate) fn restarts_before(&self, boundary: &Boundary<'_>) -> Parsed<usize> {
        let Some(rest) = boundary.key.strip_prefix(self.prefix) else {
            return Ok(if boundary.key < self.prefix { 0 } else { self.restart_count() });
        };
        let wanted = head(rest);
        let (mut low, mut high) = (0, self.restart_count());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = varint::u32_at(self.heads, middle * 4)?;
            let before = found < wanted
                || found == wanted && {
                    let entry = self.decode(&mut self.restart(middle)?, 0)?;
                    boundary.follows(entry.suffix, entry.rank)
                };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The first entry of `key` with a rank of at most `rank_max` and a `seq` below `end_seq`.
    ///
    /// No key is put together: `matched` counts the leading bytes that the entry before has in
    /// common with `key`. As long as that entry is smaller, an entry that shares more than that
    /// with it is smaller too, and one that shares less is greater.
    pub fn newest(&self, key: &[u8], rank_max: u64, end_seq: u64) -> Parsed<Lookup> {
        let mut interval = self.restarts_before(&Boundary::at(key, rank_max))?.saturating_sub(1);
        let mut at = self.restart(interval)?;
        let mut end = self.interval_end(interval)?;
        let (mut matched, mut seq, mut restart) = (0, 0, true);
        while at < self.entries.len() {
            if at >= end {
                interval += 1;
                end = self.interval_end(interval)?;
                (matched, seq, restart) = (0, 0, true);
            }
            let entry = self.decode(&mut at, seq)?;
            seq = entry.seq;
            let shared = if restart { 0 } else { entry.shared };
            restart = false;
            if shared > matched {
                continue;
            }
            if shared < matched {
                return Ok(Lookup::Absent);
            }
            let rest = &key[matched..];
            let common = shared_bytes(entry.suffix, rest);
            match (entry.suffix.get(common), rest.get(common)) {
                (None, None) if entry.rank <= rank_max && seq < end_seq => {
                    return Ok(Lookup::Hit(Hit { rank: entry.rank, seq }));
                }
                (Some(_), None) => return Ok(Lookup::Absent),
                (Some(found), Some(wanted)) if found > wanted => return Ok(Lookup::Absent),
                _ => matched += common,
            }
        }
        Ok(Lookup::Exhausted)
    }
}

const TOO_LONG: Malformed = Malformed("an entry shares more bytes than the key before has");

/// The first four bytes as a number that orders as the bytes do, zero-padded.
#[inline]
fn head(suffix: &[u8]) -> u32 {
    if let Some(bytes) = suffix.first_chunk::<4>() {
        return u32::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 4];
    bytes[..suffix.len()].copy_from_slice(suffix);
    u32::from_be_bytes(bytes)
}

/// Length of the common prefix.
#[inline(always)]
pub(crate) fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    let bytes_max = a.len().min(b.len());
    let mut count = 0;
    // Eight bytes at a time: the loop below alone would dominate a lookup of long equal prefixes.
    while count + 8 <= bytes_max {
        let left = u64::from_le_bytes(a[count..count + 8].try_into().expect("eight bytes"));
        let right = u64::from_le_bytes(b[count..count + 8].try_into().expect("eight bytes"));
        if left != right {
            return count + ((left ^ right).trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    while count < bytes_max && a[count] == b[count] {
        count += 1;
    }
    count
}

/// The entries of one restart interval, keys put together; what cursors step through.
#[derive(Debug, Default)]
pub struct Interval {
    keys: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key_start: usize,
    key_end: usize,
    rank: u64,
    seq: u64,
    /// Start and length within the block; `usize::MAX` if there is no inline value.
    inline_start: usize,
    inline_bytes: usize,
}

impl Interval {
    /// Reads interval `number` of `block`, replacing what was there.
    pub fn load(&mut self, block: &Block<'_>, number: usize) -> Parsed<()> {
        self.keys.clear();
        self.slots.clear();
        let mut at = block.restart(number)?;
        let end = block.interval_end(number)?;
        let (mut key_start, mut key_end, mut seq) = (0, 0, 0);
        while at < end {
            if self.slots.len() == RESTART_INTERVAL {
                return Err(Malformed("an interval holds too many entries"));
            }
            let entry = block.decode(&mut at, seq)?;
            seq = entry.seq;
            if entry.shared > key_end - key_start {
                return Err(TOO_LONG);
            }
            if entry.shared + entry.suffix.len() > TABLE_KEY_BYTES_MAX {
                return Err(Malformed("a key is longer than keys can be"));
            }
            let start = self.keys.len();
            self.keys.extend_from_within(key_start..key_start + entry.shared);
            self.keys.extend_from_slice(entry.suffix);
            (key_start, key_end) = (start, self.keys.len());
            let inline_bytes = entry.inline.map_or(0, <[u8]>::len);
            let inline_start = if entry.inline.is_some() { at - inline_bytes } else { usize::MAX };
            let rank = entry.rank;
            self.slots.push(Slot { key_start, key_end, rank, seq, inline_start, inline_bytes });
        }
        if at != end || self.slots.is_empty() {
            return Err(Malformed("an interval does not end at the next restart"));
        }
        Ok(())
    }

    /// Number of entries.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Entry `number`; `block` holds the bytes the interval was loaded from.
    pub fn entry<'a>(&'a self, number: usize, block: &'a [u8]) -> Option<EntryRef<'a>> {
        let slot = self.slots.get(number)?;
        let inline = match slot.inline_start {
            usize::MAX => None,
            start => block.get(start..start + slot.inline_bytes),
        };
        let key = &self.keys[slot.key_start..slot.key_end];
        Some(EntryRef { key, rank: slot.rank, seq: slot.seq, inline })
    }

    /// The number of entries that lie before `boundary`.
    pub(crate) fn before(&self, boundary: &Boundary<'_>) -> usize {
        let key = |slot: &Slot| &self.keys[slot.key_start..slot.key_end];
        self.slots.partition_point(|slot| boundary.follows(key(slot), slot.rank))
    }
}
