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
/// How long an operation of its own waits for locks: whoever holds them has ended by then, since a
/// transaction lives no longer by default.
pub const LOCK_WAIT_MS_MAX: u64 = 30_000;
