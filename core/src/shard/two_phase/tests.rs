//! The state as a pure function of the log: steps applied, repeated, reordered, stored and followed.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::judge::Resolving;
use super::state::{Effect, Standing, Tombstone, TwoPhase};
use super::step::{Prepared, Resolve, Step};
use super::terms::{Decision, PrepareTerms, Share, TxnId, Verdict};
use super::trail::Trail;
use super::{Reach, staged_digest};
use crate::collection::CollectionId;
use crate::doc;
use crate::error::Code;
use crate::host::simulated::{Dice, SimRandom};
use crate::limits::{BEGUN_AHEAD_MS_MAX, TOMBSTONE_MS, TOMBSTONES_MAX};
use crate::proof::LeafKind;
use crate::shard::entry::{self, BatchBuilder, Entry, NewRecord, Proposal};
use crate::shard::read::KeyRange;

const NOW_MS: u64 = 1_767_225_600_000;
const NOW_US: i64 = NOW_MS as i64 * 1000;
const ACCOUNTS: CollectionId = CollectionId([7; 16]);

fn txn(number: u64) -> TxnId {
    TxnId::new(NOW_US + number as i64 * 1000, &SimRandom::new(number))
}

fn terms(number: u64, own: u32) -> PrepareTerms {
    PrepareTerms { txn: txn(number), attempt: 1, home: 0, own, participants: vec![0, 1, 2] }
}

fn proposal(id: TxnId, keys: &[&str]) -> Proposal {
    let mut batch = BatchBuilder::new(Some(id.0));
    batch.part(ACCOUNTS);
    for key in keys {
        let body = doc! { "of": *key };
        batch.record(&NewRecord {
            kind: LeafKind::Record,
            key: Some(key.as_bytes()),
            revision: 2,
            prev_seq: Some(3),
            schema: 1,
            actor: Some("somebody"),
            body: body.as_bytes(),
            salt: [9; 16],
            commitment: None,
        });
    }
    batch.finish()
}

fn draft(number: u64, own: u32, keys: &[&str]) -> super::step::Draft {
    let terms = terms(number, own);
    let proposal = proposal(terms.txn, keys);
    Prepared::draft(terms, vec![number, number + 1], proposal)
}

fn prepared(number: u64, own: u32, keys: &[&str]) -> Arc<Prepared> {
    Arc::new(draft(number, own, keys).at(NOW_US))
}

fn prepare(number: u64, own: u32, keys: &[&str]) -> Step {
    Step::Prepare(prepared(number, own, keys))
}

fn decide(number: u64, verdict: Verdict, time_us: i64) -> Step {
    let shares = vec![Share { shard: 0, digest: Some([1; 32]) }, Share { shard: 2, digest: None }];
    Step::Decide(txn(number), Arc::new(Decision { verdict, attempt: 1, time_us, shares }))
}

fn resolve(number: u64, verdict: Verdict, time_us: i64) -> Step {
    let first_seqs = if verdict == Verdict::Commit { vec![40] } else { Vec::new() };
    Step::Resolve(Resolve { txn: txn(number), verdict, time_us, first_seqs })
}

fn acknowledge(number: u64, time_us: i64) -> Step {
    Step::Acknowledge { txn: txn(number), time_us }
}

/// The state after steps that do not contradict each other.
fn after(steps: &[Step]) -> TwoPhase {
    let mut state = TwoPhase::default();
    steps.iter().for_each(|step| drop(state.apply(step).expect("no contradiction")));
    state
}

fn stored(state: &TwoPhase) -> TwoPhase {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    let mut rest = bytes.as_slice();
    let found = TwoPhase::decode(&mut rest).expect("it was encoded so");
    assert!(rest.is_empty());
    found
}

#[test]
fn a_step_is_read_as_it_was_written() {
    for step in [
        prepare(1, 2, &["a", "b"]),
        prepare(1, 0, &[]),
        decide(2, Verdict::Commit, NOW_US),
        decide(3, Verdict::Abort, -5),
        resolve(4, Verdict::Commit, NOW_US),
        resolve(5, Verdict::Abort, NOW_US),
        acknowledge(6, NOW_US),
    ] {
        let Ok(Entry::TwoPhase(found)) = entry::decode(step.encode(), None) else {
            panic!("{step:?} cannot be read")
        };
        assert_eq!(found, step);
        assert_eq!((found.txn(), found.time_us()), (step.txn(), step.time_us()));
    }
}

