//! Reading the log back after a restart: every valid frame in order, and a verdict on its end.
//! Read-only. Memory is bounded by the largest frame; a torn tail is reported, never repaired here
//! ([`super::LogWriter::open`] cuts it).

use std::path::Path;
use std::sync::Arc;

use super::folder::{list_segments, segment_name};
use super::frame::{FIRST_FRAME, Frame, FrameKind};
use super::window::Window;
use super::{Position, tail};
use crate::disk::Vfs;
use crate::error::{Code, Error, Result};

/// What [`replay`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of a torn write behind the last valid frame: never acknowledged, to be cut.
    pub bytes_cut: u64,
    /// Where the torn write begins, if there is one.
    pub cut_at: Option<Position>,
    /// The end of the valid frames; generation 0 if there is no log yet.
    pub end: Position,
    /// Whether the log was closed in order.
    pub clean: bool,
    /// Frames handed to the caller.
    pub frames: u64,
    /// The oldest segment that was read; 0 if there is no log yet.
    pub oldest_generation: u64,
    /// Whether the newest segment already ends with a frame that says so.
    pub(super) complete: bool,
    /// The last frame's watermark: the newest segment is known to be durable below it.
    pub(super) watermark: u64,
}

impl Recovered {
    /// Whether the newest segment holds nothing but its header.
    pub(super) fn is_blank(&self) -> bool {
        self.end.offset == FIRST_FRAME
    }
}

/// Streams every valid frame of generation `from_generation` and later to `each`, in order; the
/// log's own End and Close frames are not shown.
///
/// `known_end` is a place up to which the log is known to have been synced, from the restart point.
/// `from_generation` is the oldest segment still needed; it must exist, older ones are not read,
/// and 0 means the oldest there is. 0 or 1 without any segment is a log not yet begun.
///
/// Errors: `corrupt` with file and offset for damage and missing segments; `unsupported` for frames
/// of a newer version; whatever `each` returns.
pub fn replay(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    database_id: [u8; 16],
    known_end: Option<Position>,
    from_generation: u64,
    each: &mut dyn FnMut(Frame) -> Result<()>,
) -> Result<Recovered> {
    let generations = needed_segments(&**vfs, dir, known_end, from_generation)?;
    let oldest_generation = generations.first().copied().unwrap_or(0);
    let mut recovered = Recovered { oldest_generation, ..Recovered::default() };
    for (number, generation) in generations.iter().enumerate() {
        let mut window = Window::open(&**vfs, dir, database_id, *generation)?;
        let stop = walk(&mut window, each, &mut recovered)?;
        if number + 1 == generations.len() {
            conclude(&mut window, stop, known_end, &mut recovered)?;
        } else if let Ending::Open(what) = stop.ending {
            let what = format!("{what}, yet a newer segment of the log exists");
            damaged(&window, stop.at, what)?;
        }
    }
    Ok(recovered)
}

/// The generations to read, oldest first, without a gap.
fn needed_segments(
    vfs: &dyn Vfs,
    dir: &Path,
    known_end: Option<Position>,
    from_generation: u64,
) -> Result<Vec<u64>> {
    let mut generations = list_segments(vfs, dir)?;
    generations.retain(|generation| *generation >= from_generation);
    let missing = |generation: u64| {
        let what = format!("segment {generation} of the log is missing");
        Err(Error::corrupt(&dir.join(segment_name(generation)), 0, what))
    };
    match generations.first() {
        Some(first) if from_generation > 0 && *first != from_generation => {
            return missing(from_generation);
        }
        None if from_generation > 1 => return missing(from_generation),
        _ => {}
    }
    if let Some(pair) = generations.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        return missing(pair[0] + 1);
    }
    let newest = generations.last().copied().unwrap_or(0);
    match known_end {
        Some(known) if known.generation > newest => missing(known.generation),
        _ => Ok(generations),
    }
}

