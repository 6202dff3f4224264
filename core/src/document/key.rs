//! Keys of records: text of 1 to 1,024 bytes, compared bytewise and never normalised.

use super::Value;
use crate::error::{Error, Result};
use crate::limits::KEY_BYTES_MAX;

/// Refuses an empty key (`invalid_argument`) and one beyond [`KEY_BYTES_MAX`] (`too_large`).
pub fn validate_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("a key has at least one byte"));
    }
    if key.len() > KEY_BYTES_MAX {
        let limit = "the length of a key in bytes";
        return Err(Error::too_large(limit, key.len() as u64, KEY_BYTES_MAX as u64));
    }
    Ok(())
}

/// The key that a value under `key_field` gives: text as it is, an integer in decimal.
pub fn key_from_value(value: &Value) -> Result<String> {
    let key = match value {
        Value::String(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        other => {
            let found = other.type_name();
            return Err(Error::invalid(format!("a key is a string or an integer, found {found}")));
        }
    };
    validate_key(&key)?;
    Ok(key)
}
