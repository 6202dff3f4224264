//! The walk of a verification over the files: names, lengths, file headers, block heads and
//! footers. It finds blocks and hands them out; what is inside them is the workers' business.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Fault, FaultKind, Report};
use crate::disk::VfsFile;
use crate::disk::header::HEADER_BYTES;
use crate::error::{Code, Error, Result};
use crate::ledger::block::BlockHead;
use crate::ledger::footer::{IndexEntry, SparseIndex, Trailer, footer_bytes, page_is_whole};
use crate::ledger::locate::{purged_trailer, read_trailer};
use crate::ledger::position::LedgerPosition;
use crate::ledger::recover::{segment_number, tile_level};
use crate::ledger::store::{Store, is_not_found};
use crate::ledger::tiles::{self, LEVELS_MAX};
use crate::ledger::window::{HOP_BYTES, STREAM_BYTES, Window};

/// A block to hash.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub file: Arc<dyn VfsFile>,
    pub path: PathBuf,
    pub offset: u64,
    pub head: BlockHead,
    /// Whether the segment says that it holds no bodies.
    pub purged: bool,
    /// Where blocks were lost since the one before, if any were.
    pub lost: Option<Lost>,
}

/// The first place at which blocks were lost.
pub(super) type Lost = (PathBuf, u64);

/// Walks segment after segment.
pub(super) struct Walker<'a> {
    store: &'a Store,
    end: LedgerPosition,
    number: u32,
    segment: Option<SegmentWalk>,
    lost: Option<Lost>,
}

struct SegmentWalk {
    window: Window,
    file: Arc<dyn VfsFile>,
    offset: u64,
    /// Where blocks must end, if that is known.
    limit: Option<u64>,
    /// `None` for the unfinished segment.
    footer: Option<Footer>,
    index: SparseIndex,
    blocks: u64,
    last: Option<BlockHead>,
    /// Whether blocks were lost, so that the index cannot be recomputed.
    broken: bool,
}

struct Footer {
    trailer: Option<Trailer>,
}

impl<'a> Walker<'a> {
    pub fn new(store: &'a Store, end: LedgerPosition) -> Self {
        Walker { store, end, number: 0, segment: None, lost: None }
    }

    /// The next block, in order; damaged ones are reported and passed over.
    pub fn next(&mut self, fault: Report<'_>) -> Result<Option<Job>> {
        loop {
            match &mut self.segment {
                Some(segment) => match segment.step(&mut self.lost, fault)? {
                    Some(job) => return Ok(Some(job)),
                    None => {
                        segment.finish(fault)?;
                        self.segment = None;
                    }
                },
                None if self.number >= self.end.segment => return Ok(None),
                None => {
                    self.number += 1;
                    self.segment = open(self.store, self.number, &self.end, fault)?;
                    if self.segment.is_none() {
                        let path = self.store.segment_path(self.number);
                        self.lost.get_or_insert((path, 0));
                    }
                }
            }
        }
    }

    /// Where blocks were lost after the last one.
    pub fn lost(self) -> Option<Lost> {
        self.lost
    }
}

/// Opens segment `number` and checks its file header; `None` if the file is missing.
fn open(
    store: &Store,
    number: u32,
    end: &LedgerPosition,
    fault: Report<'_>,
) -> Result<Option<SegmentWalk>> {
    let path = store.segment_path(number);
    // A missing file was reported with the names.
    let Some(file) = missing_is_none(store.existing(&path))? else { return Ok(None) };
    if let Err(error) = store.segment_header(number).read(file.as_ref(), &path) {
        report(&error, &path, fault)?;
    }
    let mut window = Window::new(file.clone(), path, HOP_BYTES)?;
    let purged = match number == end.segment {
        true => purged_trailer(&mut window, end)?,
        false => None,
    };
    let (limit, footer) = if number == end.segment && purged.is_none() {
        (Some(end.offset), None)
    } else {
        let trailer = read_trailer(&mut window)?;
        (trailer.map(|trailer| trailer.footer_offset), Some(Footer { trailer }))
    };
    Ok(Some(SegmentWalk {
        window,
        file,
        offset: HEADER_BYTES as u64,
        limit,
        footer,
        index: SparseIndex::default(),
        blocks: 0,
        last: None,
        broken: false,
    }))
}

impl SegmentWalk {
    fn step(&mut self, lost: &mut Option<Lost>, fault: Report<'_>) -> Result<Option<Job>> {
        let stop = self.limit.unwrap_or(self.window.file_bytes());
        while self.offset < stop {
            let head = match self.window.head(self.offset, stop) {
                Ok(head) => head,
                Err(_) if self.footer_begins() => break,
                Err(error) => {
                    let block = self.last.as_ref().map(|last| last.id() + 1);
                    let path = self.window.path().to_owned();
                    let offset = place_of(&error, self.offset)?;
                    let kind = FaultKind::Damaged;
                    let what = error.detail().to_owned();
                    lost.get_or_insert((path.clone(), self.offset));
                    fault(Fault { kind, path, offset, block, seq: None, what });
                    self.broken = true;
                    match self.resync(stop)? {
                        Some(offset) => {
                            self.offset = offset;
                            continue;
                        }
                        None => {
                            self.offset = stop;
                            break;
                        }
                    }
                }
            };
            return Ok(Some(self.take(head, lost.take())));
        }
        Ok(None)
    }

