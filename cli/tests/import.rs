//! Importing and exporting the sample of real records.
#![allow(clippy::unwrap_used, reason = "a test, its helpers included")]

mod shell;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;
use shell::{Shell, objects};

const SAMPLE: &[u8] = include_bytes!("../data/packages-sample.jsonl.gz");
const COUNT: u64 = 1525;

fn documents() -> Vec<Value> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(SAMPLE), &mut text).unwrap();
    objects(&text)
}

fn imported() -> Shell {
    let shell = Shell::new();
    shell.write("sample.gz", SAMPLE);
    let last = shell.json("import packages sample.gz --key-field name", 0).pop().unwrap();
    assert_eq!((&last["inserted"], &last["rejected"]), (&COUNT.into(), &0.into()));
    shell
}

#[test]
fn an_export_equals_what_was_imported() {
    let shell = imported();
    let records = objects(&shell.ok("blockdb export packages"));
    let found: Vec<&Value> = records.iter().map(|record| &record["document"]).collect();
    assert_eq!(found, documents().iter().collect::<Vec<_>>());
    let seqs: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|one, next| one < next));
    assert!(records.iter().all(|record| record["key"] == record["document"]["name"]));

    shell.ok("blockdb export packages all.jsonl");
    assert_eq!(objects(&String::from_utf8(shell.read("all.jsonl")).unwrap()), records);
}

#[test]
fn a_second_import_rejects_every_line_and_changes_nothing() {
    let shell = imported();
    let before = shell.ok("blockdb export packages");
    let ran =
        shell.run("zcat sample.gz | blockdb --output json import packages - --key-field name");
    assert_eq!(ran.status, 1);
    let last = objects(&ran.stdout).pop().unwrap();
    assert_eq!((&last["inserted"], &last["rejected"]), (&0.into(), &COUNT.into()));
    let mut told = objects(&ran.stderr);
    let summary = told.pop().unwrap();
    assert!(summary["note"].as_str().unwrap().contains("1525 lines were rejected"), "{summary}");
    assert_eq!(told.len(), 100);
    for (line, rejection) in (1..).zip(&told) {
        assert_eq!(
            (&rejection["line"], &rejection["code"]),
            (&line.into(), &"duplicate_key".into())
        );
    }
    assert_eq!(shell.ok("blockdb export packages"), before);
    assert_eq!(shell.ok("blockdb verify | tail -n 1").split(':').next(), Some("clean"));
}

#[test]
fn scans_are_in_byte_order_within_their_bounds_both_ways() {
    let shell = imported();
    let mut keys: Vec<String> =
        documents().iter().map(|each| each["name"].as_str().unwrap().to_owned()).collect();
    keys.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    let scan = |options: &str| -> Vec<String> {
        let records = shell.json(&format!("scan packages {options}"), 0);
        records.iter().map(|record| record["key"].as_str().unwrap().to_owned()).collect()
    };
    let expect = |keep: &dyn Fn(&str) -> bool| -> Vec<String> {
        keys.iter().filter(|key| keep(key)).cloned().collect()
    };
    assert_eq!(scan(""), keys);
    assert_eq!(scan("--prefix lib"), expect(&|key| key.starts_with("lib")));
    assert_eq!(scan("--prefix lib --limit 5"), expect(&|key| key.starts_with("lib"))[..5]);
    assert_eq!(scan("--start g --end m"), expect(&|key| ("g".."m").contains(&key)));
    assert_eq!(scan("--start m --end g"), [""; 0]);
    assert_eq!(
        scan("--prefix lib --start libg --end libm"),
        expect(&|key| ("libg".."libm").contains(&key))
    );
    assert_eq!(scan("--prefix lib --start a --end z"), expect(&|key| key.starts_with("lib")));
    let mut backward = expect(&|key| key.starts_with("lib"));
    backward.reverse();
    assert_eq!(scan("--prefix lib --reverse"), backward);
    assert_eq!(scan("--reverse --limit 1"), keys[keys.len() - 1..]);
}

