//! Logging administrative acts: a collection's whole descriptor as the next revision of its system
//! record and, in the same entry, a leaf of the collection itself. Applying the entry carries the
//! act out. Acts are evaluated one at a time, under [`Shard::admin`].

use crate::collection::Descriptor;
use crate::document::Document;
use crate::error::Result;
use crate::proof::LeafKind;
use crate::shard::Shard;
use crate::shard::committer::Work;
use crate::shard::entry::{BatchBuilder, NewRecord};

impl Shard {
    /// Logs one act; `leaf` is what the collection's own log says of it.
    pub fn record_act(
        &self,
        descriptor: &Descriptor,
        leaf: Option<(LeafKind, &Document)>,
    ) -> Result<()> {
        let state = self.snapshot();
        let system = &state.collections[&state.system];
        let key = descriptor.key();
        let newest = system.core.newest(key.as_bytes(), system.end_seq)?;
        let body = descriptor.to_document()?;
        let mut salts = [[0u8; 16]; 2];
        self.env.host.random.fill(salts.as_flattened_mut());
        let mut batch = BatchBuilder::new(None);
        batch.part(state.system);
        batch.record(&NewRecord {
            kind: LeafKind::Record,
            key: Some(key.as_bytes()),
            revision: newest.as_ref().map_or(1, |hit| hit.rank + 1),
            prev_seq: newest.map(|hit| hit.seq),
            schema: 0,
            actor: None,
            body: body.as_bytes(),
            salt: salts[0],
            commitment: None,
        });
        if let Some((kind, body)) = leaf {
            batch.part(descriptor.id);
            batch.record(&NewRecord::unkeyed(kind, body, salts[1]));
        }
        self.commit(Work::Write(batch.finish())).map(drop)
    }
}
