//! Which names a collection may have: 1 to 128 of `A-Z a-z 0-9 . _ -`, beginning with a letter or
//! digit. They stand in URLs, checkpoint origins and shell commands without quoting.

use crate::error::{Error, Result};
use crate::limits::COLLECTION_NAME_BYTES_MAX;

/// Refuses a name that no collection may have; names beginning with `_` are the engine's own.
pub fn validate_name(name: &str) -> Result<()> {
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > COLLECTION_NAME_BYTES_MAX {
        format!("has {} bytes, the limit is {COLLECTION_NAME_BYTES_MAX}", name.len())
    } else if !name.as_bytes()[0].is_ascii_alphanumeric() {
        "must begin with a letter or digit".to_owned()
    } else if let Some(wrong) =
        name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        format!("contains {wrong:?}; allowed are A-Z a-z 0-9 . _ -")
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("collection name {name:?} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_the_reason() {
        for good in ["a", "9", "acme.events", "A_b-c.0", &"x".repeat(128)] {
            validate_name(good).unwrap();
        }
        for (bad, reason) in
            [("", "empty"), ("_system", "begin"), (".a", "begin"), ("a/b", "'/'"), ("ä", "begin")]
        {
            let error = validate_name(bad).unwrap_err();
            assert!(error.detail().contains(reason), "{bad}: {error}");
        }
        assert!(validate_name(&"x".repeat(129)).is_err());
    }
}
