//! What users store: values, their one canonical encoding, and the ways in and out of it.
//!
//! ```text
//!   JSON text ──from_json──┐                     ┌──to_json──▶ JSON text
//!   Rust (serde) ─▶ Value ─┼─▶ canonical CBOR ───┼──to_object─▶ Value ─▶ Rust (serde)
//!   CBOR of a peer ─check──┘     (Document)      └──get(path)─▶ one Value
//! ```
//!
//! A document is encoded once, when it enters, and the bytes stored are the bytes hashed. Three
//! invariants follow, and everything in this room serves them:
//! - **One encoding per document.** RFC 8949 section 4.2.1: definite lengths, shortest heads,
//!   shortest floats, text keys in bytewise order of their encoding (which is length first), none
//!   twice. Integers and floats stay distinct, text is never normalised. Whatever enters as bytes
//!   passes the strict check of `canonical`; whatever enters as values is written by `encode`.
//! - **JSON and back is the identity.** `$binary` and `$timestamp` are reserved as field names, so
//!   that every document has one JSON form and every such form one document.
//! - **Bounded.** At most [`DOCUMENT_BYTES_MAX`] bytes and [`DOCUMENT_DEPTH_MAX`] levels of arrays
//!   and objects, the document itself being the first; no decoder recurses deeper.
//!
//! The room knows no clock, file or thread. `docs/format/document.md` accounts for every byte.

mod canonical;
mod decode;
mod deserialize;
mod encode;
mod from_json;
mod key;
mod object;
mod serialize;
mod timestamp;
mod to_json;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Code, Error, Result};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

pub use canonical::check_canonical;
pub use key::{key_from_value, validate_key};
pub use object::Object;
pub use timestamp::Timestamp;
pub use value::Value;

/// The field name that marks a binary value in JSON.
const BINARY_FIELD: &str = "$binary";
/// The field name that marks a timestamp in JSON.
const TIMESTAMP_FIELD: &str = "$timestamp";

/// A document: the canonical encoding of an object, shared cheaply between clones.
///
/// Two documents are equal exactly when their bytes are.
///
/// ```
/// use blockdb::doc;
/// use blockdb::document::{Document, Value};
///
/// let document = Document::from_json(r#"{"user": "u1", "size": {"w": 3, "h": 4.5}}"#)?;
/// assert_eq!(document, doc! { "size": { "h": 4.5, "w": 3 }, "user": "u1" });
/// assert_eq!(document.get("size.w")?, Some(Value::Int(3)));
/// assert_eq!(document.to_json(), r#"{"size":{"h":4.5,"w":3},"user":"u1"}"#);
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Document(Bytes);

impl Document {
    /// Encodes `object`. `invalid_argument` names the field that holds NaN, an infinity, a
    /// timestamp outside the years 0 to 9999 or a reserved name; `too_large` names the limit.
    pub fn from_value(object: &Object) -> Result<Self> {
        let mut out = Vec::with_capacity(128);
        encode::encode_object(object, &mut out, 1)?;
        Document::within_limit(out)
    }

    /// Reads a JSON object; numbers without fraction and exponent are integers, all others floats.
    /// Refuses integers beyond 64 bits signed and repeated fields, naming the dotted path.
    pub fn from_json(text: &str) -> Result<Self> {
        Document::from_json_slice(text.as_bytes())
    }

    /// [`Document::from_json`] of bytes, which must be UTF-8.
    pub fn from_json_slice(text: &[u8]) -> Result<Self> {
        Document::within_limit(from_json::read_json(text)?)
    }

    /// Takes bytes from outside after the strict check of [`check_canonical`].
    pub fn from_canonical(bytes: Bytes) -> Result<Self> {
        check_canonical(&bytes)?;
        Ok(Document(bytes))
    }

