//! What `lint` and `test` run, in order of cost: a mistake in formatting is told before anything is
//! built for minutes. The first step that fails ends the run.

use clap::ValueEnum;

use crate::step::Step;
use crate::{terminal, tools};

/// A part of `cargo xtask test` that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// fmt, clippy and deny
    Lint,
    /// The house format
    Fmt,
    /// Clippy on all targets, warnings denied
    Clippy,
    /// Licences, sources and duplicates of the dependencies
    Deny,
    /// Unit and integration tests of every crate but tests/
    Unit,
    /// The examples in the documentation
    Doctest,
    /// The documentation itself, warnings denied
    Doc,
    /// The suites of tests/: crash, kill, tamper, model and their like
    Suites,
}

const ORDER: [Part; 7] =
    [Part::Fmt, Part::Clippy, Part::Deny, Part::Unit, Part::Doctest, Part::Doc, Part::Suites];

/// The crate of the suites, and the profile it is built with: counts are what finds bugs, so it is
/// optimised, but it is linked often, so the link is kept short.
pub const SUITES: [&str; 5] = ["-p", "blockdb-tests", "--profile", "suites", "--locked"];

/// The core with the features that are off by default. Only it is built with them: openraft and
/// tokio take a minute, and nothing else needs them.
const FEATURES: [&str; 5] = ["-p", "blockdb", "--features", "cluster", "--locked"];

/// Runs the chosen parts, or all of them, and closes with a table.
pub fn run(only: &[Part]) -> anyhow::Result<()> {
    let mut finished = Vec::new();
    for part in ORDER {
        if chosen(part, only) {
            for step in steps(part)? {
                finished.push(step.run()?);
            }
        }
    }
    for (name, took) in &finished {
        terminal::row(true, &format!("{name:<14} {}", terminal::seconds(*took)));
    }
    Ok(())
}

fn chosen(part: Part, only: &[Part]) -> bool {
    let lint = matches!(part, Part::Fmt | Part::Clippy | Part::Deny);
    only.is_empty() || only.contains(&part) || (lint && only.contains(&Part::Lint))
}

fn steps(part: Part) -> anyhow::Result<Vec<Step>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Ok(match part {
        Part::Lint | Part::Fmt => vec![Step::cargo("fmt", ["fmt", "--all", "--check"])],
        Part::Clippy => {
            let what =
                ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
            let featured = Step::cargo("clippy cluster", ["clippy"])
                .args(words(&FEATURES))
                .args(words(&["--all-targets", "--", "-D", "warnings"]));
            vec![Step::cargo("clippy", what), featured]
        }
        Part::Deny => vec![
            Step::cargo("deny", ["--locked", "check", "bans", "licenses", "sources"])
                .program(tools::cargo_deny()?),
        ],
        Part::Unit => {
            let what = ["test", "--workspace", "--exclude", "blockdb-tests", "--locked"];
            // Unoptimised: all of openraft is compiled into these tests, and they wait for elections
            // and not for the processor.
            let featured = Step::cargo("unit cluster", ["test"])
                .args(words(&FEATURES))
                .args(words(&["--profile", "dev", "--lib", "cluster::"]));
            vec![Step::cargo("unit", what).args(words(&["--lib", "--bins", "--tests"])), featured]
        }
        Part::Doctest => {
            vec![Step::cargo("doctest", ["test", "--workspace", "--locked", "--doc"])]
        }
        Part::Doc => {
            let plain = Step::cargo("doc", ["doc", "--workspace", "--no-deps", "--locked"]);
            let featured = Step::cargo("doc cluster", ["doc", "--no-deps"]).args(words(&FEATURES));
            [plain, featured].map(|step| step.env("RUSTDOCFLAGS", "-D warnings")).into()
        }
        Part::Suites => vec![
            Step::cargo("suites", ["test"])
                .args(words(&SUITES))
                .args(words(&["--lib", "--bins", "--tests"])),
        ],
    })
}

/// One suite of tests/, with everything it prints.
pub fn suite(name: &str) -> Step {
    let mut package = SUITES.map(str::to_owned);
    if name == "kill" {
        // It needs the real command, which cargo hands to the tests of its own package alone.
        package[1] = "blockdb-cli".to_owned();
    }
    Step::cargo(name, ["test"])
        .args(package)
        .args(["--test", name, "--", "--nocapture"].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lint_stands_for_its_three_parts() {
        let names = |only: &[Part]| ORDER.iter().filter(|part| chosen(**part, only)).count();
        assert_eq!((names(&[]), names(&[Part::Lint]), names(&[Part::Unit])), (7, 3, 1));
    }
}
