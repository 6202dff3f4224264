//! What lies behind the last good frame of the newest segment: the evidence of the torn-tail rule.
//! Every 8-byte place is looked at, cheaply: first the generation field, then the other fields a
//! real frame cannot have otherwise, and only then the checksum. Checksum work is bounded, because
//! what is looked at may be a payload made to look like frames.

use super::frame::{ALIGN_BYTES, Header, SECTOR_BYTES};
use super::window::Window;
use crate::error::{Error, Result};

/// Checksummed bytes per byte of tail before the search gives up.
const CHECK_FACTOR: u64 = 8;
/// Checksummed bytes a short tail may cost at least.
const CHECK_BYTES_MIN: u64 = 1 << 20;
/// What was found from a bad frame at `at` to the end of the file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    at: u64,
    /// Length of the file.
    size: u64,
    /// Offset of a valid frame that was written after `at` had been synced.
    pub claimed_by: Option<u64>,
    /// End of the last trace of this generation, 0 if there is none.
    trace_end: u64,
    /// End of the last byte that is not zero, 0 if there is none.
    nonzero_end: u64,
    /// A frame of an older generation lies here: the file had an earlier life.
    recycled: bool,
}

impl Tail {
    /// Whether the file was already cut to its final length, which happens only after its last
    /// frame was synced: a live file is a whole number of sectors long. Zeros, or an earlier life's
    /// bytes, prove nothing: filling ahead can stop at any length when the disk is full.
    pub fn was_complete(&self) -> bool {
        !self.size.is_multiple_of(SECTOR_BYTES) && self.torn_bytes() > 0
    }

    /// Bytes of a torn group behind the good frames; zeros and an earlier life's bytes are none.
    pub fn torn_bytes(&self) -> u64 {
        let end = if self.recycled { self.trace_end } else { self.nonzero_end.max(self.trace_end) };
        end.saturating_sub(self.at)
    }
}

/// Looks at everything from `at`, where no valid frame stands, to the end of the file.
pub(super) fn examine(window: &mut Window, at: u64) -> Result<Tail> {
    let mut tail = Tail { at, size: window.size, ..Tail::default() };
    let budget = CHECK_BYTES_MIN.max((window.size - at).saturating_mul(CHECK_FACTOR));
    let mut search =
        Search { frames: window.another(), ours_budget: budget, stale_budget: budget, bad_at: at };
    if let Some(header) = window.header(at)?
        && header.generation == window.generation
        && header.is_plausible(at)
    {
        let claimed = header.frame_bytes().unwrap_or(0) as u64;
        tail.trace_end = at + claimed.min(window.size - at);
    }
    let generation = window.generation;
    let mut place = at;
    while place < window.size {
        let step = ALIGN_BYTES.min((window.size - place) as usize);
        if window.get(place, step)?.iter().any(|byte| *byte != 0) {
            tail.nonzero_end = place + step as u64;
        }
        let found = match window.header_if(place, 1..=generation)? {
            Some(header) => search.frame_at(place, &header, tail.recycled)?,
            None => None,
        };
        match found {
            Some(Found::Stale) => tail.recycled = true,
            Some(Found::Ours { bytes, watermark }) => {
                tail.trace_end = tail.trace_end.max(place + bytes);
                tail.nonzero_end = tail.nonzero_end.max(place + bytes);
                if watermark > at {
                    tail.claimed_by = Some(place);
                    return Ok(tail);
                }
                place += bytes;
                continue;
            }
            None => {}
        }
        place += step as u64;
    }
    Ok(tail)
}

enum Found {
    /// A valid frame of this segment's generation.
    Ours { bytes: u64, watermark: u64 },
    /// A valid frame of an older generation.
    Stale,
}

struct Search {
    frames: Window,
    /// Bytes that may still be checksummed in search of this generation's frames.
    ours_budget: u64,
    /// The same for older generations' frames: they only make the report exact.
    stale_budget: u64,
    bad_at: u64,
}

impl Search {
    fn frame_at(&mut self, place: u64, header: &Header, recycled: bool) -> Result<Option<Found>> {
        let ours = header.generation == self.frames.generation;
        let stale = (1..self.frames.generation).contains(&header.generation) && !recycled;
        if !(ours || stale) || header.reserved != 0 || header.watermark > place {
            return Ok(None);
        }
        let Some(bytes) = self.frames.extent(header, place) else {
            return Ok(None);
        };
        let budget = if ours { &mut self.ours_budget } else { &mut self.stale_budget };
        match budget.checked_sub(bytes as u64) {
            Some(left) => *budget = left,
            None if stale => return Ok(None),
            None => {
                let what = "a bad frame, and too many frame-like bytes behind it to tell why";
                return Err(Error::corrupt(&self.frames.path, self.bad_at, what));
            }
        }
        if !header.matches(self.frames.get(place, bytes)?) {
            return Ok(None);
        }
        let watermark = header.watermark;
        Ok(Some(if ours { Found::Ours { bytes: bytes as u64, watermark } } else { Found::Stale }))
    }
}
