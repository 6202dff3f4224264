//! Claims about the ledger, and what they need: a disk in memory, leaves that follow from their
//! sequence number, and the tree of RFC 6962 computed the slow way.

mod crash;
mod damage;
mod purging;
mod recovery;
mod roundtrip;
mod speed;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use super::{
    Fault, Ledger, LedgerOptions, LedgerPosition, PendingLeaf, SealedBlock, Slot, StoredLeaf,
    VerifySummary, verify,
};
use crate::disk::Vfs;
use crate::disk::compression::Compression;
use crate::disk::pool::FilePool;
use crate::disk::simulated::SimDisk;
use crate::error::Result;
use crate::proof::{Hash, LeafKind, commitment, hash_leaf, hash_node};
use crate::table::cache::BlockCache;

const COLLECTION: [u8; 16] = *b"collection-0001!";

/// A leaf that owns its parts and follows from its number.
#[derive(Clone, Debug)]
struct Sample {
    kind: LeafKind,
    key: Option<Vec<u8>>,
    revision: Option<u64>,
    prev_seq: Option<u64>,
    time_us: i64,
    schema: Option<u64>,
    txn: Option<Vec<u8>>,
    actor: Option<String>,
    salt: [u8; 16],
    body: Vec<u8>,
}

impl Sample {
    /// A plain record with `body_bytes` of body.
    fn record(seq: u64, body_bytes: usize) -> Sample {
        let mut salt = [0x5a; 16];
        salt[..8].copy_from_slice(&seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let text = format!("{{\"number\":{seq},\"text\":\"the quick brown fox\"}}");
        Sample {
            kind: LeafKind::Record,
            key: Some(format!("key-{seq:08}").into_bytes()),
            revision: Some(1),
            prev_seq: None,
            time_us: 1_700_000_000_000_000 + seq as i64 * 37,
            schema: Some(0),
            txn: None,
            actor: None,
            salt,
            body: text.bytes().cycle().take(body_bytes).collect(),
        }
    }

    /// A leaf of any kind and shape.
    fn any(seq: u64) -> Sample {
        let mut sample = Sample::record(seq, (seq as usize * 37) % 190);
        match seq % 11 {
            0 => {
                sample.kind = LeafKind::Genesis;
                (sample.key, sample.revision, sample.schema) = (None, None, None);
            }
            1 => sample.txn = Some(vec![seq as u8; 16]),
            2 => sample.actor = Some("Käthe".to_owned()),
            3 => (sample.revision, sample.prev_seq) = (Some(7), Some(seq / 2)),
            4 => (sample.kind, sample.body) = (LeafKind::Settings, Vec::new()),
            5 => (sample.kind, sample.key) = (LeafKind::Erasure, None),
            6 => (sample.kind, sample.schema) = (LeafKind::Incarnation, None),
            7 => sample.body = (0..5000u32).map(|at| ((at * at) >> 3) as u8).collect(),
            8 => (sample.time_us, sample.schema) = (-5, Some(u64::MAX)),
            9 => sample.key = Some(vec![b'k'; 1024]),
            _ => (sample.txn, sample.actor) = (Some(vec![1]), Some(String::new())),
        }
        sample
    }

    fn pending(&self) -> PendingLeaf<'_> {
        PendingLeaf {
            kind: self.kind,
            key: self.key.as_deref(),
            revision: self.revision,
            prev_seq: self.prev_seq,
            time_us: self.time_us,
            schema: self.schema,
            txn: self.txn.as_deref(),
            actor: self.actor.as_deref(),
            salt: self.salt,
            body: &self.body,
            commitment: commitment(&self.salt, &self.body),
        }
    }