#[test]
fn a_step_cut_short_or_with_bytes_behind_is_refused() {
    for step in [
        prepare(1, 2, &["a"]),
        decide(2, Verdict::Commit, NOW_US),
        resolve(4, Verdict::Commit, NOW_US),
        acknowledge(6, NOW_US),
    ] {
        let bytes = step.encode();
        for len in 1..bytes.len() {
            let error = entry::decode(bytes.slice(..len), None).expect_err("too short");
            assert_eq!(error.code(), Code::Corrupt);
        }
        let longer = [&bytes, [0].as_slice()].concat();
        assert!(entry::decode(Bytes::from(longer), None).is_err());
    }
}

#[test]
fn staged_records_land_as_the_batch_they_would_have_been() {
    let step = prepare(1, 2, &["a", "b"]);
    let Ok(Step::Prepare(read)) = Step::decode(step.encode()) else { panic!("a Prepare") };
    let expected = proposal(txn(1), &["a", "b"]).number(NOW_US + 5, &[17]);
    for prepared in [read, prepared(1, 2, &["a", "b"])] {
        assert_eq!(prepared.land(NOW_US + 5, &[17]).payload, expected.payload);
        assert_eq!(prepared.parts().collect::<Vec<_>>(), [(ACCOUNTS, 2)]);
    }
}

#[test]
fn the_digest_is_of_the_records_alone_and_of_their_transaction() {
    let first = prepared(1, 2, &["a"]);
    assert_eq!(first.digest, prepared(1, 0, &["a"]).digest);
    assert_ne!(first.digest, prepared(2, 2, &["a"]).digest);
    assert_ne!(first.digest, prepared(1, 2, &["b"]).digest);
    let (staged, _) = proposal(txn(1), &["a"]).stage();
    assert_eq!(first.digest, staged_digest(txn(1), &staged));
}

#[test]
fn every_step_done_twice_is_as_good_as_once() {
    let life = [
        prepare(1, 0, &["a"]),
        decide(1, Verdict::Commit, NOW_US),
        resolve(1, Verdict::Commit, NOW_US + 1),
        acknowledge(1, NOW_US + 2),
    ];
    for count in 1..=life.len() {
        let once = after(&life[..count]);
        for step in &life[..count] {
            let mut again = once.clone();
            assert_eq!(again.apply(step).expect("known"), Effect::Nothing, "{step:?}");
            assert_eq!(again, once, "{step:?} after {count} steps");
        }
    }
}

#[test]
fn a_transaction_holds_its_keys_from_prepare_to_resolve() {
    let mut state = TwoPhase::default();
    let held = prepared(1, 0, &["a", "c"]);
    assert_eq!(state.apply(&Step::Prepare(held.clone())).expect("new"), Effect::Prepared);
    let reach = |state: &TwoPhase, reach| state.in_the_way(ACCOUNTS, reach);
    let range = |lower, upper| KeyRange { lower, upper, reverse: false };
    let key = |key: &str| key.as_bytes().to_vec();
    let covered = [
        range(Bound::Unbounded, Bound::Unbounded),
        range(Bound::Included(key("c")), Bound::Unbounded),
        range(Bound::Excluded(key("a")), Bound::Included(key("c"))),
        KeyRange::prefix(b"a"),
    ];
    let free = [
        range(Bound::Excluded(key("a")), Bound::Excluded(key("c"))),
        range(Bound::Excluded(key("c")), Bound::Unbounded),
        range(Bound::Unbounded, Bound::Excluded(key("a"))),
        KeyRange::prefix(b"b"),
    ];
    for range in &covered {
        assert_eq!(reach(&state, Reach::Range(range)), Some(txn(1)), "{range:?}");
    }
    for range in &free {
        assert_eq!(reach(&state, Reach::Range(range)), None, "{range:?}");
    }
    assert_eq!(reach(&state, Reach::Key(b"c")), Some(txn(1)));
    assert_eq!(reach(&state, Reach::Key(b"b")), None);
    assert_eq!(reach(&state, Reach::Keys(&["b", "c"])), Some(txn(1)));
    assert_eq!(reach(&state, Reach::Collection), Some(txn(1)));
    for other in [CollectionId([6; 16]), CollectionId([8; 16])] {
        assert_eq!(state.in_the_way(other, Reach::Collection), None);
    }
    let Step::Resolve(end) = resolve(1, Verdict::Commit, NOW_US) else { unreachable!() };
    let effect = state.apply(&Step::Resolve(end.clone())).expect("prepared");
    assert_eq!(effect, Effect::Ended(held, end));
    assert_eq!(reach(&state, Reach::Collection), None);
    assert_eq!(state.sizes(), (0, 0, 0));
}