    /// Takes bytes that were checked when they were stored. Should they be wrong after all,
    /// nothing panics: the fallible calls report `corrupt`.
    #[allow(dead_code, reason = "for the rooms that read stored documents")]
    pub(crate) fn from_trusted(bytes: Bytes) -> Self {
        Document(bytes)
    }

    /// Encodes any serde type that serializes as a map or struct. Fields may hold [`Value`] and
    /// [`Timestamp`]; byte strings (`serialize_bytes`) become binary.
    ///
    /// ```
    /// # use blockdb::document::Document;
    /// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    /// struct Payment { from: String, amount_cents: i64 }
    ///
    /// let payment = Payment { from: "ada".into(), amount_cents: 1200 };
    /// let document = Document::from_serialize(&payment)?;
    /// assert_eq!(document.to_json(), r#"{"from":"ada","amount_cents":1200}"#);
    /// assert_eq!(document.deserialize::<Payment>()?, payment);
    /// # Ok::<(), blockdb::Error>(())
    /// ```
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        match serialize::to_value(value)? {
            Value::Object(object) => Document::from_value(&object),
            other => Err(not_an_object(other.type_name())),
        }
    }

    /// The document as a serde type; `invalid_argument` names the field that does not fit.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        deserialize::from_value(Value::Object(self.try_to_object()?))
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The canonical encoding, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The length of the canonical encoding in bytes.
    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    /// The value at a dotted path, which reaches into objects and not into arrays; everything
    /// beside the path is skipped, not decoded. Field names that contain a dot cannot be reached.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        decode::get(&self.0, path)
    }

    /// The whole document as values. Bytes that were trusted wrongly give an empty object;
    /// [`Document::try_to_object`] reports them.
    pub fn to_object(&self) -> Object {
        self.try_to_object().unwrap_or_default()
    }

    /// The whole document as values; `corrupt` if trusted bytes are wrong.
    pub fn try_to_object(&self) -> Result<Object> {
        decode::decode_object(&self.0)
    }

    /// The document as compact JSON, fields in canonical order.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(self.0.len() + self.0.len() / 2);
        self.write_json(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends the document as compact JSON, straight from its encoding. Bytes that were trusted
    /// wrongly append `null`; [`Document::try_write_json`] reports them.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        if self.try_write_json(out).is_err() {
            out.extend_from_slice(b"null");
        }
    }

    /// [`Document::write_json`] that reports `corrupt`, and then appends nothing.
    pub fn try_write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        to_json::write_json(&self.0, out).inspect_err(|_| out.truncate(start))
    }

    fn within_limit(bytes: Vec<u8>) -> Result<Self> {
        check_size(bytes.len())?;
        Ok(Document(bytes.into()))
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({self})")
    }
}

impl FromStr for Document {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Document::from_json(text)
    }
}

impl TryFrom<Object> for Document {
    type Error = Error;

    fn try_from(object: Object) -> Result<Self> {
        Document::from_value(&object)
    }
}

/// Why a value cannot stand in a document, and where. Built at the fault and prefixed on the way
/// out, so that the path costs nothing as long as all is well.
#[derive(Debug)]
struct Refusal {
    code: Code,
    path: String,
    what: String,
}

impl Refusal {
    fn new(what: impl Into<String>) -> Self {
        Refusal { code: Code::InvalidArgument, path: String::new(), what: what.into() }
    }

    fn too_deep() -> Self {
        let what = format!("the nesting of a document is limited to {DOCUMENT_DEPTH_MAX} levels");
        Refusal { code: Code::TooLarge, ..Refusal::new(what) }
    }

    /// The same refusal seen from the object or array that holds the fault under `segment`.
    fn under(mut self, segment: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{segment}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "field {}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::new(refusal.code, refusal.to_string())
    }
}

