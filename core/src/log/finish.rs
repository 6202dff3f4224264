//! Finishing the newest segment of an earlier run: its torn tail is left behind, an End frame put
//! in its place, and all of it made durable, before a newer segment exists.
//!
//! `replay` may have read what only the page cache held; and if a sync had failed, the cache takes
//! it for clean, and no later sync would ever write it. Writing it again in place could tear what
//! was acknowledged. So the segment is copied, and the copy takes its name at once.

use super::Recovered;
use super::folder::Folder;
use super::frame::{self, FrameKind};
use super::window::Window;
use crate::disk::VfsFile;
use crate::error::{Error, Result};

const COPY_BYTES: u64 = 1 << 20;

/// Makes the segment `recovered` ends in complete and durable; changes nothing if it is.
pub(super) fn finish_segment(folder: &Folder, recovered: &Recovered) -> Result<()> {
    let (generation, end) = (recovered.end.generation, recovered.end.offset);
    let mut window = folder.read_segment(generation)?;
    if window.size < end {
        let what = "the segment is shorter than when it was replayed";
        return Err(Error::corrupt(&window.path, end, what));
    }
    if recovered.complete && window.size == end {
        // It was cut after all of it had been synced.
        return Ok(());
    }
    let ender = match recovered.complete {
        true => Vec::new(),
        false => frame::ender(FrameKind::End, recovered.end, recovered.watermark),
    };
    folder.replace_segment(generation, |file| copy(&mut window, file, end, &ender))
}

/// Copies everything before `end` and puts `ender` behind it.
fn copy(window: &mut Window, file: &dyn VfsFile, end: u64, ender: &[u8]) -> Result<()> {
    let mut at = 0;
    while at < end {
        let count = COPY_BYTES.min(end - at);
        let bytes = window.get(at, count as usize)?;
        let written = file.write_all_at(bytes, at);
        written.map_err(|error| Error::storage("write", &window.path, error))?;
        at += count;
    }
    let written = file.write_all_at(ender, end);
    written.map_err(|error| Error::storage("write", &window.path, error))
}