    fn assert_is(&self, stored: &StoredLeaf) {
        let seq = stored.seq;
        assert_eq!(stored.kind, self.kind, "{seq}");
        assert_eq!(stored.key.as_deref(), self.key.as_deref(), "{seq}");
        assert_eq!(stored.revision, self.revision, "{seq}");
        assert_eq!(stored.prev_seq, self.prev_seq, "{seq}");
        assert_eq!(stored.time_us, self.time_us, "{seq}");
        assert_eq!(stored.schema, self.schema, "{seq}");
        assert_eq!(stored.txn.as_deref(), self.txn.as_deref(), "{seq}");
        assert_eq!(stored.actor, self.actor, "{seq}");
        assert_eq!(stored.body_len, self.body.len() as u64, "{seq}");
        match &stored.slot {
            Slot::Live { salt, body } => {
                assert_eq!((salt, &body[..]), (&self.salt, &self.body[..]))
            }
            Slot::Erased(hash) => assert_eq!(*hash, self.pending().commitment),
            slot => panic!("leaf {seq} has {slot:?}"),
        }
    }
}

/// A disk with one ledger's folder, and how to open it.
struct Bench {
    disk: SimDisk,
    options: LedgerOptions,
}

impl Bench {
    fn new(segment_bytes: u64, frame_bytes: usize) -> Bench {
        let disk = SimDisk::new();
        disk.create_dir(&dir()).expect("an empty disk");
        disk.sync_dir(std::path::Path::new("/")).expect("an empty disk");
        Bench::on(disk, segment_bytes, frame_bytes)
    }

    fn on(disk: SimDisk, segment_bytes: u64, frame_bytes: usize) -> Bench {
        let compression = Compression::Lz4;
        Bench { disk, options: LedgerOptions { segment_bytes, frame_bytes, compression } }
    }

    fn open(&self, position: LedgerPosition) -> Ledger {
        let pool = Arc::new(FilePool::new(Arc::new(self.disk.clone()), 8));
        let cache = Arc::new(BlockCache::new(1 << 20));
        Ledger::open(pool, cache, dir(), COLLECTION, self.options.clone(), position)
    }
}

fn dir() -> PathBuf {
    PathBuf::from("/col")
}

/// Seals and appends the next `count` leaves; their numbers are their sequence numbers.
fn add(ledger: &Ledger, count: u64, make: impl Fn(u64) -> Sample) {
    let block = seal(ledger, count, make).expect("a seal of good leaves");
    ledger.append(block).expect("a working disk");
}

fn seal(ledger: &Ledger, count: u64, make: impl Fn(u64) -> Sample) -> Result<SealedBlock> {
    let first = ledger.sealed_end_seq();
    let samples: Vec<Sample> = (first..first + count).map(make).collect();
    let timestamp = 1_700_000_000_000_000 + first as i64;
    ledger.seal(timestamp, &mut samples.iter().map(Sample::pending), count)
}

fn is_header(ledger: &Ledger, seq: u64) -> bool {
    let (header, _) = ledger.header_of_seq(seq).expect("readable").expect("below the end");
    seq == header.first_seq + header.count
}

/// The hashes of all leaves of a ledger, from their encodings.
fn leaf_hashes(ledger: &Ledger) -> Vec<Hash> {
    ledger
        .iter(0, true)
        .map(|leaf| {
            let mut bytes = Vec::new();
            leaf.expect("readable").encode(COLLECTION, &mut bytes).expect("with its body");
            hash_leaf(&bytes)
        })
        .collect()
}

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => crate::proof::empty_root(),
        1 => leaves[0],
        size => {
            let left = size.next_power_of_two() / 2;
            hash_node(&naive_root(&leaves[..left]), &naive_root(&leaves[left..]))
        }
    }
}

fn verify_all(ledger: &Ledger, threads: usize) -> (VerifySummary, Vec<Fault>, u64) {
    let (mut faults, mut seen) = (Vec::new(), 0);
    let each = &mut |_: &StoredLeaf| seen += 1;
    let summary = verify(ledger, threads, each, &mut |fault| faults.push(fault), &|_| ());
    (summary.expect("a working disk"), faults, seen)
}

fn assert_sound(ledger: &Ledger) -> VerifySummary {
    let (summary, faults, seen) = verify_all(ledger, 1);
    assert_eq!(faults, []);
    assert_eq!(seen, summary.leaves);
    assert_eq!(summary.leaves, ledger.position().end_seq);
    summary
}