/// Refuses the two names that mark binary and timestamp in JSON.
fn check_field_name(name: &str) -> Result<(), Refusal> {
    if name == BINARY_FIELD || name == TIMESTAMP_FIELD {
        let what = format!("the field name {name} is reserved for {{\"{name}\": text}}");
        return Err(Refusal::new(what).under(name));
    }
    Ok(())
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes > DOCUMENT_BYTES_MAX {
        let limit = "the size of a document in bytes";
        return Err(Error::too_large(limit, bytes as u64, DOCUMENT_BYTES_MAX as u64));
    }
    Ok(())
}

fn not_an_object(found: &str) -> Error {
    Error::invalid(format!("a document is an object with named fields, found {found}"))
}

/// A [`Document`] written like JSON; values are expressions of any type that converts into
/// [`Value`]. Of a field given twice, the later one stays.
///
/// Panics where [`Document::from_value`] refuses (NaN, reserved names, beyond the limits): use that
/// for values from outside.
///
/// ```
/// use blockdb::doc;
///
/// let name = String::from("Ada");
/// let document = doc! {
///     "user": name,
///     "visits": 3 + 4,
///     "tags": ["a", "b", null],
///     "nested": { "ok": true, "ratio": 0.5 },
/// };
/// assert_eq!(
///     document.to_json(),
///     r#"{"tags":["a","b",null],"user":"Ada","nested":{"ok":true,"ratio":0.5},"visits":7}"#
/// );
/// assert_eq!(doc! {}.to_json(), "{}");
/// ```
#[macro_export]
macro_rules! doc {
    (@object $($fields:tt)*) => {{
        #[allow(unused_mut, reason = "an object without fields is never changed")]
        let mut object = $crate::document::Object::new();
        $crate::doc!(@field object $($fields)*);
        object
    }};
    (@field $object:ident) => {};
    (@field $object:ident $name:tt : null $(, $($rest:tt)*)?) => {
        $object.insert($name, $crate::document::Value::Null);
        $($crate::doc!(@field $object $($rest)*);)?
    };
    (@field $object:ident $name:tt : { $($fields:tt)* } $(, $($rest:tt)*)?) => {
        $object.insert($name, $crate::doc!(@object $($fields)*));
        $($crate::doc!(@field $object $($rest)*);)?
    };
    (@field $object:ident $name:tt : [ $($items:tt)* ] $(, $($rest:tt)*)?) => {
        $object.insert($name, $crate::doc!(@array $($items)*));
        $($crate::doc!(@field $object $($rest)*);)?
    };
    (@field $object:ident $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $object.insert($name, $value);
        $($crate::doc!(@field $object $($rest)*);)?
    };
    (@array $($items:tt)*) => {{
        #[allow(unused_mut, clippy::vec_init_then_push, reason = "items come one by one")]
        let items = {
            let mut array = ::std::vec::Vec::<$crate::document::Value>::new();
            $crate::doc!(@item array $($items)*);
            array
        };
        $crate::document::Value::Array(items)
    }};
    (@item $array:ident) => {};
    (@item $array:ident null $(, $($rest:tt)*)?) => {
        $array.push($crate::document::Value::Null);
        $($crate::doc!(@item $array $($rest)*);)?
    };
    (@item $array:ident { $($fields:tt)* } $(, $($rest:tt)*)?) => {
        $array.push($crate::document::Value::from($crate::doc!(@object $($fields)*)));
        $($crate::doc!(@item $array $($rest)*);)?
    };
    (@item $array:ident [ $($items:tt)* ] $(, $($rest:tt)*)?) => {
        $array.push($crate::doc!(@array $($items)*));
        $($crate::doc!(@item $array $($rest)*);)?
    };
    (@item $array:ident $value:expr $(, $($rest:tt)*)?) => {
        $array.push($crate::document::Value::from($value));
        $($crate::doc!(@item $array $($rest)*);)?
    };
    ($($fields:tt)*) => {
        $crate::document::Document::from_value(&$crate::doc!(@object $($fields)*))
            .expect("a literal document holds no NaN, no reserved name and keeps the limits")
    };
}
