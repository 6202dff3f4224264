//! The error everyone sees: a stable code, a sentence that says what the caller can do, and, where
//! a storage fault is at hand, the file and the byte offset. The table of codes is here and nowhere
//! else; HTTP, gRPC, Python and Node derive theirs from it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($variant:ident $name:literal $http:literal $exit:literal $retry:literal $doc:literal;)*) => {
        /// What kind of failure an [`Error`] is. The word is the same in every interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $doc] $variant,)*
        }

        impl Code {
            /// All codes, in the order of the HTTP status.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable word, for example `duplicate_key`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status of RFC 9110 that carries this code; 0 if it never crosses a wire.
            pub fn http_status(self) -> u16 {
                match self { $(Code::$variant => $http,)* }
            }

            /// The exit status of the `blockdb` command: 1 failed, 2 usage, 3 integrity, 4 missing.
            pub fn exit_status(self) -> u8 {
                match self { $(Code::$variant => $exit,)* }
            }

            /// Whether running the same call (or the whole transaction) again can succeed.
            pub fn retryable(self) -> bool {
                match self { $(Code::$variant => $retry,)* }
            }
        }
    };
}

codes! {
    InvalidArgument "invalid_argument" 400 2 false "An argument is malformed; the detail names it.";
    Unauthenticated "unauthenticated" 401 1 false "No valid credentials came with the call.";
    PermissionDenied "permission_denied" 403 1 false "The principal may not do this.";
    ReadOnly "read_only" 403 1 false "The database was opened read-only.";
    NotFound "not_found" 404 4 false "No record, block, index or database of that name.";
    CollectionNotFound "collection_not_found" 404 4 false "No collection of that name.";
    DuplicateKey "duplicate_key" 409 1 false "The key exists; records are never overwritten.";
    CollectionExists "collection_exists" 409 1 false "A collection of that name exists.";
    Conflict "conflict" 409 1 true "A concurrent transaction changed what this one read.";
    Deadlock "deadlock" 409 1 true "This transaction was chosen to break a cycle of waits.";
    LockTimeout "lock_timeout" 409 1 true "A lock was not free in time.";
    TransactionExpired "transaction_expired" 409 1 true "The transaction ran out of its time.";
    PreconditionFailed "precondition_failed" 412 1 false "The newest revision is not the expected one.";
    TooLarge "too_large" 413 1 false "A limit is exceeded; the detail names it.";
    SchemaViolation "schema_violation" 422 1 false "The document breaks the collection's schema.";
    RateLimited "rate_limited" 429 1 true "The caller is too fast or too slow; try again later.";
    IntegrityViolation "integrity_violation" 500 3 false "A proof or a chain does not hold.";
    Corrupt "corrupt" 500 3 false "Stored bytes are wrong; file and offset are named.";
    StorageFailed "storage_failed" 500 1 false "The disk failed; reopen to recover what was acknowledged.";
    Internal "internal" 500 1 false "A defect of the engine.";
    Unsupported "unsupported" 501 1 false "The collection or the build cannot do this.";
    NotLeader "not_leader" 503 1 true "Another node leads.";
    Unavailable "unavailable" 503 1 true "Not possible right now.";
    Timeout "timeout" 504 1 true "No answer in time; the outcome is unknown.";
    StorageFull "storage_full" 507 1 true "No space left; reads go on, writes resume when space returns.";
    Locked "locked" 0 1 true "Another process holds the database.";
    Closed "closed" 0 1 false "The handle was closed.";
    Unverified "unverified" 0 1 false "No pinned key: the call cannot prove its answer.";
}

/// One violated rule of a schema, a filter or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path of the field, empty for the document itself.
    pub path: String,
    /// The rule, in the schema's own word.
    pub rule: String,
    /// What was found instead.
    pub found: String,
}

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<Violation>,
    place: Option<(PathBuf, Option<u64>)>,
    source: Option<std::io::Error>,
}

/// A failure: stable [`Code`], human detail, and the place on disk if there is one.
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl Error {
    /// An error of `code` with a sentence of detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            place: None,
            source: None,
        }))
    }

    /// `invalid_argument` with a sentence that names the argument.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Error::new(Code::InvalidArgument, detail)
    }

    /// `corrupt`: the bytes at `offset` of `path` are not what was written.
    pub fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        let mut error = Error::new(Code::Corrupt, what);
        error.0.place = Some((path.to_owned(), Some(offset)));
        error
    }

    /// An operating-system failure of `operation` on `path`; out of space becomes `storage_full`.
    pub fn storage(operation: &str, path: &Path, source: std::io::Error) -> Self {
        let full = matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        );
        let code = if full { Code::StorageFull } else { Code::StorageFailed };
        let mut error = Error::new(code, format!("{operation} failed: {source}"));
        error.0.place = Some((path.to_owned(), None));
        error.0.source = Some(source);
        error
    }

    /// `too_large`, naming the limit, its value and what was found.
    pub fn too_large(limit: &str, found: u64, max: u64) -> Self {
        Error::new(Code::TooLarge, format!("{limit} is limited to {max}, found {found}"))
    }

    /// Adds the rule violations that explain the error.
    pub fn with_errors(mut self, errors: Vec<Violation>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds a remark behind the detail; code, place and rules stay.
    pub fn note(mut self, remark: impl fmt::Display) -> Self {
        self.0.detail = format!("{}; {remark}", self.0.detail);
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence for people, without the code.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether the same call can succeed when made again.
    pub fn retryable(&self) -> bool {
        self.0.code.retryable()
    }

    /// The violated rules, if the error is about a schema, a filter or a document.
    pub fn errors(&self) -> &[Violation] {
        &self.0.errors
    }

    /// File and byte offset of a storage fault.
    pub fn place(&self) -> Option<(&Path, Option<u64>)> {
        self.0.place.as_ref().map(|(path, offset)| (path.as_path(), *offset))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)?;
        match &self.0.place {
            Some((path, Some(offset))) => write!(f, " ({} at byte {offset})", path.display()),
            Some((path, None)) => write!(f, " ({})", path.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}
