//! How a suite is run: how many cases, from which seed, for how long, on two threads, and what is
//! printed when one fails: the exact command that repeats it.
//!
//! | variable | meaning |
//! |---|---|
//! | `BLOCKDB_SEED` | where all chance comes from (default 1) |
//! | `BLOCKDB_IMAGES` | cases per test, instead of its own count |
//! | `BLOCKDB_SOAK_SECONDS` | go on with further seeds for so long |
//! | `BLOCKDB_WORKLOAD`, `BLOCKDB_STEP`, `BLOCKDB_CRASH` | only this script, moment, crash |

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use blockdb::host::Clock;
use blockdb::host::real::RealClock;

use super::script::Script;

/// After so many failures a test ends: the first ones tell enough.
const FAILURES_MAX: usize = 4;
const THREADS: usize = 2;

/// One test's run.
pub struct Campaign {
    suite: &'static str,
    test: &'static str,
    /// Cases wanted.
    pub cases: u64,
    seed: u64,
    soak_us: Option<u64>,
    /// Only this script.
    pub workload: Option<String>,
    /// Only this moment, fault or step.
    pub step: Option<u64>,
    /// Only this crash.
    pub crash: Option<String>,
    clock: RealClock,
    judged: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// What a case is called, so that it can be run again alone.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// The seed of its round.
    pub seed: u64,
    /// Its script.
    pub workload: String,
    /// Its moment.
    pub step: Option<u64>,
    /// Its crash.
    pub crash: Option<String>,
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} has a wrong value: {text:?}")))
}

impl Campaign {
    /// The run of `test` of `suite`: `cases` of them, half of them with assertions, a twentieth when built for
    /// debugging.
    pub fn begin(suite: &'static str, test: &'static str, cases: u64) -> Self {
        let cases = match () {
            () if crate::is_debug_build() => cases.div_ceil(20),
            () if cfg!(debug_assertions) => cases.div_ceil(2),
            () => cases,
        };
        let soak_seconds: Option<u64> = variable("BLOCKDB_SOAK_SECONDS");
        Campaign {
            suite,
            test,
            cases: variable("BLOCKDB_IMAGES").unwrap_or(cases),
            seed: variable("BLOCKDB_SEED").unwrap_or(1),
            soak_us: soak_seconds.map(|seconds| seconds * 1_000_000),
            workload: variable("BLOCKDB_WORKLOAD"),
            step: variable("BLOCKDB_STEP"),
            crash: variable("BLOCKDB_CRASH"),
            clock: RealClock::new(),
            judged: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// Runs `round` with the seed, and with further seeds while a soak lasts; then prints the count
    /// and fails if anything did.
    pub fn rounds(self, mut round: impl FnMut(&Campaign, u64)) {
        for seed in self.seed.. {
            round(&self, seed);
            let over = self.soak_us.is_none_or(|limit_us| self.clock.monotonic_us() >= limit_us);
            if over || self.is_lost() {
                break;
            }
        }
        self.finish();
    }

    fn finish(self) {
        let seconds = self.clock.monotonic_us() as f64 / 1e6;
        let judged = self.judged.load(Ordering::Relaxed);
        let failures = self.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!(
            "{}::{}: {judged} cases from seed {} in {seconds:.1} s, {} failed",
            self.suite,
            self.test,
            self.seed,
            failures.len()
        );
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }

    /// The scripts chosen by the environment.
    pub fn chosen(&self, scripts: Vec<Script>) -> Vec<Script> {
        let wanted =
            |script: &Script| self.workload.as_deref().is_none_or(|name| name == script.name);
        scripts.into_iter().filter(wanted).collect()
    }

    /// Whether enough has failed.
    pub fn is_lost(&self) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).len() >= FAILURES_MAX
    }

    /// Runs one case; `act` returns how many cases it counts for.
    pub fn case(&self, name: &Name, act: impl FnOnce() -> Result<u64, String>) {
        let outcome = catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(format!("panic: {text}"))
        });
        match outcome {
            Ok(count) => drop(self.judged.fetch_add(count, Ordering::Relaxed)),
            Err(what) => {
                let report = format!("{what}\n  repeat: {}", self.command(name));
                println!("{report}");
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
        }
    }

    fn command(&self, name: &Name) -> String {
        let mut command = format!("BLOCKDB_SEED={} BLOCKDB_WORKLOAD={}", name.seed, name.workload);
        for (key, value) in
            [("STEP", name.step.map(|step| step.to_string())), ("CRASH", name.crash.clone())]
        {
            if let Some(value) = value {
                command.push_str(&format!(" BLOCKDB_{key}={value}"));
            }
        }
        format!(
            "{command} cargo test -p blockdb-tests --release --test {} {} -- --nocapture",
            self.suite, self.test
        )
    }

    /// Runs `job` for each of `items` on all threads, until enough has failed.
    pub fn each<T: Sync>(&self, items: &[T], job: impl Fn(&T) + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.is_lost() {
                            break;
                        }
                        job(item);
                    }
                });
            }
        });
    }
}
