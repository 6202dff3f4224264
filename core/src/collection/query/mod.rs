//! Queries as pure functions: what a filter means, in which order values stand, which index keys a
//! document has, and which way of reading answers a query with the least work.
//!
//! ```text
//!   JSON object ── Filter::parse ──▶ Filter ─┐
//!   ["-size"] ──── Sort::parse ────▶ Sort  ──┼─ plan ──▶ Plan { access, residual, sorted, … }
//!   indexes, Statistics ─────────────────────┘             │
//!                                                          ▼ the caller reads, and asks back:
//!   document ── IndexFields::keys ──▶ index entries     Filter::check   does it match?
//!                 (order::encode)                       Sort::key       where does it stand?
//!                                                       Projection      what is shown of it?
//!                                                       Cursor          where to go on?
//! ```
//!
//! Nothing here reads a file, a clock or a table; statistics come through a trait, and the plan is
//! a value that the caller carries out. So everything is tested by plain equality, above all this:
//!
//! - **A plan never loses or invents a record.** Carrying out a plan gives exactly the records that
//!   the filter accepts one by one, whatever the statistics say. What an access does not guarantee
//!   stays in `residual`; whatever is in doubt stays there too.
//! - **One order.** [`order::compare`] orders all values, and the bytes of [`order::encode`] compare
//!   as the values do, so indexes, sorts and ranges agree by construction.
//! - **Null is missing.** No operator, sort or index tells a field that is null from one that is not
//!   there, except the equality of whole objects and arrays.
//! - **Bounded.** Nesting, conditions, lists, ranges and positions have limits in `limits.rs`.
//!
//! An index entry is the encoded values of the fields, then its rank, the sequence number. Tables
//! keep ranks descending, so among equal values a forward scan meets the newest record first. The
//! meaning of filters is in `docs/queries.md`, the bytes of index keys in `docs/format/index.md`.

pub mod cursor;
pub mod fields;
pub mod filter;
pub mod index_key;
mod interval;
pub mod order;
pub mod path;
pub mod plan;
pub mod sort;
pub mod source;

pub use cursor::{Cursor, query_hash};
pub use fields::Projection;
pub use filter::Filter;
pub use index_key::{IndexFields, IndexKeys};
pub use path::{FieldPath, Target};
pub use plan::{Access, IndexStat, Plan, RunBy, Runs, Statistics, plan, plan_count};
pub use sort::{Sort, SortKey};
pub use source::{Candidate, Encoded, IndexEntry, Source};
