//! From values to serde types, and serde types that hold values. A timestamp reads as text where a
//! type asks for text; binary reads as bytes, or as the numbers of a sequence.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess,
    IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::from_json::{binary_of, timestamp_of};
use super::{BINARY_FIELD, Document, Object, Refusal, TIMESTAMP_FIELD, Timestamp, Value};
use crate::error::Result;

/// The serde type a value stands for.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(FromValue(value)).map_err(Into::into)
}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Refusal::new(message.to_string())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(object) => Ok(object),
            other => {
                let found = other.type_name();
                Err(de::Error::custom(format!("expected an object, found {found}")))
            }
        }
    }
}

/// Through values, for types that embed a document. Of JSON text, use [`Document::from_json`]
/// (with `serde_json::value::RawValue`): it is faster and sees integers too large.
impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize(deserializer)?;
        Document::from_value(&object).map_err(|error| de::Error::custom(error.detail()))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Timestamp(time) => Ok(time),
            Value::String(text) => timestamp_of(&text).map_err(de::Error::custom),
            other => {
                let found = other.type_name();
                Err(de::Error::custom(format!("expected a timestamp, found {found}")))
            }
        }
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a document")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Value::try_from(value).map_err(|error| E::custom(error.detail()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Binary(value.to_vec()))
    }

    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Binary(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::with_capacity(items.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        match &fields[..] {
            [(name, Value::String(text))] if name == BINARY_FIELD => {
                binary_of(text).map(Value::Binary)
            }
            [(name, Value::String(text))] if name == TIMESTAMP_FIELD => {
                timestamp_of(text).map(Value::Timestamp)
            }
            _ => Object::from_fields(fields).map(Value::Object),
        }
        .map_err(de::Error::custom)
    }
}

/// The fields of an object on their way into a type; a refusal gets the name of its field.
struct Fields {
    fields: std::vec::IntoIter<(String, Value)>,
    current: Option<(String, Value)>,
}

impl Fields {
    fn new(object: Object) -> Self {
        Fields { fields: object.into_iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        self.current = self.fields.next();
        match &self.current {
            Some((name, _)) => seed.deserialize(FieldName(name.clone())).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let field = self.current.take();
        let (name, value) = field.ok_or_else(|| Refusal::new("a value without a field name"))?;
        seed.deserialize(FromValue(value)).map_err(|refusal| refusal.under(&name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// A field name as the key of a map: text, or the number it spells.
struct FieldName(String);

macro_rules! number_names {
    ($($method:ident $visit:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_string(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for FieldName {
    type Error = Refusal;

    number_names! {
        deserialize_i8 visit_i64; deserialize_i16 visit_i64; deserialize_i32 visit_i64;
        deserialize_i64 visit_i64; deserialize_u8 visit_u64; deserialize_u16 visit_u64;
        deserialize_u32 visit_u64; deserialize_u64 visit_u64; deserialize_bool visit_bool;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_string(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let name_of_variant: StringDeserializer<Refusal> = self.0.into_deserializer();
        name_of_variant.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// A value on its way into a type.
struct FromValue(Value);

impl<'de> IntoDeserializer<'de, Refusal> for FromValue {
    type Deserializer = FromValue;

    fn into_deserializer(self) -> FromValue {
        self
    }
}

impl<'de> Deserializer<'de> for FromValue {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::String(value) => visitor.visit_string(value),
            Value::Binary(value) => visitor.visit_byte_buf(value),
            Value::Timestamp(value) => {
                let marked = Object::from_iter([(TIMESTAMP_FIELD, value.to_string())]);
                visitor.visit_map(Fields::new(marked))
            }
            Value::Array(items) => {
                let items: Vec<_> = items.into_iter().map(FromValue).collect();
                visit_items(items, visitor)
            }
            Value::Object(object) => visitor.visit_map(Fields::new(object)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Timestamp(value) => visitor.visit_string(value.to_string()),
            other => FromValue(other).deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Binary(bytes) => visit_items(bytes, visitor),
            other => FromValue(other).deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            other => visitor.visit_some(FromValue(other)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(variant) => FieldName(variant).deserialize_enum(name, variants, visitor),
            Value::Object(object) => visitor.visit_enum(Variant(Fields::new(object))),
            other => {
                let found = other.type_name();
                Err(Refusal::new(format!("expected a variant of {name}, found {found}")))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple_struct map struct identifier ignored_any
    }
}

fn visit_items<'de, T, V>(items: Vec<T>, visitor: V) -> Result<V::Value, Refusal>
where
    T: IntoDeserializer<'de, Refusal>,
    V: Visitor<'de>,
{
    let mut access = SeqDeserializer::new(items.into_iter());
    let value = visitor.visit_seq(&mut access)?;
    access.end()?;
    Ok(value)
}

/// An enum's variant with its payload: an object of one field.
struct Variant(Fields);

impl<'de> EnumAccess<'de> for Variant {
    type Error = Refusal;
    type Variant = Payload;

    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Payload), Refusal> {
        let variant = self.0.next_key_seed(seed)?;
        match (variant, self.0.current, self.0.fields.len()) {
            (Some(variant), Some((_, value)), 0) => Ok((variant, Payload(value))),
            _ => Err(Refusal::new("a variant with its payload is an object of one field")),
        }
    }
}

struct Payload(Value);

impl<'de> VariantAccess<'de> for Payload {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        Deserialize::deserialize(FromValue(self.0))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        seed.deserialize(FromValue(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        FromValue(self.0).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Object(object) => Deserializer::deserialize_any(
                MapAccessDeserializer::new(Fields::new(object)),
                visitor,
            ),
            other => Err(Refusal::new(format!("expected an object, found {}", other.type_name()))),
        }
    }
}
