//! One value of a document, and the conversions from Rust's own types. Integers and floats are
//! different values here, even when they are equal as numbers.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Object, Timestamp};
use crate::error::{Error, Result};

/// Anything a field can hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, on purpose.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// An IEEE 754 double; documents take finite ones only.
    Float(f64),
    /// UTF-8 text, never normalised.
    String(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A time in microseconds, UTC.
    Timestamp(Timestamp),
    /// Values in order.
    Array(Vec<Value>),
    /// Named values in canonical order.
    Object(Object),
}

impl Value {
    /// The type in the word of the documentation, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Binary(_) => "binary",
            Value::Timestamp(_) => "timestamp",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(value) = self { Some(*value) } else { None }
    }

    /// The number as a float, rounded if an integer is beyond 2^53.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(value) = self { Some(value) } else { None }
    }

    /// The bytes, if it is binary.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Value::Binary(value) = self { Some(value) } else { None }
    }

    /// The time, if it is one.
    pub fn as_timestamp(&self) -> Option<Timestamp> {
        if let Value::Timestamp(value) = self { Some(*value) } else { None }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(value) = self { Some(value) } else { None }
    }

    /// The fields, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(value) = self { Some(value) } else { None }
    }
}

macro_rules! value_from {
    ($($source:ty => |$name:ident| $value:expr;)*) => {
        $(impl From<$source> for Value {
            fn from($name: $source) -> Self {
                $value
            }
        })*
    };
}

value_from! {
    () => |_unit| Value::Null;
    bool => |value| Value::Bool(value);
    i8 => |value| Value::Int(value.into());
    i16 => |value| Value::Int(value.into());
    i32 => |value| Value::Int(value.into());
    i64 => |value| Value::Int(value);
    u8 => |value| Value::Int(value.into());
    u16 => |value| Value::Int(value.into());
    u32 => |value| Value::Int(value.into());
    f32 => |value| Value::Float(value.into());
    f64 => |value| Value::Float(value);
    char => |value| Value::String(value.into());
    &str => |value| Value::String(value.to_owned());
    &String => |value| Value::String(value.clone());
    String => |value| Value::String(value);
    Cow<'_, str> => |value| Value::String(value.into_owned());
    Bytes => |value| Value::Binary(value.into());
    Timestamp => |value| Value::Timestamp(value);
    Object => |value| Value::Object(value);
    &Value => |value| value.clone();
}

macro_rules! value_try_from {
    ($($source:ty)*) => {
        $(
            /// `invalid_argument` beyond 64 bits signed.
            impl TryFrom<$source> for Value {
                type Error = Error;

                fn try_from(value: $source) -> Result<Self> {
                    i64::try_from(value).map(Value::Int).map_err(|_| {
                        Error::invalid(format!("{value} is beyond a 64-bit signed integer"))
                    })
                }
            }
        )*
    };
}

value_try_from! { u64 usize isize i128 u128 }

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// An array; binary is made by `Value::Binary` or from [`Bytes`].
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Clone + Into<Value>> From<&[T]> for Value {
    fn from(items: &[T]) -> Self {
        Value::Array(items.iter().cloned().map(Into::into).collect())
    }
}