    fn take(&mut self, head: BlockHead, lost: Option<Lost>) -> Job {
        let (first_seq, block, offset) = (head.first_seq(), head.id(), self.offset);
        self.index.note(IndexEntry { first_seq, block, offset });
        self.blocks += 1;
        self.offset += head.block_bytes();
        self.last = Some(head.clone());
        let trailer = self.footer.as_ref().and_then(|footer| footer.trailer);
        let purged = trailer.is_some_and(|trailer| trailer.purged);
        let path = self.window.path().to_owned();
        Job { file: self.file.clone(), path, offset, head, purged, lost }
    }

    /// With a damaged trailer, the footer begins where the rest of the file has its length.
    fn footer_begins(&self) -> bool {
        let rest = self.window.file_bytes().saturating_sub(self.offset);
        self.limit.is_none() && rest == footer_bytes(self.index.len())
    }

    /// The next valid block head behind a damaged one.
    fn resync(&mut self, stop: u64) -> Result<Option<u64>> {
        let after = self.last.as_ref().map(|last| last.id());
        let mut offset = self.offset + 1;
        while offset < stop {
            let size = (stop - offset).min(STREAM_BYTES as u64) as usize;
            let Some(bytes) = self.window.get(offset, size)? else { return Ok(None) };
            let found: Vec<u64> = bytes
                .windows(BlockHead::MAGIC_END)
                .enumerate()
                .filter(|(_, bytes)| BlockHead::has_magic(bytes))
                .map(|(at, _)| offset + at as u64)
                .collect();
            for candidate in found {
                if let Ok(head) = self.window.head(candidate, stop)
                    && after.is_none_or(|after| head.id() > after)
                {
                    return Ok(Some(candidate));
                }
            }
            // The pieces overlap, so that no head is cut in two.
            offset += (size - (BlockHead::MAGIC_END - 1).min(size - 1)) as u64;
        }
        Ok(None)
    }

    /// Compares what follows the blocks with what must follow them.
    fn finish(&mut self, fault: Report<'_>) -> Result<()> {
        let Some(footer) = &self.footer else { return Ok(()) };
        let path = self.window.path().to_owned();
        let mut damaged = |offset, what: &str| {
            let (kind, path, what) = (FaultKind::Damaged, path.clone(), what.to_owned());
            fault(Fault { kind, path, offset, block: None, seq: None, what });
        };
        let file_bytes = self.window.file_bytes();
        let (Some(first), Some(last), false) = (self.index.first(), &self.last, self.broken) else {
            match footer.trailer {
                None => damaged(file_bytes, "the finished segment has no valid trailer"),
                Some(trailer) => {
                    check_pages(&mut self.window, &trailer, &mut damaged)?;
                }
            }
            return Ok(());
        };
        let trailer = Trailer {
            footer_offset: self.offset,
            entries: self.index.len(),
            first_block: first.block,
            blocks: self.blocks,
            first_seq: first.first_seq,
            end_seq: last.end_seq(),
            head: last.hash(),
            purged: footer.trailer.is_some_and(|trailer| trailer.purged),
        };
        let expected = self.index.footer(&trailer);
        let found_bytes = (file_bytes - self.offset.min(file_bytes)) as usize;
        let found = self.window.get(self.offset, found_bytes.min(expected.len()))?;
        let found = found.unwrap_or_default();
        let same =
            found.iter().zip(&expected).take_while(|(found, wanted)| found == wanted).count();
        if same < expected.len() {
            damaged(self.offset + same as u64, "the footer differs from the blocks before it");
        } else if found_bytes > expected.len() {
            let offset = self.offset + expected.len() as u64;
            damaged(offset, "the segment goes on after its footer");
        }
        Ok(())
    }
}

fn check_pages(
    window: &mut Window,
    trailer: &Trailer,
    damaged: &mut dyn FnMut(u64, &str),
) -> Result<()> {
    let pages = (0..).map(|page| trailer.page(page)).take(trailer.pages() as usize);
    for (offset, size) in pages.chain(trailer.root()) {
        if !window.get(offset, size)?.is_some_and(page_is_whole) {
            damaged(offset, "the index page is damaged");
        }
    }
    Ok(())
}

