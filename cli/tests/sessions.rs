//! The command line as people see it. Each file in `sessions/` is a claim and a session in a new
//! folder: a line after `$ ` is run by a shell, what follows up to the next empty line is all it
//! must answer (stdout, then stderr, then its exit status unless that is 0). `[..]` stands for
//! anything within a line.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test, and it reads the sessions, which are files of the project"
)]

mod shell;

use std::path::Path;

use shell::Shell;

/// Plays one session; returns the steps that went otherwise.
fn play(file: &Path) -> String {
    let mut otherwise = String::new();
    let text = std::fs::read_to_string(file).unwrap();
    let shell = Shell::new();
    for step in text.split("\n\n") {
        let Some(step) = step.trim_matches('\n').strip_prefix("$ ") else { continue };
        let mut expected = step.lines();
        let command = expected.next().unwrap();
        let ran = shell.run(command);
        let mut found: Vec<String> = ran
            .stdout
            .lines()
            .chain(ran.stderr.lines())
            .map(|line| line.replace('\t', " | "))
            .collect();
        if ran.status != 0 {
            found.push(format!("exit {}", ran.status));
        }
        let expected: Vec<&str> = expected.collect();
        let same = expected.len() == found.len()
            && expected.iter().zip(&found).all(|(pattern, line)| matches(pattern, line));
        if !same {
            otherwise += &format!(
                "\n{}\n$ {command}\nexpected:\n{}\nfound:\n{}\n",
                file.display(),
                expected.join("\n"),
                found.join("\n")
            );
        }
    }
    otherwise
}

/// Whether `line` is `pattern` with `[..]` replaced by anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let Some(last) = pattern.rsplit_once("[..]").map(|(_, last)| last) else {
        return rest.is_empty();
    };
    let middle: Vec<&str> = parts.collect();
    for part in &middle[..middle.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn every_session_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let otherwise: String = files.iter().map(|file| play(file)).collect();
    assert!(otherwise.is_empty(), "{otherwise}");
}

#[test]
fn a_pattern_matches_what_it_leaves_open_and_nothing_else() {
    assert!(matches("a [..] c [..]", "a b c d") && matches("a", "a"));
    assert!(!matches("a [..] c", "a b d") && !matches("a", "ab") && !matches("[..]b", "a"));
}
