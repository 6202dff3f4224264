//! The scripted workloads: each leans on one part of the engine, the last ones on all of it. They
//! are as short as they can be while their part happens several times.

use blockdb::Durability;

use super::script::{Script, Step, Writer};
use super::{mixed, number_of};

type Author = fn(&mut Writer);

const AUTHORS: [(&str, Durability, Author); 21] = [
    ("insert", Durability::Sync, insert),
    ("batch", Durability::Sync, batch),
    ("flush", Durability::Sync, flush),
    ("compaction", Durability::Sync, compaction),
    ("seal", Durability::Sync, seal),
    ("restart_point", Durability::Sync, restart_point),
    ("create", Durability::Sync, create),
    ("configure", Durability::Sync, configure),
    ("drop", Durability::Sync, drop_and_recreate),
    ("purge", Durability::Sync, purge_and_recreate),
    ("put", Durability::Sync, put),
    ("reopen", Durability::Sync, reopen),
    ("kill", Durability::Sync, kill),
    ("many_collections", Durability::Sync, many_collections),
    ("time", Durability::Sync, time),
    ("transaction", Durability::Sync, transaction),
    ("everything", Durability::Sync, everything),
    ("interval", Durability::Interval(100), everything),
    ("none", Durability::None, weak),
    ("transaction_interval", Durability::Interval(100), transaction),
    ("transaction_none", Durability::None, transaction),
];

/// All workloads, written from `seed`.
pub fn all(seed: u64) -> Vec<Script> {
    let write = |(name, durability, author): (&'static str, Durability, Author)| {
        let mut writer = Writer::new(mixed(seed, number_of(name)));
        author(&mut writer);
        writer.finish(name, durability)
    };
    AUTHORS.map(write).into()
}

fn insert(w: &mut Writer) {
    w.create("a", false).insert_each("a", 0, 60).step(Step::Background).insert_each("a", 60, 70);
}

fn batch(w: &mut Writer) {
    w.create("a", false);
    for round in 0..12 {
        let count = 1 + w.dice.below(14);
        w.insert_batch("a", round * 20, round * 20 + count);
    }
    w.step(Step::Background).insert_batch("a", 900, 940).seal("a");
}

fn flush(w: &mut Writer) {
    w.create("a", false);
    for round in 0..4 {
        w.insert_batch("a", round * 30, round * 30 + 18).flush("a").insert_each(
            "a",
            round * 30 + 18,
            round * 30 + 21,
        );
    }
}

fn compaction(w: &mut Writer) {
    w.create("a", true);
    for round in 0..9 {
        w.insert_batch("a", round * 40, round * 40 + 24).put("a", round * 40).flush("a");
    }
    w.step(Step::Background).put("a", 3);
}

fn seal(w: &mut Writer) {
    w.create("a", false).create("b", false);
    for round in 0..7 {
        w.insert_each("a", round * 3, round * 3 + 2).seal("a");
        w.insert("b", &format!("b{round}")).seal("b").seal("b");
    }
}

fn restart_point(w: &mut Writer) {
    w.create("a", false);
    for round in 0..6 {
        w.insert_batch("a", round * 20, round * 20 + 15).step(Step::RestartPoint);
        w.insert_each("a", round * 20 + 15, round * 20 + 18);
    }
    w.step(Step::Background);
}

fn create(w: &mut Writer) {
    for number in 0..9 {
        let name = format!("c{number}");
        w.create(&name, number % 2 == 0).insert(&name, "first");
        if number % 3 == 2 {
            w.step(Step::Elapse { ms: 600 }).step(Step::Background);
        }
    }
    w.step(Step::RestartPoint).create("late", false);
}

fn configure(w: &mut Writer) {
    w.create("a", false).insert_each("a", 0, 6);
    w.configure("a", "block_records", 3).insert_each("a", 6, 12);
    w.configure("a", "revisions", true).put("a", 1).put("a", 1).put("a", 99);
    w.configure("a", "compression", "none").insert_batch("a", 20, 32).seal("a");
    w.configure("a", "description", "events of a day").step(Step::RestartPoint);
    w.configure("a", "compression", "lz4").insert_batch("a", 40, 52).flush("a");
    w.configure("a", "description", "events of a week").step(Step::Reopen).put("a", 20);
}

fn drop_and_recreate(w: &mut Writer) {
    for round in 0..4 {
        w.create("a", false).insert_batch("a", round, round + 9);
        if round % 2 == 0 {
            w.flush("a");
        }
        w.drop_collection("a", false);
    }
    w.create("b", false)
        .insert("b", "stays")
        .step(Step::RestartPoint)
        .create("a", true)
        .put("a", 1);
}

fn purge_and_recreate(w: &mut Writer) {
    w.create("b", false).insert_batch("b", 0, 7);
    for round in 0..3 {
        w.create("a", false);
        w.configure("a", "compression", "none").insert_batch("a", round, round + 12);
        if round != 1 {
            w.flush("a");
        }
        w.drop_collection("a", true);
    }
    w.insert("b", "after")
        .create("a", false)
        .insert("a", "new")
        .step(Step::Reopen)
        .insert("a", "newer");
}

