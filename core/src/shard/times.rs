//! Finding a place in a collection's log by time. Times never fall with the sequence number, so
//! this is a binary search over leaves: exact, over restarts too, and kept up by nobody.

use crate::error::Result;
use crate::shard::state::View;

impl View {
    /// The sequence number of the first leaf whose time is `time_us` or later, in microseconds
    /// since the epoch; the end of the view if there is none. Reads about log2(leaves) leaves.
    pub fn seq_at(&self, time_us: i64) -> Result<u64> {
        let mut reader = self.core.ledger.reader();
        let (mut low, mut high) = (0, self.end_seq);
        while low < high {
            let middle = low + (high - low) / 2;
            // The header of a block on its way to the ledger cannot be read yet. It is no older than
            // the leaf before it, and only headers have leaves on both sides, so that leaf tells.
            let leaf = match self.core.look_with(&mut reader, middle)? {
                Some(leaf) => leaf,
                None => self.core.read_leaf(middle.saturating_sub(1))?,
            };
            match leaf.time_us < time_us {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}