#[test]
fn the_first_decision_counts() {
    for (first, second) in [(Verdict::Commit, Verdict::Abort), (Verdict::Abort, Verdict::Commit)] {
        let decided = after(&[prepare(1, 0, &["a"]), decide(1, first, NOW_US)]);
        let mut again = decided.clone();
        again.apply(&decide(1, second, NOW_US + 9)).expect("known");
        assert_eq!(again, decided);
        assert_eq!(again.verdict(txn(1)), Some((first, NOW_US)));
        assert!(!again.judge_decide(txn(1), second, 1, &[], NOW_MS).expect("an answer"));
    }
}

#[test]
fn a_late_prepare_is_kept_out_by_decision_tombstone_and_floor() {
    let steps = [
        vec![decide(1, Verdict::Abort, NOW_US)],
        vec![resolve(1, Verdict::Abort, NOW_US)],
        vec![decide(1, Verdict::Abort, NOW_US), acknowledge(1, NOW_US)],
        vec![
            resolve(1, Verdict::Abort, NOW_US),
            resolve(2, Verdict::Abort, NOW_US + TOMBSTONE_MS as i64 * 1000 + 1),
        ],
    ];
    for steps in steps {
        let state = after(&steps);
        let refusal = state.judge_prepare(&draft(1, 0, &["a"]), NOW_MS).expect_err("too late");
        assert!(matches!(refusal.code(), Code::Conflict | Code::TransactionExpired), "{refusal}");
        let mut again = state.clone();
        assert_eq!(again.apply(&prepare(1, 0, &["a"])).expect("late"), Effect::Nothing);
        assert_eq!(again, state, "after {steps:?}");
    }
}

#[test]
fn commit_needs_the_home_prepared_and_every_digest() {
    let first = prepared(1, 0, &["a"]);
    let state = after(&[Step::Prepare(first.clone())]);
    let share = |shard, digest| Share { shard, digest: Some(digest) };
    let all = [share(0, first.digest), share(1, [1; 32]), share(2, [2; 32])];
    let judge = |state: &TwoPhase, attempt, shares: &[Share]| {
        state.judge_decide(txn(1), Verdict::Commit, attempt, shares, NOW_MS)
    };
    assert!(judge(&state, 1, &all).expect("complete"));
    let wrong_own = [share(0, [0; 32]), all[1], all[2]];
    let stranger = [all[0], all[1], all[2], share(3, [3; 32])];
    let unknown = [all[0], Share { shard: 1, digest: None }, all[2]];
    let incomplete = [&all[..2], &[], &wrong_own, &stranger, &unknown];
    for (attempt, shares) in incomplete.map(|shares| (1, shares)).into_iter().chain([(2, &all[..])])
    {
        let refusal = judge(&state, attempt, shares).expect_err("incomplete");
        assert_eq!(refusal.code(), Code::Conflict, "{refusal}");
    }
    let unprepared = judge(&TwoPhase::default(), 1, &all).expect_err("not prepared");
    assert_eq!(unprepared.code(), Code::Conflict);
    let elsewhere = after(&[prepare(1, 1, &["a"])]);
    assert_eq!(judge(&elsewhere, 1, &all).expect_err("no home").code(), Code::Conflict);
    let abort = |state: &TwoPhase| state.judge_decide(txn(1), Verdict::Abort, 1, &[], NOW_MS);
    assert!(
        abort(&state).expect("anybody may") && abort(&TwoPhase::default()).expect("unheard of")
    );
    assert_eq!(abort(&elsewhere).expect_err("no home").code(), Code::Conflict);
}

