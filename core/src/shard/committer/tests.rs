//! Groups made by hand, since threads would not meet as often.

use std::sync::Arc;

use super::Work;
use crate::Options;
use crate::collection::CollectionOptions;
use crate::disk::simulated::SimDisk;
use crate::doc;
use crate::host::Host;
use crate::host::simulated::SimClock;
use crate::proof::LeafKind;
use crate::shard::entry::{BatchBuilder, NewRecord, Proposal};

fn proposal(collection: crate::collection::CollectionId, key: &str) -> Proposal {
    let mut batch = BatchBuilder::new(None);
    batch.part(collection);
    let body = doc! { "n": 1 };
    let record = NewRecord::unkeyed(LeafKind::Record, &body, [7; 16]);
    batch.record(&NewRecord { key: Some(key.as_bytes()), ..record });
    batch.finish()
}

#[test]
fn records_that_join_the_group_of_a_rotation_belong_to_the_next_memtable() {
    for before in [0, 3] {
        let disk = Arc::new(SimDisk::new());
        let options = Options::new().host(Host::simulated(disk, SimClock::new(0), 1));
        let db = options.open("/db").unwrap();
        db.create_collection("c", CollectionOptions::new()).unwrap();
        let shard = &db.database().shard;
        let id = shard.snapshot().by_name("c").unwrap().core.id;
        for number in 0..before {
            shard.commit(Work::Write(proposal(id, &format!("a{number}")))).unwrap();
        }
        let group = vec![
            Work::Write(proposal(id, "b")),
            Work::Rotate(id),
            Work::Write(proposal(id, "c")),
            Work::Rotate(id),
            Work::Rotate(id),
            Work::Write(proposal(id, "d")),
        ];
        for result in shard.commit_group(group) {
            result.unwrap();
        }
        shard.settle().unwrap();
        shard.env.check_healthy().unwrap();
        let state = shard.snapshot();
        let view = &state.collections[&id];
        for key in ["b", "c", "d"] {
            assert!(view.get(key.as_bytes(), None).unwrap().is_some(), "{key}");
        }
        db.close().unwrap();
    }
}
