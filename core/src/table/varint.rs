//! Variable-length integers: seven bits a byte, least significant first, the high bit says that
//! another byte follows (LEB128). Reading checks every bound and never panics.

use super::{Malformed, Parsed};

const CUT: Malformed = Malformed("a number is cut off or longer than 64 bits");

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the number at `*at` and moves `*at` past it. Inlined by measurement, as is all that a lookup
/// does for each entry it walks over: results that pass through memory doubled its instructions.
#[inline(always)]
pub(crate) fn get(bytes: &[u8], at: &mut usize) -> Parsed<u64> {
    match bytes.get(*at) {
        Some(&byte) if byte < 0x80 => {
            *at += 1;
            Ok(u64::from(byte))
        }
        _ => match bytes.get(*at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => get_word(u64::from_le_bytes(*word), bytes, at),
            None => get_long(bytes, at),
        },
    }
}

/// Reads from eight bytes at once: finds the last byte of the number by its clear high bit, then
/// closes the gaps between the groups of seven bits, two, four and eight at a time.
#[inline(always)]
fn get_word(word: u64, bytes: &[u8], at: &mut usize) -> Parsed<u64> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return get_long(bytes, at);
    }
    let bits = ends.trailing_zeros() + 1;
    *at += (bits / 8) as usize;
    let groups = word & (u64::MAX >> (64 - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
    let twos = (groups & 0x7f00_7f00_7f00_7f00) >> 1 | groups & 0x007f_007f_007f_007f;
    let fours = (twos & 0x3fff_0000_3fff_0000) >> 2 | twos & 0x0000_3fff_0000_3fff;
    Ok((fours & 0x0fff_ffff_0000_0000) >> 4 | fours & 0x0000_0000_0fff_ffff)
}

#[cold]
fn get_long(bytes: &[u8], at: &mut usize) -> Parsed<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(CUT)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(CUT);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(CUT)
}

/// Reads a length, and the bytes of that length that follow.
#[inline(always)]
pub(crate) fn get_slice<'a>(bytes: &'a [u8], at: &mut usize, count: u64) -> Parsed<&'a [u8]> {
    let cut = Malformed("a length points past the end");
    let end = usize::try_from(count).ok().and_then(|count| at.checked_add(count)).ok_or(cut)?;
    let slice = bytes.get(*at..end).ok_or(cut)?;
    *at = end;
    Ok(slice)
}

/// Small numbers for small differences of either sign.
#[inline]
pub(crate) fn zigzag(from: u64, to: u64) -> u64 {
    let difference = to.wrapping_sub(from) as i64;
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(from: u64, coded: u64) -> u64 {
    from.wrapping_add((coded >> 1) ^ (coded & 1).wrapping_neg())
}

/// Reads a little-endian `u32` at `at`.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Parsed<u32> {
    let end = at.checked_add(4).ok_or(CUT)?;
    let slice = bytes.get(at..end).ok_or(CUT)?;
    Ok(u32::from_le_bytes(slice.try_into().expect("four bytes")))
}

/// Reads a little-endian `u64` at `at`.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Parsed<u64> {
    let end = at.checked_add(8).ok_or(CUT)?;
    let slice = bytes.get(at..end).ok_or(CUT)?;
    Ok(u64::from_le_bytes(slice.try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_longer_ones_are_refused() {
        let powers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) | 0x5a5a]);
        for value in powers.chain([300, u64::MAX - 1, u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut at = 0;
            assert_eq!(get(&bytes, &mut at), Ok(value));
            assert_eq!(at, bytes.len());
            let (followed, mut at) = ([&bytes[..], &[0xff; 8]].concat(), 0);
            assert_eq!(get(&followed, &mut at), Ok(value));
            assert_eq!(at, bytes.len());
            assert_eq!(get(&bytes[..bytes.len() - 1], &mut 0), Err(CUT));
            for from in [0, 5, u64::MAX] {
                assert_eq!(unzigzag(from, zigzag(from, value)), value);
            }
        }
        assert_eq!(get(&[0xff; 11], &mut 0), Err(CUT));
        assert_eq!(
            get(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], &mut 0),
            Err(CUT)
        );
    }
}
