//! The strict check: are these bytes the canonical encoding of some document? Reads every item
//! through minicbor and compares how many bytes it took with how many it needed. Builds nothing,
//! and recurses no deeper than the limit of nesting.

use minicbor::Decoder;
use minicbor::data::Type;

use super::encode::{MICROS_PART, SECONDS_PART, TIMESTAMP_TAG, check_depth, float_bytes};
use super::{Timestamp, check_field_name, check_size};
use crate::error::{Code, Error, Result};

/// Accepts `bytes` exactly if they are what encoding their own document again would give.
/// `invalid_argument` names the byte of the first deviation; `too_large` a limit.
pub fn check_canonical(bytes: &[u8]) -> Result<()> {
    check_size(bytes.len())?;
    let mut check = Check { decoder: Decoder::new(bytes), bytes };
    match check.object(1) {
        Ok(()) if check.decoder.position() == bytes.len() => Ok(()),
        Ok(()) => Err(check.error(Deviation::Is("bytes after the document"))),
        Err(deviation) => Err(check.error(deviation)),
    }
}

struct Check<'b> {
    decoder: Decoder<'b>,
    bytes: &'b [u8],
}

enum Deviation {
    /// Well-formed CBOR that a document writes differently, or not at all.
    Is(&'static str),
    /// Not the CBOR that was expected here.
    Malformed(minicbor::decode::Error),
    /// A rule of documents that every way in shares.
    Refused(super::Refusal),
}

impl From<minicbor::decode::Error> for Deviation {
    fn from(error: minicbor::decode::Error) -> Self {
        Deviation::Malformed(error)
    }
}

impl From<super::Refusal> for Deviation {
    fn from(refusal: super::Refusal) -> Self {
        Deviation::Refused(refusal)
    }
}

impl<'b> Check<'b> {
    fn error(&self, deviation: Deviation) -> Error {
        let (code, what) = match deviation {
            Deviation::Is(what) => (Code::InvalidArgument, what.to_owned()),
            Deviation::Malformed(error) => (Code::InvalidArgument, error.to_string()),
            Deviation::Refused(refusal) => (refusal.code, refusal.to_string()),
        };
        let place = self.decoder.position();
        Error::new(code, format!("not a canonical document, before byte {place}: {what}"))
    }

    fn object(&mut self, depth: usize) -> Result<(), Deviation> {
        check_depth(depth)?;
        let start = self.decoder.position();
        let Some(fields) = self.decoder.map()? else {
            return Err(Deviation::Is("an object of indefinite length"));
        };
        self.shortest(start, fields, 0)?;
        let mut previous: &'b [u8] = &[];
        for _ in 0..fields {
            let start = self.decoder.position();
            let name = self.decoder.str()?;
            self.shortest(start, name.len() as u64, name.len())?;
            check_field_name(name)?;
            let encoded = &self.bytes[start..self.decoder.position()];
            if previous >= encoded {
                return Err(Deviation::Is("fields out of order or given twice"));
            }
            previous = encoded;
            self.value(depth)?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Deviation> {
        let start = self.decoder.position();
        match self.decoder.datatype()? {
            Type::Null => Ok(self.decoder.null()?),
            Type::Bool => self.decoder.bool().map(drop).map_err(Into::into),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.int().map(drop),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => self.int().map(drop),
            Type::F16 | Type::F32 | Type::F64 => self.float(start),
            Type::String => {
                let text = self.decoder.str()?;
                self.shortest(start, text.len() as u64, text.len())
            }
            Type::Bytes => {
                let bytes = self.decoder.bytes()?;
                self.shortest(start, bytes.len() as u64, bytes.len())
            }
            Type::Array => self.array(depth + 1),
            Type::Map => self.object(depth + 1),
            Type::Tag => self.timestamp(start),
            _ => Err(Deviation::Is("an item that no document holds")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Deviation> {
        check_depth(depth)?;
        let start = self.decoder.position();
        let Some(items) = self.decoder.array()? else {
            return Err(Deviation::Is("an array of indefinite length"));
        };
        self.shortest(start, items, 0)?;
        for _ in 0..items {
            self.value(depth)?;
        }
        Ok(())
    }

    fn int(&mut self) -> Result<i64, Deviation> {
        let start = self.decoder.position();
        let value = self.decoder.i64()?;
        // A negative integer n is written as the number -1 - n, which is its complement.
        self.shortest(start, (value ^ (value >> 63)) as u64, 0)?;
        Ok(value)
    }

    fn float(&mut self, start: usize) -> Result<(), Deviation> {
        let value = self.decoder.f64()?;
        if !value.is_finite() {
            return Err(Deviation::Is("NaN or an infinity"));
        }
        if self.decoder.position() - start != 1 + float_bytes(value) {
            return Err(Deviation::Is("a float that has a shorter form"));
        }
        Ok(())
    }

    fn timestamp(&mut self, start: usize) -> Result<(), Deviation> {
        let tag = self.decoder.tag()?.as_u64();
        if tag != TIMESTAMP_TAG {
            return Err(Deviation::Is("a tag other than 1001"));
        }
        self.shortest(start, tag, 0)?;
        let start = self.decoder.position();
        let parts = self.decoder.map()?;
        self.shortest(start, 2, 0)?;
        let seconds = (self.int()? == SECONDS_PART).then(|| self.int()).transpose()?;
        let micros = (self.int()? == MICROS_PART).then(|| self.int()).transpose()?;
        match (parts, seconds, micros) {
            (Some(2), Some(seconds), Some(micros))
                if Timestamp::from_seconds_and_micros(seconds, micros).is_some() =>
            {
                Ok(())
            }
            _ => {
                Err(Deviation::Is("a time that is not seconds and microseconds of years 0 to 9999"))
            }
        }
    }

    /// The head of the item from `start` to here, which `payload` bytes of text or bytes follow,
    /// must be the shortest for `number`.
    fn shortest(&self, start: usize, number: u64, payload: usize) -> Result<(), Deviation> {
        let needed = match number {
            0..=0x17 => 1,
            0x18..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        if self.decoder.position() - start != needed + payload {
            return Err(Deviation::Is("a number or length that has a shorter form"));
        }
        Ok(())
    }
}
