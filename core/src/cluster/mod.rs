//! Raft on BlockDB's own log.

mod encoding;
mod group;
mod index;
mod log_reader;
mod log_store;
mod raft_log;
mod tail;
mod types;

pub use encoding::check_membership;
pub use log_reader::LogReader;
pub use log_store::LogStore;
pub use raft_log::{RaftLog, RaftLogOptions};
pub use types::{
    Command, CommittedLeaderId, Entry, GroupTypes, LeaderId, LogId, Member, Membership, NodeId,
    Payload, TypeConfig, Vote,
};

#[cfg(test)]
mod tests;
