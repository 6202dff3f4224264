//! What a disk may hold after the power went: the medium as last synced, plus whatever part of the
//! pending changes the seed lets through. Each mode adds a way of losing to the one before it.
//!
//! The unit a medium writes whole is a sector of 512 bytes. A byte that no unsynced change covers
//! is never harmed, whatever happens to its neighbours (powersafe overwrite, as SQLite calls it),
//! except by the disk that lied about a sync.

use std::collections::BTreeMap;
use std::ops::Range;

use super::content::Content;
use super::file::{Change, FileNode, FileOp};
use super::tree::{DirOp, Folders, NodeId, Tree};
use crate::host::simulated::Dice;

/// The unit a medium writes whole or, when torn, in part.
pub const SECTOR_BYTES: u64 = 512;

/// How much a power loss may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// Changes of files and folders reach the medium in their order: some prefix of them is there.
    M0,
    /// Of unsynced writes any subset of sectors is there, each as of any moment, and the length is
    /// any the file passed through. All entries are there.
    M1,
    /// As `M1`, and one sector is torn: part old, part new, or ending in zeros, noise or stale
    /// bytes, which may go on to the end of its write.
    M2,
    /// As `M2`, and unsynced entries are lost: new files vanish, unlinked ones return, renames are
    /// undone and give back what they replaced.
    M3,
    /// As `M3`, and syncs lied: of some files the last syncs did nothing. Nothing is promised then
    /// but that damage is noticed.
    M4,
}

impl CrashMode {
    /// The modes of disks that keep their word; acknowledged data survives all of these.
    pub const HONEST: [CrashMode; 4] = [CrashMode::M0, CrashMode::M1, CrashMode::M2, CrashMode::M3];
}

/// A disk as it may look after power loss.
pub(super) fn image(tree: &Tree, mode: CrashMode, seed: u64) -> Tree {
    let mut dice = Dice::new(seed);
    if mode == CrashMode::M0 {
        return ordered_prefix(tree, &mut dice);
    }
    let folders = match mode {
        CrashMode::M3 | CrashMode::M4 => some_entries(tree, &mut dice),
        _ => all_entries(tree, u64::MAX),
    };
    let files = tree.reached_files(&folders);
    let lies = if mode == CrashMode::M4 { lies(tree, &files, &mut dice) } else { BTreeMap::new() };
    let torn = if mode == CrashMode::M1 { None } else { victim(tree, &files, &lies, &mut dice) };
    tree.settled(folders, |node| {
        let file = &tree.files[&node];
        let (base, ops) = match lies.get(&node) {
            Some(&count) => file.before_lies(count),
            None => (file.durable.clone(), file.pending.iter().collect()),
        };
        if ops.is_empty() {
            return base;
        }
        let unsynced = Unsynced::new(base, &ops);
        let mut content = unsynced.survivors(&mut dice);
        if torn == Some(node) {
            unsynced.tear(&mut content, &mut dice);
        }
        content
    })
}

fn ordered_prefix(tree: &Tree, dice: &mut Dice) -> Tree {
    let of_files = tree.files.values().flat_map(|file| &file.pending).map(|op| op.seq);
    let mut seqs: Vec<u64> = of_files.chain(tree.pending.iter().map(|op| op.seq)).collect();
    seqs.sort_unstable();
    let kept = dice.below(seqs.len() as u64 + 1) as usize;
    let last = kept.checked_sub(1).map_or(0, |index| seqs[index]);
    tree.settled(all_entries(tree, last), |node| {
        let file = &tree.files[&node];
        let mut content = file.durable.clone();
        let kept = file.pending.iter().take_while(|op| op.seq <= last);
        kept.for_each(|op| op.change.apply(&mut content));
        content
    })
}

/// The folders with their changes up to number `last`.
fn all_entries(tree: &Tree, last: u64) -> Folders {
    let mut folders = tree.durable.clone();
    tree.pending.iter().take_while(|op| op.seq <= last).for_each(|op| folders.apply(op));
    folders
}

/// The folders with any subset of their changes that contains what its members build upon.
fn some_entries(tree: &Tree, dice: &mut Dice) -> Folders {
    let mut folders = tree.durable.clone();
    let chance = [0, 2, 4, 6, 8][dice.below(5) as usize];
    let mut lost: Vec<&DirOp> = Vec::new();
    for op in &tree.pending {
        if dice.chance(chance, 8) && !lost.iter().any(|earlier| op.needs(earlier)) {
            folders.apply(op);
        } else {
            lost.push(op);
        }
    }
    folders
}

