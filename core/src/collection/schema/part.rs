//! One schema as it is written: an object or boolean somewhere in the source, each keyword read by
//! itself. Parts know their place, so that faults can name it as a JSON pointer; that the pointer
//! is built only for a fault keeps long names from being repeated for every schema below them.

use std::fmt;
use std::sync::Arc;

use super::kinds::Kinds;
use super::order::Number;
use super::pattern::Pattern;
use crate::document::Value;

/// Index of a part in the order of reading; the root is 0.
pub(super) type PartId = usize;

/// What a schema at one place says. Absent keywords have the value that accepts everything.
#[derive(Debug)]
pub(super) struct Part<'s> {
    /// The part that holds this one, the keyword and, in a map of schemas, the name; none at the
    /// root.
    pub(super) place: Option<(PartId, &'static str, Option<&'s str>)>,
    /// The schema `false`.
    pub(super) never: bool,
    /// What `type` admits if `format` is left aside: text then stands for binary and timestamp too.
    pub(super) typed: Kinds,
    /// What `type` and `format` admit together.
    pub(super) kinds: Kinds,
    /// Whether `format` takes part in that.
    pub(super) formatted: bool,
    pub(super) length_min: u64,
    /// `u64::MAX` without `maxLength`.
    pub(super) length_max: u64,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) pattern: Option<Arc<Pattern>>,
    /// The values of `enum`, sorted by `order::compare`.
    pub(super) choices: Option<Arc<[Value]>>,
    /// In the order of an object's fields, as are the required names.
    pub(super) properties: Vec<(Arc<str>, PartId)>,
    pub(super) required: Vec<Arc<str>>,
    pub(super) additional: Option<PartId>,
    pub(super) items: Option<PartId>,
    /// The text of `$ref`.
    pub(super) reference_text: Option<&'s str>,
    /// The part that `$ref` names, once all parts are read.
    pub(super) reference: Option<PartId>,
    pub(super) default: Option<Arc<Value>>,
}

impl<'s> Part<'s> {
    /// The schema `true`, standing at `place`.
    pub(super) fn anything(place: Option<(PartId, &'static str, Option<&'s str>)>) -> Part<'s> {
        Part {
            place,
            never: false,
            typed: Kinds::ALL,
            kinds: Kinds::ALL,
            formatted: false,
            length_min: 0,
            length_max: u64::MAX,
            minimum: None,
            maximum: None,
            pattern: None,
            choices: None,
            properties: Vec::new(),
            required: Vec::new(),
            additional: None,
            items: None,
            reference_text: None,
            reference: None,
            default: None,
        }
    }

    /// Whether the part by itself, without what it refers to, refuses nothing and fills nothing.
    pub(super) fn is_blank(&self) -> bool {
        !self.never
            && self.kinds == Kinds::ALL
            && self.length_min == 0
            && self.length_max == u64::MAX
            && self.minimum.is_none()
            && self.maximum.is_none()
            && self.pattern.is_none()
            && self.choices.is_none()
            && self.properties.is_empty()
            && self.required.is_empty()
            && self.additional.is_none()
            && self.items.is_none()
    }

    /// The part that applies to the field `name`, and whether `properties` names it.
    pub(super) fn child(&self, name: &str) -> Option<(PartId, bool)> {
        let named = self
            .properties
            .binary_search_by(|(other, _)| super::order::compare_names(other, name))
            .ok()
            .map(|at| (self.properties[at].1, true));
        named.or_else(|| self.additional.map(|part| (part, false)))
    }
}

/// The place of a part, or of a keyword in it, as a JSON pointer (RFC 6901).
pub(super) struct Pointer<'p, 's>(pub(super) &'p [Part<'s>], pub(super) PartId);

impl fmt::Display for Pointer<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, keyword, name)) = self.0[self.1].place else { return Ok(()) };
        write!(f, "{}/{keyword}", Pointer(self.0, parent))?;
        let Some(name) = name else { return Ok(()) };
        f.write_str("/")?;
        for piece in name.split_inclusive(['~', '/']) {
            match piece.as_bytes().last() {
                Some(b'~') => write!(f, "{}~0", &piece[..piece.len() - 1])?,
                Some(b'/') => write!(f, "{}~1", &piece[..piece.len() - 1])?,
                _ => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}
