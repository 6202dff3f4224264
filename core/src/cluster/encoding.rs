//! Raft entries and state as bytes of log frames. `docs/format/raft.md` says the same in prose.
//!
//! An entry's payload: `0x81, kind u8`, then nothing (blank), the shard entry (normal), or a
//! membership: `configs u16`, per configuration `count u16` and node ids `u64`, ascending; `nodes
//! u16`, per node `id u64` and two addresses, each `length u16` and UTF-8. Term, index, request id
//! and transaction stand in the frame's own fields.
//!
//! A state: `0x81, flags u8 (1 vote, 2 vote committed, 4 committed, 8 purged), oldest generation
//! u64, vote term u64, vote node u64`, then term and index, `u64` each, of committed and purged.
//! What is absent is zero. All integers little-endian.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use openraft::entry::RaftEntry;

use super::types::{Command, Entry, LogId, Member, Membership, Payload, Vote};
use crate::error::{Code, Error, Result};
use crate::limits::{RAFT_CONFIGS_MAX, RAFT_MEMBERS_MAX};
use crate::log::Frame;

/// The format's version, with the high bit set: no entry of a shard begins so, and neither is taken
/// for the other.
const VERSION: u8 = 0x81;
/// Bytes of an entry's payload before its content.
pub(super) const HEAD_BYTES: usize = 2;
/// Bytes of a state.
pub(super) const STATE_BYTES: usize = 58;

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

const FLAG_VOTE: u8 = 1;
const FLAG_VOTE_COMMITTED: u8 = 2;
const FLAG_COMMITTED: u8 = 4;
const FLAG_PURGED: u8 = 8;

/// Why bytes are no entry or state: `corrupt`, or `unsupported` for a newer version.
pub(super) type Malformed = (Code, String);

fn corrupt(what: &str) -> Malformed {
    (Code::Corrupt, what.to_owned())
}

/// An entry's payload, ready to be copied into a frame.
pub(super) struct Encoded<'a> {
    kind: u8,
    content: Cow<'a, [u8]>,
    pub request_id: &'a [u8],
    pub txn: [u8; 16],
}

impl<'a> Encoded<'a> {
    pub fn of(payload: &'a Payload) -> Result<Self> {
        let plain = |kind, content| Encoded { kind, content, request_id: &[], txn: [0; 16] };
        Ok(match payload {
            Payload::Blank => plain(KIND_BLANK, Cow::Borrowed(&[])),
            Payload::Normal(command) => Encoded {
                kind: KIND_NORMAL,
                content: Cow::Borrowed(command.entry()),
                request_id: command.request_id(),
                txn: command.txn(),
            },
            Payload::Membership(membership) => {
                plain(KIND_MEMBERSHIP, Cow::Owned(encode_membership(membership)?))
            }
        })
    }

    pub fn bytes(&self) -> usize {
        HEAD_BYTES + self.content.len()
    }

    /// Writes [`Encoded::bytes`] bytes.
    pub fn fill(&self, out: &mut [u8]) {
        out[0] = VERSION;
        out[1] = self.kind;
        out[HEAD_BYTES..].copy_from_slice(&self.content);
    }
}

/// The entry of a frame of kind Entry.
pub(super) fn decode_entry(frame: &Frame) -> Result<Entry, Malformed> {
    let mut reader = Reader(&frame.payload);
    check_version(reader.u8()?)?;
    let payload = match reader.u8()? {
        KIND_BLANK => Payload::Blank,
        KIND_NORMAL => {
            let entry = frame.payload.slice(HEAD_BYTES..);
            reader.0 = &[];
            let command = Command::new(entry, frame.request_id.clone(), frame.txn);
            Payload::Normal(command.map_err(|error| corrupt(error.detail()))?)
        }
        KIND_MEMBERSHIP => Payload::Membership(decode_membership(&mut reader)?),
        kind => return Err(corrupt(&format!("a Raft entry of kind {kind}"))),
    };
    reader.end()?;
    Ok(Entry::new(LogId::new_term_index(frame.term, frame.index), payload))
}

fn check_version(version: u8) -> Result<(), Malformed> {
    match version {
        VERSION => Ok(()),
        newer if newer > VERSION => Err((
            Code::Unsupported,
            format!("a Raft entry of format {newer:#x} needs a newer BlockDB"),
        )),
        _ => {
            let what = "the log is of a database without a cluster, and not of a Raft group";
            Err((Code::Unsupported, what.to_owned()))
        }
    }
}

/// Refuses a membership that the log would refuse: to be asked before one is proposed, since a log
/// that refuses an entry stops its node.
pub fn check_membership(membership: &Membership) -> Result<()> {
    encode_membership(membership).map(drop)
}

fn encode_membership(membership: &Membership) -> Result<Vec<u8>> {
    let configs = membership.get_joint_config();
    let nodes: Vec<_> = membership.nodes().collect();
    bound("configurations of a membership", configs.len(), RAFT_CONFIGS_MAX)?;
    bound("members of a group", nodes.len(), RAFT_MEMBERS_MAX)?;
    let mut out = Vec::with_capacity(64 + nodes.len() * 64);
    put_len(&mut out, configs.len());
    for config in configs {
        bound("members of a group", config.len(), RAFT_MEMBERS_MAX)?;
        put_len(&mut out, config.len());
        config.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
    put_len(&mut out, nodes.len());
    for (id, member) in nodes {
        out.extend_from_slice(&id.to_le_bytes());
        for address in [member.peer_address(), member.client_address()] {
            put_len(&mut out, address.len());
            out.extend_from_slice(address.as_bytes());
        }
    }
    let valid = Membership::new(configs.clone(), nodes_of(membership));
    valid.map_err(|error| Error::invalid(format!("the membership is not valid: {error}")))?;
    Ok(out)
}

fn nodes_of(membership: &Membership) -> BTreeMap<u64, Member> {
    membership.nodes().map(|(id, member)| (*id, member.clone())).collect()
}

fn bound(what: &str, found: usize, max: usize) -> Result<()> {
    match found > max {
        true => Err(Error::too_large(what, found as u64, max as u64)),
        false => Ok(()),
    }
}

/// Lengths are bounded far below 65,536 before they come here.
fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u16).to_le_bytes());
}