#[test]
fn a_prepare_is_repeated_only_by_itself() {
    let state = after(&[prepare(1, 0, &["a"])]);
    assert!(!state.judge_prepare(&draft(1, 0, &["a"]), NOW_MS).expect("the same"));
    for other in [draft(1, 0, &["b"]), draft(1, 1, &["a"])] {
        let refusal = state.judge_prepare(&other, NOW_MS).expect_err("another");
        assert_eq!(refusal.code(), Code::Conflict);
    }
    assert!(state.judge_prepare(&draft(2, 0, &["b"]), NOW_MS).expect("a new one"));
    let ahead_ms = NOW_MS - BEGUN_AHEAD_MS_MAX - 1;
    let ahead = TwoPhase::default().judge_prepare(&draft(0, 0, &["a"]), ahead_ms);
    assert_eq!(ahead.expect_err("from the future").code(), Code::InvalidArgument);
}

#[test]
fn a_resolve_follows_the_decision() {
    let resolving = |state: &TwoPhase, verdict| state.judge_resolve(txn(1), verdict, NOW_MS);
    let code = |state: &TwoPhase, verdict| resolving(state, verdict).err().map(|e| e.code());
    let undecided = after(&[prepare(1, 0, &["a"])]);
    assert_eq!(code(&undecided, Verdict::Commit), Some(Code::Conflict));
    assert_eq!(code(&undecided, Verdict::Abort), Some(Code::Conflict));
    let decided = after(&[prepare(1, 0, &["a"]), decide(1, Verdict::Commit, NOW_US)]);
    assert!(matches!(resolving(&decided, Verdict::Commit), Ok(Resolving::End(_))));
    assert_eq!(code(&decided, Verdict::Abort), Some(Code::Conflict));
    let remote = after(&[prepare(1, 1, &["a"])]);
    assert!(matches!(resolving(&remote, Verdict::Abort), Ok(Resolving::End(_))));
    let unknown = TwoPhase::default();
    assert_eq!(code(&unknown, Verdict::Commit), Some(Code::Conflict));
    assert!(matches!(resolving(&unknown, Verdict::Abort), Ok(Resolving::Bury)));
    let ended = after(&[prepare(1, 1, &["a"]), resolve(1, Verdict::Commit, NOW_US)]);
    match resolving(&ended, Verdict::Commit) {
        Ok(Resolving::Done(done)) => {
            assert_eq!((done.time_us, done.first_seqs), (NOW_US, vec![40]));
        }
        _ => panic!("it is done"),
    }
    assert_eq!(code(&ended, Verdict::Abort), Some(Code::Conflict));
}

#[test]
fn a_log_that_contradicts_itself_is_told() {
    for (steps, wrong) in [
        (vec![], resolve(1, Verdict::Commit, NOW_US)),
        (
            vec![prepare(1, 1, &["a"])],
            Step::Resolve(Resolve {
                txn: txn(1),
                verdict: Verdict::Commit,
                time_us: NOW_US,
                first_seqs: vec![1, 2],
            }),
        ),
    ] {
        let error = after(&steps).apply(&wrong).expect_err("a contradiction");
        assert_eq!(error.code(), Code::Corrupt);
    }
}

#[test]
fn a_decision_stays_until_it_is_acknowledged_and_a_tombstone_then() {
    let day_us = 86_400_000_000;
    let mut state = after(&[prepare(1, 0, &["a"]), decide(1, Verdict::Commit, NOW_US)]);
    assert_eq!(state.judge_acknowledge(txn(1)).expect_err("prepared").code(), Code::Conflict);
    state.apply(&resolve(1, Verdict::Commit, NOW_US + 1)).expect("decided");
    // However long a participant takes.
    state.apply(&resolve(2, Verdict::Abort, NOW_US + 90 * day_us)).expect("another");
    assert_eq!(state.verdict(txn(1)), Some((Verdict::Commit, NOW_US)));
    assert_eq!(state.standing(txn(1)), Standing::Forgotten);
    assert!(state.judge_acknowledge(txn(1)).expect("resolved"));
    state.apply(&acknowledge(1, NOW_US + 91 * day_us)).expect("resolved");
    assert!(!state.judge_acknowledge(txn(1)).expect("done before"));
    state.apply(&resolve(3, Verdict::Abort, NOW_US + 92 * day_us)).expect("another");
    assert_eq!(state.verdict(txn(1)), Some((Verdict::Commit, NOW_US)));
    state.apply(&resolve(4, Verdict::Abort, NOW_US + 94 * day_us)).expect("another");
    assert_eq!(state.verdict(txn(1)), None);
    let asked = state.judge_decide(txn(1), Verdict::Abort, 1, &[], NOW_MS);
    assert_eq!(asked.expect_err("forgotten").code(), Code::TransactionExpired);
}