enum Ending {
    /// By an End or Close frame.
    Complete(FrameKind),
    /// Without one; the words say what stands there instead.
    Open(&'static str),
}

struct Stop {
    at: u64,
    ending: Ending,
}

/// Hands out the valid frames of one segment, up to the first place where there is none.
fn walk(
    window: &mut Window,
    each: &mut dyn FnMut(Frame) -> Result<()>,
    recovered: &mut Recovered,
) -> Result<Stop> {
    let mut at = FIRST_FRAME;
    recovered.watermark = FIRST_FRAME;
    loop {
        let (frame, watermark) = match frame_at(window, at)? {
            Ok(found) => found,
            Err(what) => return Ok(Stop { at, ending: Ending::Open(what) }),
        };
        at = frame.position.offset;
        recovered.watermark = recovered.watermark.max(watermark);
        if frame.kind.ends_segment() {
            return Ok(Stop { at, ending: Ending::Complete(frame.kind) });
        }
        recovered.frames += 1;
        each(frame)?;
    }
}

/// The frame at `at` with its watermark, or in words why there is none.
fn frame_at(window: &mut Window, at: u64) -> Result<Result<(Frame, u64), &'static str>> {
    let Some(header) = window.header(at)? else {
        return Ok(Err("no whole frame header"));
    };
    if header.generation != window.generation {
        return Ok(Err("no frame of this segment"));
    }
    let Some(bytes) = window.extent(&header, at) else {
        return Ok(Err("a frame longer than what there is"));
    };
    let unchecked = cfg!(bug = "drop_last_checksum") && is_last(window, at + bytes as u64)?;
    let start = Position { generation: window.generation, offset: at };
    let frame = window.get(at, bytes)?;
    if !unchecked && !header.matches(frame) {
        return Ok(Err("a frame that does not match its checksum"));
    }
    let opened = header.open(frame, start).map(|frame| Ok((frame, header.watermark)));
    opened.map_err(|(code, what)| match code {
        Code::Corrupt => Error::corrupt(&window.path, at, what),
        _ => Error::new(code, format!("{what} ({} at byte {at})", window.path.display())),
    })
}

/// Whether no frame of this segment follows at `end`.
fn is_last(window: &mut Window, end: u64) -> Result<bool> {
    let generation = window.generation;
    Ok(window.header(end)?.is_none_or(|header| header.generation != generation))
}

/// Judges how the newest segment ends.
fn conclude(
    window: &mut Window,
    stop: Stop,
    known_end: Option<Position>,
    recovered: &mut Recovered,
) -> Result<()> {
    let end = Position { generation: window.generation, offset: stop.at };
    recovered.end = end;
    if known_end.is_some_and(|known| known > end) {
        let words = match stop.ending {
            Ending::Complete(_) => "the log ends",
            Ending::Open(what) => what,
        };
        damaged(window, end.offset, format!("{words}, yet more of it was known to be synced"))?;
    }
    match stop.ending {
        Ending::Complete(kind) => {
            recovered.complete = true;
            recovered.clean = kind == FrameKind::Close && window.size == end.offset;
        }
        Ending::Open(what) => {
            let tail = tail::examine(window, end.offset)?;
            if let Some(place) = tail.claimed_by {
                let what = format!("{what}, yet it was synced before the frame at {place}");
                damaged(window, end.offset, what)?;
            } else if tail.was_complete() {
                let what = format!("{what}, yet the segment was complete and synced");
                damaged(window, end.offset, what)?;
            }
            recovered.bytes_cut = tail.torn_bytes();
            recovered.cut_at = (recovered.bytes_cut > 0).then_some(end);
        }
    }
    Ok(())
}

fn damaged(window: &Window, at: u64, what: String) -> Result<()> {
    if cfg!(bug = "accept_bad_tail") { Ok(()) } else { Err(Error::corrupt(&window.path, at, what)) }
}