fn put(w: &mut Writer) {
    w.create("a", true);
    for round in 0..8 {
        for number in 0..5 {
            w.put("a", number * (1 + round % 3));
        }
        match round % 4 {
            1 => w.flush("a"),
            3 => w.step(Step::RestartPoint),
            _ => w,
        };
    }
}

fn reopen(w: &mut Writer) {
    w.create("a", true).insert_each("a", 0, 5).step(Step::Reopen);
    for round in 1..5 {
        w.insert_batch("a", round * 40, round * 40 + 9 * round)
            .put("a", round * 40)
            .step(Step::Reopen);
        w.insert("a", &format!("between-{round}"));
    }
    w.step(Step::Reopen).step(Step::Reopen);
}

fn kill(w: &mut Writer) {
    w.create("a", true).insert_each("a", 0, 5).step(Step::Kill);
    for round in 1..5 {
        w.insert_batch("a", round * 20, round * 20 + 8).put("a", 2);
        match round % 3 {
            0 => w.step(Step::RestartPoint),
            1 => w.flush("a"),
            _ => w,
        };
        w.insert("a", &format!("before-{round}")).step(Step::Kill);
    }
    w.put("a", 2).step(Step::Kill).step(Step::Kill).put("a", 2);
}

fn many_collections(w: &mut Writer) {
    let names: Vec<String> = (0..12).map(|number| format!("m{number:02}")).collect();
    names.iter().for_each(|name| {
        w.create(name, false);
    });
    for round in 0..3 {
        for name in &names {
            w.insert(name, &format!("r{round}"));
        }
        match round {
            0 => w.step(Step::Elapse { ms: 1500 }).step(Step::Background),
            1 => w.step(Step::RestartPoint),
            _ => w.step(Step::Reopen),
        };
    }
    w.insert_batch("m03", 0, 30).step(Step::Background);
}

fn time(w: &mut Writer) {
    w.create("a", false).create("b", false);
    for round in 0..8 {
        w.insert("a", &format!("a{round}")).step(Step::Elapse { ms: 700 }).step(Step::Background);
        w.insert("b", &format!("b{round}"));
        w.step(Step::Jump { seconds: if round % 2 == 0 { -3600 } else { 7200 } });
    }
    w.step(Step::Elapse { ms: 601_000 }).step(Step::Background).insert("a", "late");
}

/// Collection `a` has revisions and `b` has none; blocks of 4 fill within transactions and just
/// behind them.
fn transaction(w: &mut Writer) {
    w.create("a", true).create("b", false).create("c", true);
    w.configure("a", "block_records", 4).configure("b", "block_records", 4);
    w.transaction("a+x b+1 a=x a=x c+1").insert("b", "2").insert("b", "3");
    // The block of `b` is one record short of full, and that of `a` is full.
    w.insert("a", "y").transaction("b+4 a=x").transaction("a=y").seal("b");
    w.rolled_back("a=x b+5 c=1").transaction("a=x b+5 b+1 c=1").transaction("c+2 b=5");
    w.transaction("b+5 b+6 a=new c=1 b+7 c=1 b+8 a=new b+9 b+10").flush("a");
    w.put("a", 1).transaction("b+11 default+1 c=2").step(Step::RestartPoint);
    w.transaction("a=x c=1").rolled_back("c=1 a=x").step(Step::Kill);
    w.transaction("c=1 a=x b+12").seal("c").transaction("b+13 a=x").flush("b");
    w.step(Step::Elapse { ms: 1_500 }).step(Step::Background).transaction("a=y b+14");
    w.drop_collection("c", false).transaction("a=y c+1").transaction("b+15 a=y");
    w.step(Step::Reopen).transaction("a=x b+16 a=x");
}

fn everything(w: &mut Writer) {
    w.create("a", true).create("b", false).insert_each("a", 0, 6).insert_batch("b", 0, 12);
    w.put("a", 1).put("a", 2).transaction("a=x b+t1 a=x").seal("a").flush("b");
    w.step(Step::RestartPoint);
    w.create("c", false).insert_batch("c", 0, 20).step(Step::Elapse { ms: 1500 });
    w.step(Step::Background).insert("c", "x").drop_collection("c", true);
    w.step(Step::Kill).put("a", 1).insert_batch("b", 20, 50).transaction("b+t2 a=x");
    w.flush("b").flush("a");
    w.configure("b", "revisions", true).put("b", 20).create("c", false).insert("c", "again");
    w.step(Step::Settle).put("a", 1).drop_collection("a", false).insert("b", "last");
    w.step(Step::Reopen).create("a", false).insert("a", "fresh").step(Step::Background);
}

fn weak(w: &mut Writer) {
    w.create("a", true).insert_each("a", 0, 10).create("b", false).insert_batch("b", 0, 9);
    w.seal("a").insert_each("a", 10, 20).transaction("b+t1 a=x").put("a", 3);
    w.insert_each("b", 9, 14).seal("b");
    w.put("a", 3).insert_batch("a", 30, 50).step(Step::Kill).put("a", 4).step(Step::RestartPoint);
    w.insert_each("b", 20, 26).drop_collection("a", false).insert("b", "end");
}
