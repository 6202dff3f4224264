//! The types a Raft group of BlockDB speaks. Standard Raft: a term has one leader, so a log id is
//! (term, index), which is just what a log frame carries. The storage is written for any type
//! configuration with these types ([`GroupTypes`]), so that a test may bring another runtime.

use std::fmt;

use bytes::Bytes;
use openraft::RaftTypeConfig;
use openraft::vote::leader_id_std;

use crate::error::{Error, Result};
use crate::limits::{MEMBER_ADDRESS_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use crate::log::PAYLOAD_BYTES_MAX;

openraft::declare_raft_types!(
    /// The configuration of every group: commands in, nothing out (all was decided before a command
    /// was logged), standard leader ids, tokio.
    pub TypeConfig:
        D = Command,
        R = (),
        NodeId = NodeId,
        Node = Member,
        Term = u64,
        LeaderId = LeaderId,
);

/// A node's number. Never given again, not even after the node is gone: the old one's votes count.
pub type NodeId = u64;
/// Who leads, or wants to: term and node.
pub type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
/// A leader of a log entry: its term.
pub type CommittedLeaderId = leader_id_std::CommittedLeaderId<u64>;
/// Term and index of an entry.
pub type LogId = openraft::LogId<CommittedLeaderId>;
/// What a node promised in a term.
pub type Vote = openraft::Vote<LeaderId>;
/// Who belongs to a group.
pub type Membership = openraft::Membership<NodeId, Member>;
/// What an entry holds.
pub type Payload = openraft::EntryPayload<Command, NodeId, Member>;
/// An entry of a group's log.
pub type Entry = openraft::Entry<CommittedLeaderId, Payload>;

/// Any type configuration whose log this room can keep; implemented by itself.
pub trait GroupTypes:
    RaftTypeConfig<
        D = Command,
        NodeId = NodeId,
        Node = Member,
        Term = u64,
        LeaderId = LeaderId,
        Vote = Vote,
        Payload = Payload,
        Entry = Entry,
    >
{
}

impl<C> GroupTypes for C where
    C: RaftTypeConfig<
            D = Command,
            NodeId = NodeId,
            Node = Member,
            Term = u64,
            LeaderId = LeaderId,
            Vote = Vote,
            Payload = Payload,
            Entry = Entry,
        >
{
}

/// What a group agrees on: one encoded entry of a shard, opaque here, with what its log frame says
/// of it. Small enough for a frame by construction, so that a log never refuses it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Command {
    request_id: Bytes,
    txn: [u8; 16],
    entry: Bytes,
}

impl Command {
    /// A command of the encoded shard `entry`, the client's idempotency token (empty if none) and
    /// the transaction's id (zeros if none).
    pub fn new(entry: Bytes, request_id: Bytes, txn: [u8; 16]) -> Result<Self> {
        let command = Command { request_id, txn, entry };
        command.check()?;
        Ok(command)
    }

    fn check(&self) -> Result<()> {
        let (found, max) = (self.entry.len(), PAYLOAD_BYTES_MAX - super::encoding::HEAD_BYTES);
        if found > max {
            return Err(Error::too_large("log entry bytes", found as u64, max as u64));
        }
        let (found, max) = (self.request_id.len(), REQUEST_ID_BYTES_MAX);
        if found > max {
            return Err(Error::too_large("request id bytes", found as u64, max as u64));
        }
        Ok(())
    }

    /// The encoded shard entry.
    pub fn entry(&self) -> &Bytes {
        &self.entry
    }

    /// The client's idempotency token, empty if none.
    pub fn request_id(&self) -> &Bytes {
        &self.request_id
    }

    /// The transaction's id, zeros if none.
    pub fn txn(&self) -> [u8; 16] {
        self.txn
    }

    /// Bytes it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.entry.len() + self.request_id.len()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.entry.len())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self})")
    }
}

/// What a group knows of one of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    peer_address: String,
    client_address: String,
}

impl Member {
    /// A node that peers reach at `peer_address` and clients at `client_address`.
    pub fn new(peer_address: impl Into<String>, client_address: impl Into<String>) -> Result<Self> {
        let member =
            Member { peer_address: peer_address.into(), client_address: client_address.into() };
        for address in [&member.peer_address, &member.client_address] {
            let (found, max) = (address.len(), MEMBER_ADDRESS_BYTES_MAX);
            if found > max {
                return Err(Error::too_large("member address bytes", found as u64, max as u64));
            }
        }
        Ok(member)
    }

    /// Where other nodes reach it.
    pub fn peer_address(&self) -> &str {
        &self.peer_address
    }

    /// Where clients reach it.
    pub fn client_address(&self) -> &str {
        &self.client_address
    }
}