fn decode_membership(reader: &mut Reader<'_>) -> Result<Membership, Malformed> {
    let mut configs = Vec::new();
    for _ in 0..reader.len(RAFT_CONFIGS_MAX)? {
        let count = reader.len(RAFT_MEMBERS_MAX)?;
        let ids = (0..count).map(|_| reader.u64()).collect::<Result<Vec<u64>, _>>()?;
        configs.push(ascending(&ids)?);
    }
    let mut ids = Vec::new();
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.len(RAFT_MEMBERS_MAX)? {
        let id = reader.u64()?;
        let (peer, client) = (reader.text()?, reader.text()?);
        let member = Member::new(peer, client).map_err(|error| corrupt(error.detail()))?;
        ids.push(id);
        nodes.insert(id, member);
    }
    ascending(&ids)?;
    Membership::new(configs, nodes)
        .map_err(|error| corrupt(&format!("a membership that is not valid: {error}")))
}

fn ascending(ids: &[u64]) -> Result<BTreeSet<u64>, Malformed> {
    match ids.is_sorted_by(|a, b| a < b) {
        true => Ok(ids.iter().copied().collect()),
        false => Err(corrupt("node ids of a membership that do not ascend")),
    }
}

/// What a group must remember besides entries. The newest written one counts, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HardState {
    /// The newest vote.
    pub vote: Option<Vote>,
    /// The newest entry known to be committed; may lag.
    pub committed: Option<LogId>,
    /// The newest entry that was dropped because snapshots hold what it did.
    pub purged: Option<LogId>,
}

impl HardState {
    /// The state's bytes; `oldest_generation` is the first segment of the log still needed.
    pub fn encode(&self, oldest_generation: u64) -> [u8; STATE_BYTES] {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let vote = self.vote.unwrap_or_else(|| Vote::new(0, 0));
        let flags = flag(self.vote.is_some(), FLAG_VOTE)
            | flag(vote.committed, FLAG_VOTE_COMMITTED)
            | flag(self.committed.is_some(), FLAG_COMMITTED)
            | flag(self.purged.is_some(), FLAG_PURGED);
        let parts = |id: Option<LogId>| id.map_or((0, 0), |id| (id.leader_id.term, id.index));
        let (committed, purged) = (parts(self.committed), parts(self.purged));
        let words = [
            oldest_generation,
            vote.leader_id.term,
            vote.leader_id.voted_for,
            committed.0,
            committed.1,
            purged.0,
            purged.1,
        ];
        let mut bytes = [0; STATE_BYTES];
        bytes[..2].copy_from_slice(&[VERSION, flags]);
        for (out, word) in bytes[2..].chunks_exact_mut(8).zip(words) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// A state and the first segment of the log that was needed when it was written.
    pub fn decode(bytes: &[u8]) -> Result<(HardState, u64), Malformed> {
        let mut reader = Reader(bytes);
        check_version(reader.u8()?)?;
        let flags = reader.u8()?;
        let oldest_generation = reader.u64()?;
        let is = |flag: u8| flags & flag != 0;
        let leader = (reader.u64()?, reader.u64()?);
        let committed = is(FLAG_VOTE_COMMITTED);
        let vote = is(FLAG_VOTE).then(|| match committed {
            true => Vote::new_committed(leader.0, leader.1),
            false => Vote::new(leader.0, leader.1),
        });
        let mut log_id = |flag| {
            let (term, index) = (reader.u64()?, reader.u64()?);
            Ok::<_, Malformed>(is(flag).then(|| LogId::new_term_index(term, index)))
        };
        let state =
            HardState { vote, committed: log_id(FLAG_COMMITTED)?, purged: log_id(FLAG_PURGED)? };
        reader.end()?;
        match state.encode(oldest_generation) == bytes {
            true => Ok((state, oldest_generation)),
            false => Err(corrupt("a Raft state that BlockDB never writes")),
        }
    }
}

/// Takes bounded pieces off the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.0.split_first_chunk::<N>();
        let (taken, rest) = taken.ok_or_else(|| corrupt("a Raft entry that ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    fn len(&mut self, max: usize) -> Result<usize, Malformed> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        match len <= max {
            true => Ok(len),
            false => Err(corrupt("a Raft entry with more in it than is ever written")),
        }
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.len(usize::from(u16::MAX))?;
        let taken = self.0.split_at_checked(len);
        let (taken, rest) = taken.ok_or_else(|| corrupt("a Raft entry that ends too early"))?;
        self.0 = rest;
        std::str::from_utf8(taken).map_err(|_| corrupt("an address that is not UTF-8"))
    }

    fn end(&self) -> Result<(), Malformed> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(corrupt("a Raft entry with bytes behind its end")),
        }
    }
}
