//! A plan as an object for people: what is read, why, and what is left to do.

use super::{Access, LedgerRange, Plan, RunBy};
use crate::document::{Object, Timestamp, Value};

impl Plan {
    /// The plan in words and numbers: `access` (`nothing`, `ledger`, `keys`, `key range` or `index`),
    /// `index`, `ranges` (the conditions the access stands for, in the filter's own syntax),
    /// `range_count`, `reverse`, `residual`, `sorted`, `covered`, `estimate`, `why`, and what belongs
    /// to one access only. Fields without meaning for a plan are left out.
    pub fn explain(&self) -> Object {
        let mut out = Object::new();
        out.insert("access", self.access.name());
        if let Some(name) = &self.index_name {
            out.insert("index", name.as_str());
        }
        if !self.conditions.is_empty() {
            let shown = self.conditions.iter().cloned().map(Value::Object);
            out.insert("ranges", Value::Array(shown.collect()));
        }
        match &self.access {
            Access::Nothing => {}
            Access::Ledger { range, reverse } => {
                out.insert("reverse", *reverse);
                explain_ledger(range, &mut out);
            }
            Access::Keys { points } => drop(out.insert("range_count", count(points.len()))),
            Access::KeyRange { reverse, .. } => drop(out.insert("reverse", *reverse)),
            Access::Index { ranges, reverse, distinct, .. } => {
                out.insert("reverse", *reverse);
                out.insert("distinct", *distinct);
                out.insert("range_count", count(ranges.len()));
            }
        }
        if !self.residual.is_all() {
            out.insert("residual", self.residual.to_object());
        }
        out.insert("sorted", self.sorted);
        if let Some(runs) = &self.runs {
            out.insert(
                "runs",
                match runs.by {
                    RunBy::Whole => "all",
                    RunBy::Fields(_) => "equal fields",
                    RunBy::Time => "equal times",
                },
            );
        }
        out.insert("covered", self.covered);
        out.insert("estimate", count(self.estimate));
        out.insert("why", self.why.as_str());
        out
    }
}

impl Access {
    /// The word of `explain`.
    pub fn name(&self) -> &'static str {
        match self {
            Access::Nothing => "nothing",
            Access::Ledger { .. } => "ledger",
            Access::Keys { .. } => "keys",
            Access::KeyRange { .. } => "key range",
            Access::Index { .. } => "index",
        }
    }
}

fn explain_ledger(range: &LedgerRange, out: &mut Object) {
    let times = [("after_time", range.after_us), ("until_time", range.until_us)];
    for (name, time) in times {
        if let Some(us) = time {
            out.insert(name, Value::String(Timestamp::from_micros(us).to_string()));
        }
    }
    for (name, seq) in [("after_seq", range.after_seq), ("until_seq", range.until_seq)] {
        if let Some(seq) = seq {
            out.insert(name, count(seq));
        }
    }
}

fn count(number: impl TryInto<i64>) -> Value {
    Value::Int(number.try_into().unwrap_or(i64::MAX))
}
