//! Every bound of the engine, each with its reason. Sizes are bytes unless the name says otherwise.

/// A document in canonical encoding. Larger values belong in object storage, with their hash here.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Nesting of arrays and objects in a document: bounds recursion of every decoder.
pub const DOCUMENT_DEPTH_MAX: usize = 100;
/// A key: it stands in every leaf, table and index entry, and leaves stay under 64 KiB.
pub const KEY_BYTES_MAX: usize = 1024;
/// Encoded bytes of one atomic batch or transaction: it is one log entry, held in memory whole.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Records of one atomic batch or transaction.
pub const BATCH_RECORDS_MAX: usize = 100_000;
/// A collection name: it becomes part of checkpoint origins and URLs.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;
/// A request id in a log frame: one byte would do for its length, 64 hold any client's token.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// A leaf of the Merkle log: tlog-tiles bundles carry a 16-bit length.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// A page of results.
pub const PAGE_RECORDS_MAX: usize = 1000;
/// The smallest memory budget that still holds one maximal batch's working set in small pieces.
pub const MEMORY_BYTES_MIN: u64 = 4 << 20;
/// A schema in canonical encoding: it stands in a record of the system collection and is read at
/// every open.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// Nesting of arrays and objects in a schema, and `$ref`s in a row: bounds recursion and chains.
pub const SCHEMA_DEPTH_MAX: usize = 64;
/// Nodes and edges of a compiled schema, and steps to build them: where `$ref`s stand
/// beside other keywords, the schemas that apply together could multiply without end. A flat schema
/// of the maximal size needs about two thirds.
pub const SCHEMA_NODES_MAX: usize = 1 << 18;
/// Steps to compare two schemas: both of the maximal size and flat take about a third; only those
/// whose parts can pair up in many ways take more, and are reported as incompatible.
pub const SCHEMA_COMPARE_STEPS_MAX: usize = 1 << 20;
/// The text of a pattern: two bytes like `\w` become kilobytes before any other limit sees them.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1024;
/// The programs of all patterns of a schema: bounds what repetitions of repetitions grow to, and
/// how long compiling takes. It holds `\p{L}{1,255}`, or 512 usual patterns.
pub const SCHEMA_PATTERN_PROGRAM_BYTES_MAX: usize = 32 << 20;
/// What a pattern keeps of a matching thread's work, so that the next match is faster.
pub const SCHEMA_PATTERN_CACHE_BYTES_MAX: usize = 512 << 10;
/// Defaults of a schema with the defaults inside them filled in: nested ones multiply.
pub const SCHEMA_DEFAULT_BYTES_MAX: usize = 4 << 20;
/// Violations listed in one error; further ones are counted only.
pub const VIOLATIONS_MAX: usize = 100;
/// Characters of what a violation found: enough to recognise it, and never a whole document.
pub const VIOLATION_FOUND_CHARS_MAX: usize = 80;
/// Characters of a violation's path: field names can be as long as a document.
pub const VIOLATION_PATH_CHARS_MAX: usize = 1024;