/// Of which files how many of the last syncs did nothing: at least one, if any file was synced.
fn lies(tree: &Tree, files: &[NodeId], dice: &mut Dice) -> BTreeMap<NodeId, usize> {
    let synced = |node: &&NodeId| tree.files[node].lies_possible() > 0;
    let synced: Vec<NodeId> = files.iter().filter(synced).copied().collect();
    let certain = dice.below(synced.len() as u64) as usize;
    let mut lies = BTreeMap::new();
    for (index, node) in synced.into_iter().enumerate() {
        if index == certain || dice.chance(1, 2) {
            let possible = tree.files[&node].lies_possible() as u64;
            lies.insert(node, 1 + dice.below(possible) as usize);
        }
    }
    lies
}

/// The file that gets a torn sector: one of those with unsynced changes.
fn victim(
    tree: &Tree,
    files: &[NodeId],
    lies: &BTreeMap<NodeId, usize>,
    dice: &mut Dice,
) -> Option<NodeId> {
    let unsynced = |node: &&NodeId| {
        let file: &FileNode = &tree.files[node];
        !file.pending.is_empty() || lies.contains_key(node)
    };
    let candidates: Vec<NodeId> = files.iter().filter(unsynced).copied().collect();
    candidates.get(dice.below(candidates.len() as u64) as usize).copied()
}

/// A change seen as bytes laid over a range; `None` is zeros, left by cutting the file there.
struct Layer<'a> {
    range: Range<u64>,
    bytes: Option<&'a [u8]>,
}

impl Layer<'_> {
    /// Lays the part of this change that falls into `within` over `content`.
    fn lay(&self, content: &mut Content, within: &Range<u64>) {
        let start = self.range.start.max(within.start);
        let end = self.range.end.min(within.end);
        if start >= end {
            return;
        }
        match self.bytes {
            Some(bytes) => {
                let from = (start - self.range.start) as usize;
                content.put(start, &bytes[from..from + (end - start) as usize]);
            }
            None => content.zero(start, end),
        }
    }

    fn sectors(&self) -> Range<u64> {
        if self.range.is_empty() {
            return 0..0;
        }
        self.range.start / SECTOR_BYTES..self.range.end.div_ceil(SECTOR_BYTES)
    }
}

/// The unsynced changes of one file over what the medium surely holds.
struct Unsynced<'a> {
    base: Content,
    layers: Vec<Layer<'a>>,
    /// The length before all changes and after each.
    lengths: Vec<u64>,
}

