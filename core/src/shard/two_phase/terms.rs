//! The words of two-phase commit: the transaction, its participants, its outcome.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};
use crate::host::Random;
use crate::limits::PARTICIPANTS_MAX;
use crate::proof::Hash;

/// The id of a transaction over several shards: a UUIDv7 (RFC 9562 section 5.7), whose first 48 bits
/// tell when it began. A new try has a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub [u8; 16]);

impl TxnId {
    /// The id of a transaction that begins at `wall_us`, microseconds since the epoch.
    pub fn new(wall_us: i64, random: &dyn Random) -> Self {
        let mut bits = [0; 10];
        random.fill(&mut bits);
        let millis = u64::try_from(wall_us / 1000).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid();
        TxnId(*id.as_bytes())
    }

    /// When it began, milliseconds since the epoch.
    pub fn begun_ms(self) -> u64 {
        self.0[..6].iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte))
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// All of it becomes visible.
    Commit = 1,
    /// None of it was ever there.
    Abort = 2,
}

impl Verdict {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Verdict::Commit),
            2 => Some(Verdict::Abort),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Commit => "committed",
            Verdict::Abort => "aborted",
        })
    }
}

/// What one participant has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The participant.
    pub shard: u32,
    /// [`staged_digest`] of its records; a COMMIT has it of every participant.
    pub digest: Option<Hash>,
}

/// What the home has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub verdict: Verdict,
    /// The attempt it was decided for.
    pub attempt: u32,
    /// When, microseconds since the epoch.
    pub time_us: i64,
    /// The participants with what they have prepared, by shard; those known, if it aborts.
    pub shares: Vec<Share>,
}

/// What a participant is told of a transaction beside its own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareTerms {
    /// The transaction.
    pub txn: TxnId,
    /// Which run of the protocol under this id; messages of another one are not of this.
    pub attempt: u32,
    /// The participant whose log holds the decision.
    pub home: u32,
    /// As which participant this shard is addressed.
    pub own: u32,
    /// All participants, ascending, home and own among them.
    pub participants: Vec<u32>,
}

impl PrepareTerms {
    pub(super) fn check(&self) -> Result<()> {
        let shards = &self.participants;
        if shards.len() > PARTICIPANTS_MAX {
            let found = shards.len() as u64;
            return Err(Error::too_large(
                "shards of a transaction",
                found,
                PARTICIPANTS_MAX as u64,
            ));
        }
        let ascending = shards.windows(2).all(|pair| pair[0] < pair[1]);
        match ascending && shards.contains(&self.home) && shards.contains(&self.own) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "transaction {}: participants {shards:?} must ascend and hold home {} and own {}",
                self.txn, self.home, self.own
            ))),
        }
    }
}

/// A prepared transaction, for whoever is to end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedInfo {
    /// What it was prepared with.
    pub terms: PrepareTerms,
    /// Since when, microseconds since the epoch.
    pub since_us: i64,
    /// Digest of its records here.
    pub digest: Hash,
}

/// What a participant promises by preparing: SHA-256 over a domain, the transaction and its staged
/// records as logged. The decision repeats it, so both halves can be proved to belong to one.
pub fn staged_digest(txn: TxnId, staged: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"blockdb/staged/v1\n");
    hasher.update(txn.0);
    hasher.update(staged);
    hasher.finalize().into()
}

pub(super) fn conflict(detail: String) -> Error {
    Error::new(Code::Conflict, detail)
}
