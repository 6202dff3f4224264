//! From serde types to values, and values as serde types. A type sees the shape that JSON has:
//! text keys, enums tagged by their variant, `{"$timestamp": …}` and `{"$binary": …}`; the last two
//! become [`Value::Timestamp`] and [`Value::Binary`] wherever they come from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{self, Serialize, SerializeMap, Serializer};

use super::from_json::{binary_of, timestamp_of};
use super::{BINARY_FIELD, Document, Object, Refusal, TIMESTAMP_FIELD, Timestamp, Value};

/// The value of any serde type.
pub(super) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Refusal> {
    value.serialize(ToValue)
}

impl ser::Error for Refusal {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Refusal::new(message.to_string())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_marked(serializer, TIMESTAMP_FIELD, &self.to_string())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Binary(value) => {
                serialize_marked(serializer, BINARY_FIELD, &STANDARD.encode(value))
            }
            Value::Timestamp(value) => value.serialize(serializer),
            Value::Array(items) => items.serialize(serializer),
            Value::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.try_to_object().map_err(ser::Error::custom)?.serialize(serializer)
    }
}

fn serialize_marked<S: Serializer>(
    serializer: S,
    field: &str,
    text: &str,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(field, text)?;
    map.end()
}

struct ToValue;

/// Collects the items of an array, or of the payload of an enum's variant.
struct Items {
    items: Vec<Value>,
    variant: Option<&'static str>,
}

/// Collects the fields of an object, or of the payload of an enum's variant.
struct Fields {
    fields: Vec<(String, Value)>,
    name: Option<String>,
    variant: Option<&'static str>,
}

impl Items {
    fn new(length: Option<usize>, variant: Option<&'static str>) -> Self {
        Items { items: Vec::with_capacity(length.unwrap_or(0).min(1024)), variant }
    }

    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Refusal> {
        let item =
            to_value(item).map_err(|refusal| refusal.under(&self.items.len().to_string()))?;
        self.items.push(item);
        Ok(())
    }

    fn finish(self) -> Result<Value, Refusal> {
        Ok(tagged(self.variant, Value::Array(self.items)))
    }
}

impl Fields {
    fn new(length: Option<usize>, variant: Option<&'static str>) -> Self {
        let fields = Vec::with_capacity(length.unwrap_or(0).min(1024));
        Fields { fields, name: None, variant }
    }

    fn push<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), Refusal> {
        let value = to_value(value).map_err(|refusal| refusal.under(&name))?;
        self.fields.push((name, value));
        Ok(())
    }

    fn finish(self) -> Result<Value, Refusal> {
        let value = match &self.fields[..] {
            [(name, Value::String(text))] if name == BINARY_FIELD => {
                Value::Binary(binary_of(text)?)
            }
            [(name, Value::String(text))] if name == TIMESTAMP_FIELD => {
                Value::Timestamp(timestamp_of(text)?)
            }
            _ => Value::Object(Object::from_fields(self.fields)?),
        };
        Ok(tagged(self.variant, value))
    }
}

fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Object::from_iter([(variant, value)])),
        None => value,
    }
}

fn int<T: TryInto<i64> + Copy + std::fmt::Display>(value: T) -> Result<Value, Refusal> {
    let refusal = |_| Refusal::new(format!("{value} is beyond a 64-bit signed integer"));
    value.try_into().map(Value::Int).map_err(refusal)
}

macro_rules! integers {
    ($($method:ident $source:ty;)*) => {
        $(fn $method(self, value: $source) -> Result<Value, Refusal> {
            int(value)
        })*
    };
}

impl Serializer for ToValue {
    type Ok = Value;
    type Error = Refusal;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    integers! {
        serialize_i8 i8; serialize_i16 i16; serialize_i32 i32; serialize_i64 i64;
        serialize_u8 u8; serialize_u16 u16; serialize_u32 u32; serialize_u64 u64;
        serialize_i128 i128; serialize_u128 u128;
    }

    fn serialize_bool(self, value: bool) -> Result<Value, Refusal> {
        Ok(Value::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Refusal> {
        Ok(Value::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Refusal> {
        Ok(Value::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, Refusal> {
        Ok(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<Value, Refusal> {
        Ok(value.into())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Refusal> {
        Ok(Value::Binary(value.to_vec()))
    }

    fn serialize_none(self) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Refusal> {
        to_value(value)
    }

    fn serialize_unit(self) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Refusal> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Refusal> {
        to_value(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Refusal> {
        let value = to_value(value).map_err(|refusal| refusal.under(variant))?;
        Ok(tagged(Some(variant), value))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Refusal> {
        Ok(Items::new(length, None))
    }

    fn serialize_tuple(self, length: usize) -> Result<Items, Refusal> {
        Ok(Items::new(Some(length), None))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items, Refusal> {
        Ok(Items::new(Some(length), None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items, Refusal> {
        Ok(Items::new(Some(length), Some(variant)))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Fields, Refusal> {
        Ok(Fields::new(length, None))
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Fields, Refusal> {
        Ok(Fields::new(Some(length), None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fields, Refusal> {
        Ok(Fields::new(Some(length), Some(variant)))
    }
}

macro_rules! collect_items {
    ($($trait:ident $method:ident;)*) => {
        $(impl ser::$trait for Items {
            type Ok = Value;
            type Error = Refusal;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Refusal> {
                self.push(item)
            }

            fn end(self) -> Result<Value, Refusal> {
                self.finish()
            }
        })*
    };
}

collect_items! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! collect_fields {
    ($($trait:ident;)*) => {
        $(impl ser::$trait for Fields {
            type Ok = Value;
            type Error = Refusal;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                self.push(name.to_owned(), value)
            }

            fn end(self) -> Result<Value, Refusal> {
                self.finish()
            }
        })*
    };
}

collect_fields! { SerializeStruct; SerializeStructVariant; }

impl SerializeMap for Fields {
    type Ok = Value;
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        self.name = Some(match to_value(key)? {
            Value::String(name) => name,
            Value::Int(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            other => {
                let found = other.type_name();
                return Err(Refusal::new(format!("{found} cannot be a field name")));
            }
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let name = self.name.take().ok_or_else(|| Refusal::new("a value without a field name"))?;
        self.push(name, value)
    }

    fn end(self) -> Result<Value, Refusal> {
        self.finish()
    }
}
