//! What holds for the command as a whole: the demonstration, verification of damaged data, reading
//! beside a writer, pipes, help and what is generated from it.
#![allow(clippy::disallowed_methods, reason = "tests damage files behind the engine's back")]

mod shell;

use std::io::Write;
use std::process::Stdio;

use shell::{Shell, objects};

#[test]
fn the_demonstration_goes_as_told_and_leaves_nothing_behind() {
    let shell = Shell::new();
    let told = shell.ok("TMPDIR=$PWD blockdb demo");
    assert!(told.contains("Verify again") && told.contains("refused as corrupt"), "{told}");
    assert_eq!(shell.ok("ls"), "");
    let steps = objects(&shell.ok("blockdb --output json demo"));
    assert_eq!(steps.last().unwrap()["step"], steps.len() as u64);
}

#[test]
fn verify_names_the_place_of_a_flipped_byte_and_changes_nothing() {
    let shell = Shell::new();
    shell.write("sample.gz", include_bytes!("../data/packages-sample.jsonl.gz"));
    shell.ok("blockdb import packages sample.gz --key-field name");
    let clean = shell.database();
    assert_eq!(shell.json("verify packages", 0)[0]["faults"].as_array().unwrap().len(), 0);
    let (path, bytes) = clean
        .iter()
        .filter(|(path, _)| path.file_name().unwrap().to_str().unwrap().starts_with("blockchain_"))
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    std::fs::write(path, &damaged).unwrap();
    let before = shell.database();

    let ran = shell.run("blockdb --output json verify");
    assert_eq!(ran.status, 3, "{ran:?}");
    let fault = &objects(&ran.stdout)[0]["faults"][0];
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(fault["file"].as_str().unwrap().ends_with(name), "{fault}");
    assert!(fault["offset"].as_u64().unwrap() <= middle as u64, "{fault}");
    assert!(fault["block"].is_u64() && fault["seq"].is_u64(), "{fault}");
    assert_eq!(fault["collection"], "packages");
    assert_eq!(objects(&ran.stderr)[0]["code"], "integrity_violation");

    let people = shell.run("blockdb verify");
    assert_eq!(people.status, 3);
    assert!(people.stdout.contains(name) && people.stdout.contains("NOT CLEAN"), "{people:?}");
    assert_eq!(shell.database(), before, "verify wrote something");
}

#[test]
fn reading_changes_no_byte_and_works_beside_a_writer() {
    let shell = Shell::new();
    shell.ok("blockdb create events");
    shell.ok("blockdb insert events --key e-1 '{}'");
    let before = shell.database();
    for line in [
        "scan events",
        "get events e-1",
        "export events",
        "count events",
        "collections",
        "describe events",
        "history events e-1",
        "stats",
        "stats events",
        "verify",
    ] {
        shell.ok(&format!("blockdb {line}"));
    }
    assert_eq!(shell.database(), before, "a reading command wrote something");

    let mut writer = shell
        .command("exec blockdb import events - --batch 1 --acks")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(b"{}\n").unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(writer.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(shell.ok("blockdb get events e-1 | cut -f 1").trim(), "e-1");
    let ran = shell.run("blockdb --output json insert events '{}'");
    assert_eq!((ran.status, &objects(&ran.stderr)[0]["code"]), (1, &"locked".into()), "{ran:?}");
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    assert_eq!(shell.ok("blockdb count events").trim(), "2");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let shell = Shell::new();
    shell.write("sample.gz", include_bytes!("../data/packages-sample.jsonl.gz"));
    shell.ok("blockdb import packages sample.gz --key-field name");
    for command in ["export packages", "scan packages", "--output json scan packages"] {
        let line = format!("(blockdb {command}; echo status $? >&2) | head -n 1 > /dev/null");
        assert_eq!(shell.run(&line).stderr.trim(), "status 0", "{command}");
    }
}

#[test]
fn help_completions_and_manual_come_without_a_database() {
    let shell = Shell::new();
    let help = shell.ok("blockdb --help");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 19, "{commands:?}");
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(shell.ok(&format!("blockdb help {command}")).contains("Example:"), "{command}");
        assert!(shell.ok(&format!("blockdb man {command}")).contains(".TH"), "{command}");
    }
    for of_shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(shell.ok(&format!("blockdb completions {of_shell}")).contains("import"));
    }
    assert!(shell.ok("blockdb man").contains(".TH blockdb 1"));
    assert_eq!(shell.run("blockdb man nonsense").status, 2);
    assert_eq!(shell.run("blockdb").status, 2);
    assert!(shell.ok("blockdb --version").starts_with("blockdb "));
    assert_eq!(shell.ok("ls"), "");
}
