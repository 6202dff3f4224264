//! Newline-delimited input: from a file, standard input or memory, plain, gzip or zstd, told apart
//! by their first bytes. Memory is bounded by the longest line allowed; what is longer is skipped
//! and reported, never kept.

use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use blockdb::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

use crate::files;

/// Longest line: a document of the 16 MiB limit fits with base64 and escapes, and it is what a
/// server takes per line.
pub const LINE_BYTES_MAX: usize = 64 << 20;
/// What the line buffer keeps for the next line after a long one.
const LINE_BYTES_KEPT: usize = 1 << 20;
const READ_BYTES: usize = 256 << 10;

/// One line of input, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes.
    Text(&'a [u8]),
    /// It is longer than a line may be, and was skipped.
    TooLong,
}

/// The lines of an input and their numbers, from 1.
pub struct Lines {
    source: Box<dyn BufRead + Send>,
    name: PathBuf,
    number: u64,
    line_bytes_max: usize,
    buffer: Vec<u8>,
}

/// The lines of the file `name`, or of standard input for `-`, and on a terminal a bar that shows
/// how many of its bytes were taken.
pub fn open(name: &Path) -> Result<(Lines, ProgressBar)> {
    if name == Path::new("-") {
        let progress = progress_bar(0);
        let stdin = progress.wrap_read(std::io::stdin());
        return Ok((Lines::new(Box::new(stdin), Path::new("standard input"))?, progress));
    }
    let (file, length) = files::open(name)?;
    let progress = progress_bar(length);
    Ok((Lines::new(Box::new(progress.wrap_read(file)), name)?, progress))
}

/// Length 0 means unknown.
fn progress_bar(length: u64) -> ProgressBar {
    let template = match length {
        0 => "{spinner} {bytes} read, {bytes_per_sec}",
        _ => "{bar:30} {bytes} of {total_bytes} read, {bytes_per_sec}, {eta} left",
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::new(length).with_style(style)
}

/// Reads the whole of standard input, which must be no longer than a line may be.
pub fn read_stdin() -> Result<Vec<u8>> {
    read_whole(Path::new("-"))
}

/// Reads the whole of the file `name`, or of standard input for `-`: no more than a line may have.
pub fn read_whole(name: &Path) -> Result<Vec<u8>> {
    let mut source: Box<dyn Read> = match name == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(files::open(name)?.0),
    };
    let name = if name == Path::new("-") { Path::new("standard input") } else { name };
    let mut bytes = Vec::new();
    let read = source.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::storage("read", name, error))?;
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Error::too_large(
            &format!("the input {}, in bytes,", name.display()),
            bytes.len() as u64,
            LINE_BYTES_MAX as u64,
        ));
    }
    Ok(bytes)
}

impl Lines {
    /// The lines of `raw`, unpacked if it is packed.
    pub fn new(raw: Box<dyn Read + Send>, name: &Path) -> Result<Lines> {
        let failed = |error| Error::storage("read", name, error);
        Ok(Lines {
            source: unpack(raw).map_err(failed)?,
            name: name.to_owned(),
            number: 0,
            line_bytes_max: LINE_BYTES_MAX,
            buffer: Vec::new(),
        })
    }

    /// The next line and its number; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<(u64, Line<'_>)>> {
        self.buffer.clear();
        self.buffer.shrink_to(LINE_BYTES_KEPT);
        let whole = self.fill().map_err(|error| {
            let operation = match self.number {
                0 => "reading the first line".to_owned(),
                number => format!("reading on after line {number}"),
            };
            Error::storage(&operation, &self.name, error)
        })?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if !whole {
            return Ok(Some((self.number, Line::TooLong)));
        }
        let text = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let byte_order_mark: &[u8] = if self.number == 1 { b"\xEF\xBB\xBF" } else { b"" };
        let text = text.strip_prefix(byte_order_mark).unwrap_or(text);
        Ok(Some((self.number, Line::Text(text))))
    }

    /// Fills the buffer with one line; false if it was too long and the rest was skipped.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut bounded = (&mut self.source).take(self.line_bytes_max as u64 + 1);
        bounded.read_until(b'\n', &mut self.buffer)?;
        if self.buffer.len() <= self.line_bytes_max || self.buffer.ends_with(b"\n") {
            return Ok(true);
        }
        self.source.skip_until(b'\n')?;
        Ok(false)
    }
}