/// Checks which files there are, and the lengths that are known beforehand. Returns the end that
/// the verification goes to.
pub(super) fn check_files(store: &Store, fault: Report<'_>) -> Result<LedgerPosition> {
    // Under the appender's mutex nothing moves between the look at the end and at the files.
    let appender = store.lock();
    let end = store.current().end;
    let names = missing_is_none(store.names(store.dir()))?.unwrap_or_default();
    let tile_names = missing_is_none(store.names(&store.tiles_dir()))?.unwrap_or_default();
    let tail_bytes = match end.segment {
        0 => None,
        number => size_of(store, &store.segment_path(number))?,
    };
    let levels: Vec<Option<u64>> = (0..LEVELS_MAX)
        .map(|level| size_of(store, &store.tile_path(level)))
        .collect::<Result<_>>()?;
    drop(appender);
    let mut say = |kind, path: PathBuf, offset, what: &str| {
        fault(Fault { kind, path, offset, block: None, seq: None, what: what.to_owned() });
    };
    check_segments(store, &end, &names, tail_bytes, &mut say)?;
    for name in tile_names.iter().filter(|name| tile_level(name).is_none()) {
        say(FaultKind::Unknown, store.tiles_dir().join(name), 0, "not a file of tiles");
    }
    for (level, found) in (0u8..).zip(levels) {
        let path = store.tile_path(level);
        match (found, tiles::file_bytes(level, end.end_seq)) {
            (None, Some(_)) => say(FaultKind::Missing, path, 0, "the tile file is missing"),
            (Some(_), None) => {
                say(FaultKind::Trailing, path, 0, "a tile level above the ledger's end");
            }
            (Some(found), Some(size)) if found < size => {
                say(FaultKind::Damaged, path, found, "the tile file ends too early");
            }
            (Some(found), Some(size)) if found > size => {
                say(FaultKind::Trailing, path, size, "tiles beyond the ledger's end");
            }
            _ => {}
        }
    }
    Ok(end)
}

fn check_segments(
    store: &Store,
    end: &LedgerPosition,
    names: &[String],
    tail_bytes: Option<u64>,
    say: &mut dyn FnMut(FaultKind, PathBuf, u64, &str),
) -> Result<()> {
    let mut expected = 1;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    for number in numbers {
        if number > end.segment {
            let what = "a segment above the ledger's end";
            say(FaultKind::Trailing, store.segment_path(number), 0, what);
            continue;
        }
        for missing in expected..number {
            say(FaultKind::Missing, store.segment_path(missing), 0, "the segment is missing");
        }
        expected = number + 1;
    }
    for missing in expected..=end.segment {
        say(FaultKind::Missing, store.segment_path(missing), 0, "the segment is missing");
    }
    for name in names.iter().filter(|name| name.starts_with("blockchain_")) {
        let is_left = name.strip_suffix(".tmp").is_some_and(|name| segment_number(name).is_some());
        if is_left {
            // As in `Store::cut`, which removes it.
            let what = "left by a purge that was interrupted";
            say(FaultKind::Trailing, store.dir().join(name), 0, what);
        } else if segment_number(name).is_none() {
            say(FaultKind::Unknown, store.dir().join(name), 0, "not a segment of the ledger");
        }
    }
    let Some(found) = tail_bytes else { return Ok(()) };
    let path = store.segment_path(end.segment);
    let file = store.existing(&path)?;
    let mut window = Window::new(file, path.clone(), HOP_BYTES)?;
    if purged_trailer(&mut window, end)?.is_some() {
        return Ok(());
    }
    if found < end.offset {
        say(FaultKind::Damaged, path, found, "the segment ends before the ledger does");
    } else if found > end.offset {
        say(FaultKind::Trailing, path, end.offset, "bytes beyond the ledger's end");
    }
    Ok(())
}

fn size_of(store: &Store, path: &Path) -> Result<Option<u64>> {
    let Some(file) = missing_is_none(store.existing(path))? else { return Ok(None) };
    file.size().map(Some).map_err(|error| Error::storage("size", path, error))
}

/// A missing file is a fault to report, not a failure of the disk.
pub(super) fn missing_is_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Code::Corrupt || is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reports `error` if it is about wrong bytes; a failure of the disk is handed on.
pub(super) fn report(error: &Error, path: &Path, fault: Report<'_>) -> Result<()> {
    let offset = place_of(error, 0)?;
    let (kind, path, what) = (FaultKind::Damaged, path.to_owned(), error.detail().to_owned());
    fault(Fault { kind, path, offset, block: None, seq: None, what });
    Ok(())
}

/// Where `error` says that bytes are wrong, `otherwise` if it does not say.
fn place_of(error: &Error, otherwise: u64) -> Result<u64> {
    match error.code() {
        Code::Corrupt | Code::Unsupported => {
            Ok(error.place().and_then(|(_, offset)| offset).unwrap_or(otherwise))
        }
        code => Err(Error::new(code, error.to_string())),
    }
}
