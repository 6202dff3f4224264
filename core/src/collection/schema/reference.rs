//! `$ref`: where each leads, by JSON pointer (RFC 6901) in a URI fragment (RFC 3986), and that none
//! leads round to itself without a document's nesting in between. Only places where a schema stands
//! can be referred to, so that whatever applies to a document has been read and checked.

use std::borrow::Cow;

use super::findings::{Findings, shorten};
use super::parse::Parts;
use super::part::{PartId, Pointer};
use crate::limits::{SCHEMA_DEPTH_MAX, VIOLATION_FOUND_CHARS_MAX};

/// Resolves every `$ref`. Those that are wrong are reported and count as absent.
pub(super) fn resolve(parts: &mut Parts<'_>, faults: &mut Findings) {
    for at in 0..parts.list.len() {
        let Some(text) = parts.list[at].reference_text else { continue };
        match target(parts, text) {
            Ok(reference) => parts.list[at].reference = Some(reference),
            Err(expected) => faults.add(Pointer(&parts.list, at), "$ref", expected, quoted(text)),
        }
    }
    let wrong: Vec<PartId> = (0..parts.list.len())
        .filter(|at| match follow(parts, *at) {
            Chain::Ends => false,
            Chain::Returns => {
                let expected = "a reference that does not lead back to itself";
                report(parts, *at, expected, faults);
                true
            }
            Chain::TooLong => {
                let expected = format!("at most {SCHEMA_DEPTH_MAX} references in a row");
                report(parts, *at, &expected, faults);
                true
            }
            Chain::LeadsIntoCycle => true,
        })
        .collect();
    for at in wrong {
        parts.list[at].reference = None;
    }
}

fn report(parts: &Parts<'_>, at: PartId, expected: &str, faults: &mut Findings) {
    let text = parts.list[at].reference_text.unwrap_or_default();
    faults.add(Pointer(&parts.list, at), "$ref", expected, quoted(text));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shorten(text, VIOLATION_FOUND_CHARS_MAX - 2))
}

enum Chain {
    Ends,
    /// The part itself is on the cycle.
    Returns,
    /// A part further on is, and is reported there.
    LeadsIntoCycle,
    TooLong,
}

fn follow(parts: &Parts<'_>, from: PartId) -> Chain {
    let mut passed = vec![from];
    let mut at = from;
    while let Some(next) = parts.list[at].reference {
        if next == from {
            return Chain::Returns;
        }
        if passed.contains(&next) {
            return Chain::LeadsIntoCycle;
        }
        if passed.len() > SCHEMA_DEPTH_MAX {
            return Chain::TooLong;
        }
        passed.push(next);
        at = next;
    }
    Chain::Ends
}

/// The part that a reference names, or what was expected of its text.
fn target(parts: &Parts<'_>, text: &str) -> Result<PartId, &'static str> {
    const LOCAL: &str = "a reference into this schema: # or #/ and a JSON pointer";
    const SYNTAX: &str = "a JSON pointer: ~ only in ~0 and ~1, % only before two hex digits of \
                          UTF-8";
    const PLACE: &str = "the place of a schema: below $defs, definitions or properties and a name, \
                         items, or additionalProperties";
    let fragment = text.strip_prefix('#').ok_or(LOCAL)?;
    let pointer = percent_decoded(fragment).ok_or(SYNTAX)?;
    if pointer.is_empty() {
        return Ok(0);
    }
    let mut tokens = pointer.strip_prefix('/').ok_or(LOCAL)?.split('/');
    let mut at = 0;
    while let Some(keyword) = tokens.next() {
        let keyword = unescaped(keyword).ok_or(SYNTAX)?;
        let (keyword, name) = match keyword.as_ref() {
            "items" => ("items", Cow::Borrowed("")),
            "additionalProperties" => ("additionalProperties", Cow::Borrowed("")),
            map => {
                let map = ["$defs", "definitions", "properties"].into_iter().find(|m| *m == map);
                let name = unescaped(tokens.next().ok_or(PLACE)?).ok_or(SYNTAX)?;
                (map.ok_or(PLACE)?, name)
            }
        };
        at = *parts.children.get(&(at, keyword, name.as_ref())).ok_or(PLACE)?;
    }
    Ok(at)
}

fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn unescaped(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('~') {
        return Some(Cow::Borrowed(token));
    }
    let mut pieces = token.split('~');
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        text.push(match piece.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        text.push_str(&piece[1..]);
    }
    Some(Cow::Owned(text))
}