#[test]
fn what_is_prepared_is_never_too_old_to_be_decided() {
    let mut state = after(&[prepare(1, 0, &["a"])]);
    for number in [2, 3] {
        let time_us = NOW_US + number as i64 * 3 * TOMBSTONE_MS as i64 * 1000;
        state.apply(&resolve(number, Verdict::Abort, time_us)).expect("another");
    }
    assert!(state.judge_decide(txn(1), Verdict::Abort, 1, &[], NOW_MS).expect("still prepared"));
    state.apply(&decide(1, Verdict::Abort, NOW_US)).expect("prepared");
    assert_eq!(state.verdict(txn(1)), Some((Verdict::Abort, NOW_US)));
}

#[test]
fn too_many_tombstones_push_the_oldest_out_and_nothing_of_their_time_comes_back() {
    let mut state = TwoPhase::default();
    let count = TOMBSTONES_MAX as u64 + 10;
    for number in 1..=count {
        let step = resolve(number, Verdict::Abort, NOW_US + number as i64);
        state.apply(&step).expect("unheard of");
    }
    assert_eq!(state.standing(txn(10)), Standing::Forgotten);
    let kept = Tombstone {
        verdict: Verdict::Abort,
        time_us: NOW_US + 11,
        first_seqs: Vec::new(),
        since_us: NOW_US + 11,
    };
    assert_eq!(state.standing(txn(11)), Standing::Ended(&kept));
    let late = state.judge_prepare(&draft(10, 0, &["a"]), NOW_MS);
    assert_eq!(late.expect_err("its time is over").code(), Code::TransactionExpired);
}

#[test]
fn any_life_is_stored_and_followed_exactly() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let (mut state, mut trail) = (TwoPhase::default(), Trail::new(TwoPhase::default()));
        let mut states = vec![state.clone()];
        let mut behind = 0;
        let mut time_us = NOW_US;
        for index in 1..=60 {
            let number = 1 + dice.below(8);
            time_us += dice.below(TOMBSTONE_MS * 100) as i64;
            let verdict = match state.verdict(txn(number)) {
                Some((verdict, _)) => verdict,
                None if dice.chance(1, 3) => Verdict::Abort,
                None => Verdict::Commit,
            };
            let prepared = matches!(state.standing(txn(number)), Standing::Prepared(_));
            let key = format!("k{number}");
            let step = match dice.below(4) {
                0 => prepare(number, 0, &[&key]),
                1 => decide(number, verdict, time_us),
                2 if prepared || verdict == Verdict::Abort => resolve(number, verdict, time_us),
                _ => acknowledge(number, time_us),
            };
            state.apply(&step).expect("no contradiction");
            assert_eq!(stored(&state), state, "seed {seed}, entry {index}: {step:?}");
            trail.note(index, step);
            states.push(state.clone());
            if dice.chance(1, 5) {
                behind += dice.below(index + 1 - behind);
                let base = trail.advance(behind).expect("no contradiction");
                assert_eq!(*base, states[behind as usize], "seed {seed}, entry {behind}");
            }
        }
    }
}

#[test]
fn nothing_to_remember_is_empty_and_a_floor_is_not() {
    assert!(after(&[prepare(1, 0, &["a"])]).prepared_in(ACCOUNTS).is_some());
    assert!(TwoPhase::default().is_empty());
    let old = after(&[
        resolve(1, Verdict::Abort, NOW_US),
        acknowledge(9, NOW_US + 2 * TOMBSTONE_MS as i64 * 1000),
    ]);
    assert_eq!(old.standing(txn(1)), Standing::Forgotten);
    assert!(!old.is_empty());
}