impl<'a> Unsynced<'a> {
    fn new(base: Content, ops: &[&'a FileOp]) -> Self {
        let mut len = base.len();
        let mut lengths = vec![len];
        let mut layers = Vec::with_capacity(ops.len());
        for op in ops {
            let layer = match &op.change {
                Change::Write { offset, bytes } => {
                    Layer { range: *offset..*offset + bytes.len() as u64, bytes: Some(bytes) }
                }
                Change::Resize { len: to } => Layer { range: *to..len.max(*to), bytes: None },
            };
            len = match &op.change {
                Change::Write { bytes, .. } if bytes.is_empty() => len,
                Change::Write { .. } => len.max(layer.range.end),
                Change::Resize { len } => *len,
            };
            layers.push(layer);
            lengths.push(len);
        }
        Unsynced { base, layers, lengths }
    }

    fn last_len(&self) -> u64 {
        self.lengths.last().copied().unwrap_or(self.base.len())
    }

    /// The file with some of its changes. All, none and a mere prefix are frequent on purpose: the
    /// extremes are where recovery goes wrong.
    fn survivors(&self, dice: &mut Dice) -> Content {
        let density = match dice.below(8) {
            0 => return self.prefix(0),
            1 => return self.prefix(self.layers.len()),
            2 => return self.prefix(dice.below(self.layers.len() as u64 + 1) as usize),
            draw => [1, 4, 7][draw as usize % 3],
        };
        let (moment, len) = self.some_len(dice);
        let mut content = self.base.clone();
        self.lay_some(&mut content, moment, density, dice);
        content.cut(len);
        content
    }

    fn prefix(&self, count: usize) -> Content {
        let mut content = self.base.clone();
        self.layers[..count].iter().for_each(|layer| layer.lay(&mut content, &layer.range));
        content.cut(self.lengths[count]);
        content
    }

    /// Lays each sector as of some moment: before all changes, after all, or between. Cuts take
    /// their bytes only if the length, which is as of `moment`, knows of them.
    fn lay_some(&self, content: &mut Content, moment: usize, density: u64, dice: &mut Dice) {
        let mut layers: Vec<&Layer> = self.layers[..moment].iter().collect();
        layers.extend(self.layers[moment..].iter().filter(|layer| layer.bytes.is_some()));
        let mut touched: BTreeMap<u64, u32> = BTreeMap::new();
        for sector in layers.iter().flat_map(|layer| layer.sectors()) {
            *touched.entry(sector).or_default() += 1;
        }
        for changes in touched.values_mut() {
            if !dice.chance(density, 8) {
                *changes = 0;
            } else if *changes > 1 && dice.chance(1, 4) {
                *changes = dice.below(u64::from(*changes)) as u32;
            }
        }
        for layer in layers {
            for sector in layer.sectors() {
                if let Some(left) = touched.get_mut(&sector).filter(|left| **left > 0) {
                    *left -= 1;
                    layer.lay(content, &bytes_of(sector));
                }
            }
        }
    }

    /// Any length the file passed through, or, as data reaches the medium piece by piece, one
    /// between two of them: so a lost write leaves zeros or a shorter file. Returns the count of
    /// changes the length knows of, too.
    fn some_len(&self, dice: &mut Dice) -> (usize, u64) {
        let index = match dice.below(4) {
            0 => 0,
            1 => dice.below(self.lengths.len() as u64) as usize,
            _ => self.lengths.len() - 1,
        };
        let len = self.lengths[index];
        let Some(&before) = index.checked_sub(1).and_then(|i| self.lengths.get(i)) else {
            return (index, len);
        };
        let partly = (before / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if partly >= len || !dice.chance(1, 4) {
            return (index, len);
        }
        (index, partly + dice.below((len - partly).div_ceil(SECTOR_BYTES)) * SECTOR_BYTES)
    }

    /// Tears one sector of one write. Only bytes that unsynced writes cover are touched.
    fn tear(&self, content: &mut Content, dice: &mut Dice) {
        let written = |layer: &&Layer| layer.bytes.is_some_and(|bytes| !bytes.is_empty());
        let layers: Vec<&Layer> = self.layers.iter().filter(written).collect();
        let Some(layer) = layers.get(dice.below(layers.len() as u64) as usize) else { return };
        let sectors = layer.sectors();
        let sector = bytes_of(sectors.start + dice.below(sectors.end - sectors.start));
        let start = sector.start.max(layer.range.start);
        let end = sector.end.min(layer.range.end);
        let cut = start + dice.below(end - start);
        let mut new = self.base.clone();
        self.layers.iter().for_each(|layer| layer.lay(&mut new, &sector));
        let mut copy = |source: &Content, range: Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            source.peek(range.start, &mut bytes);
            content.put(range.start, &bytes);
        };
        let filler = dice.below(5);
        match filler {
            0 => {
                copy(&self.base, start..cut);
                copy(&new, cut..end);
            }
            _ => copy(&new, start..cut),
        }
        if filler == 1 {
            copy(&self.base, cut..end);
        }
        let mut torn_end = end;
        if filler > 1 {
            if dice.chance(1, 2) {
                torn_end = layer.range.end;
            }
            let tail = self.filler(filler, (torn_end - cut) as usize, dice);
            content.put(cut, &tail);
        }
        let visible = content.len().max(torn_end.min(self.last_len()));
        let len = if dice.chance(3, 4) { visible } else { content.len() };
        content.cut(len);
    }

    /// What follows the tear: zeros, noise, or bytes the file held elsewhere.
    fn filler(&self, kind: u64, count: usize, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = vec![0; count];
        match kind {
            2 => {}
            3 => dice.fill(&mut bytes),
            _ => self.base.peek(dice.below(self.base.len() + 1), &mut bytes),
        }
        bytes
    }
}

fn bytes_of(sector: u64) -> Range<u64> {
    sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES
}