#[test]
fn packed_and_plain_input_give_the_same_records_from_files_and_pipes() {
    let shell = Shell::new();
    let plain: Vec<u8> =
        documents().iter().take(40).flat_map(|each| format!("{each}\n").into_bytes()).collect();
    shell.write("plain", &plain);
    shell.write("packed", zstd::encode_all(plain.as_slice(), 3).unwrap());
    shell.ok("gzip -c plain > zipped");
    for (name, line) in [
        ("a", "blockdb import a plain --key-field name"),
        ("b", "blockdb import b packed --key-field name"),
        ("c", "blockdb import c zipped --key-field name"),
        ("d", "cat packed | blockdb import d - --key-field name"),
    ] {
        assert!(shell.ok(line).starts_with("inserted 40,"));
        let records = objects(&shell.ok(&format!("blockdb export {name}")));
        let found: Vec<&Value> = records.iter().map(|record| &record["document"]).collect();
        assert_eq!(found, documents().iter().take(40).collect::<Vec<_>>());
    }
}

#[test]
fn an_export_can_begin_and_end_at_a_sequence_number_or_a_time() {
    let shell = Shell::new();
    shell.ok("blockdb create events");
    let mut records = Vec::new();
    for n in 0..4 {
        let inserted = shell.json(&format!("insert events --key e-{n} '{{\"n\":{n}}}'"), 0);
        records.push(inserted.into_iter().next().unwrap());
    }
    let text = |index: usize, field: &str| {
        let value: &Value = &records[index][field];
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    for field in ["seq", "timestamp"] {
        let (after, until) = (text(0, field), text(2, field));
        let part = shell.ok(&format!("blockdb export events --after {after} --until {until}"));
        assert_eq!(objects(&part), records[1..=2], "by {field}");
        let rest = shell.ok(&format!("blockdb export events --after {until}"));
        assert_eq!(objects(&rest), records[3..], "by {field}");
    }
}

#[test]
fn each_batch_is_acknowledged_as_soon_as_it_is_committed_and_outlives_a_kill() {
    let shell = Shell::new();
    let mut import = shell
        .command("exec blockdb import events - --batch 3 --acks")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = import.stdin.take().unwrap();
    let mut acknowledged = BufReader::new(import.stdout.take().unwrap()).lines();
    for batch in 1..=4 {
        // The input stays open: the acknowledgement must not wait for more of it.
        stdin.write_all(b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n").unwrap();
        stdin.flush().unwrap();
        assert_eq!(acknowledged.next().unwrap().unwrap(), (batch * 3).to_string());
    }
    stdin.write_all(b"{\"a\":1}\n").unwrap();
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(shell.ok("blockdb count events").trim(), "12");
    assert_eq!(shell.run("blockdb verify").status, 0);
}

#[test]
fn a_document_too_large_is_rejected_and_its_neighbours_are_kept() {
    let shell = Shell::new();
    let mut lines = b"{\"id\":1}\n{\"id\":2,\"blob\":\"".to_vec();
    lines.resize(lines.len() + (17 << 20), b'x');
    lines.extend_from_slice(b"\"}\n{\"id\":3}\n");
    shell.write("lines", lines);
    let ran = shell.run("blockdb --output json import big lines --key-field id");
    assert_eq!(ran.status, 1, "{ran:?}");
    let told = objects(&ran.stderr);
    assert_eq!((&told[0]["line"], &told[0]["code"]), (&2.into(), &"too_large".into()));
    assert_eq!(shell.ok("blockdb count big").trim(), "2");
}

#[test]
fn every_kind_of_value_comes_back_as_it_went_in() {
    let shell = Shell::new();
    let line = r#"{"i":9223372036854775807,"f":12.0,"g":1e300,"b":{"$binary":"AAEC"},"t":{"$timestamp":"2024-05-01T00:00:00.000001Z"},"n":null,"a":[[],{},true],"s":"Zürich \u0000 \"東京\""}"#;
    shell.write("lines", line);
    shell.ok("blockdb import kinds lines");
    let record = shell.json("export kinds", 0).pop().unwrap();
    let sorted = |value: &Value| -> BTreeMap<String, Value> {
        value
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    assert_eq!(sorted(&record["document"]), sorted(&serde_json::from_str(line).unwrap()));
    shell.write("records", record.to_string());
    shell.ok("blockdb import again records --records");
    assert_eq!(shell.json("export again", 0)[0]["document"], record["document"]);
}
