//! The bytes of one simulated file: pages shared between copies until one of them writes, so that
//! copying a disk costs a reference count per file and a changed copy a page per write.

use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
/// What a simulated file may hold: bounds the page list that one stray offset can ask for.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 30;

type Page = [u8; PAGE_BYTES];

/// File content. Bytes at and beyond `len` are zero, or no page at all, once `cut` has run.
#[derive(Clone, Default)]
pub(super) struct Content {
    pages: Arc<Vec<Option<Arc<Page>>>>,
    len: u64,
}

impl Content {
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.peek(0, &mut bytes);
        bytes
    }

    /// Reads as the file system does: up to `len`, returning the count.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.peek(offset, &mut buf[..count]);
        count
    }

    /// Writes as the file system does: bytes and, if they reach beyond it, the length.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.put(offset, bytes);
        if !bytes.is_empty() {
            self.len = self.len.max(offset + bytes.len() as u64);
        }
    }

    /// Sets the length; what is cut off is zero when the file grows again.
    pub fn cut(&mut self, len: u64) {
        let whole = len.div_ceil(PAGE_BYTES as u64) as usize;
        if self.pages.len() > whole {
            Arc::make_mut(&mut self.pages).truncate(whole);
        }
        let inside = (len % PAGE_BYTES as u64) as usize;
        if inside > 0 && self.pages.len() == whole && self.pages[whole - 1].is_some() {
            self.page(whole - 1)[inside..].fill(0);
        }
        self.len = len;
    }

    /// Bytes regardless of the length; zeros where nothing is stored.
    pub fn peek(&self, offset: u64, buf: &mut [u8]) {
        for (index, inside, range) in pieces(offset, buf.len()) {
            let piece = &mut buf[range];
            match self.pages.get(index) {
                Some(Some(page)) => piece.copy_from_slice(&page[inside..inside + piece.len()]),
                _ => piece.fill(0),
            }
        }
    }

    /// Stores bytes and leaves the length alone.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (index, inside, range) in pieces(offset, bytes.len()) {
            let piece = &bytes[range];
            self.page(index)[inside..inside + piece.len()].copy_from_slice(piece);
        }
    }

    /// Zeroes a range and leaves the length alone.
    pub fn zero(&mut self, start: u64, end: u64) {
        let stored = (self.pages.len() * PAGE_BYTES) as u64;
        let count = end.min(stored).saturating_sub(start) as usize;
        for (index, inside, range) in pieces(start, count) {
            if self.pages[index].is_some() {
                self.page(index)[inside..inside + range.len()].fill(0);
            }
        }
    }

    fn page(&mut self, index: usize) -> &mut Page {
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= index {
            pages.resize(index + 1, None);
        }
        Arc::make_mut(pages[index].get_or_insert_with(|| Arc::new([0; PAGE_BYTES])))
    }
}

/// Refuses a length no simulated file may have.
pub(super) fn check_len(len: Option<u64>) -> io::Result<u64> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "a simulated file is too large");
    len.filter(|len| *len <= FILE_BYTES_MAX).ok_or_else(too_large)
}

/// The pages a range of a file lies in: page, offset in the page, range of the buffer.
fn pieces(
    offset: u64,
    count: usize,
) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= count {
            return None;
        }
        let at = offset + done as u64;
        let inside = (at % PAGE_BYTES as u64) as usize;
        let size = (PAGE_BYTES - inside).min(count - done);
        let range = done..done + size;
        done += size;
        Some(((at / PAGE_BYTES as u64) as usize, inside, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::simulated::Dice;

    #[test]
    fn content_behaves_like_a_growing_and_shrinking_vector() {
        let mut dice = Dice::new(1);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for round in 0..2_000 {
            let offset = dice.below(20_000) as usize;
            if dice.chance(1, 4) {
                content.cut(offset as u64);
                model.resize(offset, 0);
            } else {
                let bytes = vec![round as u8 | 1; dice.below(6_000) as usize];
                content.write(offset as u64, &bytes);
                if !bytes.is_empty() {
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert_eq!(content.to_bytes(), model, "round {round}");
        }
    }

    #[test]
    fn a_copy_keeps_its_bytes_when_the_other_is_written() {
        let mut content = Content::from_bytes(&[1; 10_000]);
        let copy = content.clone();
        content.write(5_000, &[2; 10]);
        content.cut(6_000);
        assert_eq!(copy.to_bytes(), [1; 10_000]);
    }
}
