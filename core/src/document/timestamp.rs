//! A point in time in whole microseconds, UTC, and its RFC 3339 text. Reads exactly the grammar of
//! RFC 3339 and never rounds: digits that a microsecond cannot hold are refused, not dropped.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::error::{Error, Result};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const US_PER_SECOND: i64 = 1_000_000;

/// Microseconds since 1970-01-01T00:00:00Z. Any `i64` can be held; a document takes those with an
/// RFC 3339 text, [`Timestamp::MIN`] to [`Timestamp::MAX`].
///
/// ```
/// use blockdb::document::Timestamp;
///
/// let time: Timestamp = "2026-11-24T06:00:00+01:00".parse()?;
/// assert_eq!(time.to_string(), "2026-11-24T05:00:00.000000Z");
/// assert_eq!(time.micros(), 1_795_496_400_000_000);
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0000-01-01T00:00:00Z, the earliest time RFC 3339 can write.
    pub const MIN: Timestamp = Timestamp(-62_167_219_200 * US_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z, the latest.
    pub const MAX: Timestamp = Timestamp(253_402_300_800 * US_PER_SECOND - 1);

    /// The time `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whether the time has an RFC 3339 text, and so a place in documents.
    pub fn has_text(self) -> bool {
        (Timestamp::MIN..=Timestamp::MAX).contains(&self)
    }

    /// Reads an RFC 3339 text of any offset; `invalid_argument` if it is none, lies outside the
    /// years 0 to 9999 in UTC, names a leap second, or is finer than a microsecond.
    pub fn parse(text: &str) -> Result<Self> {
        read(text.as_bytes()).ok_or_else(|| {
            let shown: String = text.chars().take(48).collect();
            Error::invalid(format!(
                "{shown:?} is not an RFC 3339 time in microseconds, such as \
                 2026-11-24T05:00:00.000000Z"
            ))
        })
    }

    /// Whole seconds since the epoch, rounded down, and the microseconds above them.
    pub(super) fn seconds_and_micros(self) -> (i64, i64) {
        (self.0.div_euclid(US_PER_SECOND), self.0.rem_euclid(US_PER_SECOND))
    }

    /// The inverse, if the pair is in range.
    pub(super) fn from_seconds_and_micros(seconds: i64, micros: i64) -> Option<Self> {
        if !(0..US_PER_SECOND).contains(&micros) {
            return None;
        }
        let time = Timestamp(seconds.checked_mul(US_PER_SECOND)?.checked_add(micros)?);
        time.has_text().then_some(time)
    }
}

fn read(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| head[at].to_ascii_uppercase() != mark) {
        return None;
    }
    let field = |at: usize| digits(&head[at..at + 2]).and_then(|n| i8::try_from(n).ok());
    let year = i16::try_from(digits(&head[..4])?).ok()?;
    let civil =
        DateTime::new(year, field(5)?, field(8)?, field(11)?, field(14)?, field(17)?, 0).ok()?;
    let (micros, offset) = match tail.strip_prefix(b".") {
        Some(rest) => fraction(rest)?,
        None => (0, tail),
    };
    let seconds = civil.duration_since(EPOCH).as_secs() - offset_seconds(offset)?;
    Timestamp::from_seconds_and_micros(seconds, micros)
}

/// The microseconds of a fraction, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (figures, rest) = text.split_at(length);
    let (kept, finer) = figures.split_at(length.min(6));
    if finer.iter().any(|&figure| figure != b'0') {
        return None;
    }
    Some((digits(kept)? * 10_i64.pow(6 - kept.len() as u32), rest))
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = hours * 3600 + minutes * 60;
            let known = hours < 24 && minutes < 60;
            known.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// The number of one to six decimal digits.
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = self.seconds_and_micros();
        let civil = EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok();
        let Some(civil) = civil.filter(|_| self.has_text()) else {
            return write!(f, "{} microseconds from 1970", self.0);
        };
        write!(f, "{:04}-{:02}-{:02}", civil.year(), civil.month(), civil.day())?;
        write!(f, "T{:02}:{:02}:{:02}", civil.hour(), civil.minute(), civil.second())?;
        write!(f, ".{micros:06}Z")
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Timestamp::parse(text)
    }
}