/// How input is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// What the first bytes tell; `None` as long as it takes more of them.
fn packing(first: &[u8]) -> Option<Packing> {
    match first {
        // RFC 1952 section 2.3.1.
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        // RFC 8878 sections 3.1.1 and 3.1.2: a frame, or a skippable frame before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
        [] | [0x1f] => None,
        [0x28] | [0x28, 0xb5] | [0x28, 0xb5, 0x2f] => None,
        [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] => None,
        _ => Some(Packing::None),
    }
}

/// Takes no more first bytes than it needs: a pipe may bring one short line and then be silent.
fn unpack(mut raw: Box<dyn Read + Send>) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut first = Vec::new();
    let packing = loop {
        if let Some(packing) = packing(&first) {
            break packing;
        }
        let mut byte = [0];
        match raw.read(&mut byte) {
            Ok(0) => break Packing::None,
            Ok(_) => first.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    let source = BufReader::with_capacity(READ_BYTES, Cursor::new(first).chain(raw));
    Ok(match packing {
        Packing::None => Box::new(source),
        Packing::Gzip => {
            Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(source)))
        }
        Packing::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            Box::new(BufReader::with_capacity(READ_BYTES, decoder))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(1);
            self.0.read(&mut into[..length])
        }
    }

    fn lines(bytes: &[u8], line_bytes_max: usize) -> Vec<(u64, Option<String>)> {
        let raw = Box::new(Trickle(Cursor::new(bytes.to_vec())));
        let mut lines = Lines::new(raw, Path::new("test")).unwrap();
        lines.line_bytes_max = line_bytes_max;
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next_line().unwrap() {
            all.push((
                number,
                match line {
                    Line::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                    Line::TooLong => None,
                },
            ));
        }
        all
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        lines(bytes, 100).into_iter().map(|(_, text)| text.unwrap()).collect()
    }

    const TEXT: &[u8] = b"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":3}";

    #[test]
    fn lines_end_with_any_usual_end_and_the_last_with_none() {
        assert_eq!(texts(TEXT), ["{\"a\":1}", "", "{\"b\":2}", "{\"c\":3}"]);
        assert_eq!(texts(b"\xEF\xBB\xBF{}\n"), ["{}"]);
        assert_eq!(texts(b""), [""; 0]);
    }

    #[test]
    fn packed_input_is_told_by_its_first_bytes_and_may_have_several_parts() {
        let mut gzip = Vec::new();
        for half in [&TEXT[..9], &TEXT[9..]] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(half).unwrap();
            gzip.extend(encoder.finish().unwrap());
        }
        let mut zstandard = zstd::encode_all(&TEXT[..9], 1).unwrap();
        zstandard.extend(zstd::encode_all(&TEXT[9..], 1).unwrap());
        assert_eq!(texts(&gzip), texts(TEXT));
        assert_eq!(texts(&zstandard), texts(TEXT));
    }

    #[test]
    fn a_line_is_given_before_there_is_more_input() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"1\n").unwrap();
        let mut lines = Lines::new(Box::new(reader), Path::new("test")).unwrap();
        assert_eq!(lines.next_line().unwrap(), Some((1, Line::Text(b"1"))));
    }

    #[test]
    fn a_line_too_long_is_skipped_and_those_around_it_are_kept() {
        let text = |text: &str| Some(text.to_owned());
        let found = lines(b"1234\n12345\n123456\n1\n123456", 5);
        assert_eq!(
            found,
            [(1, text("1234")), (2, text("12345")), (3, None), (4, text("1")), (5, None)]
        );
    }

    #[test]
    fn packed_input_cut_short_is_an_error_that_names_the_last_line() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(TEXT).unwrap();
        let whole = encoder.finish().unwrap();
        let cut = Cursor::new(whole[..whole.len() - 8].to_vec());
        let mut lines = Lines::new(Box::new(cut), Path::new("cut.gz")).unwrap();
        let error = loop {
            match lines.next_line() {
                Ok(line) => assert!(line.is_some(), "the cut must not look like the end"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("cut.gz"), "{error}");
    }
}
