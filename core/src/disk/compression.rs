//! Compression of I/O frames, chosen per collection and recorded in every frame.

use std::path::Path;

use crate::error::{Error, Result};

/// How a frame's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Compression {
    /// As they are.
    None = 0,
    /// LZ4 block format, without a length prefix.
    Lz4 = 1,
}

impl Compression {
    /// The codec of a number found on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Compression::None),
            1 => Some(Compression::Lz4),
            _ => None,
        }
    }

    /// The word used in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
        }
    }

    /// Appends `raw`, compressed if that saves at least an eighth, to `out`; returns the codec used.
    pub fn compress(self, raw: &[u8], out: &mut Vec<u8>) -> Self {
        let start = out.len();
        if self == Compression::Lz4 {
            out.resize(start + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
            if let Ok(size) = lz4_flex::block::compress_into(raw, &mut out[start..])
                && size <= raw.len() - raw.len() / 8
            {
                out.truncate(start + size);
                return Compression::Lz4;
            }
            out.truncate(start);
        }
        out.extend_from_slice(raw);
        Compression::None
    }

    /// The `raw_bytes` bytes that `stored` stands for; `path` and `offset` name it in the error.
    pub fn decompress(
        self,
        stored: &[u8],
        raw_bytes: usize,
        path: &Path,
        offset: u64,
    ) -> Result<Vec<u8>> {
        let wrong = || Error::corrupt(path, offset, "the frame does not decompress to its length");
        match self {
            Compression::None if stored.len() == raw_bytes => Ok(stored.to_vec()),
            Compression::None => Err(wrong()),
            Compression::Lz4 => {
                let mut raw = vec![0; raw_bytes];
                match lz4_flex::block::decompress_into(stored, &mut raw) {
                    Ok(size) if size == raw_bytes => Ok(raw),
                    _ => Err(wrong()),
                }
            }
        }
    }
}
