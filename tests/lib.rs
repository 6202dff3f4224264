//! The suites that cross crates, and what they share. Each integration test of this package is a
//! claim about the whole engine; the room [`simulation`] is where most of them are tried, and the
//! room [`history`] judges what concurrent transactions saw.
//!
//! | suite | claim |
//! |---|---|
//! | `crash` | no acknowledged write is lost, nothing is there by half, and everything verifies: after a crash at every operation of scripted workloads, after a second crash during recovery, after an error of any operation, after the disk was full; damage in the log is told and never cut off |
//! | `model` | any sequence of calls, reopenings and crashes answers like a plain map with a history |
//! | `determinism` | the same log entries give the same leaves, salts, bodies, headers and roots whatever the sizes, threads and interruptions |
//! | `two_phase` | a transaction over three shards is there whole or not at all, and nobody sees one half: whatever crashes, is lost, comes twice or late |
//! | `tamper` | any one flipped byte of any file of a closed database is told, and its file named |
//! | `kill` (in `cli/tests`) | kill -9 of the real command loses nothing acknowledged |
//! | `golden` | databases written by released formats open for ever |
//! | `queries` | generated questions are answered as SQLite answers them |
//! | `indexes` | indexes and schemas come and go whole, whatever crash interrupts it |
//! | `transactions` | a transaction sees its own writes, is there whole or not at all, and leaves no lock |
//! | `isolation` | each anomaly known by name is tried by hand, and prevented |
//! | `histories` | what concurrent transactions saw is explained by one order, and that of real time |
//! | `packages` | real documents under a schema of every type and rule, indexed while they are imported |
//! | `checker` | the judge of histories finds every anomaly it knows of, and no other |
//! | `limits` | memory, log and open files stay within their bounds |
//!
//! Everything follows from one seed, and a failure prints the command that repeats it; see
//! [`simulation::campaign`] for the variables. `cargo xtask test --only suites` runs
//! the counts of CI, with assertions; `cargo test -p blockdb-tests --release` runs twice as many,
//! without; a build for debugging a twentieth; `cargo xtask soak SUITE` goes on as long as it is told.
//!
//! The tests are tested: `cargo xtask soak bugs` builds deliberate defects into the engine
//! (`core/bugs.txt`), and each must make its suite fail.

pub mod history;
pub mod packages;
pub mod simulation;

/// Whether this is a build for debugging, too slow for the counts of CI. The profile `suites` has
/// assertions too, so they do not tell; the folder of the build does.
pub fn is_debug_build() -> bool {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).is_some_and(|profile| profile.ends_with("debug"))
}
