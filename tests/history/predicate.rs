//! Predicates: which registers a scan or a filter selects, as the judge sees it: by key and by the
//! value that names the version.

use std::fmt;
use std::sync::Arc;

type Test = dyn Fn(&str, i64) -> bool + Send + Sync;

/// A selection of registers, by a range of keys and a test of key and value. An absent key is never
/// selected. Its description is its identity: two predicates with one description are taken to be
/// one, and what it selects is worked out once for both.
#[derive(Clone)]
pub struct Predicate {
    description: String,
    from: String,
    to: Option<String>,
    test: Arc<Test>,
}

impl Predicate {
    /// A predicate on keys from `from` to before `to` (`None`: to the end), of which it selects
    /// those that pass `test`.
    pub fn new(
        description: impl Into<String>,
        from: impl Into<String>,
        to: Option<String>,
        test: impl Fn(&str, i64) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (description, from) = (description.into(), from.into());
        Predicate { description, from, to, test: Arc::new(test) }
    }

    /// Keys from `from` to before `to` with values from `least` to `greatest`.
    pub fn values(from: &str, to: &str, least: i64, greatest: i64) -> Self {
        let description = format!("{from}..{to} {least}..{greatest}");
        let test = move |_: &str, value: i64| (least..=greatest).contains(&value);
        Predicate::new(description, from, Some(to.to_owned()), test)
    }

    /// What it is called in reports.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// First key, and the key after the last one.
    pub(super) fn range(&self) -> (&str, Option<&str>) {
        (&self.from, self.to.as_deref())
    }

    /// Whether `key` is in its range.
    pub fn looks_at(&self, key: &str) -> bool {
        *self.from <= *key && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// Whether a key of its range passes the test with `value`.
    pub(super) fn passes(&self, key: &str, value: i64) -> bool {
        (self.test)(key, value)
    }

    /// Whether it selects `key` when that has `value`.
    pub fn selects(&self, key: &str, value: i64) -> bool {
        self.looks_at(key) && self.passes(key, value)
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.description == other.description
    }
}

impl Eq for Predicate {}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({:?})", self.description)
    }
}
