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
/// Secondary indexes of a collection: each is extracted and written with every record.
pub const INDEXES_MAX: usize = 64;
/// Memory of a sort that no index gives: beyond it a limit or an index is asked for.
pub const SORT_BYTES_MAX: u64 = 64 << 20;
/// Records of one query that are remembered, so that none comes twice: 32 MiB of numbers.
pub const DISTINCT_RECORDS_MAX: usize = 2_000_000;
/// The smallest memory budget that still holds one maximal batch's working set in small pieces.
pub const MEMORY_BYTES_MIN: u64 = 4 << 20;
/// How long an operation of its own waits for locks: whoever holds them has ended by then, since a
/// transaction lives no longer by default.
pub const LOCK_WAIT_MS_MAX: u64 = 30_000;
/// The longest time a transaction may be given: one that is forgotten holds its locks so long.
pub const TRANSACTION_MS_MAX: u64 = 3_600_000;
/// Locks a transaction holds at most: each costs some forty bytes until its end.
pub const TRANSACTION_LOCKS_MAX: usize = 1_000_000;
/// Ranges and filters a transaction reads at most: each is asked of every write to its collection.
pub const TRANSACTION_READINGS_MAX: usize = 1_000;
/// Transactions prepared and not resolved in one shard: each holds its locks and stands in every
/// restart point; a coordinator that leaves more of them behind is out of order.
pub const PREPARED_MAX: usize = 10_000;
/// Log entries of all that are prepared in one shard: two of the largest transactions, held in memory
/// and repeated by every restart point.
pub const PREPARED_BYTES_MAX: u64 = 2 * BATCH_BYTES_MAX as u64;
/// Shards of one transaction: each is a message in both rounds and a digest in the decision.
pub const PARTICIPANTS_MAX: usize = 256;
/// Exclusive locks of one prepared transaction: a key and some unique values of each record.
pub const PREPARED_LOCKS_MAX: usize = 10 * BATCH_RECORDS_MAX;
/// Decisions of one shard that not every participant has acknowledged; beyond, nothing more is
/// prepared there until some are.
pub const DECISIONS_MAX: usize = 100_000;
/// How long the outcome of a transaction over several shards can be asked for: twice as long as
/// clients try again, which is 24 hours. It is part of the format: replicas forget in step.
pub const TOMBSTONE_MS: u64 = 48 * 3_600_000;
/// Outcomes one shard remembers, some 12 MB of its restart point; beyond, the oldest are forgotten
/// early, and whatever began before them is refused. Part of the format, like the time.
pub const TOMBSTONES_MAX: usize = 1 << 18;
/// How far the begin of a transaction, which its id tells, may lie ahead of this clock: more is a clock
/// that would make others too old, once it is forgotten.
pub const BEGUN_AHEAD_MS_MAX: u64 = 60_000;
/// Nesting of filters: bounds the recursion of parsing and matching, as the public surface promises.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Conditions and nested filters of one filter: each may be asked of every record.
pub const FILTER_CONDITIONS_MAX: usize = 1000;
/// Values in all `$in` and `$nin` lists of one filter: each may become a place to look in an index.
pub const FILTER_VALUES_MAX: usize = 10_000;
/// Faults of a filter that are reported together: enough to mend it, and no answer beyond a page.
pub const FILTER_FAULTS_MAX: usize = 100;
/// A dotted path, as long as the longest key.
pub const FIELD_PATH_BYTES_MAX: usize = 1024;
/// Fields of one index: with the next bound, an index key stays within 16 KiB.
pub const INDEX_FIELDS_MAX: usize = 16;
/// One value in an index key, in its encoding: an index finds records by short values.
pub const INDEX_VALUE_BYTES_MAX: usize = 1024;
/// Elements of an indexed array: each becomes an entry, and all are written with the record.
pub const INDEX_ELEMENTS_MAX: usize = 1000;
/// Keys that one document gives one index, taken together: an array multiplies its other fields.
pub const INDEX_KEYS_BYTES_MAX: usize = 1 << 20;
/// Fields of one sort, as of one index.
pub const SORT_FIELDS_MAX: usize = 16;
/// Paths of one projection.
pub const PROJECTION_FIELDS_MAX: usize = 1000;
/// Ranges of one index that a plan reads: a whole `$in` list may become points.
pub const PLAN_RANGES_MAX: usize = FILTER_VALUES_MAX;
/// The bounds of these ranges, taken together; beyond, the plan reads one wider range.
pub const PLAN_RANGES_BYTES_MAX: usize = 4 << 20;
/// The position in a cursor: an index key with room to spare; it travels in URLs and bodies.
pub const CURSOR_POSITION_BYTES_MAX: usize = 32 << 10;
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
/// A cluster address, host and port: the longest host name has 253 bytes.
pub const MEMBER_ADDRESS_BYTES_MAX: usize = 512;
/// Nodes of one Raft group, learners included: each gets every entry from the leader.
pub const RAFT_MEMBERS_MAX: usize = 256;
/// Configurations that are joint at once: two while a change is under way, more only if changes
/// pile up.
pub const RAFT_CONFIGS_MAX: usize = 16;
/// Entries of a Raft log read back at once, unless a single one is larger: a lagging follower is
/// brought up in messages of this size, and applying holds no more in memory.
pub const RAFT_READ_BYTES_MAX: usize = 1 << 20;
/// Entries of a Raft log written in one piece, unless a single one is larger; an append of more
/// takes several pieces and one sync.
pub const RAFT_WRITE_BYTES_MAX: usize = 4 << 20;
